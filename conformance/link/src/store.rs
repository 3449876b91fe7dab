//! Links before the servers that store URLs name.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};

use kv_api::StoreUrl;
use kv_conformance::{Fault, Faults};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::target::invalid;
use crate::{Link, Protocol, Request, Target};

/// A link before the server of a store URL, and the store URL that leads through it. For the schemes `redis`, `rediss`,
/// `postgres`, `postgresql`, `cloudflare`, `backendless`, `puter` and `nemesisdb`, as the backends of this workspace
/// read them.
///
/// Requests that only read are known by the words of each system. Of the faults of a [`Link`] it offers those that the
/// backend can tell on a server that holds other entries too. So there are none of pages, and no garbled answers where
/// any answer is one: of the values of Cloudflare and the writes of Backendless.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use kv_conformance::{Fault, Faults};
/// use kv_link::StoreLink;
///
/// let through = StoreLink::open("cloudflare://ACCOUNT/NAMESPACE").await?;
/// // Opened by `through.url()`, the store loses the answer to its next write.
/// through.inject_into_writes(Fault::AnswerLost, 1);
/// assert_eq!(through.link().requests(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct StoreLink {
    link: Link,
    url: String,
    can_be_told: fn(Fault) -> bool,
}

impl StoreLink {
    /// Opens a link to the server of this URL. Options about TLS are the link's from there on: `tls_ca`, `sslmode` and
    /// `sslrootcert`; with `sslmode=require` the certificate is looked at too, and with `prefer`, which is the default,
    /// nothing is encrypted.
    ///
    /// # Errors
    /// The URL has another scheme, names no host that can be found, or has an option that cannot be kept to: a client's
    /// certificate, another `sslmode`, or `tls_ca` without TLS. A file with certificates that cannot be read, or as
    /// [`Link::open_to`]. No error shows the URL.
    pub async fn open(url: &str) -> io::Result<Self> {
        let parsed = url.parse::<StoreUrl>().map_err(|_| invalid("not a store URL"))?;
        let mut parts = Parts::of(url);
        match parsed.scheme() {
            "redis" | "rediss" => {
                let authority = parts.take("tls_ca");
                if authority.is_some() && parsed.scheme() == "redis" {
                    return Err(invalid("a file of certificates is for TLS: write rediss://"));
                }
                let target = with_authority(Target::of_url(url, Protocol::Resp).await?, authority)?;
                Self::before(target, parts, is_not_of_pages)
            }
            "postgres" | "postgresql" => {
                if parts.take("sslcert").or_else(|| parts.take("sslkey")).is_some() {
                    return Err(invalid("a client's certificate does not go through a link"));
                }
                let mut target = Target::of_url(url, Protocol::Postgres).await?;
                let (mode, authority) = (parts.take("sslmode"), parts.take("sslrootcert"));
                match mode.as_deref() {
                    None | Some("disable" | "prefer") => {}
                    Some("require" | "verify-ca" | "verify-full") => {
                        let named = parsed.authority().ok().flatten();
                        let host = named.as_ref().map_or("", |authority| authority.host());
                        target = with_authority(target.with_tls(host)?, authority)?;
                    }
                    Some(_) => return Err(invalid("sslmode is disable, prefer, require, verify-ca or verify-full")),
                }
                Self::before(target, parts, |_| true)
            }
            "nemesisdb" => {
                let target = Target::of_url_or(url, Protocol::WebSocket, 1987).await?;
                Self::before(target.with_writes(writes_to_nemesisdb), parts, |_| true)
            }
            "cloudflare" => {
                let base = parts.take("base_url").unwrap_or_else(|| "https://api.cloudflare.com/client/v4".to_owned());
                let target = Target::of_url(&base, Protocol::Http).await?.with_writes(writes_to_cloudflare);
                Self::before_base(target, parts, &base, is_not_garbled)
            }
            "backendless" => {
                let base = match parts.take("base_url") {
                    Some(base) => base,
                    None => base_of_backendless(&parsed)?,
                };
                let target = Target::of_url(&base, Protocol::Http).await?.with_writes(writes_to_backendless);
                Self::before_base(target, parts, &base, is_not_garbled)
            }
            "puter" => {
                let base = match parts.take("base_url") {
                    Some(base) => base,
                    None => format!("https://{}", host_of(&parsed, "api.puter.com")?),
                };
                let mut target = Target::of_url(&base, Protocol::Http).await?.with_writes(writes_to_puter);
                if let Some(address) = parts.take("connect") {
                    target = target.at(address.parse().map_err(|_| invalid("connect is no address"))?);
                }
                Self::before_base(target, parts, &base, |_| true)
            }
            "redis-cluster" | "rediss-cluster" => {
                Err(invalid("no link leads to a cluster by its URL: its nodes tell clients to go to each other"))
            }
            _ => Err(invalid("no link leads to a store of this scheme")),
        }
    }

    fn before(target: Target, parts: Parts, can_be_told: fn(Fault) -> bool) -> io::Result<Self> {
        let link = Link::open_to(target)?;
        let url = link.url(&parts.into_url());
        Ok(Self { link, url, can_be_told })
    }

    /// The same for a system whose address is an option of the URL.
    fn before_base(target: Target, mut parts: Parts, base: &str, can_be_told: fn(Fault) -> bool) -> io::Result<Self> {
        let link = Link::open_to(target)?;
        parts.add("base_url", &link.url(base));
        Ok(Self { link, url: parts.into_url(), can_be_told })
    }

    /// The store URL that leads through the link. It has the secrets of the URL that was given.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The link.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }
}

impl Faults for StoreLink {
    fn offers(&self, fault: Fault) -> bool {
        (self.can_be_told)(fault) && self.link.offers(fault)
    }

    /// # Panics
    /// As that of [`Link`].
    fn inject(&self, fault: Fault, count: u32) {
        self.link.inject(fault, count);
    }

    /// # Panics
    /// As [`inject`](Self::inject).
    fn inject_into_writes(&self, fault: Fault, count: u32) {
        self.link.inject_into_writes(fault, count);
    }
}

/// Without the URL.
impl fmt::Debug for StoreLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLink").field("link", &self.link).finish_non_exhaustive()
    }
}

/// How many requests a page takes, and which keys come first, is up to what else the server holds.
const fn is_not_of_pages(fault: Fault) -> bool {
    !matches!(fault, Fault::PageEmpty | Fault::PageStandsStill | Fault::PageInCircles)
}

const fn is_not_garbled(fault: Fault) -> bool {
    !matches!(fault, Fault::AnswerGarbled)
}

/// Many keys are read by POST.
fn writes_to_cloudflare(request: &Request<'_>) -> bool {
    request.method != "GET" && !request.path.ends_with("/bulk/get")
}

/// The same; no write is one.
fn writes_to_backendless(request: &Request<'_>) -> bool {
    matches!(request.method, "PUT" | "DELETE")
}

/// All calls are POST to one path, and the body names the method.
fn writes_to_puter(request: &Request<'_>) -> bool {
    const NAME: &[u8] = b"\"method\":\"";
    // The first one is that of the call; any other stands in a value.
    let at = request.body.windows(NAME.len()).position(|part| part == NAME);
    let method = at.map_or(&[][..], |at| &request.body[at + NAME.len()..]);
    !(method.starts_with(b"get\"") || method.starts_with(b"list\""))
}

fn writes_to_nemesisdb(message: &Request<'_>) -> bool {
    !message.body.starts_with(b"{\"GET\"") && !message.body.starts_with(b"{\"SERVER_INFO\"")
}

/// With an application's id before the host, its address goes on with that; else it is a domain of the application.
fn base_of_backendless(url: &StoreUrl) -> io::Result<String> {
    let host = host_of(url, "")?;
    let has_user = url.authority().ok().flatten().is_some_and(|authority| authority.user().is_some());
    Ok(if has_user { format!("https://{host}") } else { format!("https://{host}/api") })
}

fn host_of(url: &StoreUrl, default: &str) -> io::Result<String> {
    let named = url.authority().map_err(|_| invalid("the URL names no host"))?;
    let host = named.filter(|authority| !authority.host().is_empty()).map(|authority| authority.host_and_port());
    Ok(host.unwrap_or_else(|| default.to_owned()))
}

/// Who may sign the server's certificate, where a file says so.
fn with_authority(target: Target, file: Option<String>) -> io::Result<Target> {
    match file {
        None => Ok(target),
        // A small file, read once.
        Some(file) => Ok(target.with_tls_ca(&fs::read(file)?)),
    }
}

impl Target {
    /// At this address, with the port there is.
    fn at(mut self, address: IpAddr) -> Self {
        let port = self.addresses.first().map_or(0, SocketAddr::port);
        self.addresses = vec![SocketAddr::new(address, port)];
        self
    }
}

/// A URL, and its options.
struct Parts {
    before: String,
    options: Vec<String>,
}

impl Parts {
    fn of(url: &str) -> Self {
        let (before, options) = url.split_once('?').unwrap_or((url, ""));
        let options = options.split('&').filter(|option| !option.is_empty());
        Self { before: before.to_owned(), options: options.map(str::to_owned).collect() }
    }

    /// Takes an option out of the URL.
    fn take(&mut self, name: &str) -> Option<String> {
        let value = |option: &str| option.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        let at = self.options.iter().position(|option| value(option).is_some())?;
        let raw = value(&self.options.remove(at))?;
        Some(percent_decode_str(&raw).decode_utf8_lossy().into_owned())
    }

    fn add(&mut self, name: &str, value: &str) {
        self.options.push(format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    }

    fn into_url(self) -> String {
        let Self { before, options } = self;
        if options.is_empty() { before } else { format!("{before}?{}", options.join("&")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn through(url: &str) -> (String, String) {
        let through = StoreLink::open(url).await.unwrap();
        let here = through.link().address().to_string();
        assert!(!format!("{through:?}").contains("hush"));
        (through.url().replace(&here, "HERE").replace(&here.replace(':', "%3A").replace('.', "%2E"), "HERE"), here)
    }

    #[tokio::test]
    async fn each_scheme_leads_through_its_link() {
        for (url, expected) in [
            ("redis://:hush@127.0.0.1:7/2?namespace=a", "redis://:hush@HERE/2?namespace=a"),
            ("postgres://u:hush@127.0.0.1/db?sslmode=disable&namespace=a", "postgres://u:hush@HERE/db?namespace=a"),
            ("nemesisdb://127.0.0.1?namespace=a", "nemesisdb://HERE?namespace=a"),
            (
                "cloudflare://A/N?base_url=http://127.0.0.1:7/client/v4&attempts_max=1",
                "cloudflare://A/N?attempts_max=1&base_url=http%3A%2F%2FHERE%2Fclient%2Fv4",
            ),
            (
                "backendless://APP:hush@h/HIVE?base_url=http%3A%2F%2F127.0.0.1:7/api",
                "backendless://APP:hush@h/HIVE?base_url=http%3A%2F%2FHERE%2Fapi",
            ),
            (
                "puter:///app?base_url=http://api.puter.localhost:4100&connect=127.0.0.1",
                "puter:///app?base_url=http%3A%2F%2FHERE",
            ),
        ] {
            assert_eq!(through(url).await.0, expected);
        }
    }

    #[tokio::test]
    async fn the_address_without_an_option_is_that_of_the_system() {
        let parsed = |url: &str| url.parse::<StoreUrl>().unwrap();
        let base = |url: &str| base_of_backendless(&parsed(url)).unwrap();
        assert_eq!(base("backendless://x.backendless.app/h"), "https://x.backendless.app/api");
        assert_eq!(base("backendless://APP:hush@api.backendless.com/h"), "https://api.backendless.com");
        assert_eq!(host_of(&parsed("puter:///app"), "api.puter.com").unwrap(), "api.puter.com");
        assert_eq!(host_of(&parsed("puter://api.example.org:8443/app"), "").unwrap(), "api.example.org:8443");
    }

    #[tokio::test]
    async fn what_no_link_leads_to_is_refused_without_a_word_of_the_url() {
        for url in [
            "memory:hush",
            "sqlite:hush.db",
            "redis-cluster://:hush@127.0.0.1:7,127.0.0.1:8",
            "redis:hush",
            "postgres://u:hush@/db",
            "postgres://u:hush@127.0.0.1/db?sslcert=hush",
            "postgres://u:hush@127.0.0.1/db?sslmode=verify_full",
            "rediss://:hush@127.0.0.1/?tls_ca=/no/such/file",
            "redis://:hush@127.0.0.1/?tls_ca=/dev/null",
            "puter:///hush?base_url=http://127.0.0.1:7&connect=hush",
            "backendless:///hush",
            "hush",
        ] {
            let error = StoreLink::open(url).await.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
        }
    }

    #[test]
    fn reads_are_known_by_the_words_of_each_system() {
        let request = |method, path, body| Request { method, path, body };
        assert!(!writes_to_cloudflare(&request("POST", "/accounts/a/storage/kv/namespaces/n/bulk/get", b"{}")));
        assert!(writes_to_cloudflare(&request("POST", "/accounts/a/storage/kv/namespaces/n/bulk/delete", b"[]")));
        assert!(!writes_to_backendless(&request("POST", "/hive/h/key-value", b"[]")));
        assert!(writes_to_backendless(&request("PUT", "/hive/h/key-value", b"{}")));
        assert!(!writes_to_puter(&request("POST", "/drivers/call", b"{\"interface\":\"i\",\"method\":\"get\"}")));
        assert!(writes_to_puter(&request("POST", "/drivers/call", b"{\"interface\":\"i\",\"method\":\"set\"}")));
        let value = br#"{"interface":"i","method":"set","args":{"key":"k","value":{"method":"get"}}}"#;
        assert!(writes_to_puter(&request("POST", "/drivers/call", value)));
        assert!(!writes_to_nemesisdb(&request("", "", b"{\"GET\":[]}")));
        assert!(writes_to_nemesisdb(&request("", "", b"{\"SET\":{}}")));
    }
}
