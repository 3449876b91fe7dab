//! Keys and values that systems have been seen to damage.

use kv_api::{Reason, Value};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value as Json, json};

/// Keys with characters that mean something in a URL, a query, a pattern, a path or a terminal (KEY-2).
pub(crate) const ODD_KEYS: &[&str] = &[
    " ",
    "/",
    "//",
    "%",
    "%2F",
    "%25",
    "%00",
    "?",
    "?a=b&c=d",
    "#",
    "#frag",
    "+",
    "&",
    ":",
    "a:b",
    "\"",
    "'",
    "''",
    "\\",
    "\\\\",
    "*",
    "a*",
    "[a]",
    "[!a]",
    "{a}",
    "_",
    "__",
    "-",
    "--",
    ";",
    ",",
    "@",
    "$",
    "$kv-envelope",
    "~",
    "|",
    "<>",
    "../x",
    "a/../b",
    "./a",
    "/a",
    "a/",
    "..",
    ".",
    "...",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "a\0b",
    "\u{1}",
    "\u{7f}",
    "\u{80}",
    "é",
    "e\u{301}",
    "日本",
    "\u{1f600}",
    "\u{1f468}\u{200d}\u{1f469}",
    "\u{200b}",
    "\u{feff}a",
    "\u{fffd}",
    "\u{ffff}",
    "\u{10ffff}",
    "null",
    "undefined",
    "__proto__",
    "constructor",
    "0",
    "-1",
    "1e3",
    "true",
    "'; DROP TABLE kv; --",
    "SELECT",
    "keys",
    "clear",
    "a b",
    " a",
    "a ",
    "\u{a0}",
    "İ",
    "ı",
];

/// Keys of which each is different by its bytes from all others, although some rule of language or of a system would
/// take them for one another (KEY-3).
pub(crate) const KEYS_NEARLY_ALIKE: &[&str] = &[
    "a",
    "A",
    "ａ",
    "a ",
    " a",
    "a\0",
    "a\u{200b}",
    "a\n",
    "\u{e9}",
    "e\u{301}",
    "E\u{301}",
    "ß",
    "ss",
    "SS",
    "ſs",
    "i",
    "I",
    "ı",
    "İ",
    "ﬁ",
    "fi",
    "Å",
    "\u{212b}",
    "Ω",
    "\u{2126}",
    "a/b",
    "a%2Fb",
    "a%2fb",
    "a//b",
    "a b",
    "a+b",
    "a%20b",
    "a/./b",
    "1",
    "01",
    "1.0",
    "+1",
    "١",
];

/// Texts that look like something else, and must stay text (VAL-2).
pub(crate) const ODD_TEXTS: &[&str] = &[
    "5",
    "-5",
    "0",
    "-0",
    "1.0",
    "1e3",
    "9223372036854775807",
    "9223372036854775808",
    "true",
    "false",
    "null",
    "{}",
    "[]",
    "[1,2]",
    "{\"a\":1}",
    "\"quoted\"",
    "\"",
    "'",
    "NaN",
    "Infinity",
    "undefined",
    " ",
    " 5",
    "5 ",
    "\n",
    "\t",
    "\0",
    "a\0b",
    "\u{feff}text",
    "e\u{301}",
    "\u{e9}",
    "\u{1f600}",
    "\u{ffff}",
    "SGVsbG8=",
    "b'bytes'",
    "\\u0041",
    "%41",
    "a=b&c",
    "{\"$kv-envelope\":1}",
    "2026-11-20T08:03:42Z",
];

/// JSON that systems have been seen to damage (VAL-3).
pub(crate) fn odd_json() -> Vec<Json> {
    vec![
        json!(0),
        json!(-1),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(9_007_199_254_740_991_i64),
        json!(9_007_199_254_740_993_i64),
        json!(-9_007_199_254_740_993_i64),
        json!(1.5),
        json!(-0.0),
        json!(1e300),
        json!(f64::MAX),
        json!(f64::MIN_POSITIVE),
        json!(5e-324),
        json!(0.1),
        json!(1.0),
        json!(1e21),
        json!(true),
        json!(false),
        json!([]),
        json!({}),
        json!([null]),
        json!({ "a": null }),
        json!([[], {}, "", 0, false, null]),
        json!(["text", "5", "\u{0}", "\u{1f600}", "\"", "\\"]),
        json!({ "": "empty name", " ": 1, "a.b": 2, "$set": 3, "\u{0}": 4, "é": 5 }),
        json!({ "__proto__": { "polluted": true }, "constructor": 1, "toString": 2 }),
        json!({ "big": u64::MAX, "small": i64::MIN, "list": [i64::MAX, 9_007_199_254_740_993_u64] }),
        json!({ "b": 1, "a": [ { "d": 1, "c": 2 } ] }),
        json!({ "objectId": "x", "___class": "y", "value": 1, "expireAt": 2 }),
        // Names that serde_json reserves for itself when some crate of the program turns on a feature of it.
        json!({ "$serde_json::private::RawValue": "{\"admin\":true}" }),
        json!([{ "$serde_json::private::RawValue": ":5" }, { "$serde_json::private::Number": "1e400" }]),
    ]
}

/// JSON whose member names mean something to a JSON library that was built with the features for it (VAL-3).
pub(crate) const RESERVED_MEMBERS: &[&str] = &[
    r#"{"$serde_json::private::RawValue":"{\"admin\":true}"}"#,
    r#"{"$serde_json::private::RawValue":"5"}"#,
    r#"{"$serde_json::private::RawValue":5}"#,
    r#"{"$serde_json::private::RawValue":"[1"}"#,
    r#"{"$serde_json::private::Number":"1e400"}"#,
    r#"{"$serde_json::private::Number":"7"}"#,
    r#"{"$serde_json::private::Number":{}}"#,
    r#"[{"a":{"$serde_json::private::RawValue":"null"}}]"#,
    r#"[{"$serde_json::private::Number":"-0"},{"$serde_json::private::RawValue":"1","b":2}]"#,
];

/// JSON that is refused however it is given, and why (VAL-3).
pub(crate) const REFUSED_JSON: &[(&str, Reason)] = &[
    (r#"{"a":1,"a":2}"#, Reason::RepeatedMember),
    (r#"[{"x":{"a":1,"b":0,"a":1}}]"#, Reason::RepeatedMember),
    (r#"{"a":1,"\u0061":2}"#, Reason::RepeatedMember),
    ("1e400", Reason::InvalidJson),
    ("[-1e400]", Reason::InvalidJson),
    ("[NaN]", Reason::InvalidJson),
    ("18446744073709551616", Reason::InvalidJson),
    ("[-9223372036854775809]", Reason::InvalidJson),
];

/// Compact JSON whose members are not in an order that anybody sorts them in (VAL-3). No name is a number, which
/// JavaScript puts first.
pub(crate) const MEMBERS_IN_ORDER: &[&str] =
    &[r#"{"b":1,"a":{"z":1,"y":[{"d":1,"c":2}]},"B":3}"#, r#"{"é":1,"z":2,"aa":3,"":4,"a":5}"#];

/// Compact JSON whose numbers are not spelled as a library would (VAL-3).
pub(crate) const NUMBERS_AS_SPELLED: &str = "[1.50,1e3,-0.0,100E-2]";

/// Bytes of which some are text and some are not (VAL-2).
pub(crate) fn odd_bytes() -> Vec<Vec<u8>> {
    vec![
        vec![0],
        vec![0xff],
        vec![0xc3, 0x28],
        b"plain text".to_vec(),
        b"5".to_vec(),
        b"null".to_vec(),
        b"{\"a\":1}".to_vec(),
        b"a\0b".to_vec(),
        b"SGVsbG8=".to_vec(),
        vec![0xef, 0xbb, 0xbf],
        (0..=255).collect(),
    ]
}

/// Values of each kind that look like what this library itself writes around values (ENV-3).
pub(crate) fn like_envelopes() -> Vec<Value> {
    let objects = [
        json!({ "$kv-envelope": 1, "kind": "text", "value": "x" }),
        json!({ "$kv-envelope": 1, "kind": "bytes", "value": "AAE=" }),
        json!({ "$kv-envelope": 1, "kind": "json", "value": { "a": 1 }, "metadata": { "b": 2 } }),
        json!({ "$kv-envelope": 1, "kind": "json-text", "value": "5" }),
        json!({ "$kv-envelope": 1, "kind": "text", "value": "gone", "expires_at": 1 }),
        json!({ "$kv-envelope": 2, "anything": true }),
        json!({ "$kv-envelope": 1 }),
        json!({ "$kv-envelope": "1", "kind": "text", "value": "x" }),
        json!({ "$kv-envelope": 1, "kind": "json", "value": { "$kv-envelope": 1, "kind": "text", "value": "x" } }),
        json!({ "$kv-kind": "json" }),
    ];
    let texts = objects.iter().map(|object| Value::from(object.to_string()));
    let bytes = objects.iter().map(|object| Value::from(object.to_string().into_bytes()));
    let json = objects.iter().map(|object| Value::from(object.clone()));
    texts.chain(bytes).chain(json).collect()
}

/// Arrays of random JSON, so that there is no string and no null at the top; the same in every run.
pub(crate) fn random_json(count: usize) -> Vec<Value> {
    let strategy = prop_oneof![
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<u64>().prop_map(|bits| json!(f64::from_bits(bits))), // what is no number becomes null
        any::<bool>().prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ]
    .prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    });
    let mut runner = TestRunner::deterministic();
    let trees = (0..count).filter_map(|_| strategy.new_tree(&mut runner).ok());
    trees.map(|tree| Value::from(json!([tree.current()]))).collect()
}
