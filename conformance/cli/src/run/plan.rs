//! Which cases are run, and in which order.

use std::collections::HashMap;
use std::time::Duration;

use kv_api::RequestRate;
use kv_conformance::Case;

use super::rehearsal::Estimate;
use crate::arguments::Profile;
use crate::figures::{approximate, grouped};

/// The longest that a case of the quick profile waits for time to pass.
pub(crate) const QUICK_WAITS: Duration = Duration::from_secs(5);

/// The most requests of a case of the quick profile.
pub(crate) const QUICK_REQUESTS: u64 = 250;

/// How many cases that wait run side by side, where each has connections of its own.
pub(crate) const WAITING_MAX: usize = 16;

/// What a run keeps to.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) profile: Profile,
    pub(crate) filter: Filter,
    pub(crate) requests: Option<u64>,
    /// How many of them are spent already, or kept for later.
    pub(crate) spent: u64,
    pub(crate) time: Option<Duration>,
    pub(crate) rate: Option<RequestRate>,
    /// How long a call takes.
    pub(crate) latency: Duration,
    pub(crate) concurrency: usize,
}

/// Rules, families of rules and names of cases; all where there are none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter(Vec<String>);

impl Filter {
    /// # Errors
    /// Which of them names no case.
    pub(crate) fn parse(wanted: &[String]) -> Result<Self, String> {
        let filter = Self(wanted.iter().map(|wanted| wanted.to_uppercase().replace('-', "_")).collect());
        let names_none = |word: &str| !Case::ALL.iter().any(|case| is_named(case, word));
        match wanted.iter().zip(&filter.0).find(|(_, word)| names_none(word)) {
            Some((wanted, _)) => Err(format!(
                "no case is named by {}: write a rule (SET-3), a family of rules (SET) or the name of a case",
                kv_api::Escaped(wanted)
            )),
            None => Ok(filter),
        }
    }

    /// The cases that it names.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = &'static Case> {
        Case::ALL.iter().filter(|case| self.chooses(case))
    }

    fn chooses(&self, case: &Case) -> bool {
        self.0.is_empty() || self.0.iter().any(|word| is_named(case, word))
    }
}

/// Whether words that a name begins with are these: `SET`, `SET_3`, or all of them.
fn is_named(case: &Case, word: &str) -> bool {
    let rest = case.name().to_uppercase();
    rest.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// What is run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Those that wait for time to pass, the longest wait first.
    pub(crate) waiting: Vec<&'static Case>,
    pub(crate) others: Vec<&'static Case>,
    /// Why the rest is not run, by name.
    pub(crate) left_out: HashMap<&'static str, String>,
    /// What it takes, at least.
    pub(crate) requests: u64,
    pub(crate) time: Duration,
    /// How many of those that wait are run side by side.
    pub(crate) waiting_at_once: usize,
}

/// Chooses and orders cases, of those that the filter names.
pub(crate) fn plan(estimates: &[Estimate], limits: &Limits) -> Plan {
    let of_others = Case::ALL.iter().filter(|case| !limits.filter.chooses(case));
    let mut left_out: HashMap<&'static str, String> =
        of_others.map(|case| (case.name(), "the filter does not name it".to_owned())).collect();
    let mut chosen = Vec::new();
    let mut estimates = estimates.to_vec();
    estimates.sort_by_key(|estimate| Case::ALL.iter().position(|case| case.name() == estimate.case.name()));
    for estimate in &estimates {
        match reason_against(estimate, limits) {
            Some(reason) => drop(left_out.insert(estimate.case.name(), reason)),
            None => chosen.push(*estimate),
        }
    }
    // The cheapest first, so that a budget shows as many rules as it can.
    let mut by_price = chosen.clone();
    by_price.sort_by_key(|estimate| estimate.requests);
    let allowed = limits.requests_allowed();
    let mut requests: u64 = 0;
    for estimate in by_price {
        let with_it = requests.saturating_add(estimate.requests);
        match &allowed {
            Some((most, name)) if with_it > *most => {
                let takes = grouped(estimate.requests);
                let reason = format!("the budget of {name} has no room for its {takes} requests");
                left_out.insert(estimate.case.name(), reason);
            }
            _ => requests = with_it,
        }
    }
    chosen.retain(|estimate| !left_out.contains_key(estimate.case.name()));
    let (mut waiting, others): (Vec<&Estimate>, Vec<&Estimate>) =
        chosen.iter().partition(|estimate| !estimate.waits.is_zero());
    waiting.sort_by_key(|estimate| std::cmp::Reverse(estimate.waits));
    let waiting_at_once = if limits.rate.is_some() { waiting.len() } else { waiting.len().min(WAITING_MAX) };
    let time = limits.time_for(&waiting, waiting_at_once, requests);
    let cases = |estimates: Vec<&Estimate>| estimates.into_iter().map(|estimate| estimate.case).collect();
    let (waiting, others) = (cases(waiting), cases(others));
    Plan { waiting, others, left_out, requests, time, waiting_at_once: waiting_at_once.max(1) }
}

/// Why a case is left out whatever else is run.
fn reason_against(estimate: &Estimate, limits: &Limits) -> Option<String> {
    let Estimate { requests, waits, .. } = estimate;
    if limits.profile == Profile::Quick && *waits > QUICK_WAITS {
        return Some(format!("the profile quick: it waits for {}", approximate(*waits)));
    }
    if limits.profile == Profile::Quick && *requests > QUICK_REQUESTS {
        return Some(format!("the profile quick: it takes {} requests", grouped(*requests)));
    }
    match limits.time {
        Some(time) if *waits >= time => {
            Some(format!("the budget of {} seconds: it waits for {}", time.as_secs(), approximate(*waits)))
        }
        _ => None,
    }
}

impl Limits {
    /// The most requests, and by which budget.
    fn requests_allowed(&self) -> Option<(u64, String)> {
        let left = |requests: u64| (requests.saturating_sub(self.spent), format!("{} requests", grouped(requests)));
        let by_requests = self.requests.map(left);
        let by_time = self.time.map(|time| (self.requests_in(time), format!("{} seconds", time.as_secs())));
        by_requests.into_iter().chain(by_time).min_by_key(|(requests, _)| *requests)
    }

    /// How many requests a time has room for.
    fn requests_in(&self, time: Duration) -> u64 {
        let one_after_another = time.as_micros().checked_div(self.latency.as_micros()).unwrap_or(u128::MAX);
        let side_by_side = one_after_another.saturating_mul(self.concurrency.max(1) as u128);
        let by_rate = self.rate.map_or(u128::MAX, |rate| {
            let steadily = time.as_micros().saturating_mul(rate.requests.into()).checked_div(rate.per.as_micros());
            // What may go at once, and then the rest of the rate.
            steadily.unwrap_or(u128::MAX)
        });
        u64::try_from(side_by_side.min(by_rate)).unwrap_or(u64::MAX)
    }

    /// About how long it takes.
    fn time_for(&self, waiting: &[&Estimate], at_once: usize, requests: u64) -> Duration {
        let longest = waiting.iter().map(|estimate| estimate.waits).max().unwrap_or_default();
        let all: Duration = waiting.iter().map(|estimate| estimate.waits).sum();
        let in_turns = all / u32::try_from(at_once.max(1)).unwrap_or(u32::MAX);
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        let calls = self.latency * requests / u32::try_from(self.concurrency.max(1)).unwrap_or(u32::MAX);
        let by_rate = self.rate.map_or(Duration::ZERO, |rate| rate.per * requests / rate.requests.max(1));
        longest.max(in_turns).max(calls).max(by_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            profile: Profile::Full,
            filter: Filter::default(),
            requests: None,
            spent: 0,
            time: None,
            rate: None,
            latency: Duration::from_millis(10),
            concurrency: 4,
        }
    }

    /// Of the first five cases: the first two wait.
    fn estimates() -> Vec<Estimate> {
        let waits = [100, 300, 0, 0, 0].map(Duration::from_secs);
        let figures = Case::ALL.iter().zip([10, 20, 300, 5, 1]).zip(waits);
        figures.map(|((case, requests), waits)| Estimate { case, requests, waits }).collect()
    }

    fn names(cases: &[&Case]) -> Vec<&'static str> {
        cases.iter().map(|case| case.name()).collect()
    }

    fn of(at: &[usize]) -> Vec<&'static str> {
        at.iter().map(|at| Case::ALL[*at].name()).collect()
    }

    #[test]
    fn what_waits_longest_is_begun_first_and_the_run_takes_as_long() {
        let plan = plan(&estimates(), &limits());
        assert_eq!(names(&plan.waiting), of(&[1, 0]));
        assert_eq!(names(&plan.others), of(&[2, 3, 4]));
        assert!(plan.left_out.is_empty());
        assert_eq!((plan.requests, plan.time), (336, Duration::from_secs(300)));
    }

    #[test]
    fn quick_waits_for_nothing_and_asks_for_little() {
        let plan = plan(&estimates(), &Limits { profile: Profile::Quick, ..limits() });
        assert_eq!(names(&plan.others), of(&[3, 4]));
        assert!(plan.left_out[of(&[0])[0]].contains("waits for"), "{:?}", plan.left_out);
        assert!(plan.left_out[of(&[2])[0]].contains("takes 300 requests"), "{:?}", plan.left_out);
    }

    #[test]
    fn a_budget_leaves_out_what_has_no_room_and_says_so() {
        let plan_of = |limits: Limits| plan(&estimates(), &limits);
        let plan = plan_of(Limits { requests: Some(20), spent: 4, ..limits() });
        assert_eq!((plan.requests, names(&plan.waiting), names(&plan.others)), (16, of(&[0]), of(&[3, 4])));
        assert!(plan.left_out[of(&[1])[0]].contains("20 requests has no room for its 20"), "{:?}", plan.left_out);
        let plan = plan_of(Limits { time: Some(Duration::from_secs(200)), ..limits() });
        assert_eq!(names(&plan.waiting), of(&[0]));
        // 1,200 in five minutes are 4 in one second.
        let rate = Some(RequestRate::new(1200, Duration::from_secs(300)));
        let plan = plan_of(Limits { time: Some(Duration::from_secs(2)), rate, ..limits() });
        assert_eq!((plan.requests, names(&plan.others)), (6, of(&[3, 4])));
        assert_eq!(plan_of(Limits { rate, ..limits() }).time, Duration::from_secs(300));
    }

    #[test]
    fn a_filter_names_rules_families_and_cases() {
        let chosen = |wanted: &[&str]| -> Vec<String> {
            let wanted: Vec<String> = wanted.iter().map(|wanted| (*wanted).to_owned()).collect();
            Filter::parse(&wanted).unwrap().chosen().map(Case::rule).collect()
        };
        assert!(chosen(&["set-3"]).iter().all(|rule| rule == "SET-3"));
        assert!(!chosen(&["SET-3"]).is_empty());
        assert!(chosen(&["SET"]).len() > chosen(&["SET-3"]).len());
        assert_eq!(chosen(&[Case::ALL[0].name()]).len(), 1);
        for nothing in ["", "SET-999", "S", "set-3 "] {
            assert!(Filter::parse(&[nothing.to_owned()]).is_err(), "{nothing}");
        }
    }
}
