//! What a token stands for, and where a request carries one.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;

use super::refusal::Refusal;
use crate::json::{Dialect, Value, parse_bytes};
use crate::model::Request;

/// The cookie that browsers are given; its name can be configured on a server.
const COOKIE: &str = "puter_auth_token";

/// The app part of the namespace of a user who acts without one.
const NO_APP: &str = "os-global";

/// How a user pays, which decides the rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// Signed up without a name, and forgotten after a while.
    Temporary,
    /// An account that pays nothing.
    #[default]
    Free,
    /// An account that pays.
    Paid,
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everything its user or app may do.
    #[default]
    Full,
    /// Single permissions: an access token that was made without full access. The key-value store is never among them.
    Scoped,
    /// Nothing yet: the user has not confirmed the e-mail address.
    Unconfirmed,
}

/// What a token stands for: a user, or an app of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    user: String,
    app: Option<String>,
    tier: Tier,
    access: Access,
    /// Other apps whose data the user lets this one use.
    others: BTreeSet<String>,
}

impl Grant {
    /// A session of this user, or an API token with full access: both see the same entries.
    #[must_use]
    pub fn user(user: impl Into<String>) -> Self {
        Self { user: user.into(), app: None, tier: Tier::default(), access: Access::default(), others: BTreeSet::new() }
    }

    /// An app that this user runs: it sees entries of its own.
    #[must_use]
    pub fn app(user: impl Into<String>, app: impl Into<String>) -> Self {
        Self { app: Some(app.into()), ..Self::user(user) }
    }

    /// How the user pays. Default: [`Tier::Free`].
    #[must_use]
    pub fn with_tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// What the token is good for. Default: [`Access::Full`].
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Lets the app read and change the entries of another app of the same user, but for private ones; may be called
    /// again.
    #[must_use]
    pub fn with_access_to(mut self, app: impl Into<String>) -> Self {
        self.others.insert(app.into());
        self
    }

    pub(super) fn user_id(&self) -> &str {
        &self.user
    }

    pub(super) fn app_id(&self) -> Option<&str> {
        self.app.as_deref()
    }

    pub(super) fn tier(&self) -> Tier {
        self.tier
    }

    pub(super) fn may_use(&self, app: &str) -> bool {
        self.others.contains(app)
    }

    /// The namespace of the user's data for this app, or of what the token sees without one named.
    pub(super) fn namespace(&self, app: Option<&str>) -> String {
        format!("v1:{}:{}", self.user, app.or(self.app_id()).unwrap_or(NO_APP))
    }

    /// Turned away before the request is looked at.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        match self.access {
            Access::Full => Ok(()),
            Access::Scoped => Err(Refusal::scoped_token()),
            Access::Unconfirmed => Err(Refusal::email_unconfirmed()),
        }
    }
}

/// The token of a request, from the first place that has one. `body` is what was understood of the body.
pub(super) fn token(request: &Request<'_>, body: &Value) -> Option<String> {
    let in_body = body.get("auth_token").and_then(Value::as_str).map(str::to_owned);
    let places = [
        in_body,
        request.header("authorization").and_then(in_authorization),
        request.header("x-api-key").map(str::to_owned),
        request.header("cookie").and_then(in_cookies),
        in_query(request.query),
    ];
    places.into_iter().flatten().find(|token| !token.is_empty())
}

/// `Bearer` and a token, or a token alone.
fn in_authorization(header: &str) -> Option<String> {
    let header = header.trim();
    let token = match header.split_once(char::is_whitespace) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) => return None,
        None if header.eq_ignore_ascii_case("bearer") => return None,
        None => header,
    };
    (token != "undefined").then(|| token.to_owned())
}

fn in_cookies(header: &str) -> Option<String> {
    header
        .split(';')
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then(|| percent_decode_str(value).decode_utf8_lossy().into_owned()))
}

fn in_query(query: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .find_map(|(name, value)| (name == "auth_token").then(|| value.into_owned()))
}

/// What is said to a token that belongs to no user: one of the present kind does not verify, any other has had its day.
pub(super) fn unknown(token: &str) -> Refusal {
    let mut parts = token.split('.');
    let header = parts.next().filter(|_| parts.by_ref().filter(|part| !part.is_empty()).count() == 2);
    let header = header.and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let header: Option<Value> = header.and_then(|header| parse_bytes(&header, Dialect::JavaScript).ok());
    match header {
        Some(header) if header["kid"] == "v2" => Refusal::token_refused(),
        _ => Refusal::reauthenticate("token_v1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::json;

    fn found(headers: &[(&str, &str)], query: &str, body: Value) -> Option<String> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        token(&Request { method: "POST", path: "/", query, headers: &headers, body: b"" }, &body)
    }

    #[test]
    fn places_are_looked_at_in_turn() {
        let mut headers =
            vec![("authorization", "Bearer b"), ("x-api-key", "c"), ("cookie", "x=y; puter_auth_token=d%2E")];
        let check = |headers: &[_], body: Value, expected: &str| {
            assert_eq!(found(headers, "q=1&auth_token=e%2B", body).as_deref(), Some(expected));
        };
        check(&headers, json!({"auth_token": "a"}), "a");
        check(&headers, json!({"auth_token": ""}), "b");
        for expected in ["c", "d.", "e+"] {
            headers.remove(0);
            check(&headers, json!({}), expected);
        }
        assert_eq!(found(&[], "", json!({"auth_token": 5})), None);
    }

    #[test]
    fn the_scheme_is_optional_and_in_any_case() {
        let check = |header, expected: Option<&str>| {
            assert_eq!(found(&[("authorization", header)], "", Value::Null).as_deref(), expected, "{header}");
        };
        check("Bearer t", Some("t"));
        check("bEARER  t", Some("t"));
        check("t", Some("t"));
        check("Bearer", None);
        check("Bearer undefined", None);
        check("Basic dDp0", None);
    }

    #[test]
    fn unknown_tokens_are_told_apart_by_their_kind() {
        let header = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let present = header(json!({"alg": "HS256", "kid": "v2"}));
        assert_eq!(unknown(&format!("{present}.e30.c2ln")), Refusal::token_refused());
        for token in ["", "text", "a.b.c", &present, &format!("{present}..c2ln"), &format!("{present}.e30.c2ln.x")] {
            assert_eq!(unknown(token), Refusal::reauthenticate("token_v1"), "{token}");
        }
        let old = header(json!({"alg": "HS256"}));
        assert_eq!(unknown(&format!("{old}.e30.c2ln")), Refusal::reauthenticate("token_v1"));
    }
}
