//! An axum handler that answers the bytes that kv-gateway answers, and does nothing else: no store, no token, no limit,
//! no metric. `../run` measures kv-gateway beside it. The connections have the settings of kv-gateway's.
//!
//! `kv-gateway-bare BYTES`: a read gives a value of so many bytes.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

const TAG: HeaderValue = HeaderValue::from_static("\"0123456789abcdef-12345\"");

fn main() -> Result<(), Box<dyn Error>> {
    let length = std::env::args().nth(1).ok_or("how many bytes has a value?")?.parse()?;
    // Also for other paths: finding a route in a tree is no part of this.
    let router = Router::new().fallback_service(get(read).put(write).with_state(Bytes::from(vec![b'v'; length])));
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(router))
}

async fn serve(router: Router) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            // A connection that breaks is the client's affair.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30))
                .max_headers(64)
                .max_buf_size(32 * 1024)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn read(State(value): State<Bytes>) -> Response {
    let mut response = Response::new(Body::from(value));
    let headers = response.headers_mut();
    headers.insert(ETAG, TAG);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

/// The body is taken, as a whole.
async fn write(_: Bytes) -> Response {
    let mut response = Response::new(Body::from(r#"{"success":true,"errors":[],"messages":[],"result":null}"#));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static("x-kv-outcome"), HeaderValue::from_static("updated"));
    headers.insert(ETAG, TAG);
    response
}
