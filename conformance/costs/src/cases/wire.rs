//! What the adapters of remote systems send and read: one request made, one answer read. No connection, no server.

use ::redis::Value as Reply;
use kv_api::{Capabilities, EntryExpiry, Resolver, SetItem, SystemClock, ValueKind, Write};
use kv_backendless::costs as backendless;
use kv_cloudflare::costs as cloudflare;
use kv_nemesisdb::costs as nemesisdb;
use kv_puter::costs as puter;
use kv_redis::costs as redis;
use kv_remote::http::{Answer, HeaderMap, StatusCode};

use super::{Calls, Case, MANY, each, key, keys, value};
use crate::Result;

/// How many single requests or answers there are.
const SINGLE: usize = 500;
/// How many of a batch or a page.
const BATCHES: usize = 50;

pub(super) fn cases() -> Vec<Case> {
    let one = |name, prepare| Case { name, calls: SINGLE, prepare };
    let many = |name, prepare| Case { name, calls: BATCHES, prepare };
    vec![
        one("cloudflare/get-asked", |calls| with_cloudflare(keys(calls), |wire, key| wire.get(key))),
        one("cloudflare/get-answered", |calls| {
            let answers = answers(calls, 1, cloudflare_values);
            with_cloudflare(answers, |wire, (answer, keys)| wire.found(&answer, keys))
        }),
        one("cloudflare/set-asked", |calls| {
            with_cloudflare(writes(calls, &kv_cloudflare::CAPABILITIES)?, |wire, write| wire.set(&write))
        }),
        one("cloudflare/set-answered", |calls| {
            with_cloudflare(answers(calls, 0, cloudflare_done), |wire, (answer, _)| wire.done(&answer))
        }),
        many("cloudflare/get-many-asked", |calls| {
            with_cloudflare(batches(calls), |wire, keys: &[&str]| wire.get_many(keys))
        }),
        many("cloudflare/get-many-answered", |calls| {
            let answers = answers(calls, MANY, cloudflare_values);
            with_cloudflare(answers, |wire, (answer, keys)| wire.found(&answer, keys))
        }),
        many("cloudflare/set-many-asked", |calls| {
            let batches = write_batches(calls, &kv_cloudflare::CAPABILITIES)?;
            with_cloudflare(batches, |wire, writes| wire.set_many(&writes))
        }),
        many("cloudflare/set-many-answered", |calls| {
            with_cloudflare(answers(calls, MANY, cloudflare_all_done), |wire, (answer, keys)| {
                wire.done_many(&answer, keys.len())
            })
        }),
        many("cloudflare/page-answered", |calls| {
            with_cloudflare(answers(calls, MANY, cloudflare_page), |wire, (answer, keys)| {
                wire.page(&answer, keys.len())
            })
        }),
        one("backendless/get-asked", |calls| each(keys(calls), |key| some(backendless::get(key)))),
        one("backendless/get-answered", |calls| backendless_values(calls, 1)),
        one("backendless/set-asked", |calls| {
            each(writes(calls, &kv_backendless::CAPABILITIES)?, |write| some(backendless::set(&write)))
        }),
        one("backendless/set-answered", |calls| {
            let replies = backendless::Replies::default();
            each(answers(calls, 0, |_| "true".to_owned()), move |(answer, _)| replies.done(answer))
        }),
        many("backendless/get-many-asked", |calls| {
            each(batches(calls), |keys: &[&str]| some(backendless::get_many(keys)))
        }),
        many("backendless/get-many-answered", |calls| backendless_values(calls, MANY)),
        many("backendless/set-many-asked", |calls| {
            let batches = write_batches(calls, &kv_backendless::CAPABILITIES)?;
            each(batches, |writes| some(backendless::set_many(&writes)))
        }),
        many("backendless/page-answered", |calls| {
            let replies = backendless::Replies::default();
            each(answers(calls, MANY, backendless_page), move |(answer, _)| replies.page(answer))
        }),
        one("puter/get-asked", |calls| with_puter(keys(calls), |wire, key| ok(wire.get(key)))),
        one("puter/get-answered", |calls| {
            with_puter(answers(calls, 1, puter_value), |wire, (answer, _)| wire.found(answer))
        }),
        one("puter/set-asked", |calls| {
            with_puter(writes(calls, &kv_puter::CAPABILITIES)?, |wire, write| ok(wire.set(&write)))
        }),
        one("puter/set-answered", |calls| {
            with_puter(answers(calls, 0, puter_done), |wire, (answer, _)| wire.done(answer))
        }),
        many("puter/get-many-asked", |calls| with_puter(batches(calls), |wire, keys: &[&str]| ok(wire.get_many(keys)))),
        many("puter/get-many-answered", |calls| {
            with_puter(answers(calls, MANY, puter_values), |wire, (answer, keys)| wire.found_many(answer, keys))
        }),
        many("puter/set-many-asked", |calls| {
            let batches = write_batches(calls, &kv_puter::CAPABILITIES)?;
            with_puter(batches, |wire, writes| ok(wire.set_many(&writes)))
        }),
        many("puter/page-answered", |calls| {
            with_puter(answers(calls, MANY, puter_page), |wire, (answer, _)| wire.page(answer))
        }),
        one("nemesisdb/get-asked", |calls| each(keys(calls), |key| ok(nemesisdb::get(key)))),
        one("nemesisdb/get-answered", |calls| {
            let replies = nemesisdb::Replies::default();
            let messages = keys(calls).into_iter().map(|key| format!(r#"{{"GET_RSP":{{"st":0,"{key}":{}}}}}"#, text()));
            let messages: Vec<&'static str> = messages.map(leaked).collect();
            each(messages, move |message| replies.found(message))
        }),
        one("nemesisdb/set-asked", |calls| {
            each(writes(calls, &kv_nemesisdb::CAPABILITIES)?, |write| ok(nemesisdb::set(&write)))
        }),
        one("nemesisdb/set-answered", |calls| {
            let replies = nemesisdb::Replies::default();
            let messages = keys(calls).into_iter().map(|key| format!(r#"{{"SET_RSP":{{"st":1,"k":"{key}"}}}}"#));
            let messages: Vec<&'static str> = messages.map(leaked).collect();
            each(messages, move |message| replies.set(message))
        }),
        one("redis/get-asked", |calls| each(keys(calls), |key| ok(redis::get(key)))),
        one("redis/get-answered", |calls| each(vec![stored(); calls], redis::found)),
        one("redis/get-entry-answered", |calls| {
            each(vec![Reply::Array(vec![stored(), Reply::Int(-1)]); calls], redis::found_entry)
        }),
        one("redis/set-asked", |calls| each(writes(calls, &kv_redis::CAPABILITIES)?, |write| ok(redis::set(&write)))),
        one("redis/set-answered", |calls| {
            let writes = writes(calls, &kv_redis::CAPABILITIES)?;
            each(writes, |write| redis::stored(Reply::Okay, &write))
        }),
        many("redis/get-many-asked", |calls| each(batches(calls), |keys: &[&str]| ok(redis::get_many(keys)))),
        many("redis/get-many-answered", |calls| {
            let reply = Reply::Array(vec![stored(); MANY]);
            each(vec![reply; calls], |reply| redis::found_many(reply, MANY))
        }),
        one("sql/row-read", |calls| {
            let rows = keys(calls).into_iter().map(|_| value().as_bytes().clone()).collect();
            let kind = kv_sql::kind_number(ValueKind::Text).ok_or("a kind without a number")?;
            each(rows, move |bytes| {
                let value = kv_sql::stored_value(kind, bytes)?;
                let entry = kv_sql::entry(value, None, Some(1_800_000_000_000), kv_sql::version(7, 1));
                match entry.expiry() {
                    EntryExpiry::At(_) => ok(entry),
                    _ => Err(kv_api::Error::new(kv_api::ErrorKind::Internal, "a row lost its expiry")),
                }
            })
        }),
    ]
}

fn ok<T>(made: T) -> kv_api::Result<T> {
    Ok(made)
}

fn some<T>(made: Option<T>) -> Result<T> {
    made.ok_or_else(|| "a request without a body".into())
}

fn with_cloudflare<I: 'static, T>(
    inputs: Vec<I>,
    call: impl Fn(&cloudflare::Wire, I) -> kv_api::Result<T> + 'static,
) -> Result<Calls> {
    let wire = cloudflare::Wire::new()?;
    each(inputs, move |input| call(&wire, input))
}

fn with_puter<I: 'static, T>(
    inputs: Vec<I>,
    call: impl Fn(&puter::Wire, I) -> kv_api::Result<T> + 'static,
) -> Result<Calls> {
    let wire = puter::Wire::new()?;
    each(inputs, move |input| call(&wire, input))
}

fn backendless_values(calls: usize, count: usize) -> Result<Calls> {
    let replies = backendless::Replies::default();
    let body = |keys: &[String]| format!("{{{}}}", list(keys, |key| format!(r#""{key}":{}"#, text())));
    each(answers(calls, count, body), move |(answer, keys)| replies.found(answer, keys))
}

fn write(key: &'static str, capabilities: &Capabilities) -> kv_api::Result<Write<'static>> {
    Resolver::new(capabilities).write(SetItem::new(key, value()), &SystemClock)
}

fn writes(calls: usize, capabilities: &Capabilities) -> kv_api::Result<Vec<Write<'static>>> {
    keys(calls).into_iter().map(|key| write(key, capabilities)).collect()
}

fn write_batches(calls: usize, capabilities: &Capabilities) -> kv_api::Result<Vec<Vec<Write<'static>>>> {
    (0..calls).map(|_| writes(MANY, capabilities)).collect()
}

fn batches(calls: usize) -> Vec<&'static [&'static str]> {
    let keys: &'static [&'static str] = keys(MANY).leak();
    vec![keys; calls]
}

/// Answers about so many keys each, with bodies of their own.
fn answers(calls: usize, count: usize, body: impl Fn(&[String]) -> String) -> Vec<(Answer, &'static [String])> {
    let answer = |call: usize| {
        let first = if count == 1 { call } else { 0 };
        let keys: &'static [String] =
            (first..first + count).map(|number| key(number).to_owned()).collect::<Vec<_>>().leak();
        (Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: body(keys).into() }, keys)
    };
    (0..calls).map(answer).collect()
}

fn leaked(text: String) -> &'static str {
    text.leak()
}

/// The value of every entry, as a JSON string.
fn text() -> String {
    format!(r#""{}""#, "v".repeat(100))
}

/// The value of every entry, as Redis answers with it.
fn stored() -> Reply {
    Reply::BulkString("v".repeat(100).into_bytes())
}

fn list(keys: &[String], item: impl Fn(&String) -> String) -> String {
    keys.iter().map(item).collect::<Vec<_>>().join(",")
}

fn cloudflare_success(result: &str, info: &str) -> String {
    format!(r#"{{"success":true,"errors":[],"messages":[],"result":{result}{info}}}"#)
}

fn cloudflare_done(_: &[String]) -> String {
    cloudflare_success("{}", "")
}

fn cloudflare_all_done(keys: &[String]) -> String {
    let result = format!(r#"{{"successful_key_count":{},"unsuccessful_keys":[]}}"#, keys.len());
    cloudflare_success(&result, "")
}

fn cloudflare_values(keys: &[String]) -> String {
    let values = list(keys, |key| format!(r#""{key}":{{"value":{},"metadata":null}}"#, text()));
    cloudflare_success(&format!(r#"{{"values":{{{values}}}}}"#), "")
}

fn cloudflare_page(keys: &[String]) -> String {
    let names = list(keys, |key| format!(r#"{{"name":"{key}"}}"#));
    let info = format!(r#","result_info":{{"count":{},"cursor":"AAAAANuhDhrXQ3xYL3cGdUqN"}}"#, keys.len());
    cloudflare_success(&format!("[{names}]"), &info)
}

fn backendless_page(keys: &[String]) -> String {
    format!(r#"{{"cursor":12345,"keys":[{}]}}"#, list(keys, |key| format!(r#""{key}""#)))
}

fn puter_success(result: &str) -> String {
    format!(r#"{{"success":true,"service":{{"name":"puter-kvstore"}},"result":{result}}}"#)
}

fn puter_done(_: &[String]) -> String {
    puter_success("true")
}

fn puter_value(_: &[String]) -> String {
    puter_success(&text())
}

fn puter_values(keys: &[String]) -> String {
    puter_success(&format!("[{}]", list(keys, |_| text())))
}

fn puter_page(keys: &[String]) -> String {
    puter_success(&format!(r#"{{"items":[{}],"cursor":"abc"}}"#, list(keys, |key| format!(r#""{key}""#))))
}
