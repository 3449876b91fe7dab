//! How a system reads the path of a request.

use kv_api::Timestamp;
use url::Url;

use crate::fault::Fault;
use crate::model::{Answer, Model, Quota, Request};

/// A system that reads a path as the URL standard does before it looks for a route: segments `.` and `..` are taken
/// back, written `%2E` too, and a backslash is a slash. So a key `..` in a path makes a request for what is above the
/// keys.
pub(crate) struct ReadsPathsAsUrls<M>(pub(crate) M);

/// The path as the URL standard reads it; what is no path, such as `*`, as it is.
fn read(path: &str) -> String {
    let url = path.starts_with('/').then(|| Url::parse(&format!("http://localhost{path}")));
    match url {
        Some(Ok(url)) => url.path().to_owned(),
        _ => path.to_owned(),
    }
}

impl<M: Model> Model for ReadsPathsAsUrls<M> {
    fn answer(&mut self, request: &Request<'_>, now: Timestamp) -> Answer {
        self.0.answer(&Request { path: &read(request.path), ..*request }, now)
    }

    fn answer_faulty(&mut self, fault: Fault, request: &Request<'_>, now: Timestamp) -> Option<Answer> {
        self.0.answer_faulty(fault, &Request { path: &read(request.path), ..*request }, now)
    }

    fn is_write(&self, request: &Request<'_>) -> bool {
        self.0.is_write(&Request { path: &read(request.path), ..*request })
    }

    fn quota_headers(&self, quota: &Quota) -> Vec<(&'static str, String)> {
        self.0.quota_headers(quota)
    }

    fn keys(&self, now: Timestamp) -> Vec<String> {
        self.0.keys(now)
    }

    fn secrets(&self) -> Vec<String> {
        self.0.secrets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_taken_back_and_nothing_else_is_decoded() {
        for (path, expected) in [
            ("/a/b%2Fc+d%20e", "/a/b%2Fc+d%20e"),
            ("/a/values/%2E%2E", "/a/"),
            ("/a/values/%2e.", "/a/"),
            ("/a/values/.", "/a/values/"),
            ("/a/values/%2E", "/a/values/"),
            ("/a/values/..%2Fb", "/a/values/..%2Fb"),
            ("/a/values/...", "/a/values/..."),
            ("/../../a", "/a"),
            ("/a\\..\\b", "/b"),
            ("//host/a", "//host/a"),
            ("/:80@x/a", "/:80@x/a"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(read(path), expected, "{path}");
        }
    }
}
