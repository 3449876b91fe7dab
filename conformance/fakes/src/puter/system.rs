//! The system: users and apps with their namespaces, and what it answers to each request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kv_api::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::driver::{Arguments, Driver, disables_sharing};
use super::grant::{self, Grant, Tier};
use super::listing::Listing;
use super::method::Method;
use super::namespace::Namespace;
use super::rates::Rates;
use super::refusal::Refusal;
use super::route::{Route, is_api_host};
use super::switches::{Failures, Hosts, Rates as RatesSwitch, Sweep, Switches};
use crate::fault::{Fault, Refused};
use crate::javascript::{stringify, to_text};
use crate::json::{Dialect, Value, json, parse};
use crate::model::{Answer, Model, Request};

/// The one driver, and the interface that it is for.
const DRIVER: &str = "puter-kvstore";

/// How large the body of a request may be.
const BODY_BYTES_MAX: usize = 50 * 1024 * 1024;

/// Removes what has expired from a fake, whenever its own switch would not: as the storage does in its time. Clones are
/// the same.
#[derive(Clone, Debug, Default)]
pub struct Sweeper(Arc<AtomicBool>);

impl Sweeper {
    /// Removes it: from the next request on, nothing is left of entries that had expired by then.
    pub fn sweep(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Users, apps and their namespaces.
pub(super) struct System {
    pub(super) tokens: BTreeMap<String, Grant>,
    /// Apps that exist, whether anybody has a token for them or not.
    pub(super) apps: BTreeSet<String>,
    pub(super) namespaces: BTreeMap<String, Namespace>,
    /// The namespace that tests look into.
    pub(super) shown: String,
    pub(super) rates: Rates,
    pub(super) gets_of_many: usize,
    pub(super) sweeper: Sweeper,
    pub(super) switches: Switches,
}

type Result<T> = std::result::Result<T, Refusal>;

/// A call of the driver, understood as far as anything is checked before its arguments.
struct Call {
    grant: Grant,
    method: Method,
    /// `None` where they are null, on which every method fails.
    arguments: Option<Arguments>,
}

/// How a call is carried out.
#[derive(Clone, Copy, Default)]
struct Carrying {
    /// Reads answer from the state before the last change.
    stale: bool,
    /// After how many items of a batch the storage fails.
    items_until_failure: Option<usize>,
}

/// What is answered.
enum Reply {
    /// What a method of the driver came to.
    Called(std::result::Result<Option<Value>, Refusal>),
    Json(Value),
    Text(&'static str),
}

impl Model for System {
    fn answer(&mut self, request: &Request<'_>, now: Timestamp) -> Answer {
        let reply = self.reply(request, Carrying::default(), now);
        self.answer_to(request, reply)
    }

    fn answer_faulty(&mut self, fault: Fault, request: &Request<'_>, now: Timestamp) -> Option<Answer> {
        let reply = match fault {
            Fault::Throttled { retry_after } => {
                let mut answer = self.answer_to(request, Err(Refusal::too_many_requests()));
                // The system gives none; a test may all the same.
                let seconds = retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
                answer.headers.extend(seconds.map(|seconds| ("retry-after", seconds.to_string())));
                return Some(answer);
            }
            Fault::Refused { reason } => {
                let call = self.call(request).ok()?;
                let refusal = refused(reason);
                let free = call.method.is_free()
                    || (call.method == Method::List && call.arguments.as_ref().is_some_and(Listing::is_of_keys));
                if reason == Refused::NoCredit && free {
                    return None;
                }
                Err(refusal)
            }
            Fault::EmptyPage | Fault::StuckPage => {
                let call = self.call(request).ok().filter(|call| call.method == Method::List)?;
                let (namespace, _) = self.target(&call).ok()?;
                let listing = Listing::read(call.arguments.as_ref()?, &namespace).ok()?;
                let step = i64::from(fault == Fault::EmptyPage);
                Ok(Reply::Called(Ok(Some(listing.empty_page(&namespace, step)?))))
            }
            Fault::FirstPageAgain => {
                let call = self.call(request).ok().filter(|call| call.method == Method::List)?;
                let (name, foreign) = self.target(&call).ok()?;
                let listing = Listing::read(call.arguments.as_ref()?, &name).ok()?;
                let page = listing.first_again(self.namespaces.get(&name)?, foreign, self.switches.poison, now)?;
                Ok(Reply::Called(Ok(Some(page))))
            }
            Fault::Implausible => {
                let call = self.call(request).ok().filter(|call| call.method == Method::BatchPut)?;
                let items = call.arguments.as_ref()?.get("items").and_then(Value::as_array)?.len();
                let carrying = Carrying { items_until_failure: Some(items / 2), ..Carrying::default() };
                drop(self.reply(request, carrying, now));
                Ok(Reply::Called(Ok(Some(json!(-3)))))
            }
            // A real one reads what was written everywhere a while ago.
            Fault::Stale => {
                self.call(request).ok().filter(|call| call.method.reads())?;
                self.reply(request, Carrying { stale: true, ..Carrying::default() }, now)
            }
            Fault::BrokenOff { items } => {
                let call = self.call(request).ok().filter(|call| call.method == Method::BatchPut)?;
                let given = call.arguments.as_ref()?.get("items").and_then(Value::as_array)?;
                let keys: BTreeSet<String> = given.iter().filter_map(|item| item.get("key").map(to_text)).collect();
                if keys.len() <= items {
                    return None;
                }
                self.reply(request, Carrying { items_until_failure: Some(items), ..Carrying::default() }, now)
            }
            _ => return None,
        };
        Some(self.answer_to(request, reply))
    }

    /// Every request to the driver is a POST, so the method that it names counts.
    fn is_write(&self, request: &Request<'_>) -> bool {
        self.call(request).is_ok_and(|call| !call.method.reads())
    }

    fn keys(&self, now: Timestamp) -> Vec<String> {
        self.namespaces.get(&self.shown).map(|namespace| namespace.keys(now)).unwrap_or_default()
    }

    fn secrets(&self) -> Vec<String> {
        let escaped = |token: &String| utf8_percent_encode(token, NON_ALPHANUMERIC).to_string();
        self.tokens.keys().flat_map(|token| [token.clone(), escaped(token)]).collect()
    }
}

impl System {
    fn reply(&mut self, request: &Request<'_>, carrying: Carrying, now: Timestamp) -> Result<Reply> {
        if self.sweeper.0.swap(false, Ordering::Relaxed) || self.switches.sweep == Sweep::AtOnce {
            self.namespaces.values_mut().for_each(|namespace| namespace.sweep(now));
        }
        match self.route(request)? {
            Route::Preflight => Ok(Reply::Text("OK")),
            Route::Healthcheck => Ok(Reply::Json(json!({"ok": true}))),
            Route::Version => Ok(Reply::Json(json!({
                "version": "26.07", "major": 26, "minor": 7, "patch": null, "environment": "dev", "location": null,
                "deploy_timestamp": 0,
            }))),
            Route::WhoAmI => {
                let grant = self.grant(request, &Value::Null)?;
                let user = grant.user_id();
                let is_temporary = grant.tier() == Tier::Temporary;
                Ok(Reply::Json(json!({"username": user, "uuid": user, "is_temp": is_temporary, "email_confirmed": 1})))
            }
            // Notes that an app was opened; the answer says nothing.
            Route::RecentAppOpened => {
                self.grant(request, &Value::Null)?;
                Ok(Reply::Json(json!({})))
            }
            Route::DriverCall => {
                let call = self.call(request)?;
                if self.switches.rates == RatesSwitch::Enforced {
                    let busy = Duration::from_millis(self.switches.busy_millis);
                    self.rates.take(call.grant.user_id(), call.grant.tier(), call.method, busy, now)?;
                }
                Ok(Reply::Called(self.carry_out(&call, carrying, now)))
            }
        }
    }

    fn route(&self, request: &Request<'_>) -> Result<Route> {
        let route = Route::find(request.method, request.path)?;
        // Preflights are answered before anybody looks at the host.
        let host = request.header("host").unwrap_or_default();
        let served = self.switches.hosts == Hosts::Any || route == Route::Preflight || is_api_host(host);
        if served { Ok(route) } else { Err(Refusal::no_such_route()) }
    }

    fn grant(&self, request: &Request<'_>, body: &Value) -> Result<&Grant> {
        let token = grant::token(request, body).ok_or_else(Refusal::token_missing)?;
        self.tokens.get(&token).ok_or_else(|| grant::unknown(&token))
    }

    fn call(&self, request: &Request<'_>) -> Result<Call> {
        if self.route(request)? != Route::DriverCall {
            return Err(Refusal::no_such_route());
        }
        let body = body(request)?;
        let grant = self.grant(request, &body)?.clone();
        grant.check()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let required =
            |name: &str| text(name).ok_or_else(|| Refusal::bad_request(format!("Missing or invalid `{name}`")));
        let interface = required("interface")?;
        let method = required("method")?;
        let driver = text("driver");
        if interface != DRIVER || driver.is_some_and(|driver| driver != DRIVER) {
            let driver = driver.unwrap_or("(no default)");
            return Err(Refusal::not_found(format!("Driver not found: {interface}:{driver}")));
        }
        let method = Method::named(method)
            .ok_or_else(|| Refusal::not_found(format!("Method '{method}' not found on driver '{DRIVER}'")))?;
        let arguments = match body.get("args") {
            Some(Value::Null) => None,
            Some(Value::Object(arguments)) => Some(arguments.clone()),
            _ => Some(Arguments::new()),
        };
        Ok(Call { grant, method, arguments })
    }

    fn carry_out(&mut self, call: &Call, carrying: Carrying, now: Timestamp) -> Result<Option<Value>> {
        let arguments = call.arguments.as_ref().ok_or_else(Refusal::internal)?;
        let (name, foreign) = self.target(call)?;
        let gets_of_many = self.gets_of_many;
        if call.method == Method::Get && arguments.get("key").is_some_and(Value::is_array) {
            self.gets_of_many += 1;
        }
        let switches = self.switches;
        let namespace = self.namespaces.entry(name).or_insert_with_key(|name| Namespace::new(name));
        let carry_out = |namespace: &mut Namespace| {
            let items_until_failure = carrying.items_until_failure;
            let mut driver = Driver { namespace, switches: &switches, foreign, gets_of_many, items_until_failure, now };
            driver.call(call.method, arguments)
        };
        match (call.method.reads(), carrying.stale) {
            (true, true) => namespace.before_last_change(carry_out),
            (true, false) => carry_out(namespace),
            (false, _) => namespace.changing(carry_out),
        }
    }

    /// The namespace of a call, and whether it is another app's.
    fn target(&self, call: &Call) -> Result<(String, bool)> {
        let arguments = call.arguments.as_ref();
        let config = arguments.and_then(|arguments| arguments.get("optConfig"));
        let wanted = config.and_then(|config| config.get("appUuid")).filter(|app| !app.is_null()).map(to_text);
        let foreign = match (call.grant.app_id(), &wanted) {
            (Some(own), Some(wanted)) => own != wanted,
            _ => false,
        };
        let namespace = call.grant.namespace(wanted.as_deref());
        let Some(wanted) = wanted.filter(|_| foreign) else { return Ok((namespace, false)) };
        if call.method.marks_private() && arguments.is_some_and(disables_sharing) {
            return Err(Refusal::bad_request("kv: `disableSharing` cannot be set on another app's data"));
        }
        if !self.apps.contains(&wanted) {
            return Err(Refusal::no_such_app(&wanted));
        }
        if call.method == Method::Flush {
            return Err(Refusal::forbidden("kv: `flush` is not available on another app's data"));
        }
        if !call.grant.may_use(&wanted) {
            return Err(Refusal::forbidden("Permission denied"));
        }
        Ok((namespace, true))
    }

    fn answer_to(&self, request: &Request<'_>, reply: Result<Reply>) -> Answer {
        let mut headers = shared_headers(request);
        let (status, body) = match reply {
            Ok(Reply::Text(text)) => {
                headers.push(("content-type", "text/plain; charset=utf-8".to_owned()));
                return Answer { status: 200, headers, body: text.as_bytes().to_vec() };
            }
            Ok(Reply::Json(json)) => (200, json),
            Ok(Reply::Called(Ok(result))) => {
                let mut body = json!({"success": true});
                if let Some(result) = result {
                    body["result"] = result;
                }
                body["service"] = json!({"name": DRIVER});
                (200, body)
            }
            Ok(Reply::Called(Err(refusal))) if self.switches.failures == Failures::UnderSuccess => {
                (200, refusal.body_under_success())
            }
            Ok(Reply::Called(Err(refusal))) | Err(refusal) => {
                headers.extend(refusal.header.map(|(name, value)| (*name, (*value).to_owned())));
                (refusal.status, refusal.body())
            }
        };
        headers.push(("content-type", "application/json; charset=utf-8".to_owned()));
        Answer { status, headers, body: stringify(&body).into_bytes() }
    }
}

/// The refusal of an ordered fault.
fn refused(reason: Refused) -> Refusal {
    match reason {
        Refused::Unauthorized => Refusal::token_refused(),
        Refused::SessionEnded => Refusal::reauthenticate("session_ended"),
        Refused::NoCredit => Refusal::no_credit(),
        Refused::Forbidden => Refusal::forbidden("Permission denied"),
        Refused::Unconfirmed => Refusal::email_unconfirmed(),
        Refused::Suspended => Refusal::suspended(),
        Refused::ProgramBlocked => Refusal::app_blocked(),
        Refused::TooManyAtOnce => Refusal::too_many_at_once(),
        Refused::Overloaded => Refusal::overloaded(),
    }
}

/// The body as JSON: an empty object where it is missing or its type is not one that is read, so that a token in it is
/// not seen either.
fn body(request: &Request<'_>) -> Result<Value> {
    let nothing = || Ok(json!({}));
    let content_type = request.header("content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    // The second is read as the very text that official clients send.
    if !media_type.eq_ignore_ascii_case("application/json") && content_type != "text/plain;actually=json" {
        return nothing();
    }
    if request.body.len() > BODY_BYTES_MAX {
        return Err(Refusal::body_too_large());
    }
    if request.body.is_empty() {
        return nothing();
    }
    let text = String::from_utf8_lossy(request.body);
    match parse(&text, Dialect::JavaScript) {
        Ok(body @ (Value::Object(_) | Value::Array(_))) => Ok(body),
        _ => Err(Refusal::malformed_json()),
    }
}

/// What browsers ask for. The hardening headers of a real server are left out.
fn shared_headers(request: &Request<'_>) -> Vec<(&'static str, String)> {
    let mut headers = match request.header("origin") {
        Some(origin) => vec![
            ("access-control-allow-origin", origin.to_owned()),
            ("access-control-allow-credentials", "true".to_owned()),
            ("vary", "Origin".to_owned()),
        ],
        None => vec![("access-control-allow-origin", "*".to_owned())],
    };
    if request.method == "OPTIONS" {
        let methods = "GET, POST, OPTIONS, PUT, PATCH, DELETE";
        headers.push(("access-control-allow-methods", methods.to_owned()));
        let allowed = "Origin, X-Requested-With, Content-Type, Accept, Authorization";
        headers.push(("access-control-allow-headers", allowed.to_owned()));
    }
    headers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::puter::{Fake, TOKEN};

    /// JSON of the kinds that the arguments of some method have or must not have.
    fn json_value() -> impl Strategy<Value = Value> {
        let texts =
            ["", "k", "a.b", "a[0]", "..", "l[1][0]", "a-b", "[", "]", "keys", "constructor.x", "*", "NQ==", "{}"];
        let numbers = [-1e300, -1.5, -1.0, 0.0, 0.5, 1.0, 2.0, 9e15, 1e16, 1e-200];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            select(numbers.to_vec()).prop_map(Value::from),
            select(texts.to_vec()).prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, move |inner| {
            let names = [
                "",
                "a",
                "a.b",
                "b[0]",
                "key",
                "value",
                "expireAt",
                "appUuid",
                "disableSharing",
                "namespace",
                "__proto__",
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map(select(names.to_vec()), inner, 0..3)
                    .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            ]
        })
    }

    fn call() -> impl Strategy<Value = Value> {
        let methods = [
            "set", "get", "batchPut", "del", "list", "flush", "expireAt", "expire", "incr", "decr", "update", "add",
            "remove",
        ];
        let names = [
            "key",
            "value",
            "expireAt",
            "items",
            "ttl",
            "timestamp",
            "pathAndAmountMap",
            "pathAndValueMap",
            "paths",
            "as",
            "limit",
            "offset",
            "cursor",
            "pattern",
            "includeTotal",
            "fetchUntilFull",
            "optConfig",
        ];
        // The key is mostly one of few, so that calls meet each other's entries.
        let key = prop_oneof![4 => select(vec!["k", "a"]).prop_map(Value::from), 1 => json_value()];
        let arguments = prop::collection::btree_map(select(names.to_vec()), json_value(), 0..5);
        (select(methods.to_vec()), key, arguments).prop_map(|(method, key, mut arguments)| {
            arguments.insert("key", key);
            let arguments: Value = arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            json!({"interface": DRIVER, "method": method, "args": arguments})
        })
    }

    proptest! {
        /// Whatever is asked for in whatever order is answered in the form of the system.
        #[test]
        fn any_calls_are_answered(calls in prop::collection::vec(call(), 1..20)) {
            let mut system = Fake::new().into_system();
            let headers = [("authorization", TOKEN), ("content-type", "application/json")];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
            for call in calls {
                let body = call.to_string();
                let request =
                    Request { method: "POST", path: "/drivers/call", query: "", headers: &headers, body: body.as_bytes() };
                let answer = system.answer(&request, Timestamp::from_unix_seconds(1_800_000_000));
                let answered = crate::json::parse_bytes(&answer.body, Dialect::JavaScript).unwrap();
                if answer.status == 200 {
                    prop_assert_eq!(&answered["success"], &json!(true), "{}", body);
                } else {
                    prop_assert!([400, 500].contains(&answer.status), "{}: {}", body, answered);
                    prop_assert!(answered["error"].as_str().is_some() && answered["error"] == answered["message"]);
                }
            }
        }
    }
}
