//! The namespaces themselves. They are configured, so they can be looked at and not changed.

use axum::http::StatusCode;
use kv_api::json_quoted;

use super::{Answer, OPENING, json};
use crate::fault::Fault;
use crate::gateway::Gateway;
use crate::namespaces::Namespace;
use crate::query::first;
use crate::tokens::Grant;

const PER_PAGE_DEFAULT: usize = 20;
const PER_PAGE_MAX: usize = 1000;

/// A page of those that the caller may know of.
pub(super) fn list(gateway: &Gateway, grant: &Grant, parameters: &[(String, String)]) -> Answer {
    let number = |name, default, max| match first(parameters, name).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => {
            let number = text.parse().ok().filter(|number| (1..=max).contains(number));
            number.ok_or_else(|| Fault::invalid(format!("{name} is not a number from 1 to {max}")))
        }
    };
    let page = number("page", 1, usize::MAX)?;
    let per_page = number("per_page", PER_PAGE_DEFAULT, PER_PAGE_MAX)?;
    let mut known: Vec<_> = gateway.namespaces().all().iter().filter(|one| grant.covers(one.name())).collect();
    match first(parameters, "order") {
        // The order in which they are kept.
        None | Some("" | "title") => {}
        Some("id") => known.sort_by(|left, right| left.id().cmp(right.id())),
        Some(_) => return Err(Fault::invalid("order is neither id nor title")),
    }
    match first(parameters, "direction") {
        None | Some("" | "asc") => {}
        Some("desc") => known.reverse(),
        Some(_) => return Err(Fault::invalid("direction is neither asc nor desc")),
    }
    let shown: Vec<_> = known.chunks(per_page).nth(page - 1).unwrap_or_default().iter().map(|one| shown(one)).collect();
    let (total, count) = (known.len(), shown.len());
    let info = format!(
        r#""count":{count},"page":{page},"per_page":{per_page},"total_count":{total},"total_pages":{}"#,
        total.div_ceil(per_page)
    );
    Ok(json(StatusCode::OK, format!(r#"{OPENING}[{}],"result_info":{{{info}}}}}"#, shown.join(","))))
}

pub(super) fn shown(namespace: &Namespace) -> String {
    let (id, title) = (json_quoted(namespace.id()), json_quoted(namespace.name()));
    format!(r#"{{"id":{id},"title":{title},"supports_url_encoding":true}}"#)
}

pub(super) fn configured(what: &'static str) -> Fault {
    Fault::unsupported(format!("{what} is not supported: namespaces are configured where the server is started"))
}
