//! The system: an application with its hives, and what it answers to each request.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use kv_api::Timestamp;

use super::hive::{Condition, Expiry, Hive, Step, through_double};
use super::listing::{Listing, PAGE_SIZE_DEFAULT, Page};
use super::refusal::Refusal;
use super::route::{BucketCall, Call, KeyCall, Route, parameter, segment};
use super::switches::{Fractions, NoValue, Nulls, Numbers, Rounding, Switches};
use crate::fault::Fault;
use crate::json::{Dialect, Value, json, parse_bytes};
use crate::model::{Answer, Model, Request};

/// An application and its hives.
pub(super) struct System {
    pub(super) application: String,
    pub(super) api_key: String,
    /// The tokens of users that are logged in.
    pub(super) user_tokens: Vec<String>,
    /// The status that a bad token is answered with.
    pub(super) bad_user_token_status: u16,
    pub(super) switches: Switches,
    pub(super) hives: BTreeMap<String, Hive>,
    /// The hive that tests look into.
    pub(super) hive: String,
}

/// What a success says.
enum Reply {
    Nothing,
    Json(Value),
}

type Result<T> = std::result::Result<T, Refusal>;

impl Model for System {
    fn answer(&mut self, request: &Request<'_>, now: Timestamp) -> Answer {
        answer(self.reply(request, State::Present, now))
    }

    fn answer_faulty(&mut self, fault: Fault, request: &Request<'_>, now: Timestamp) -> Option<Answer> {
        match fault {
            Fault::Throttled { retry_after } => {
                let mut answer = answer(Err(Refusal::too_many_requests()));
                let seconds = retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
                answer.headers.extend(seconds.map(|seconds| ("retry-after", seconds.to_string())));
                Some(answer)
            }
            Fault::EmptyPage | Fault::StuckPage => {
                let Ok(Route::Entries { call: Call::Bucket(BucketCall::Keys), .. }) = self.route(request) else {
                    return None;
                };
                let page = if fault == Fault::EmptyPage { Listing::empty_page } else { Listing::stuck_page };
                Some(answer(listing(request).map(|listing| reply_page(page(&listing, self.switches.cursors)))))
            }
            Fault::FirstPageAgain => {
                let Ok(Route::Entries { hive, call: Call::Bucket(BucketCall::Keys) }) = self.route(request) else {
                    return None;
                };
                let page = listing(request).ok()?.first_again(self.hives.get(&hive)?, self.switches.cursors, now)?;
                Some(answer(Ok(reply_page(page))))
            }
            Fault::Implausible => self.answer_implausibly(request, now),
            // What the documents do not promise, consistency between requests, may be missing.
            Fault::Stale => self
                .route(request)
                .is_ok_and(|route| route.reads_entries())
                .then(|| answer(self.reply(request, State::BeforeLastChange, now))),
            _ => None,
        }
    }

    fn keys(&self, now: Timestamp) -> Vec<String> {
        let names = self.hives.get(&self.hive).into_iter().flat_map(|hive| hive.names_from(0, now));
        let mut names: Vec<String> = names.map(|(_, name)| name.to_owned()).collect();
        names.sort();
        names
    }

    fn secrets(&self) -> Vec<String> {
        vec![segment(&self.api_key), self.api_key.clone()]
    }
}

/// The state that a reading request is carried out on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Present,
    BeforeLastChange,
}

fn answer(reply: Result<Reply>) -> Answer {
    let json_header = vec![("content-type", "application/json".to_owned())];
    match reply {
        Ok(Reply::Nothing) => Answer { status: 200, headers: Vec::new(), body: Vec::new() },
        Ok(Reply::Json(json)) => Answer { status: 200, headers: json_header, body: json.to_string().into_bytes() },
        Err(refusal) => Answer { status: refusal.status, headers: json_header, body: refusal.body() },
    }
}

impl System {
    fn route(&self, request: &Request<'_>) -> Result<Route> {
        Route::find(request.method, request.path, &self.application, &self.api_key)
    }

    fn reply(&mut self, request: &Request<'_>, state: State, now: Timestamp) -> Result<Reply> {
        let route = self.route(request)?;
        if let Some(token) = request.header("user-token").filter(|token| !self.accepts(token)) {
            return Err(Refusal::bad_user_token(self.bad_user_token_status, token));
        }
        let reads = route.reads_entries();
        let (hive, call) = match route {
            // Any JSON will do for the one client that asks, the official one for JavaScript.
            Route::ApplicationInfo => return Ok(Reply::Json(json!({}))),
            Route::HiveNames => return Ok(Reply::Json(self.hives.keys().map(Value::from).collect())),
            Route::HiveCreate { hive } => return self.create(hive),
            Route::HiveRename { hive } => return self.rename(&hive, required(request, "newName")?),
            Route::HiveDelete { hive } => return self.delete(&hive),
            Route::Entries { hive, call } => (hive, call),
        };
        let switches = self.switches;
        let hive = self.hives.get_mut(&hive).ok_or_else(Refusal::no_such_hive)?;
        let carry_out = |hive: &mut Hive| match call {
            Call::Bucket(call) => bucket_call(hive, call, request, &switches, now),
            Call::Key(key, call) => key_call(hive, &key, call, request, &switches, now),
        };
        match (reads, state) {
            (true, State::Present) => carry_out(hive),
            (true, State::BeforeLastChange) => hive.before_last_change(carry_out),
            (false, _) => hive.changing(carry_out),
        }
    }

    /// A bulk request for every other of its keys, answered with a figure below zero.
    fn answer_implausibly(&mut self, request: &Request<'_>, now: Timestamp) -> Option<Answer> {
        let Ok(Route::Entries { hive, call: Call::Bucket(call) }) = self.route(request) else { return None };
        let hive = self.hives.get_mut(&hive)?;
        match call {
            BucketCall::SetMany => {
                let Value::Object(members) = json_body(request).ok()? else { return None };
                hive.changing(|hive| {
                    for (key, value) in members.into_iter().step_by(2) {
                        // What is refused here is not stored, as any other item of the request may not be.
                        let _ = hive.set(&key, value, Expiry::Never, Condition::Always, now);
                    }
                });
            }
            BucketCall::DeleteMany => {
                let keys: Vec<String> = keys_in_body(request).ok()?.into_iter().step_by(2).collect();
                hive.changing(|hive| hive.delete(&keys, now));
            }
            _ => return None,
        }
        Some(answer(Ok(Reply::Json(json!(-3)))))
    }

    fn accepts(&self, token: &str) -> bool {
        self.user_tokens.iter().any(|own| own == token)
    }

    fn create(&mut self, name: String) -> Result<Reply> {
        match self.hives.entry(name) {
            Entry::Occupied(_) => Err(Refusal::hive_exists()),
            Entry::Vacant(place) => {
                place.insert(Hive::default());
                Ok(Reply::Nothing)
            }
        }
    }

    fn rename(&mut self, name: &str, to: String) -> Result<Reply> {
        if !self.hives.contains_key(name) {
            return Err(Refusal::no_such_hive());
        }
        if self.hives.contains_key(&to) {
            return Err(Refusal::hive_exists());
        }
        let hive = self.hives.remove(name).unwrap_or_default();
        self.hives.insert(to, hive);
        Ok(Reply::Nothing)
    }

    fn delete(&mut self, name: &str) -> Result<Reply> {
        self.hives.remove(name).map(|_| Reply::Nothing).ok_or_else(Refusal::no_such_hive)
    }
}

fn bucket_call(
    hive: &mut Hive,
    call: BucketCall,
    request: &Request<'_>,
    switches: &Switches,
    now: Timestamp,
) -> Result<Reply> {
    let reply = match call {
        BucketCall::SetMany => {
            let Value::Object(members) = json_body(request)? else {
                return Err(Refusal::bad_request("the body is not an object"));
            };
            let mut items = Vec::with_capacity(members.len());
            for (key, value) in members {
                items.push((storable_key(key)?, storable_value(value, switches)?));
            }
            for (key, value) in items {
                hive.set(&key, value, Expiry::Never, Condition::Always, now)?;
            }
            return Ok(Reply::Nothing);
        }
        BucketCall::GetMany => {
            let keys = keys_in_body(request)?;
            keys.into_iter().filter_map(|key| hive.get(&key, now).map(|value| (key, value))).collect()
        }
        BucketCall::DeleteMany => json!(hive.delete(&keys_in_body(request)?, now)),
        BucketCall::Exist => json!(hive.exist(&keys_in_body(request)?, now)),
        BucketCall::Touch => json!(hive.touch(&keys_in_body(request)?, now)),
        BucketCall::Keys => {
            return Ok(reply_page(listing(request)?.page(hive, switches.pages, switches.cursors, now)));
        }
    };
    Ok(Reply::Json(reply))
}

fn listing(request: &Request<'_>) -> Result<Listing> {
    let listing = Listing {
        pattern: parameter(request.query, "filterPattern")?.unwrap_or_else(|| "*".to_owned()),
        cursor: number(request, "cursor")?.unwrap_or(0),
        size: number(request, "pageSize")?.unwrap_or(PAGE_SIZE_DEFAULT),
    };
    if listing.size == 0 { Err(Refusal::bad_request("pageSize is zero")) } else { Ok(listing) }
}

fn reply_page(page: Page) -> Reply {
    Reply::Json(json!({"keys": page.keys, "cursor": page.cursor.to_string()}))
}

fn key_call(
    hive: &mut Hive,
    key: &str,
    call: KeyCall,
    request: &Request<'_>,
    switches: &Switches,
    now: Timestamp,
) -> Result<Reply> {
    let reply = match call {
        KeyCall::Set => {
            let set = SetBody::read(request)?;
            let value = storable_value(set.value, switches)?;
            json!(hive.set(key, value, set.expiry, set.condition, now)?)
        }
        KeyCall::Get => match (hive.get(key, now), switches.no_value) {
            (None | Some(Value::Null), NoValue::EmptyBody) => return Ok(Reply::Nothing),
            (None, NoValue::Null) => Value::Null,
            (Some(value), _) => value,
        },
        KeyCall::Delete => json!(hive.delete(&[key.to_owned()], now)),
        KeyCall::Increment => {
            let by = step(request, switches.fractions)?;
            Value::Number(hive.increment(key, by, switches.fractions, now)?)
        }
        KeyCall::Decrement => {
            let by = step(request, switches.fractions)?.negated();
            Value::Number(hive.increment(key, by, switches.fractions, now)?)
        }
        KeyCall::Expire => {
            let seconds = number(request, "ttl")?.ok_or_else(|| Refusal::bad_request("there is no ttl"))?;
            hive.expire(key, after_seconds(seconds)?, now)?;
            return Ok(Reply::Nothing);
        }
        KeyCall::ExpireAt => {
            let seconds = number(request, "unixTime")?.ok_or_else(|| Refusal::bad_request("there is no unixTime"))?;
            hive.expire(key, at_seconds(seconds)?, now)?;
            return Ok(Reply::Nothing);
        }
        KeyCall::ClearExpiration => {
            // A missing key is refused by analogy; a key without an expiration has none afterwards, so that is no
            // error.
            hive.expire(key, Expiry::Never, now)?;
            return Ok(Reply::Nothing);
        }
        KeyCall::Expiration => json!(whole_seconds(hive.expiration(key, now)?, switches.rounding)),
        KeyCall::SinceLastOperation => json!(hive.since_last_operation(key, now).map(|since| since.as_secs())),
        KeyCall::Rename => {
            let overwrite = match parameter(request.query, "overwrite")?.as_deref() {
                None | Some("true") => true,
                Some("false") => false,
                Some(_) => return Err(Refusal::bad_request("overwrite is neither true nor false")),
            };
            let to = storable_key(required(request, "newKey")?)?;
            json!(hive.rename(key, &to, overwrite, now)?)
        }
    };
    Ok(Reply::Json(reply))
}

/// The body of a set of one key.
struct SetBody {
    value: Value,
    expiry: Expiry,
    condition: Condition,
}

impl SetBody {
    fn read(request: &Request<'_>) -> Result<Self> {
        let Value::Object(mut members) = json_body(request)? else {
            return Err(Refusal::bad_request("the body is not an object"));
        };
        let value = members.remove("value").ok_or_else(|| Refusal::bad_request("there is no value"))?;
        let seconds = |value: &Value| value.as_i64().ok_or_else(|| Refusal::bad_request("a time is not whole seconds"));
        // With both given the ttl is ignored, whichever is earlier: not even looked at.
        let expiry = match (members.get("expireAt"), members.get("ttl")) {
            (Some(time), _) => at_seconds(seconds(time)?)?,
            (None, Some(ttl)) => after_seconds(seconds(ttl)?)?,
            (None, None) => Expiry::Never,
        };
        let condition = match members.get("condition").map(Value::as_str) {
            None | Some(Some("Always")) => Condition::Always,
            Some(Some("IfExists")) => Condition::IfExists,
            Some(Some("IfNotExists")) => Condition::IfNotExists,
            Some(_) => return Err(Refusal::bad_request("there is no such condition")),
        };
        Ok(Self { value, expiry, condition })
    }
}

/// A ttl of zero or less is refused; no source says so.
fn after_seconds(seconds: i64) -> Result<Expiry> {
    match u64::try_from(seconds) {
        Ok(seconds) if seconds > 0 => Ok(Expiry::After(Duration::from_secs(seconds))),
        _ => Err(Refusal::bad_request("ttl is not above zero")),
    }
}

/// A time in the past is accepted and the key gone at once; no source says so.
fn at_seconds(seconds: i64) -> Result<Expiry> {
    let time = Timestamp::from_unix_seconds(seconds);
    if time.as_unix_seconds_ceil() == seconds {
        Ok(Expiry::At(time))
    } else {
        Err(Refusal::bad_request("the expiration is too far away"))
    }
}

fn whole_seconds(left: Duration, rounding: Rounding) -> u64 {
    let up = match rounding {
        Rounding::Nearest => left.subsec_micros() >= 500_000,
        Rounding::Floor => false,
        Rounding::Ceil => left.subsec_micros() > 0,
    };
    left.as_secs() + u64::from(up)
}

fn step(request: &Request<'_>, fractions: Fractions) -> Result<Step> {
    let text = required(request, "value")?;
    match (text.parse::<i64>(), text.parse::<f64>(), fractions) {
        (Ok(by), _, _) => Ok(Step::Integer(by.into())),
        (Err(_), Ok(by), Fractions::Taken) if by.is_finite() => Ok(Step::Fraction(by)),
        _ => Err(Refusal::bad_request("value is not an integer")),
    }
}

/// An empty key has no address of its own, so it is refused where it could be stored; no source says so.
fn storable_key(key: String) -> Result<String> {
    if key.is_empty() { Err(Refusal::bad_request("a key is empty")) } else { Ok(key) }
}

fn storable_value(value: Value, switches: &Switches) -> Result<Value> {
    match (value, switches.nulls) {
        (Value::Null, Nulls::Refused) => Err(Refusal::bad_request("null is not a value")),
        (value, _) => Ok(match switches.numbers {
            Numbers::Kept => value,
            Numbers::AsDoubles => as_doubles(value),
        }),
    }
}

fn as_doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(through_double(number)),
        Value::Array(items) => items.into_iter().map(as_doubles).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, as_doubles(value))).collect(),
        other => other,
    }
}

/// The body as JSON, whose content type has to say so, as the documents ask.
fn json_body(request: &Request<'_>) -> Result<Value> {
    let media_type = request.header("content-type").and_then(|header| header.split(';').next());
    if !media_type.is_some_and(|own| own.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Refusal::bad_request("the content type is not application/json"));
    }
    parse_bytes(request.body, Dialect::Exact).map_err(|_| Refusal::bad_request("the body is not JSON"))
}

fn keys_in_body(request: &Request<'_>) -> Result<Vec<String>> {
    let Value::Array(keys) = json_body(request)? else {
        return Err(Refusal::bad_request("the body is not an array of strings"));
    };
    let keys = keys.into_iter().map(|key| if let Value::String(key) = key { Some(key) } else { None });
    keys.collect::<Option<_>>().ok_or_else(|| Refusal::bad_request("the body is not an array of strings"))
}

fn required(request: &Request<'_>, name: &str) -> Result<String> {
    match parameter(request.query, name)? {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(Refusal::bad_request(&format!("there is no {name}"))),
    }
}

/// A number of the query, in plain decimal.
fn number<T: std::str::FromStr>(request: &Request<'_>, name: &str) -> Result<Option<T>> {
    parameter(request.query, name)?
        .map(|text| text.parse().map_err(|_| Refusal::bad_request(&format!("{name} is not a whole number"))))
        .transpose()
}
