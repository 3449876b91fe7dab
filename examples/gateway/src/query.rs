//! The query of a request.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::fault::Fault;

/// Why a query is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotUtf8;

impl From<NotUtf8> for Fault {
    fn from(_: NotUtf8) -> Self {
        Self::invalid("the query is not UTF-8")
    }
}

/// Its parameters, in their order. As in forms, `+` is a space. What is no percent-encoding means itself.
pub(crate) fn parameters(query: &str) -> Result<Vec<(String, String)>, NotUtf8> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

fn decoded(text: &str) -> Result<String, NotUtf8> {
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    let bytes: Vec<u8> = percent_decode(spaced.as_bytes()).collect();
    String::from_utf8(bytes).map_err(|_| NotUtf8)
}

/// The first parameter of a name.
pub(crate) fn first<'q>(parameters: &'q [(String, String)], name: &str) -> Option<&'q str> {
    parameters.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_a_form_is() {
        let read = parameters("prefix=a+b%2Bc%C3%A9&limit=10&&flag&cursor=&limit=20&bad=%zz").unwrap();
        let first = |name| first(&read, name);
        assert_eq!((first("prefix"), first("limit")), (Some("a b+cé"), Some("10")));
        assert_eq!((first("flag"), first("cursor"), first("none")), (Some(""), Some(""), None));
        assert_eq!(first("bad"), Some("%zz"));
        assert_eq!(parameters("prefix=%FF"), Err(NotUtf8));
        assert_eq!(parameters(""), Ok(Vec::new()));
    }
}
