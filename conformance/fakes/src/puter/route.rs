//! From a method, a path and a host name to what is asked for.

use super::refusal::Refusal;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Whatever the path.
    Preflight,
    DriverCall,
    WhoAmI,
    RecentAppOpened,
    Version,
    Healthcheck,
}

impl Route {
    /// A slash at the end of a path adds nothing.
    pub(super) fn find(method: &str, path: &str) -> Result<Self, Refusal> {
        match (method, path.strip_suffix('/').unwrap_or(path)) {
            ("OPTIONS", _) => Ok(Self::Preflight),
            ("POST", "/drivers/call") => Ok(Self::DriverCall),
            ("GET", "/whoami") => Ok(Self::WhoAmI),
            ("POST", "/rao") => Ok(Self::RecentAppOpened),
            ("GET", "/version") => Ok(Self::Version),
            ("GET", "/healthcheck") => Ok(Self::Healthcheck),
            _ => Err(Refusal::no_such_route()),
        }
    }
}

/// Whether a `Host` header names the API of a server: `api`, and at least two more labels.
pub(super) fn is_api_host(host: &str) -> bool {
    let name = host.split(':').next().unwrap_or_default();
    let labels: Vec<&str> = name.split('.').collect();
    labels.len() >= 3 && labels[0].eq_ignore_ascii_case("api")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_addresses_are_served() {
        let check = |method, path, route| assert_eq!(Route::find(method, path).ok(), route, "{method} {path}");
        check("POST", "/drivers/call", Some(Route::DriverCall));
        check("POST", "/drivers/call/", Some(Route::DriverCall));
        check("POST", "/drivers/call//", None);
        check("GET", "/drivers/call", None);
        check("PUT", "/drivers/call", None);
        check("OPTIONS", "/anything", Some(Route::Preflight));
        check("GET", "/whoami", Some(Route::WhoAmI));
        check("GET", "/", None);
    }

    #[test]
    fn hosts_of_the_api_have_three_labels() {
        for host in ["api.puter.com", "api.puter.localhost:4100", "API.a.b.c"] {
            assert!(is_api_host(host), "{host}");
        }
        for host in ["", "127.0.0.1:80", "localhost", "api.localhost", "puter.localhost:4100", "xapi.puter.com"] {
            assert!(!is_api_host(host), "{host}");
        }
    }
}
