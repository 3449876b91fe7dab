use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::error::Reason;
use crate::metadata::Metadata;
use crate::value::Value;

const RAW_VALUE: &str = "$serde_json::private::RawValue";
const NUMBER: &str = "$serde_json::private::Number";

fn survives_javascript(tree: &serde_json::Value) -> bool {
    JsonText::parse(&tree.to_string()).unwrap().survives_javascript()
}

fn equal(left: &serde_json::Value, right: &serde_json::Value) -> bool {
    JsonText::parse(&left.to_string()).unwrap() == JsonText::parse(&right.to_string()).unwrap()
}

fn problem(text: &str) -> Option<JsonProblem> {
    JsonText::parse(text).err().map(|error| error.problem())
}

#[test]
fn val_3_names_that_a_library_reserves_are_names_like_any_other() {
    for text in [
        format!(r#"{{"{RAW_VALUE}":"{{\"admin\":true}}"}}"#),
        format!(r#"{{"{RAW_VALUE}":":5"}}"#),
        format!(r#"{{"a":[{{"{RAW_VALUE}":"1"}}]}}"#),
        format!(r#"{{"{NUMBER}":"1e400"}}"#),
        format!(r#"{{"{NUMBER}":"5"}}"#),
        format!(r#"[{{"{NUMBER}":5,"a":{{"{RAW_VALUE}":null}}}}]"#),
    ] {
        let value = Value::from_json_text(&text).unwrap();
        assert_eq!(value.as_json_text(), Some(text.as_str()));
        let tree = value.to_json().unwrap();
        assert_eq!(tree.to_string(), text);
        assert_eq!(Value::from(tree.clone()), value);
        assert_eq!(Value::serialize(&tree).unwrap().as_json_text(), Some(text.as_str()));
        assert_eq!(Metadata::from_json_text(&text).unwrap().to_json().unwrap(), tree);
        assert_eq!(Metadata::serialize(&tree).unwrap(), Metadata::from(tree));
        assert_ne!(value, Value::from(json!({"admin": true})));
    }
    let five = Value::from_json_text(&format!(r#"{{"{NUMBER}":"5"}}"#)).unwrap();
    assert_ne!(five, Value::from(5));
}

#[test]
fn val_3_typed_access_never_takes_a_name_for_more_than_a_name() {
    for text in [
        format!(r#"{{"{RAW_VALUE}":"{{\"admin\":true}}"}}"#),
        r#"{"a":[1,{"\u0024serde_json::private::RawValue":"5"}]}"#.to_owned(),
        format!(r#"{{"{NUMBER}":"5"}}"#),
    ] {
        let foreign = Value::from_stored(crate::ValueKind::Json, text.clone().into());
        let tree = Value::from_json_text(&text).unwrap().to_json().unwrap();
        for value in [&foreign, &Value::from(text.as_str())] {
            // A text is a string first.
            let read = value.decode::<Vec<serde_json::Value>>().map(serde_json::Value::from);
            let read =
                read.or_else(|_| value.decode::<BTreeMap<String, serde_json::Value>>().map(|members| json!(members)));
            // Only where serde_json would take it for something else it is an error.
            assert!(read.as_ref().is_ok_and(|read| *read == tree) || read.is_err(), "{text} as {read:?}");
        }
    }
    let later = format!(r#"{{"a":1,"{RAW_VALUE}":"5"}}"#);
    assert!(Value::from_json_text(&later).unwrap().decode::<serde_json::Value>().unwrap().is_object());
    let in_a_string = format!(r#"[{{"a":"{RAW_VALUE}"}},"{NUMBER}"]"#);
    assert!(Value::from_json_text(&in_a_string).unwrap().decode::<serde_json::Value>().unwrap().is_array());
}

#[test]
fn val_3_a_repeated_member_is_refused() {
    for (text, offset) in [
        (r#"{"x":1,"x":2}"#, 7),
        (r#"{"b":1.0,"b":2}"#, 9),
        (r#"{"x":1,"y":{"z":[]},"\u0078":2}"#, 20),
        (r#"{"a":{"x":1},"b":[{"y":{},"x":1,"y":{}}]}"#, 32),
        (r#"{"":0,"":0}"#, 6),
        (r#"{"x":null,"x":null,"x":null}"#, 10),
    ] {
        let error = JsonText::parse(text).unwrap_err();
        assert_eq!((error.problem(), error.offset()), (JsonProblem::RepeatedMember, offset), "{text}");
        assert_eq!(Value::from_json_text(text).unwrap_err().reason(), Some(&Reason::RepeatedMember), "{text}");
        assert_eq!(Metadata::from_json_text(text).unwrap_err().reason(), Some(&Reason::RepeatedMember), "{text}");
        assert!(JsonText::parse_foreign(text).is_ok(), "{text}");
    }
    for accepted in [r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#, r#"[{"a":1},{"a":1}]"#, r#"{"a":1,"A":1,"\u00e4":1,"a ":1}"#]
    {
        assert_eq!(problem(accepted), None, "{accepted}");
    }
}

#[test]
fn val_3_numbers_are_compared_by_value() {
    let equal = |left, right| JsonText::parse(left).unwrap() == JsonText::parse(right).unwrap();
    for (left, right, same) in [
        ("1", "1.0", true),
        ("1", "10e-1", true),
        ("100000", "1E5", true),
        ("0", "-0.0", true),
        ("0", "-0", true),
        ("-9223372036854775808", "-9223372036854775808.0", true),
        ("18446744073709551615", "18446744073709551616.0", false),
        ("9007199254740993", "9007199254740992.0", false),
        ("9007199254740993", "9007199254740992", false),
        ("0.1", "0.10000000000000000555", true),
        ("1", "1.5", false),
        ("1", "\"1\"", false),
        ("[1,2]", "[2,1]", false),
        ("[1,2]", "[1]", false),
        ("{\"a\":null}", "{}", false),
        ("{\"a\":1,\"b\":[true,\"\\u0041\"]}", " { \"b\" : [ true , \"A\" ] , \"\\u0061\" : 1.0 } ", true),
        ("{\"a\":1}", "{\"b\":1}", false),
        ("\"a\"", "\"b\"", false),
        ("true", "false", false),
        ("[]", "{}", false),
        ("null", "0", false),
    ] {
        assert_eq!(equal(left, right), same, "{left} {right}");
        assert_eq!(equal(right, left), same, "{right} {left}");
    }
}

#[test]
fn val_5_what_only_others_write_is_compared_without_being_taken_for_more_than_it_is() {
    let equal =
        |left: &str, right: &str| JsonText::parse_foreign(left).unwrap() == JsonText::parse_foreign(right).unwrap();
    assert!(!equal("1e400", "1e500") && equal("1e400", "1e400"));
    assert!(!equal("[1e400]", "[-1e400]"));
    assert!(equal("18446744073709551616", "18446744073709551616.0"));
    assert!(equal(r#"{"a":1,"a":2}"#, r#"{ "a":1,"a":2.0}"#) && !equal(r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#));
    let deep = |inner: &str| "[".repeat(200_000) + inner + &"]".repeat(200_000);
    assert!(equal(&deep("1"), &deep("1")) && !equal(&deep("[1]"), &deep("[2]")));
    let tree = Value::from_stored(crate::ValueKind::Json, deep("1").into()).to_json();
    assert_eq!(tree.unwrap_err().kind(), crate::ErrorKind::Protocol);
}

#[test]
fn val_3_nesting_is_allowed_to_100_and_no_deeper() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let objects = |levels: usize| "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
    for accepted in [nested(100), objects(100)] {
        let value = Value::from_json_text(&accepted).unwrap();
        assert_eq!(Value::from(value.to_json().unwrap()), value);
        assert_eq!(JsonText::parse(&accepted).unwrap().nesting(), 100);
    }
    for levels in [101, 127, 128, 1_000_000] {
        for refused in [nested(levels), objects(levels), "[".repeat(levels), "{\"a\":".repeat(levels)] {
            assert_eq!(problem(&refused), Some(JsonProblem::NestingTooDeep), "{levels}");
        }
        assert!(JsonText::parse_foreign(&nested(levels)).is_ok());
    }
    assert_eq!(problem(&format!("\"{}\"", "[".repeat(200))), None, "brackets in a string are text");
    assert_eq!(problem("\"\\\"[\""), None);
}

#[test]
fn val_3_a_number_that_would_not_survive_is_refused() {
    for (refused, expected) in [
        ("18446744073709551616", JsonProblem::IntegerRange),
        ("-9223372036854775809", JsonProblem::IntegerRange),
        ("[{\"a\":123456789012345678901234567890}]", JsonProblem::IntegerRange),
        ("1e400", JsonProblem::NotFinite),
        ("-1E+400", JsonProblem::NotFinite),
        ("[1.0e999999999999999999999999]", JsonProblem::NotFinite),
        ("NaN", JsonProblem::NotFinite),
        ("[Infinity]", JsonProblem::NotFinite),
        ("{\"a\":-Infinity}", JsonProblem::NotFinite),
    ] {
        assert_eq!(problem(refused), Some(expected), "{refused}");
        assert_eq!(Value::from_json_text(refused).unwrap_err().reason(), Some(&Reason::InvalidJson), "{refused}");
    }
    let digits = "9".repeat(400);
    assert_eq!(problem(&digits), Some(JsonProblem::IntegerRange));
    for accepted in [
        "18446744073709551615",
        "-9223372036854775808",
        "1e20",
        "1E5",
        "-0",
        "-0.0e-0",
        "1e-400",
        "0e99999999999",
        "1.7976931348623157e308",
        "\"18446744073709551616\"",
        "[\"\\\"99999999999999999999\"]",
    ] {
        assert_eq!(problem(accepted), None, "{accepted}");
        assert!(Value::from_json_text(accepted).unwrap().to_json().is_ok(), "{accepted}");
    }
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    for (text, problem, offset) in [
        ("", JsonProblem::Truncated, 0),
        ("  ", JsonProblem::Truncated, 2),
        ("[1,", JsonProblem::Truncated, 3),
        ("{\"a\"", JsonProblem::Truncated, 4),
        ("{\"a\":1", JsonProblem::Truncated, 6),
        ("{", JsonProblem::Truncated, 1),
        ("\"a", JsonProblem::Truncated, 2),
        ("\"\\", JsonProblem::Truncated, 2),
        ("\"\\u12", JsonProblem::Truncated, 5),
        ("tru", JsonProblem::Truncated, 3),
        ("1.", JsonProblem::Truncated, 2),
        ("1e+", JsonProblem::Truncated, 3),
        ("-", JsonProblem::Truncated, 1),
        ("truE", JsonProblem::Syntax, 0),
        ("[1,]", JsonProblem::Syntax, 3),
        ("{\"a\":1,}", JsonProblem::Syntax, 7),
        ("{a:1}", JsonProblem::Syntax, 1),
        ("{\"a\" 1}", JsonProblem::Syntax, 5),
        ("{1:1}", JsonProblem::Syntax, 1),
        ("[1 2]", JsonProblem::Syntax, 3),
        ("[1}", JsonProblem::Syntax, 2),
        ("{\"a\":1]", JsonProblem::Syntax, 6),
        ("01", JsonProblem::Syntax, 1),
        ("-01", JsonProblem::Syntax, 2),
        ("+1", JsonProblem::Syntax, 0),
        (".5", JsonProblem::Syntax, 0),
        ("1.e5", JsonProblem::Syntax, 2),
        ("1e5.0", JsonProblem::Syntax, 3),
        ("1 2", JsonProblem::Syntax, 2),
        ("]", JsonProblem::Syntax, 0),
        ("'a'", JsonProblem::Syntax, 0),
        ("\"\n\"", JsonProblem::Syntax, 1),
        ("\"\\x\"", JsonProblem::Syntax, 1),
        ("\"\\u12g4\"", JsonProblem::Syntax, 1),
        ("\"\\ud800\"", JsonProblem::Syntax, 7),
        ("\"\\ud800\\u0041\"", JsonProblem::Syntax, 13),
        ("\"\\udc00\"", JsonProblem::Syntax, 7),
        ("\u{feff}1", JsonProblem::Syntax, 0),
        ("1\u{a0}", JsonProblem::Syntax, 1),
        ("// x\n1", JsonProblem::Syntax, 0),
    ] {
        let error = JsonText::parse(text).unwrap_err();
        assert_eq!((error.problem(), error.offset()), (problem, offset), "{text:?}");
        assert_eq!(JsonText::parse_foreign(text).unwrap_err(), error, "{text:?}");
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() || text.contains("\\u"), "{text:?}");
    }
    let error = JsonText::parse_slice(b"[\n\"a\xff\"]").unwrap_err();
    assert_eq!((error.problem(), error.line(), error.column()), (JsonProblem::NotUtf8, 2, 3));
}

#[test]
fn val_3_order_and_spelling_are_kept() {
    for (given, compact) in [
        (r#"{"z":1,"a":{"y":2,"b":3}}"#, r#"{"z":1,"a":{"y":2,"b":3}}"#),
        (" [ 1.50 , 1E5,-0 ] ", "[1.50,1E5,-0]"),
        ("{\"\\u0061\\/\\u000a\" :\t\"\\u00e9\"}", "{\"a/\\n\":\"é\"}"),
    ] {
        assert_eq!(Value::from_json_text(given).unwrap().as_json_text(), Some(compact));
        assert_eq!(Metadata::from_json_text(given).unwrap().as_json_text(), compact);
    }
    #[derive(serde::Serialize)]
    struct Unsorted {
        z: u8,
        a: u8,
    }
    assert_eq!(Value::serialize(&Unsorted { z: 1, a: 2 }).unwrap().as_json_text(), Some(r#"{"z":1,"a":2}"#));
    assert_eq!(Metadata::serialize(&Unsorted { z: 1, a: 2 }).unwrap().as_json_text(), r#"{"z":1,"a":2}"#);
}

#[test]
fn val_3_what_javascript_would_damage_is_known() {
    const GREATEST: i64 = (1 << 53) - 1;
    for survives in [json!(GREATEST), json!(-GREATEST), json!(9_007_199_254_740_991.0), json!(f64::MIN_POSITIVE)] {
        assert!(survives_javascript(&survives), "{survives}");
        assert!(survives_javascript(&json!({"a": [survives, null, true, "__proto__"]})), "{survives}");
    }
    for damaged in [
        json!(GREATEST + 1),
        json!(-GREATEST - 1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(9_007_199_254_740_992.0),
        json!(f64::MIN),
        json!({"__proto__": null}),
    ] {
        assert!(!survives_javascript(&damaged), "{damaged}");
        assert!(!survives_javascript(&json!([{"a": damaged}])), "{damaged}");
    }
    assert!(!JsonText::parse("{\"\\u005f_proto__\" : 1}").unwrap().survives_javascript());
}

mod serialising {
    use serde::Serialize;

    use super::*;
    use crate::error::ErrorKind;

    #[derive(Serialize)]
    enum Shape {
        Newtype(f64),
        Tuple(u8, f32),
        Struct { a: f64 },
    }

    #[derive(Serialize)]
    struct Tuple(u8, f64);

    #[derive(Serialize)]
    struct Newtype(f32);

    #[derive(Serialize)]
    struct Flat {
        #[serde(flatten)]
        rest: BTreeMap<String, f64>,
        a: u8,
    }

    fn check(refused: impl Serialize) {
        for error in [Value::serialize(&refused).map(drop), Metadata::serialize(&refused).map(drop)] {
            let error = error.unwrap_err();
            assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&Reason::InvalidJson)));
        }
    }

    #[test]
    fn val_3_what_is_not_finite_is_refused_wherever_it_stands() {
        for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            check(float);
            check([1.0, float]);
            check((1, float));
            check(Some(float));
            check(BTreeMap::from([("a", vec![float])]));
            check(BTreeMap::from([(Some(1), Some(float))]));
            check(Tuple(1, float));
            check(Shape::Newtype(float));
            check(Shape::Struct { a: float });
            check(Flat { rest: BTreeMap::from([("b".to_owned(), float)]), a: 1 });
        }
        for float in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            check(float);
            check(Newtype(float));
            check(Shape::Tuple(1, float));
        }
        check(u128::MAX);
        check(BTreeMap::from([(vec![1], 1)]));
    }

    #[test]
    fn val_3_what_is_finite_is_written_as_serde_json_does() {
        fn same(value: impl Serialize) {
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(Value::serialize(&value).unwrap().as_json_text(), Some(text.as_str()));
        }
        same((1u8, -1i64, 1.5f32, f64::MAX, true, ()));
        same([Some("a\n"), None]);
        same((Shape::Newtype(1.0), Shape::Tuple(1, 2.0), Shape::Struct { a: 0.0 }, Tuple(1, 1.0), Newtype(0.1)));
        same(BTreeMap::from([(1, 'c'), (2, '"')]));
        same(Flat { rest: BTreeMap::from([("b".to_owned(), 1.0)]), a: 1 });
        same(i128::from(u64::MAX));
        same(json!({"n": [1, 1.5, u64::MAX, -0.0, {}], "a": null}));
    }

    #[test]
    fn val_3_two_fields_of_one_name_are_refused() {
        let flat = Flat { rest: BTreeMap::from([("a".to_owned(), 1.0)]), a: 1 };
        assert_eq!(Value::serialize(&flat).unwrap_err().reason(), Some(&Reason::RepeatedMember));
    }
}

/// Text that is JSON or nearly so.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\"a\""),
        Just("\"b\""),
        Just("\"\\u0061\""),
        Just("1"),
        Just("-0"),
        Just("1E5"),
        Just("1e400"),
        Just("0."),
        Just("true"),
        Just("null"),
        Just("nul"),
        Just(" "),
        Just("\""),
        Just("\\"),
        Just("é"),
    ];
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

/// A tree, and its text with white space and escapes that it does not need.
fn spaced(tree: &serde_json::Value, out: &mut String) {
    let escaped = |text: &str| -> String { text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect() };
    match tree {
        serde_json::Value::String(text) => out.push_str(&format!(" \"{}\"\t", escaped(text))),
        serde_json::Value::Array(items) => {
            out.push_str("\n[");
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                spaced(item, out);
            }
            out.push_str(" ] ");
        }
        serde_json::Value::Object(members) => {
            out.push_str("\r{");
            for (at, (name, member)) in members.iter().rev().enumerate() {
                if at > 0 {
                    out.push_str(" ,");
                }
                out.push_str(&format!("\"{}\" :", escaped(name)));
                spaced(member, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

proptest! {
    #[test]
    fn val_3_every_finite_double_survives(bits: u64) {
        let float = f64::from_bits(bits);
        prop_assume!(float.is_finite());
        let value = Value::from(float);
        prop_assert_eq!(value.to_json().unwrap().as_f64().unwrap().to_bits(), bits);
        prop_assert_eq!(value.decode::<f64>().unwrap().to_bits(), bits);
    }

    #[test]
    fn val_3_every_finite_float_of_32_bits_survives(bits: u32) {
        let float = f32::from_bits(bits);
        prop_assume!(float.is_finite());
        prop_assert_eq!(Value::from(float).decode::<f32>().unwrap().to_bits(), bits);
    }

    #[test]
    fn the_grammar_is_that_of_serde_json(text in prop_oneof![nearly_json(), any::<String>(), "[-0-9eE.+]{1,8}", "\"[\\\\ubn\"0-9a-fD]{0,9}\""]) {
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        let ours = JsonText::parse_foreign(&text);
        // Half a surrogate pair in what is ignored is no error to serde_json.
        prop_assert!(ours.is_ok() == theirs || text.contains("\\u"), "{:?} {:?}", text, ours);
        let Ok(ours) = ours else { return Ok(()) };
        prop_assert!(JsonText::parse_foreign(&ours.compact()).unwrap() == ours);
        // All that is accepted can be read by serde_json, except what VAL-3 leaves out.
        if JsonText::parse(&text).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{:?}", text);
        }
    }

    #[test]
    fn val_3_every_spelling_means_the_same(tree in crate::envelope::tests::any_json()) {
        let mut text = String::new();
        spaced(&tree, &mut text);
        let read = Value::from_json_text(&text).unwrap();
        prop_assert_eq!(&read, &Value::from(tree.clone()));
        prop_assert_eq!(&Value::from(read.to_json().unwrap()), &read);
        prop_assert_eq!(JsonText::parse(&text).unwrap().survives_javascript(), survives_javascript(&tree));
        if let Some(compact) = read.as_json_text() {
            let again = Value::from_json_text(compact).unwrap();
            prop_assert_eq!(again.as_json_text(), Some(compact));
            prop_assert_eq!(JsonText::parse(compact).unwrap().with_numbers(|number| number.as_text().into()), compact);
        }
    }

    #[test]
    fn val_3_equal_is_what_it_is_between_trees(left in crate::envelope::tests::any_json(), right in crate::envelope::tests::any_json()) {
        // serde_json tells 1 from 1.0; all else it compares as we do.
        if left == right {
            prop_assert!(equal(&left, &right));
        }
        prop_assert_eq!(equal(&left, &right), equal(&right, &left));
        let (there, back) = (json!({"a": left, "b": right}), json!({"b": right, "a": left}));
        prop_assert!(equal(&there, &back));
    }
}
