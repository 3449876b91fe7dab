//! What a browser could be made to do by a page of another site. It matters where no token is asked for.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

use crate::fault::Fault;

/// A page sends calls with an origin; a program does not. A page that is reached by a name of its own that leads to
/// this machine is told by that name.
pub(crate) fn refuse_pages(headers: &HeaderMap, loopback: bool) -> Result<(), Fault> {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    let is_of_page = headers.contains_key(ORIGIN) || site.is_some_and(|site| site != b"none");
    if is_of_page { Err(Fault::foreign_page()) } else { refuse_names(headers, loopback) }
}

/// Refuses a name that is not this machine's, where the server is only reached on this machine.
pub(crate) fn refuse_names(headers: &HeaderMap, loopback: bool) -> Result<(), Fault> {
    let names_us = || headers.get_all(HOST).iter().all(|host| host.to_str().is_ok_and(is_of_this_machine));
    if !loopback || names_us() { Ok(()) } else { Err(Fault::foreign_page()) }
}

fn is_of_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn programs_are_served_and_pages_are_not() {
        for (pairs, is_served) in [
            (&[][..], true),
            (&[("host", "localhost:8787")], true),
            (&[("host", "127.0.0.1")], true),
            (&[("host", "[::1]:8787")], true),
            (&[("host", "evil.example:8787")], false),
            (&[("host", "localhost.evil.example")], false),
            (&[("host", "localhost:evil")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], true),
        ] {
            assert_eq!(refuse_pages(&headers(pairs), true).is_ok(), is_served, "{pairs:?}");
        }
        assert!(refuse_pages(&headers(&[("host", "kv.internal")]), false).is_ok());
        assert!(refuse_names(&headers(&[("sec-fetch-site", "same-origin")]), true).is_ok());
    }
}
