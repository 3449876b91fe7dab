//! What an error may show of a text of the system (ERR-2).

use std::fmt;
use std::sync::Arc;

use percent_encoding::utf8_percent_encode;
use secrecy::{ExposeSecret, SecretString};

use crate::RESERVED;

/// What an error must not show of a text of the system, which may quote what it was sent.
#[derive(Clone)]
#[non_exhaustive]
pub enum Redaction {
    /// The whole text: the request carried a value.
    Everything,
    /// These secrets, as they are and percent-encoded.
    Secrets(Arc<[SecretString]>),
}

impl Redaction {
    /// The text as an error may show it: one line of at most 200 characters, without what must not be seen; `None` when
    /// nothing of it may be shown.
    ///
    /// ```
    /// use kv_remote::{Redaction, SecretString};
    /// let redaction = Redaction::Secrets([SecretString::from("a/b")].into());
    /// assert_eq!(redaction.apply("no route /a%2Fb\nfor a/b").as_deref(), Some("no route /... for ..."));
    /// assert_eq!(Redaction::Everything.apply("no route"), None);
    /// ```
    #[must_use]
    pub fn apply(&self, text: &str) -> Option<String> {
        match self {
            Self::Everything => None,
            Self::Secrets(secrets) => Some(shown(text, &**secrets)),
        }
    }
}

/// One line of a text, cut, without these secrets.
pub(crate) fn shown<'s>(text: &str, secrets: impl IntoIterator<Item = &'s SecretString>) -> String {
    const LONGEST: usize = 200;
    let mut text = text.to_owned();
    for secret in secrets.into_iter().map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "...").replace(&utf8_percent_encode(secret, RESERVED).to_string(), "...");
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

/// How many secrets there are, and none of them.
impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("Everything"),
            Self::Secrets(secrets) => write!(f, "Secrets({})", secrets.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn err_2_a_text_of_the_server_shows_no_secret() {
        let redaction = Redaction::Secrets(["a/b", ""].map(SecretString::from).into());
        let shown = redaction.apply("no route /a/b/hive or /a%2Fb/hive\r\nX\u{1b}[2J").unwrap();
        assert_eq!(shown, "no route /.../hive or /.../hive  X [2J");
        assert_eq!(redaction.apply(&"é".repeat(300)).unwrap().chars().count(), 200);
        assert!(!format!("{redaction:?}").contains("a/b"));
    }
}
