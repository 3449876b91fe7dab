//! The namespaces of the account: create, list, get, rename, remove.

use std::collections::BTreeMap;

use super::namespace::Namespace;
use super::refusal::{Refusal, page, success};
use super::route::parameter;
use super::single::nothing;
use crate::json::{Dialect, Value, json, parse_bytes};
use crate::model::{Answer, Request};

/// Characters a title may have.
const TITLE_MAX: usize = 512;
/// How many namespaces are on a page where nothing is said, and how many may be.
const PAGE_DEFAULT: usize = 20;
const PAGE_MAX: usize = 1000;

/// Namespaces by their id: 32 hex digits in lower case.
#[derive(Debug, Default)]
pub(super) struct Account {
    namespaces: BTreeMap<String, Namespace>,
    created: u128,
}

impl Account {
    /// With one namespace, which is there from the beginning.
    pub(super) fn with_namespace(id: &str, title: &str) -> Self {
        let namespaces = BTreeMap::from([(normalized(id), Namespace::new(title.to_owned()))]);
        Self { namespaces, created: 0 }
    }

    /// `operation` as the system names it in its refusal.
    pub(super) fn namespace(&mut self, id: &str, operation: &str) -> Result<&mut Namespace, Refusal> {
        let id = check_id(id)?;
        self.namespaces.get_mut(&id).ok_or_else(|| Refusal::namespace_not_found(operation))
    }

    /// Without any refusal, for tests that look inside.
    pub(super) fn peek(&self, id: &str) -> Option<&Namespace> {
        self.namespaces.get(&normalized(id))
    }

    pub(super) fn create(&mut self, request: &Request<'_>) -> Result<Answer, Refusal> {
        let title = title_of(request)?;
        if self.namespaces.values().any(|namespace| namespace.title == title) {
            return Err(Refusal::duplicate_title());
        }
        // Counted, so that two runs of a test see the same ids, and far from any that a test is likely to choose.
        let id = loop {
            self.created += 1;
            let id = format!("fa4e{:028x}", self.created);
            if !self.namespaces.contains_key(&id) {
                break id;
            }
        };
        let answer = success(&shown(&id, &title));
        self.namespaces.insert(id, Namespace::new(title));
        Ok(answer)
    }

    /// Assumed: ordered by id where nothing is said.
    pub(super) fn list(&self, query: &str) -> Result<Answer, Refusal> {
        let number = |name: &str, default: usize, max: usize| match parameter(query, name) {
            None => Ok(default),
            Some(text) => {
                let number = text.parse().ok().filter(|number| (1..=max).contains(number));
                number.ok_or_else(|| Refusal::bad_request(format!("{name}: expected a number from 1 to {max}")))
            }
        };
        let (number_of_page, per_page) = (number("page", 1, usize::MAX)?, number("per_page", PAGE_DEFAULT, PAGE_MAX)?);
        let mut all: Vec<_> = self.namespaces.iter().map(|(id, namespace)| (id, &namespace.title)).collect();
        match parameter(query, "order").as_deref() {
            None | Some("id") => {}
            Some("title") => all.sort_by_key(|(_, title)| *title),
            Some(_) => return Err(Refusal::bad_request("order: expected \"id\" or \"title\"")),
        }
        match parameter(query, "direction").as_deref() {
            None | Some("asc") => {}
            Some("desc") => all.reverse(),
            Some(_) => return Err(Refusal::bad_request("direction: expected \"asc\" or \"desc\"")),
        }
        let shown: Vec<_> = all
            .iter()
            .skip((number_of_page - 1).saturating_mul(per_page))
            .take(per_page)
            .map(|(id, title)| shown(id, title))
            .collect();
        let info = json!({
            "count": shown.len(),
            "page": number_of_page,
            "per_page": per_page,
            "total_count": all.len(),
            "total_pages": all.len().div_ceil(per_page),
        });
        Ok(page(&shown, &info))
    }

    pub(super) fn get(&mut self, id: &str) -> Result<Answer, Refusal> {
        let title = self.namespace(id, "get namespace")?.title.clone();
        Ok(success(&shown(&normalized(id), &title)))
    }

    pub(super) fn rename(&mut self, id: &str, request: &Request<'_>) -> Result<Answer, Refusal> {
        self.namespace(id, "rename namespace")?;
        let (id, title) = (normalized(id), title_of(request)?);
        if self.namespaces.iter().any(|(other, namespace)| *other != id && namespace.title == title) {
            return Err(Refusal::duplicate_title());
        }
        let answer = success(&shown(&id, &title));
        self.namespace(&id, "rename namespace")?.title = title;
        Ok(answer)
    }

    pub(super) fn remove(&mut self, id: &str) -> Result<Answer, Refusal> {
        self.namespace(id, "remove namespace")?;
        self.namespaces.remove(&normalized(id));
        Ok(nothing())
    }
}

fn shown(id: &str, title: &str) -> Value {
    json!({ "id": id, "title": title, "supports_url_encoding": true })
}

/// The id as it is kept, if it is an id at all.
pub(super) fn check_id(id: &str) -> Result<String, Refusal> {
    let normalized = normalized(id);
    if normalized.len() == 32 && normalized.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(normalized)
    } else {
        Err(Refusal::malformed_namespace_id(id))
    }
}

/// Assumed: an id may be written as any form of UUID.
fn normalized(id: &str) -> String {
    id.replace('-', "").to_ascii_lowercase()
}

fn title_of(request: &Request<'_>) -> Result<String, Refusal> {
    let body = parse_bytes(request.body, Dialect::JavaScript)
        .map_err(|_| Refusal::bad_request("Invalid JSON request body"))?;
    match &body["title"] {
        Value::String(title) if (1..=TITLE_MAX).contains(&title.chars().count()) => Ok(title.clone()),
        _ => Err(Refusal::bad_title()),
    }
}
