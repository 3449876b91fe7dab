//! Members of an answer, by name.

use kv_api::JsonText;

/// The members of these names, each without the null that stands for nothing; `None` when it is no object, or names one
/// of them twice, so that it is unknown which one counts. Other members are passed over, however many there are.
pub(super) fn members<'t, const N: usize>(json: JsonText<'t>, names: [&str; N]) -> Option<[Option<JsonText<'t>>; N]> {
    let mut found = [None; N];
    for (name, member) in json.members()? {
        if let Some(at) = names.iter().position(|wanted| *wanted == name) {
            if found[at].is_some() {
                return None;
            }
            found[at] = Some(member);
        }
    }
    Some(found.map(|member| member.filter(|member| !member.is_null())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(json: &str) -> Option<[Option<&str>; 2]> {
        members(JsonText::parse_foreign(json).unwrap(), ["a", "b"]).map(|found| found.map(|json| Some(json?.as_text())))
    }

    #[test]
    fn members_are_found_once_and_by_name() {
        assert_eq!(texts(r#"{"b": {"a": 1}, "c": 2, "c": 3}"#), Some([None, Some(r#"{"a": 1}"#)]));
        assert_eq!(texts(r#"{"\u0061": 1, "b": null}"#), Some([Some("1"), None]));
        for json in ["[]", "null", "1", r#"{"a": 1, "b": 2, "a": 1}"#, r#"{"a": null, "\u0061": 1}"#] {
            assert_eq!(texts(json), None, "{json}");
        }
    }
}
