//! What a browser could be made to do by a page of another site. It matters where no token is asked for.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

use crate::fault::Fault;

/// A page sends calls with an origin; a program does not. A page that is reached by a name of its own that leads to
/// this machine is told by that name.
pub(crate) fn refuse_pages(headers: &HeaderMap, loopback: bool, hosts: &[String]) -> Result<(), Fault> {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    let is_of_page = headers.contains_key(ORIGIN) || site.is_some_and(|site| site != b"none");
    if is_of_page { Err(Fault::foreign_page()) } else { refuse_names(headers, loopback, hosts) }
}

/// Refuses a name that is not this server's. An address is no name that a page could have made lead here; where the
/// server is only reached on this machine, it is one of this machine.
pub(crate) fn refuse_names(headers: &HeaderMap, loopback: bool, hosts: &[String]) -> Result<(), Fault> {
    let is_ours = |host: &str| {
        let name = without_port(host);
        let is_address = address(name).is_some_and(|address| !loopback || address.is_loopback());
        is_address || name.eq_ignore_ascii_case("localhost") || hosts.iter().any(|ours| name.eq_ignore_ascii_case(ours))
    };
    let names_us = headers.get_all(HOST).iter().all(|host| host.to_str().is_ok_and(is_ours));
    if names_us { Ok(()) } else { Err(Fault::foreign_page()) }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// One of version 6 is in brackets.
fn address(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => name.parse().ok().map(IpAddr::V4),
    }
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
            (&[("host", "127.9.9.9:8787")], true),
            (&[("host", "LocalHost")], true),
            (&[("host", "10.0.0.7:8787")], false),
            (&[("host", "[fe80::1]")], false),
            (&[("host", "::1")], false),
            (&[("host", "evil.example:8787")], false),
            (&[("host", "localhost.evil.example")], false),
            (&[("host", "localhost:evil")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], true),
        ] {
            assert_eq!(refuse_pages(&headers(pairs), true, &[]).is_ok(), is_served, "{pairs:?}");
        }
        assert!(refuse_names(&headers(&[("sec-fetch-site", "same-origin")]), true, &[]).is_ok());
    }

    #[test]
    fn where_others_reach_the_server_a_name_has_to_be_given() {
        let hosts = ["kv.internal".to_owned()];
        for (host, is_served) in [
            ("kv.internal:8787", true),
            ("KV.internal", true),
            ("10.0.0.7:8787", true),
            ("[fe80::1]:8787", true),
            ("localhost:8787", true),
            ("evil.example:8787", false),
            ("10.0.0.7.evil.example", false),
            ("kv.internal.evil.example", false),
        ] {
            assert_eq!(refuse_pages(&headers(&[("host", host)]), false, &hosts).is_ok(), is_served, "{host}");
            assert_eq!(refuse_names(&headers(&[("host", host)]), false, &hosts).is_ok(), is_served, "{host}");
        }
        assert!(refuse_pages(&headers(&[("host", "kv.internal")]), true, &hosts).is_ok());
        assert!(refuse_pages(&headers(&[("host", "kv.internal")]), false, &[]).is_err());
    }
}
