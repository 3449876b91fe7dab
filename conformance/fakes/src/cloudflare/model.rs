//! The system as a whole: who may ask, and which part answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kv_api::Timestamp;

use super::Refusals;
use super::account::Account;
use super::bulk;
use super::listing::Listing;
use super::namespace::Namespace;
use super::refusal::{Refusal, success};
use super::route::{Route, Target, decode_key};
use super::rules::check_key;
use super::single;
use crate::fault::Fault;
use crate::json::json;
use crate::model::{Answer, Model, Quota, Request};

/// How far apart two writes to one key must be where that is limited.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// Workers KV of one account.
#[derive(Debug)]
pub(super) struct Cloudflare {
    pub(super) account_id: String,
    /// The namespace whose keys are asked for from inside.
    pub(super) namespace_id: String,
    pub(super) credentials: Credentials,
    pub(super) account: Account,
    pub(super) switches: Switches,
    /// When each key was last written, by namespace and key; kept only where writes to one key are limited.
    pub(super) written: BTreeMap<(String, String), Timestamp>,
}

/// What a client must show, in either form.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) token: String,
    pub(super) email: String,
    pub(super) key: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("email", &self.email).finish_non_exhaustive()
    }
}

/// What the documents leave open, or what production does and a local run need not.
#[derive(Clone, Debug)]
pub(super) struct Switches {
    pub(super) one_write_per_key_and_second: bool,
    /// Bulk requests never succeed with these.
    pub(super) unsuccessful_keys: BTreeSet<String>,
    pub(super) page_keys_max: usize,
    pub(super) refusals: Refusals,
}

impl Cloudflare {
    fn handle(&mut self, request: &Request<'_>, now: Timestamp) -> Result<Answer, Refusal> {
        let Route { namespace: id, target, .. } = self.admit(request)?;
        match (request.method, target) {
            ("GET", Target::Namespaces) => self.account.list(request.query),
            ("POST", Target::Namespaces) => self.account.create(request),
            ("GET", Target::Namespace) => self.account.get(id),
            ("PUT", Target::Namespace) => self.account.rename(id, request),
            ("DELETE", Target::Namespace) => self.account.remove(id),
            ("GET", Target::Keys | Target::Value(_) | Target::Metadata(_)) | ("POST", Target::BulkGet) => {
                let page_keys_max = self.switches.page_keys_max;
                read(self.account.namespace(id, operation(target))?, target, page_keys_max, request, now)
            }
            ("PUT", Target::Value(segment)) => {
                let namespace = self.account.namespace(id, "put")?;
                let key = decode_key(segment)?;
                check_key(&key)?;
                let entry = single::entry_of(request, now)?;
                if self.switches.one_write_per_key_and_second {
                    admit_write(&mut self.written, id, &key, now)?;
                }
                Ok(single::write(namespace, key, entry))
            }
            ("DELETE", Target::Value(segment)) => {
                let namespace = self.account.namespace(id, "remove key")?;
                let key = decode_key(segment)?;
                check_key(&key)?;
                Ok(single::delete(namespace, key))
            }
            _ => match self.plan(request, id, target, now)? {
                Some((namespace, plan, switches)) => {
                    Ok(plan.carry_out(namespace, |_, key| switches.unsuccessful_keys.contains(key)))
                }
                None => Err(Refusal::method_not_allowed(request.method)),
            },
        }
    }

    /// A bulk write or delete, checked but not carried out; `None` when the request is neither.
    fn plan(
        &mut self,
        request: &Request<'_>,
        id: &str,
        target: Target<'_>,
        now: Timestamp,
    ) -> Result<Option<(&mut Namespace, bulk::Plan, &Switches)>, Refusal> {
        let (operation, is_write) = match (request.method, target) {
            ("PUT", Target::Bulk) => ("put", true),
            ("POST", Target::BulkDelete) | ("DELETE", Target::Bulk) => ("remove key", false),
            _ => return Ok(None),
        };
        let namespace = self.account.namespace(id, operation)?;
        let plan = if is_write { bulk::plan_write(request, now) } else { bulk::plan_delete(request) };
        Ok(Some((namespace, plan.map_err(Refusal::in_bulk)?, &self.switches)))
    }

    /// The route of a request whose sender may be here.
    fn admit<'a>(&self, request: &Request<'a>) -> Result<Route<'a>, Refusal> {
        let is_account = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let route = Route::parse(request.path)
            .filter(|route| is_account(route.account))
            .ok_or_else(|| Refusal::no_route(request.path))?;
        self.authenticate(request)?;
        if route.account.eq_ignore_ascii_case(&self.account_id) { Ok(route) } else { Err(Refusal::wrong_credentials()) }
    }

    /// A token wins over e-mail and key; that is assumed.
    fn authenticate(&self, request: &Request<'_>) -> Result<(), Refusal> {
        let own = &self.credentials;
        let known =
            match (request.header("authorization"), request.header("x-auth-email"), request.header("x-auth-key")) {
                (Some(authorization), _, _) => {
                    let token =
                        authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                    token.ok_or_else(Refusal::malformed_authorization)?.1.trim() == own.token
                }
                (None, Some(email), Some(key)) => email == own.email && key == own.key,
                _ => false,
            };
        if known { Ok(()) } else { Err(Refusal::wrong_credentials()) }
    }

    /// The answer of a reader that has not yet heard of the last change.
    fn answer_stale(&mut self, request: &Request<'_>, now: Timestamp) -> Option<Answer> {
        let Route { namespace: id, target, .. } = self.admit(request).ok()?;
        if !matches!(
            (request.method, target),
            ("GET", Target::Keys | Target::Value(_) | Target::Metadata(_)) | ("POST", Target::BulkGet)
        ) {
            return None;
        }
        let before = self.account.namespace(id, operation(target)).ok()?.before_last_change();
        let answer = read(&before, target, self.switches.page_keys_max, request, now);
        Some(answer.unwrap_or_else(|refusal| refusal.answer(self.switches.refusals)))
    }

    fn answer_page(&mut self, request: &Request<'_>, answer: fn(&Listing) -> Answer) -> Option<Answer> {
        let route = self.admit(request).ok().filter(|route| route.target == Target::Keys && request.method == "GET")?;
        self.account.namespace(route.namespace, operation(route.target)).ok()?;
        Some(answer(&Listing::parse(request.query).ok()?))
    }

    fn answer_first_page_again(&mut self, request: &Request<'_>, now: Timestamp) -> Option<Answer> {
        let route = self.admit(request).ok().filter(|route| route.target == Target::Keys && request.method == "GET")?;
        let namespace = self.account.namespace(route.namespace, operation(route.target)).ok()?;
        Listing::parse(request.query).ok()?.answer_first_again(namespace, self.switches.page_keys_max, now)
    }

    fn answer_implausibly(&mut self, request: &Request<'_>, now: Timestamp) -> Option<Answer> {
        let Route { namespace: id, target, .. } = self.admit(request).ok()?;
        let (namespace, plan, _) = self.plan(request, id, target, now).ok().flatten()?;
        plan.carry_out(namespace, |at, _| at % 2 == 1);
        Some(success(&json!({ "successful_key_count": -3, "unsuccessful_keys": [] })))
    }

    fn answer_partly(&mut self, every: usize, request: &Request<'_>, now: Timestamp) -> Option<Answer> {
        let every = every.max(1);
        let Route { namespace: id, target, .. } = self.admit(request).ok()?;
        let (namespace, plan, switches) = self.plan(request, id, target, now).ok().flatten()?;
        (plan.len() >= every).then(|| {
            plan.carry_out(namespace, |at, key| (at + 1) % every == 0 || switches.unsuccessful_keys.contains(key))
        })
    }
}

impl Model for Cloudflare {
    fn answer(&mut self, request: &Request<'_>, now: Timestamp) -> Answer {
        self.handle(request, now).unwrap_or_else(|refusal| refusal.answer(self.switches.refusals))
    }

    fn answer_faulty(&mut self, fault: Fault, request: &Request<'_>, now: Timestamp) -> Option<Answer> {
        match fault {
            Fault::Throttled { retry_after } => {
                let mut answer = Refusal::too_fast().answer(self.switches.refusals);
                answer.headers.extend(retry_after.map(|wait| {
                    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                    ("retry-after", seconds.to_string())
                }));
                Some(answer)
            }
            Fault::ThrottledUnderSuccess => Some(Refusal::too_fast().answer_under(200)),
            Fault::EmptyPage => self.answer_page(request, Listing::answer_empty),
            Fault::StuckPage => self.answer_page(request, Listing::answer_stuck),
            Fault::FirstPageAgain => self.answer_first_page_again(request, now),
            Fault::Implausible => self.answer_implausibly(request, now),
            Fault::Stale => self.answer_stale(request, now),
            Fault::PartlyUnsuccessful { every } => self.answer_partly(every, request, now),
            _ => None,
        }
    }

    fn is_write(&self, request: &Request<'_>) -> bool {
        matches!(request.method, "PUT" | "DELETE") || request.path.ends_with("/bulk/delete")
    }

    fn quota_headers(&self, quota: &Quota) -> Vec<(&'static str, String)> {
        vec![
            ("ratelimit", format!("\"default\";r={};t={}", quota.remaining, quota.reset_seconds)),
            ("ratelimit-policy", format!("\"default\";q={};w={}", quota.requests, quota.window.as_secs())),
        ]
    }

    fn keys(&self, now: Timestamp) -> Vec<String> {
        let namespace = self.account.peek(&self.namespace_id);
        namespace.map_or_else(Vec::new, |all| all.walk("", None, now).map(|(key, _)| key.to_owned()).collect())
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.credentials.token.clone(), self.credentials.key.clone()]
    }
}

/// The requests that change nothing.
fn read(
    namespace: &Namespace,
    target: Target<'_>,
    page_keys_max: usize,
    request: &Request<'_>,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    let key_of = |segment| {
        let key = decode_key(segment)?;
        check_key(&key)?;
        Ok(key)
    };
    match target {
        Target::Keys => Ok(Listing::parse(request.query)?.answer(namespace, page_keys_max, now)),
        Target::Value(segment) => single::read(namespace, &key_of(segment)?, now),
        Target::Metadata(segment) => single::read_metadata(namespace, &key_of(segment)?, now),
        Target::BulkGet => bulk::get(namespace, request, now),
        _ => Err(Refusal::method_not_allowed(request.method)),
    }
}

/// What a refusal calls the reading of `target`.
fn operation(target: Target<'_>) -> &'static str {
    match target {
        Target::Keys => "list keys",
        Target::BulkGet => "bulk get keys",
        _ => "get",
    }
}

/// Assumed: only single writes count, and a refused one does not.
fn admit_write(
    written: &mut BTreeMap<(String, String), Timestamp>,
    id: &str,
    key: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    let place = (id.to_owned(), key.to_owned());
    if written.get(&place).is_some_and(|last| now.saturating_since(*last) < WRITE_INTERVAL) {
        return Err(Refusal::too_fast());
    }
    written.insert(place, now);
    Ok(())
}
