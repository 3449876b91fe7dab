//! What is counted: calls, in the order in which they are made.

mod memory;
#[cfg(costs)]
mod wire;

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use kv_api::Value;

use crate::Result;

/// The case that shows that allocations are seen.
pub(crate) const ALLOCATES_ONCE: &str = "gauge/one-allocation";

/// Some calls of one kind.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// How many calls are made; a page or a batch is one.
    pub(crate) calls: usize,
    /// Makes everything that the calls need, so that making it is not counted.
    prepare: fn(usize) -> Result<Calls>,
}

type Calls = Box<dyn FnOnce() -> Result<()>>;

/// Those whose names hold one of `names`; all without names. The gauge is always among them.
pub(crate) fn named(names: &[String]) -> impl Iterator<Item = Case> {
    let mut cases = vec![Case { name: ALLOCATES_ONCE, calls: 1000, prepare: one_allocation }];
    cases.extend(memory::cases());
    #[cfg(costs)]
    cases.extend(wire::cases());
    let is_named = |case: &Case| case.name == ALLOCATES_ONCE || names.iter().any(|name| case.name.contains(&**name));
    cases.into_iter().filter(move |case| names.is_empty() || is_named(case))
}

/// Runs them, each once before it is counted: what is made by the first call is left out.
pub(crate) fn run(names: &[String]) -> Result<()> {
    for case in named(names) {
        let Case { name, calls, prepare } = case;
        let failed = |error| format!("{name}: {error}");
        prepare(calls)?().map_err(failed)?;
        measured(prepare(calls)?).map_err(failed)?;
    }
    Ok(())
}

/// What runs in here is counted.
#[inline(never)]
fn measured(calls: Calls) -> Result<()> {
    calls()
}

fn one_allocation(calls: usize) -> Result<Calls> {
    each(vec![0_u64; calls], |number| Ok::<_, kv_api::Error>(Box::new(number)))
}

/// One call for each of the inputs, which are there before.
fn each<I: 'static, T, E: Into<Box<dyn std::error::Error>>>(
    inputs: Vec<I>,
    call: impl Fn(I) -> std::result::Result<T, E> + 'static,
) -> Result<Calls> {
    Ok(Box::new(move || {
        for input in inputs {
            black_box(call(black_box(input)).map_err(Into::into)?);
        }
        Ok(())
    }))
}

/// The answer of a call that need not wait. No runtime: it would be counted too.
fn at_once<T>(call: impl Future<Output = T>) -> std::result::Result<T, kv_api::Error> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Ok(answer),
        Poll::Pending => Err(kv_api::Error::new(kv_api::ErrorKind::Internal, "the call waits for something")),
    }
}

/// How many items a batch has, and a page.
const MANY: usize = 100;

/// A key of 24 bytes; those with neighbouring numbers are neighbours.
fn key(number: usize) -> &'static str {
    format!("user/item-{number:014}").leak()
}

fn keys(count: usize) -> Vec<&'static str> {
    (0..count).map(key).collect()
}

/// 100 bytes, as text: the value of all entries. A copy of it allocates nothing.
fn value() -> Value {
    let text: &'static str = "v".repeat(100).leak();
    let value = Value::from(text);
    // The first copy makes what the others share.
    drop(value.clone());
    value
}
