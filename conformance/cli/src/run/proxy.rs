//! A link before the system, which counts requests and breaks them on purpose.

use kv_api::{Error, ErrorKind, Result, StoreUrl};
use kv_conformance::{Fault, Faults};
use kv_link::{Link, Protocol, Request, Target as Server};

use super::target::Target;

/// How a system is reached through a link.
struct Way {
    protocol: Protocol,
    /// What the link leads to.
    server: String,
    /// Whether the address stands in the option `base_url`, and not in the URL itself.
    is_base_url: bool,
    is_write: Option<fn(&Request<'_>) -> bool>,
    /// Whether any answer may come, so that none is known to be garbled.
    any_answer_is_one: bool,
}

/// A link of its own, and the store through it.
pub(crate) struct Linked {
    pub(crate) link: Link,
    pub(crate) target: Target,
    any_answer_is_one: bool,
}

impl Linked {
    /// # Errors
    /// `InvalidArgument` for a system that no link leads to; `Misconfigured` when it cannot be opened.
    pub(crate) async fn open(target: &Target) -> Result<Self> {
        let way = Way::to(target)?;
        let cannot = |error: std::io::Error| {
            Error::new(ErrorKind::Misconfigured, format!("no link to the store can be opened: {error}"))
        };
        let server = Server::of_url(&way.server, way.protocol).await.map_err(cannot)?;
        let server = match way.is_write {
            Some(is_write) => server.with_writes(is_write),
            None => server,
        };
        let link = Link::open_to(server).map_err(cannot)?;
        let through = link.url(&way.server);
        let target = if way.is_base_url { target.with_option("base_url", &through)? } else { Target::parse(&through)? };
        Ok(Self { link, target, any_answer_is_one: way.any_answer_is_one })
    }

    /// What can be broken on purpose.
    pub(crate) fn faults(&self) -> impl Faults + use<> {
        Offered { link: self.link.clone(), any_answer_is_one: self.any_answer_is_one }
    }
}

impl Way {
    fn to(target: &Target) -> Result<Self> {
        let plain = |protocol, server: &str| Self {
            protocol,
            server: server.to_owned(),
            is_base_url: false,
            is_write: None,
            any_answer_is_one: false,
        };
        let http = |default: Option<&str>| -> Result<Self> {
            let missing = || invalid("--through-proxy needs the option base_url in the URL of this store");
            let server = target.option("base_url").or(default.map(str::to_owned)).ok_or_else(missing)?;
            Ok(Self { is_base_url: true, ..plain(Protocol::Http, &server) })
        };
        match target.scheme() {
            "redis" | "rediss" => Ok(plain(Protocol::Resp, target.url())),
            "postgres" | "postgresql" => Ok(plain(Protocol::Postgres, target.without_option("sslmode")?.url())),
            "nemesisdb" => {
                let has_port = |url: StoreUrl| Some(url.authority().ok()??.port().is_some());
                if !target.url().parse().ok().and_then(has_port).unwrap_or(false) {
                    return Err(invalid("--through-proxy needs the port in the URL of this store"));
                }
                Ok(Self { is_write: Some(writes_to_nemesisdb), ..plain(Protocol::WebSocket, target.url()) })
            }
            "cloudflare" => Ok(Self {
                is_write: Some(|request| request.method != "GET" && !request.path.ends_with("/bulk/get")),
                // A value is any bytes.
                any_answer_is_one: true,
                ..http(Some("https://api.cloudflare.com/client/v4"))?
            }),
            "backendless" => Ok(Self {
                is_write: Some(|request| ["PUT", "DELETE"].contains(&request.method)),
                // What a write answers is not documented.
                any_answer_is_one: true,
                ..http(None)?
            }),
            "puter" => Ok(Self { is_write: Some(writes_to_puter), ..http(None)? }),
            _ => Err(invalid("--through-proxy: no link leads to a store of this scheme")),
        }
    }
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// All calls are POST to one path, and the body names the method.
fn writes_to_puter(request: &Request<'_>) -> bool {
    let body = String::from_utf8_lossy(request.body);
    !["get", "list"].iter().any(|read| body.contains(&format!("\"method\":\"{read}\"")))
}

fn writes_to_nemesisdb(message: &Request<'_>) -> bool {
    !message.body.starts_with(b"{\"GET\"") && !message.body.starts_with(b"{\"SERVER_INFO\"")
}

/// The faults of a link that an adapter can tell from right answers.
struct Offered {
    link: Link,
    any_answer_is_one: bool,
}

impl Faults for Offered {
    fn offers(&self, fault: Fault) -> bool {
        !(self.any_answer_is_one && fault == Fault::AnswerGarbled) && self.link.offers(fault)
    }

    fn inject(&self, fault: Fault, count: u32) {
        self.link.inject(fault, count);
    }

    fn inject_into_writes(&self, fault: Fault, count: u32) {
        self.link.inject_into_writes(fault, count);
    }
}
