//! The bodies of forms, as all the senders write them.
//!
//! The crates for this bring a decoder of legacy text encodings along, or their own asynchronous streams; a body that
//! is here as a whole needs neither.

/// The most lines a part may have above its content.
const PART_HEADERS_MAX: usize = 16;

/// One part of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) name: String,
    /// Whether it was sent as a file, and so as bytes; anything else is text to a form parser.
    pub(super) is_file: bool,
    pub(super) content: &'a [u8],
}

/// The delimiter that a content type announces; `None` when the body is no form.
pub(super) fn boundary(content_type: &str) -> Option<Result<String, Malformed>> {
    let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    Some(parameter(parameters, "boundary").filter(|boundary| !boundary.is_empty()).ok_or(Malformed))
}

/// A body that is not the form its content type announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The parts of a form, in their order.
pub(super) fn parse<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<Part<'a>>, Malformed> {
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter has no line break of its own when the body begins with it.
    let mut rest = match body.strip_prefix(&delimiter.as_bytes()[2..]) {
        Some(rest) => rest,
        None => split_once(body, delimiter.as_bytes()).ok_or(Malformed)?.1,
    };
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        let line_end = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t')).ok_or(Malformed)?;
        let part = rest[line_end..].strip_prefix(b"\r\n").ok_or(Malformed)?;
        let (part, after) = split_once(part, delimiter.as_bytes()).ok_or(Malformed)?;
        parts.push(parse_part(part)?);
        rest = after;
    }
    Ok(parts)
}

fn parse_part(part: &[u8]) -> Result<Part<'_>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; PART_HEADERS_MAX];
    let Ok(httparse::Status::Complete((length, headers))) = httparse::parse_headers(part, &mut headers) else {
        return Err(Malformed);
    };
    let disposition =
        headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-disposition")).ok_or(Malformed)?;
    let disposition = std::str::from_utf8(disposition.value).map_err(|_| Malformed)?;
    let (kind, parameters) = disposition.split_once(';').ok_or(Malformed)?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(Malformed);
    }
    Ok(Part {
        name: parameter(parameters, "name").ok_or(Malformed)?,
        is_file: parameter(parameters, "filename").is_some() || parameter(parameters, "filename*").is_some(),
        content: &part[length..],
    })
}

/// A parameter of a header, out of its quotes.
fn parameter(mut parameters: &str, name: &str) -> Option<String> {
    loop {
        let (own, rest) = parameters.trim_start_matches([' ', '\t', ';']).split_once('=')?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find(';').unwrap_or(rest.len());
                (rest[..end].trim_end().to_owned(), &rest[end..])
            }
        };
        if own.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        parameters = rest;
    }
}

/// What stands before the closing quote, and what comes after it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memmem::find(bytes, separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_sender() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"value\"; filename=\"up;l\\\"oad\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n\x00\xff\r\n--\r\n\r\n--b \r\n\
            content-disposition:form-data;name=metadata\r\n\r\n\r\n--b--\r\n";
        let parts = parse(body, "b").unwrap();
        assert_eq!(
            parts,
            [
                Part { name: "value".to_owned(), is_file: true, content: b"\x00\xff\r\n--\r\n" },
                Part { name: "metadata".to_owned(), is_file: false, content: b"" },
            ]
        );
    }

    #[test]
    fn a_name_may_stand_after_a_file_name_that_looks_like_one() {
        let body =
            b"--b\r\nContent-Disposition: form-data; filename=\"x\\\"; name=\\\"y\"; name=\"value\"\r\n\r\nv\r\n--b--";
        assert_eq!(parse(body, "b"), Ok(vec![Part { name: "value".to_owned(), is_file: true, content: b"v" }]));
    }

    #[test]
    fn finds_the_boundary() {
        let check = |content_type: &str, expected: Option<Option<&str>>| {
            let found = boundary(content_type).map(Result::ok);
            assert_eq!(found, expected.map(|found| found.map(str::to_owned)), "{content_type}");
        };
        check("multipart/form-data; boundary=abc", Some(Some("abc")));
        check("Multipart/Form-Data;charset=utf-8; Boundary=\"a b\"", Some(Some("a b")));
        check("multipart/form-data", Some(None));
        check("multipart/form-data; boundary=", Some(None));
        check("application/json", None);
        check("multipart/mixed; boundary=abc", None);
    }

    #[test]
    fn refuses_what_is_no_form() {
        let disposition = "Content-Disposition: form-data; name=\"value\"";
        for broken in [
            String::new(),
            "plain".to_owned(),
            format!("--b\r\n{disposition}\r\n\r\nnever ends"),
            format!("--b\r\n{disposition}\r\nno empty line\r\n--b--"),
            "--b\r\n\r\nno disposition\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: attachment; name=\"value\"\r\n\r\nv\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: form-data; name=\"value\r\n\r\nv\r\n--b--".to_owned(),
        ] {
            assert_eq!(parse(broken.as_bytes(), "b"), Err(Malformed), "{broken:?}");
        }
    }
}
