//! A server that answers each kind of request with the same bytes, as fast as hyper can: whatever it saves, what the
//! client does is a greater part of the time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::measure::Result;

/// The value that every get finds.
pub(crate) const VALUE: &str =
    "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";

/// The key that every get asks for.
pub(crate) const KEY: &str = "tn0000/item-000000000007";

/// Starts the server on a thread of its own, which ends with the process.
///
/// # Errors
/// When there is no free port or no thread.
pub(crate) async fn start() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    thread::Builder::new().name("server".to_owned()).spawn(move || runtime.block_on(serve(listener)))?;
    Ok(address)
}

async fn serve(listener: std::net::TcpListener) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    // Read to its end, as every server does before it answers.
    let _ = request.into_body().collect().await;
    let body = if path.starts_with("/client/v4/") {
        match method {
            Method::POST => format!(
                r#"{{"success":true,"errors":[],"messages":[],"result":{{"values":{{"{KEY}":{{"value":"{VALUE}","metadata":null}}}}}}}}"#
            ),
            _ => r#"{"success":true,"errors":[],"messages":[],"result":null}"#.to_owned(),
        }
    } else {
        match method {
            Method::POST => format!(r#"{{"{KEY}":"{VALUE}"}}"#),
            _ => String::new(),
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
