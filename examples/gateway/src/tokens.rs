//! The tokens of a file, and what each allows.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Shorter ones can be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// Far more than anybody needs.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Tokens, and what each allows: reading, writing, or both, in all namespaces or some. Only digests are kept, and all
/// of them are compared, each in constant time.
///
/// One token a line: the token, its scopes (`read`, `write`, or both with a comma), and its namespaces by name (`*` or
/// nothing for all, else separated by commas). What follows a `#` at the beginning of a line is a comment. `write` does
/// not include `read`.
///
/// ```
/// use kv_gateway::Tokens;
/// let tokens = Tokens::parse("# the web shop\nq7HnpM0CEqS5xkPt read,write sessions,carts\nVt2mfXbYJ8eRcD3w read")?;
/// assert_eq!(tokens.len(), 2);
/// assert!(!format!("{tokens:?}").contains("q7HnpM0CEqS5xkPt"));
/// # Ok::<(), kv_gateway::TokensError>(())
/// ```
#[derive(Clone)]
pub struct Tokens(Vec<Token>);

#[derive(Clone)]
struct Token {
    digest: [u8; 32],
    grant: Grant,
}

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    reads: bool,
    writes: bool,
    /// `None`: all.
    namespaces: Option<Arc<[String]>>,
}

impl Grant {
    /// Of a server without tokens.
    pub(crate) const EVERYTHING: Self = Self { reads: true, writes: true, namespaces: None };

    pub(crate) const fn allows(&self, writes: bool) -> bool {
        if writes { self.writes } else { self.reads }
    }

    /// Whether the namespace of this name is one of those.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|names| names.iter().any(|one| one == name))
    }

    /// Whether it covers all, so that a caller may learn which there are.
    pub(crate) const fn covers_all(&self) -> bool {
        self.namespaces.is_none()
    }
}

impl Tokens {
    /// Reads the text of a file of tokens.
    ///
    /// # Errors
    /// With the number of the line, and never its content: when a line is not of the form above, when a token is
    /// shorter than 16 bytes, holds what cannot stand in a header, or is there twice, and when there is none.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let mut tokens: Vec<Token> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let token = Token::parse(line).map_err(|problem| TokensError::Line { number, problem })?;
            if tokens.iter().any(|other| other.digest == token.digest) {
                return Err(TokensError::Line { number, problem: "the token is there twice" });
            }
            tokens.push(token);
        }
        if tokens.is_empty() { Err(TokensError::None) } else { Ok(Self(tokens)) }
    }

    /// Reads a file of tokens that nobody but its owner may read or write. One that lies directly in the folder which
    /// `CREDENTIALS_DIRECTORY` names may also be read by its group: so systemd hands it to a service.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); when the file cannot be read, is longer than 1 MiB, or others may read or write it
    /// (on Unix).
    pub fn from_file(path: &Path) -> Result<Self, TokensError> {
        let file = File::open(path).map_err(TokensError::File)?;
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
        let is_credential = credentials.is_some_and(|folder| path.parent() == Some(Path::new(&folder)));
        check_mode(&file, if is_credential { 0o037 } else { 0o077 })?;
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(TokensError::File)?;
        let text = SecretString::from(text);
        if text.expose_secret().len() as u64 > FILE_BYTES_MAX {
            return Err(TokensError::TooLong);
        }
        Self::parse(text.expose_secret())
    }

    /// How many there are; at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// What a token allows; `None` for an unknown one. Compares with all of them, whatever it finds.
    pub(crate) fn grant(&self, token: &[u8]) -> Option<&Grant> {
        let digest = <[u8; 32]>::from(Sha256::digest(token));
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.digest.ct_eq(&digest)) {
                found = Some(&token.grant);
            }
        }
        found
    }

    /// The names of namespaces that tokens are for.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|token| token.grant.namespaces.as_deref()).flatten().map(String::as_str)
    }
}

impl Token {
    fn parse(line: &str) -> Result<Self, &'static str> {
        let mut fields = line.split_whitespace();
        let (token, scopes) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let namespaces = fields.next();
        if token.len() < TOKEN_BYTES_MIN {
            return Err("the token is shorter than 16 bytes");
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the token holds what cannot stand in a header");
        }
        if fields.next().is_some() {
            return Err("there are more than token, scopes and namespaces");
        }
        let mut grant = Grant { reads: false, writes: false, namespaces: None };
        for scope in scopes.split(',') {
            match scope {
                "read" => grant.reads = true,
                "write" => grant.writes = true,
                _ => return Err("the scopes are not read, write, or both with a comma"),
            }
        }
        grant.namespaces = match namespaces {
            None | Some("*") => None,
            Some(names) => Some(names.split(',').map(str::to_owned).collect()),
        };
        Ok(Self { digest: Sha256::digest(token.as_bytes()).into(), grant })
    }
}

/// Shows how many there are.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

#[cfg(unix)]
fn check_mode(file: &File, forbidden: u32) -> Result<(), TokensError> {
    use std::os::unix::fs::MetadataExt;
    let mode = file.metadata().map_err(TokensError::File)?.mode();
    if mode & forbidden == 0 { Ok(()) } else { Err(TokensError::Mode(mode & 0o777)) }
}

#[cfg(not(unix))]
fn check_mode(_file: &File, _forbidden: u32) -> Result<(), TokensError> {
    Ok(())
}

/// Why tokens cannot be used. Its text shows none.
#[derive(Debug)]
#[non_exhaustive]
pub enum TokensError {
    /// The file cannot be read.
    File(io::Error),
    /// Others than its owner may read or write the file.
    Mode(u32),
    /// The file is longer than 1 MiB.
    TooLong,
    /// A line is not of the form that is documented.
    Line {
        /// Its number, from 1.
        number: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// There is no token.
    None,
}

impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "cannot read: {error}"),
            Self::Mode(mode) => write!(f, "others may read or write it (mode {mode:03o}): chmod 600"),
            Self::TooLong => f.write_str("longer than 1 MiB"),
            Self::Line { number, problem } => write!(f, "line {number}: {problem}"),
            Self::None => f.write_str("no token"),
        }
    }
}

impl std::error::Error for TokensError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "abcdefghijklmnop";
    const OTHER: &str = "ponmlkjihgfedcba";

    #[test]
    fn a_line_says_what_a_token_allows() {
        let tokens = Tokens::parse(&format!("\n # note\n{ONE} read a,b\n\t{OTHER}\tread,write  *\n")).unwrap();
        let one = tokens.grant(ONE.as_bytes()).unwrap();
        assert!(one.allows(false) && !one.allows(true) && one.covers("b") && !one.covers("c") && !one.covers_all());
        let other = tokens.grant(OTHER.as_bytes()).unwrap();
        assert_eq!(other, &Grant::EVERYTHING);
        assert_eq!(tokens.namespaces().collect::<Vec<_>>(), ["a", "b"]);
        for unknown in ["", "abcdefghijklmno", "abcdefghijklmnopq", "ABCDEFGHIJKLMNOP"] {
            assert_eq!(tokens.grant(unknown.as_bytes()), None);
        }
    }

    #[test]
    fn what_is_refused_is_named_by_its_line_and_not_shown() {
        for line in [
            "hunter2 read",
            "hunter2hunter2hunter2",
            "hunter2hunter2hunter2 rw",
            "hunter2hunter2hunter2 read, a",
            "hunter2hunter2hunter2 read a b",
            "hunter2hünter2hunter2 read",
        ] {
            let error = Tokens::parse(&format!("#\n{line}")).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains("line 2") && !text.contains("nter2"), "{line}: {text}");
        }
        assert!(matches!(Tokens::parse("# none\n"), Err(TokensError::None)));
        let twice = format!("{ONE} read\n{ONE} write");
        assert!(matches!(Tokens::parse(&twice), Err(TokensError::Line { number: 2, .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, format!("{ONE} read")).unwrap();
        for (mode, is_fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let read = Tokens::from_file(&path);
            assert_eq!(read.is_ok(), is_fine, "{mode:o}");
            assert!(is_fine || matches!(read, Err(TokensError::Mode(_))));
        }
        assert!(matches!(Tokens::from_file(&folder.path().join("none")), Err(TokensError::File(_))));
    }
}
