//! Who may do what.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretSlice};

use crate::browser;
use crate::fault::Fault;
use crate::tokens::{Grant, Tokens};

/// What a browser asks a person for the token by.
pub(crate) const BASIC: &str = r#"Basic realm="kv-gateway", charset="UTF-8""#;

/// Who may do what.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Access {
    /// A caller shows a token.
    Tokens(Tokens),
    /// Every caller may do everything; but no web page may. The server is reached by an address, by `localhost`, or by
    /// a name that is given with [`GatewayBuilder::with_host`](crate::GatewayBuilder::with_host), so that no page gets
    /// at it by a name of its own that leads here.
    Open {
        /// The server only listens on this machine: then the address has to be one of this machine too.
        loopback: bool,
    },
}

impl Access {
    /// Of a call of the dialect: `Authorization: Bearer TOKEN`. No other scheme is taken, since browsers send those by
    /// themselves.
    pub(crate) fn grant(&self, headers: &HeaderMap, hosts: &[String]) -> Result<Grant, Fault> {
        match self {
            Self::Open { loopback } => browser::refuse_pages(headers, *loopback, hosts).map(|()| Grant::EVERYTHING),
            Self::Tokens(tokens) => {
                let found = credentials(headers, "bearer").and_then(|token| tokens.grant(token));
                found.cloned().ok_or_else(|| Fault::unauthenticated("Bearer"))
            }
        }
    }

    /// Of a page that a person looks at: `Authorization: Basic`, whose password is the token. A page changes nothing.
    pub(crate) fn grant_to_person(&self, headers: &HeaderMap, hosts: &[String]) -> Result<Grant, Fault> {
        match self {
            Self::Open { loopback } => browser::refuse_names(headers, *loopback, hosts).map(|()| Grant::EVERYTHING),
            Self::Tokens(tokens) => {
                let password = credentials(headers, "basic").and_then(password);
                let found = password.and_then(|password| tokens.grant(password.expose_secret()));
                found.cloned().ok_or_else(|| Fault::unauthenticated(BASIC))
            }
        }
    }
}

/// What follows the name of the scheme.
fn credentials<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h [u8]> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (value, more) = (given.next()?.as_bytes(), given.next());
    // Which of two would count is not ours to guess.
    if more.is_some() {
        return None;
    }
    let (name, rest) = value.split_at_checked(scheme.len())?;
    let rest = rest.strip_prefix(b" ")?.trim_ascii();
    (name.eq_ignore_ascii_case(scheme.as_bytes()) && !rest.is_empty()).then_some(rest)
}

/// Whatever the user is.
fn password(encoded: &[u8]) -> Option<SecretSlice<u8>> {
    let decoded = STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(SecretSlice::from(decoded.get(colon + 1..)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "abcdefghijklmnop";

    fn access() -> Access {
        Access::Tokens(Tokens::parse(&format!("{TOKEN} read")).unwrap())
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn a_call_shows_a_bearer_token() {
        for (values, is_known) in [
            (&["Bearer abcdefghijklmnop"][..], true),
            (&["bearer  abcdefghijklmnop "], true),
            (&[], false),
            (&["abcdefghijklmnop"], false),
            (&["Bearer"], false),
            (&["Bearer "], false),
            (&["Bearerabcdefghijklmnop"], false),
            (&["Bearer abcdefghijklmno"], false),
            (&["Bearer abcdefghijklmnop x"], false),
            (&["Bearer abcdefghijklmnop", "Bearer abcdefghijklmnop"], false),
            (&["Basic OmFiY2RlZmdoaWprbG1ub3A="], false),
        ] {
            let grant = access().grant(&headers(values), &[]);
            assert_eq!(grant.is_ok(), is_known, "{values:?}");
            assert!(grant.is_ok_and(|grant| grant.allows(false) && !grant.allows(true)) == is_known);
        }
    }

    #[test]
    fn a_person_gives_the_token_as_a_password() {
        for (value, is_known) in [
            ("Basic OmFiY2RlZmdoaWprbG1ub3A=", true),
            ("Basic dXNlcjphYmNkZWZnaGlqa2xtbm9w", true),
            ("Basic YWJjZGVmZ2hpamtsbW5vcA==", false),
            ("Basic !", false),
            ("Bearer abcdefghijklmnop", false),
        ] {
            assert_eq!(access().grant_to_person(&headers(&[value]), &[]).is_ok(), is_known, "{value}");
        }
    }
}
