//! What the fuzz targets share: how an input is divided, and what holds for every decoder. A target is one file in
//! `fuzz_targets`; see the README.

use kv_api::{Error, JsonText, Metadata, Value, ValueKind};
use kv_remote::http::{Answer, HeaderMap, HeaderName, HeaderValue, StatusCode};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Stands in seeds and dictionary for a value or secret. No error may show it (ERR-2). It is no host name, no word of
/// ours, and no code of a system.
pub const SECRET: &str = "hush$hush";

/// What a decoder may allocate beside what its input makes it, in bytes.
const MEMORY_BESIDE: usize = 256 * 1024;

/// Runs a decoder, and asserts that it never held more than `factor` bytes for each byte of its input, and a constant.
///
/// # Panics
/// When it did.
pub fn bounded<T>(input_bytes: usize, factor: usize, decode: impl FnOnce() -> T) -> T {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let decoded = decode();
    let peak = ALLOCATED.peak_usage().saturating_sub(before);
    let most = MEMORY_BESIDE + factor * input_bytes;
    assert!(peak <= most, "{peak} bytes were held for an input of {input_bytes}, more than {most}");
    decoded
}

/// Asserts that an error shows no content.
///
/// # Panics
/// When it does.
pub fn assert_silent(error: &Error) {
    assert_unsaid(&format!("{error} {error:?}"));
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        assert_unsaid(&format!("{error} {error:?}"));
        source = error.source();
    }
}

/// Asserts that a text shows no content.
///
/// # Panics
/// When it does.
pub fn assert_unsaid(text: &str) {
    assert!(!text.contains(SECRET), "an error shows content: {text}");
}

/// What was decoded, where it was. `may_succeed` is what another reader says of the same input: success needs evidence.
///
/// # Panics
/// For a success that is none, and for an error that shows content.
pub fn checked<T>(decoded: kv_api::Result<T>, may_succeed: bool) -> Option<T> {
    match decoded {
        Ok(decoded) => {
            assert!(may_succeed, "what is no success was taken for one");
            Some(decoded)
        }
        Err(error) => {
            assert_silent(&error);
            None
        }
    }
}

const STATUSES: [u16; 16] = [200, 201, 204, 206, 302, 400, 401, 403, 404, 409, 413, 429, 500, 502, 503, 524];

/// An answer of HTTP, from an input: a byte for the status, one whose bits say which headers there are, and the body.
#[must_use]
pub fn answer(input: &[u8]) -> Option<Answer> {
    let [status, flags, body @ ..] = input else { return None };
    let mut headers = HeaderMap::new();
    let some = [
        ("content-type", "application/json; charset=UTF-8"),
        ("content-type", "application/octet-stream"),
        ("retry-after", "7"),
        ("retry-after", "18446744073709551615"),
        ("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT"),
        ("expiration", "1795161822"),
        ("expiration", "9223372036854775807"),
        ("expiration", "soon"),
    ];
    for (bit, (name, value)) in some.into_iter().enumerate() {
        if flags & (1 << bit) != 0 {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
    let status = StatusCode::from_u16(STATUSES[usize::from(*status) % STATUSES.len()]).ok()?;
    Some(Answer { status, headers, body: body.to_vec().into() })
}

/// What another reader of JSON makes of a body; `None` where it makes nothing of it, as of a number beyond the doubles.
#[must_use]
pub fn other_reader(body: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_slice(body).ok()
}

/// Whether a store would take this: what other clients wrote may be damaged, and is then only read (VAL-5).
#[must_use]
pub fn is_writable(value: &Value, metadata: Option<&Metadata>) -> bool {
    let is_json = |json: &[u8]| JsonText::parse_slice(json).is_ok_and(|json| !json.is_null());
    let is_value = match value.kind() {
        ValueKind::Text => value.as_text().is_some(),
        ValueKind::Json => is_json(value.as_bytes()) && !value.as_bytes().starts_with(b"\""),
        _ => true,
    };
    is_value && metadata.is_none_or(|metadata| is_json(metadata.as_bytes()))
}
