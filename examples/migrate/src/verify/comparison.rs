//! Reads what is not yet known of keys, and says what differs.

use std::fmt;
use std::mem;
use std::time::Duration;

use futures_util::future;
use kv_api::{Capabilities, MinTtl, Store, Support};

use super::candidate::{Candidate, Known, Size, State};
use super::entries::Entries;
use super::fingerprint::{Fingerprint, Fingerprints};
use super::lookup::{Lookup, Wanted};
use super::report::{Difference, DifferenceMark, Verification, What};
use super::window::Window;
use super::{DIFFERENCES_MAX, DIFFERING_BYTES_MAX, VerifyOptions};
use crate::context::Context;
use crate::error::Result;
use crate::loss::Loss;
use crate::progress::Side;
use crate::record::RecordExpiry;

/// Reads what is not yet known of keys, says what differs, and counts.
pub(super) struct Comparison<'c, 'x> {
    source: Option<Lookup<'c, 'x>>,
    target: Option<Lookup<'c, 'x>>,
    context: &'c Context<'x>,
    how: &'c VerifyOptions,
    window: Window,
    /// What the target cannot keep, and may have lost.
    loses_expiry: bool,
    loses_metadata: bool,
    /// What is looked at again.
    differing: Vec<Candidate>,
    /// Of their keys.
    differing_bytes: usize,
    pub(super) verification: Verification,
    found: &'c mut (dyn FnMut(Difference) + Send),
}

/// What came of comparing a key.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// No side has it, or only the target where that is not looked for.
    Nothing,
    Expired,
    Same {
        expiry_reported: bool,
    },
    Differs(DifferenceMark, What),
}

impl<'c, 'x> Comparison<'c, 'x> {
    pub(super) fn new(
        sides: [&'c Entries<'_>; 2],
        context: &'c Context<'x>,
        how: &'c VerifyOptions,
        fingerprints: &'c Fingerprints,
        found: &'c mut (dyn FnMut(Difference) + Send),
    ) -> Self {
        let lookup = |entries: &'c Entries<'_>, side| {
            entries.store().map(|store| Lookup::new(store, side, fingerprints, context))
        };
        let [source, target] = sides;
        let options = context.options;
        let rounding = source.expiry_resolution().max(target.expiry_resolution());
        let kept = target.store().map(Store::capabilities);
        let may_lose = |loss, keeps: &dyn Fn(&Capabilities) -> bool| {
            options.allow_loss.contains(&loss) && kept.is_some_and(|kept| !keeps(kept))
        };
        let min_ttl = kept.filter(|_| how.min_ttl == MinTtl::RoundUp).map_or(Duration::ZERO, |kept| kept.expiry_min);
        let keeps_expiry = |kept: &Capabilities| kept.ttl != Support::None || kept.expire_at != Support::None;
        Self {
            loses_expiry: may_lose(Loss::Expiry, &keeps_expiry),
            loses_metadata: may_lose(Loss::Metadata, &|kept| kept.metadata != Support::None),
            source: lookup(source, Side::Source),
            target: lookup(target, Side::Target),
            context,
            how,
            window: Window { started: how.started, now: options.clock.now(), rounding, min_ttl },
            differing: Vec::new(),
            differing_bytes: 0,
            verification: Verification::default(),
            found,
        }
    }

    pub(super) const fn is_both_ways(&self) -> bool {
        self.how.both_ways
    }

    pub(super) const fn window(&self) -> &Window {
        &self.window
    }

    /// A key of which nothing is known yet.
    pub(super) const fn blank(&self) -> Known {
        Known {
            source: State::before(self.source.is_some()),
            target: State::before(self.target.is_some()),
            source_names_it: false,
            target_names_it: false,
            line: None,
            size: Size::UNKNOWN,
            passed_over: 0,
        }
    }

    /// Says how far it has come, and how much of a file has been read.
    pub(super) fn report(&self, bytes: Option<(u64, u64)>) {
        self.context.progressed(self.verification.entries(), bytes);
    }

    /// Compares these keys.
    pub(super) async fn compare(&mut self, mut candidates: Vec<Candidate>) -> Result<()> {
        self.read(&mut candidates).await?;
        self.window.now = self.context.options.clock.now();
        // A file does not change.
        let rechecks = self.how.recheck && (self.source.is_some() || self.target.is_some());
        for candidate in candidates {
            match self.judge(&candidate.known) {
                Verdict::Differs(..) if rechecks => {
                    self.differing_bytes += candidate.key.len();
                    self.differing.push(candidate);
                }
                verdict => self.settle(candidate, verdict),
            }
        }
        let are_many = self.differing.len() >= DIFFERENCES_MAX || self.differing_bytes >= DIFFERING_BYTES_MAX;
        if are_many { self.recheck().await } else { Ok(()) }
    }

    /// Reads again from the stores what differed. What is the same now has changed meanwhile.
    pub(super) async fn recheck(&mut self) -> Result<()> {
        let mut again = mem::take(&mut self.differing);
        self.differing_bytes = 0;
        for Candidate { known, .. } in &mut again {
            if self.source.is_some() {
                known.source = State::Unread;
            }
            if self.target.is_some() {
                known.target = State::Unread;
            }
        }
        self.read(&mut again).await?;
        self.window.now = self.context.options.clock.now();
        for candidate in again {
            let verdict = self.judge(&candidate.known);
            if !matches!(verdict, Verdict::Differs(..)) {
                self.verification.changed_meanwhile += 1;
            }
            self.settle(candidate, verdict);
        }
        Ok(())
    }

    async fn read(&mut self, candidates: &mut [Candidate]) -> Result<()> {
        let is_size_known = candidates.iter().all(|candidate| candidate.known.size != Size::UNKNOWN);
        if is_size_known {
            let (of_source, of_target) = (self.wanted_of_source(candidates), self.wanted_of_target(candidates));
            let (source, target) = (read(self.source.as_mut(), &of_source), read(self.target.as_mut(), &of_target));
            let (source, target) = future::try_join(source, target).await?;
            fill(candidates, source, |known| &mut known.source);
            fill(candidates, target, |known| &mut known.target);
        } else {
            // An entry of the target is about as large as that of the source.
            let wanted = self.wanted_of_source(candidates);
            let source = read(self.source.as_mut(), &wanted).await?;
            fill(candidates, source, |known| &mut known.source);
            let wanted = self.wanted_of_target(candidates);
            let target = read(self.target.as_mut(), &wanted).await?;
            fill(candidates, target, |known| &mut known.target);
        }
        Ok(())
    }

    fn wanted_of_source(&self, candidates: &[Candidate]) -> Vec<Wanted> {
        let unread = candidates.iter().filter(|candidate| candidate.known.source.is_unread());
        unread
            .map(|Candidate { key, known }| Wanted {
                key: key.clone(),
                bytes: known.size.bytes(),
                is_named: known.source_names_it,
            })
            .collect()
    }

    /// A key that becomes none of the target stands there for one that cannot be: it is not in the target.
    fn wanted_of_target(&self, candidates: &[Candidate]) -> Vec<Wanted> {
        let unread = candidates.iter().filter(|candidate| candidate.known.target.is_unread());
        unread
            .map(|Candidate { key, known }| Wanted {
                key: self.context.options.rewrite.target_key(key.as_str()).unwrap_or_default(),
                bytes: known.size.bytes(),
                is_named: known.target_names_it,
            })
            .collect()
    }

    fn judge(&self, known: &Known) -> Verdict {
        match (known.source, known.target) {
            (State::Absent | State::Unread, State::Absent | State::Unread) => Verdict::Nothing,
            (State::Absent | State::Unread, _) if !self.how.both_ways => Verdict::Nothing,
            (State::Absent | State::Unread, State::Entry(found)) if self.window.may_have_expired(found.expiry()) => {
                Verdict::Expired
            }
            (State::Absent | State::Unread, _) => Verdict::Differs(DifferenceMark::OnlyInTarget, What::Extra),
            (State::NoValue, State::Absent) => Verdict::Differs(DifferenceMark::OnlyInSource, What::NoValue),
            (State::NoValue, _) => Verdict::Differs(DifferenceMark::Different, What::NoValue),
            (State::Entry(expected), State::Absent | State::Unread) => {
                if self.window.has_expired(expected.expiry()) {
                    Verdict::Expired
                } else {
                    Verdict::Differs(DifferenceMark::OnlyInSource, What::Missing)
                }
            }
            (State::Entry(_), State::NoValue) => Verdict::Differs(DifferenceMark::Different, What::Kind),
            (State::Entry(expected), State::Entry(found)) => self.judge_entries(&expected, &found),
        }
    }

    fn judge_entries(&self, expected: &Fingerprint, found: &Fingerprint) -> Verdict {
        let what = if expected.kind != found.kind {
            What::Kind
        } else if expected.value != found.value {
            What::Value
        } else if expected.metadata.filter(|_| !self.loses_metadata) != found.metadata {
            What::Metadata
        } else {
            let expiry = match expected.expiry() {
                _ if self.loses_expiry => RecordExpiry::Never,
                RecordExpiry::Unknown if self.context.options.keeps_unknown_expiry() => RecordExpiry::Never,
                expiry => expiry,
            };
            match self.window.same_expiry(expiry, found.expiry()) {
                Some(true) => return Verdict::Same { expiry_reported: true },
                None => return Verdict::Same { expiry_reported: false },
                Some(false) => What::Expiry,
            }
        };
        Verdict::Differs(DifferenceMark::Different, what)
    }

    fn settle(&mut self, candidate: Candidate, verdict: Verdict) {
        let Candidate { key, known } = candidate;
        let verification = &mut self.verification;
        verification.expired += u64::from(known.passed_over);
        let (mark, what) = match verdict {
            Verdict::Nothing => {
                // Only a file of keys says where a key stands that is not there.
                verification.missing += u64::from(known.line.is_some());
                return;
            }
            Verdict::Expired => {
                verification.expired += 1;
                return;
            }
            Verdict::Same { expiry_reported } => {
                verification.compared += 1;
                verification.same += 1;
                verification.expiry_not_reported += u64::from(!expiry_reported);
                return;
            }
            Verdict::Differs(mark, what) => (mark, what),
        };
        verification.no_value += u64::from(what == What::NoValue);
        let key = match mark {
            DifferenceMark::OnlyInSource => {
                verification.compared += 1;
                verification.only_in_source += 1;
                key
            }
            DifferenceMark::Different => {
                verification.compared += 1;
                verification.different += 1;
                key
            }
            DifferenceMark::OnlyInTarget => {
                verification.only_in_target += 1;
                self.context.options.rewrite.target_key(key.as_str()).unwrap_or(key)
            }
        };
        (self.found)(Difference { key, line: known.line.map(Into::into), mark, what });
    }
}

async fn read(lookup: Option<&mut Lookup<'_, '_>>, wanted: &[Wanted]) -> Result<Vec<(State, u64)>> {
    match lookup {
        Some(lookup) => lookup.read(wanted).await,
        None => Ok(Vec::new()),
    }
}

/// Puts what was read where it was unread.
fn fill(candidates: &mut [Candidate], states: Vec<(State, u64)>, side: impl Fn(&mut Known) -> &mut State) {
    let unread = candidates.iter_mut().map(|candidate| &mut candidate.known).filter_map(|known| {
        let is_unread = side(known).is_unread();
        is_unread.then_some(known)
    });
    for (known, (state, bytes)) in unread.zip(states) {
        if bytes > 0 && known.size == Size::UNKNOWN {
            known.size = Size::of(Some(bytes));
        }
        *side(known) = state;
    }
}

impl fmt::Debug for Comparison<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comparison").field("how", &self.how).finish_non_exhaustive()
    }
}
