//! Runs tests of real servers, and says which were not run for lack of one.

use std::fmt::{self, Debug, Display};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use kv_conformance::{Case, Harness, Verdict};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::System;

/// A test that needs a server: a case of the suite, or an asynchronous function.
pub struct Test {
    name: String,
    systems: Vec<System>,
    takes_given: bool,
    body: Box<dyn FnOnce() -> BoxFuture<'static, Result<(), String>> + Send>,
}

/// How the body of a [`Test`] may end: in `()`, or in a `Result`, as for `#[test]`. It fails by a panic too.
pub trait Ending {
    /// What went wrong, in words.
    ///
    /// # Errors
    /// That.
    fn verdict(self) -> Result<(), String>;
}

impl Ending for () {
    fn verdict(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Display> Ending for Result<(), E> {
    fn verdict(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

impl Test {
    /// A test of this name, run on a tokio runtime of its own with two threads. [`tests!`](crate::tests) takes the name
    /// from the function.
    pub fn new<F>(name: impl Into<String>, body: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output: Ending> + Send + 'static,
    {
        let body = Box::new(|| -> BoxFuture<'static, Result<(), String>> {
            let run = body();
            Box::pin(async { run.await.verdict() })
        });
        Self { name: name.into(), systems: Vec::new(), takes_given: false, body }
    }

    /// It uses the server that is [given](System::given), where one is, and needs no private one then.
    #[must_use]
    pub const fn takes_given(mut self) -> Self {
        self.takes_given = true;
        self
    }

    /// It needs this system too, beside the one that [`run`] is about.
    #[must_use]
    pub fn needs(mut self, system: System) -> Self {
        self.systems.push(system);
        self
    }
}

impl Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Test").field(&self.name).finish()
    }
}

/// Tests of these asynchronous functions, named as they are written: `tests![a, module::b]` is a `Vec` of
/// [`Test`](crate::Test).
#[macro_export]
macro_rules! tests {
    ($($function:path),* $(,)?) => {
        ::std::vec![$($crate::Test::new(::std::stringify!($function), $function)),*]
    };
}

/// Every case of the suite on what this harness opens, as `NAME::CASE`. Where the harness opens a server that is given,
/// add [`takes_given`](Test::takes_given) to each.
pub fn suite(name: &str, harness: impl Harness + 'static) -> Vec<Test> {
    let harness: Arc<dyn Harness> = Arc::new(harness);
    let test = |case: &'static Case| {
        let name = format!("{name}::{}", case.name());
        let (title, harness) = (name.clone(), Arc::clone(&harness));
        Test::new(name, move || async move {
            let outcome = case.run(&*harness).await;
            match outcome.verdict() {
                Verdict::Kept => Ok(()),
                Verdict::Said => {
                    say(&format!("{title}: {outcome}"));
                    Ok(())
                }
                Verdict::Broken => Err(format!("{title}: {outcome}")),
            }
        })
    };
    Case::ALL.iter().map(test).collect()
}

/// The `main` of a test with `harness = false`: runs the tests as `cargo test` asks for it, with its usual arguments.
///
/// Where a program is missing that a test needs, it is *ignored*: it counts as not run, and what to install is
/// said on the standard error output. `KV_TEST_REQUIRE`, a comma-separated list of the names of systems, makes that a
/// failure.
///
/// ```no_run
/// use kv_servers::{Redis, RedisOptions, System, Test, tests};
///
/// async fn answers() -> kv_servers::Result<()> {
///     let redis = Redis::start(RedisOptions::new()).await?;
///     assert_eq!(redis.command(&["PING"]).await?.to_string(), "PONG");
///     Ok(())
/// }
///
/// fn main() -> std::process::ExitCode {
///     kv_servers::run(System::Redis, tests![answers])
/// }
/// ```
#[must_use]
pub fn run(system: System, tests: Vec<Test>) -> ExitCode {
    let list = std::env::var_os("KV_TEST_REQUIRE").unwrap_or_default();
    let required = match required(&list.to_string_lossy()) {
        Ok(required) => required,
        Err(error) => {
            say(&error);
            return ExitCode::FAILURE;
        }
    };
    let arguments = Arguments::from_args();
    let mut said = Vec::new();
    let mut missing = |system: System, takes_given: bool| {
        if takes_given && system.given().is_some() {
            return None;
        }
        let text = system.available().err()?.to_string();
        if !said.contains(&text) {
            say(&format!("NOT RUN: {text}"));
            said.push(text.clone());
        }
        Some(Missing { text, fails: required.contains(&system) })
    };
    let trials = tests.into_iter().map(|test| {
        let needed = std::iter::once(system).chain(test.systems.iter().copied());
        let missing = needed.filter_map(|system| missing(system, test.takes_given)).max_by_key(|missing| missing.fails);
        trial(test, missing)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// What a test lacks, and whether that is a failure.
struct Missing {
    text: String,
    fails: bool,
}

fn trial(test: Test, missing: Option<Missing>) -> Trial {
    let Test { name, body, .. } = test;
    match missing {
        None => Trial::test(name, || run_body(body).map_err(Failed::from)),
        Some(Missing { text, fails: true }) => Trial::test(name, || Err(Failed::from(text))),
        // Ignored in a list of tests, and where it is run all the same.
        Some(Missing { text, fails: false }) => {
            Trial::ignorable_test(name, || Ok(Completion::ignored_with(text))).with_ignored_flag(true)
        }
    }
}

fn run_body(body: Box<dyn FnOnce() -> BoxFuture<'static, Result<(), String>> + Send>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| format!("no runtime for the test: {error}"))?.block_on(body())
}

/// The systems of a comma-separated list.
fn required(list: &str) -> Result<Vec<System>, String> {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let find = |name: &str| {
        let found = System::ALL.iter().copied().find(|system| system.name() == name);
        // A misspelt name must not lead to tests that nobody misses.
        found.ok_or_else(|| format!("KV_TEST_REQUIRE names {name:?}; there are: {}", names_of_all()))
    };
    names.map(find).collect()
}

fn names_of_all() -> String {
    System::ALL.iter().map(|system| system.name()).collect::<Vec<_>>().join(", ")
}

/// Past what captures the output of tests. If it cannot be written, nobody reads.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use kv_conformance::Fixture;

    use super::*;
    use crate::Error;

    #[test]
    fn a_misspelt_requirement_is_an_error() {
        assert_eq!(required(""), Ok(Vec::new()));
        assert_eq!(required("redis, postgres,"), Ok(vec![System::Redis, System::Postgres]));
        let error = required("redis,postgresql").unwrap_err();
        assert!(error.contains("postgresql") && error.contains("redis-cluster, postgres, pgbouncer"), "{error}");
    }

    /// Opens a store in memory, or fails.
    struct Memory {
        fails: bool,
    }

    #[kv_conformance::async_trait]
    impl Harness for Memory {
        async fn open(&self) -> kv_api::Result<Fixture> {
            if self.fails {
                return Err(Error::Missing { system: System::Redis, program: "on-purpose" }.into());
            }
            Ok(Fixture::new(kv_api::Store::new(kv_memory::MemoryStore::new())).embedded())
        }
    }

    #[test]
    fn the_suite_is_a_test_for_each_case() {
        let tests = suite("memory", Memory { fails: false });
        assert_eq!(tests.len(), Case::ALL.len());
        let verdict = |fails: bool, case: &str| {
            let tests = suite("memory", Memory { fails });
            let test = tests.into_iter().find(|test| test.name == format!("memory::{case}")).unwrap();
            run_body(test.body)
        };
        assert_eq!(verdict(false, "cap_3_the_declaration_makes_sense"), Ok(()));
        // Not applicable, since it has no connection that could break.
        assert_eq!(verdict(false, "err_3_a_fault_that_lasts_is_told_for_what_it_is"), Ok(()));
        // Claimed, and the harness has no time to show it in.
        let error = verdict(false, "exp_7_an_expired_entry_is_invisible_to_reads").unwrap_err();
        assert!(error.contains("NOT EXERCISED"), "{error}");
        let error = verdict(true, "cap_3_the_declaration_makes_sense").unwrap_err();
        assert!(error.starts_with("memory::cap_3") && error.contains("`on-purpose`"), "{error}");
    }

    #[test]
    fn a_body_fails_by_an_error_and_by_a_panic() {
        let outcome = |body: fn() -> Result<(), String>| run_body(Test::new("a", move || async move { body() }).body);
        assert_eq!(outcome(|| Ok(())), Ok(()));
        assert_eq!(outcome(|| Err("no".to_owned())), Err("no".to_owned()));
        assert!(std::panic::catch_unwind(|| outcome(|| panic!("on purpose"))).is_err());
    }
}
