//! A value with metadata, as a form.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use futures_util::stream;
use kv_api::{Capabilities, JsonText, Metadata};

use super::metadata;
use crate::fault::Fault;
use crate::work::Workers;

/// How much of a form is taken apart at once, at least.
const PIECE_BYTES: usize = 64 * 1024;
/// Into how many pieces it goes at most: what has no end yet is searched again with each.
const PIECES_MAX: usize = 64;
/// Far more parts than any client sends, since only two of them count.
const PARTS_MAX: usize = 100;

/// What a form holds.
#[derive(Debug, PartialEq)]
pub(super) struct Form {
    pub(super) value: Bytes,
    pub(super) metadata: Option<Metadata>,
}

/// Whether a body is a form. Any other type is the value itself.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    const FORM: &[u8] = b"multipart/form-data";
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
    kind.and_then(|kind| kind.split(|byte| *byte == b';').next())
        .is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(FORM))
}

/// Takes the parts `value` and `metadata`, in either order, and passes over others, as the vendor does.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Bytes,
    capabilities: &Capabilities,
    workers: &Workers,
) -> Result<Form, Fault> {
    let broken = || Fault::invalid("the form cannot be read");
    let length = body.len();
    let piece_bytes = length.div_ceil(PIECES_MAX).max(PIECE_BYTES);
    // In pieces with pauses between them, for else what takes it apart would copy all that there is; and others are
    // served meanwhile.
    let pieces = stream::unfold(body, move |mut rest| async move {
        tokio::task::yield_now().await;
        let piece = rest.split_to(rest.len().min(piece_bytes));
        (!piece.is_empty()).then_some((Ok::<_, Infallible>(piece), rest))
    });
    let mut request = Request::new(Body::from_stream(pieces));
    request.headers_mut().extend(headers.get(CONTENT_TYPE).map(|kind| (CONTENT_TYPE, kind.clone())));
    // The body is whole, and was bounded as it came.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| broken())?;
    let (mut value, mut metadata, mut parts) = (None, None, 0);
    while let Some(mut part) = form.next_field().await.map_err(|_| broken())? {
        parts += 1;
        if parts > PARTS_MAX {
            return Err(Fault::invalid(format!("the form has more than {PARTS_MAX} parts")));
        }
        let slot = match part.name() {
            Some("value") => &mut value,
            Some("metadata") => &mut metadata,
            _ => continue,
        };
        if slot.is_some() {
            return Err(Fault::invalid("a part of the form is there twice"));
        }
        // A copy of its own: a store may keep it, and the whole form with it.
        let bytes = slot.insert(Vec::with_capacity(length));
        while let Some(piece) = part.chunk().await.map_err(|_| broken())? {
            bytes.extend_from_slice(&piece);
        }
        bytes.shrink_to_fit();
    }
    let value = value.map(Bytes::from).ok_or_else(|| Fault::invalid("Missing value field"))?;
    let Some(json) = metadata else { return Ok(Form { value, metadata: None }) };
    let (length, capabilities) = (json.len(), capabilities.clone());
    let work = move || {
        let json = JsonText::parse_slice_foreign(&json).map_err(|_| metadata::not_json())?;
        metadata::given(json, &capabilities)
    };
    Ok(Form { value, metadata: workers.run(length, work).await? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn headers(kind: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())])
    }

    async fn read_as(kind: &str, body: Bytes) -> Result<Form, Fault> {
        read(&headers(kind), body, &kv_memory::CAPABILITIES, &Workers::default()).await
    }

    async fn form(body: &'static [u8]) -> Result<Form, Fault> {
        read_as("multipart/form-data; boundary=b", Bytes::from_static(body)).await
    }

    #[test]
    fn only_a_form_is_taken_apart() {
        for (kind, is) in [
            ("multipart/form-data; boundary=b", true),
            ("Multipart/Form-Data;boundary=b", true),
            ("multipart/form-datax", false),
            ("multipart/mixed; boundary=b", false),
            ("application/json", false),
            ("text/plain; x=multipart/form-data", false),
        ] {
            assert_eq!(is_form(&headers(kind)), is, "{kind}");
        }
        assert!(!is_form(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn parts_come_in_any_order_and_bytes_stay_bytes() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{\"a\": 1}\r\n\
            --b\r\nContent-Disposition: form-data; name=\"metadata[x]\"\r\n\r\nlost\r\n\
            --b\r\nContent-Disposition: form-data; name=\"value\"\r\n\r\n\xFF\r\n\0\r\n--b--\r\n";
        let read = form(body).await.unwrap();
        assert_eq!(read, Form { value: Bytes::from_static(b"\xFF\r\n\0"), metadata: Some(json!({"a": 1}).into()) });
    }

    #[tokio::test]
    async fn what_is_missing_or_broken_is_refused() {
        let part = |name: &str, content: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
        };
        let (value, metadata) = (part("value", "v"), part("metadata", "{nope"));
        for (body, message) in [
            (format!("{}--b--\r\n", part("metadata", "{}")), "Missing value"),
            (format!("{value}{metadata}--b--\r\n"), "metadata JSON"),
            (format!("{value}{value}--b--\r\n"), "twice"),
            (format!("{value}{}--b--\r\n", part("other", "").repeat(100)), "more than 100 parts"),
            (value, "cannot be read"),
            (String::new(), "cannot be read"),
            ("--other--\r\n".to_owned(), "cannot be read"),
        ] {
            let fault = read_as("multipart/form-data; boundary=b", body.clone().into()).await.unwrap_err();
            assert!(fault.message.contains(message), "{body:?}: {fault:?}");
        }
        assert!(read_as("multipart/form-data", Bytes::new()).await.is_err());
    }

    #[tokio::test]
    async fn null_is_no_metadata() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"value\"; filename=\"f\"\r\n\r\n\r\n\
            --b\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\nnull\r\n--b--\r\n";
        assert_eq!(form(body).await.unwrap(), Form { value: Bytes::new(), metadata: None });
    }
}
