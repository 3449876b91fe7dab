//! The kept figures, and what is said where a call costs something else now.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::callgrind::Cost;
use crate::cases::ALLOCATES_ONCE;

/// How much more or fewer instructions are as good as the same.
const ROOM: f64 = 0.03;

/// One allocation in twenty calls: what grows now and then grows with other calls in each run, as keys are spread by
/// chance. What each call allocates is held exactly.
const ALLOCATIONS_ROOM: f64 = 0.05;

const HEAD: &str = "\
# What a call costs: instructions and allocations. Made by `just costs renew` (conformance/costs/run renew).
# What is more than this fails the gate; README.md says what to do.";

/// Figures, and what they were counted with.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept {
    pub(crate) made_with: String,
    pub(crate) costs: BTreeMap<String, Cost>,
}

/// What is to be said, and whether the gate fails.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) lines: Vec<String>,
    pub(crate) fails: bool,
    dearer: usize,
}

impl Kept {
    /// Holds new figures against these.
    pub(crate) fn judge(&self, counted: &Self) -> Verdict {
        let is_comparable = self.made_with == counted.made_with;
        let mut verdict = Verdict::default();
        let mut is_stale = false;
        for (name, new) in &counted.costs {
            let Some(old) = self.costs.get(name) else {
                verdict.fail(format!("NOT KEPT     {name}: {}", figures(*new)));
                continue;
            };
            let change = new.instructions / old.instructions - 1.0;
            let allocations = new.allocations - old.allocations;
            let said = format!(
                "{name}: {} a call; kept {:.1} and {:.2} ({:+.1} %)",
                figures(*new),
                old.instructions,
                old.allocations,
                100.0 * change
            );
            if allocations > ALLOCATIONS_ROOM || (is_comparable && change > ROOM) {
                verdict.dearer += 1;
                verdict.fail(format!("COSTS MORE   {said}"));
            } else if allocations < -ALLOCATIONS_ROOM || (is_comparable && change < -ROOM) {
                is_stale = true;
                verdict.lines.push(format!("costs less   {said}"));
            } else if change.abs() > ROOM {
                is_stale = true;
                verdict.lines.push(format!("other count  {said}"));
            }
        }
        for name in self.costs.keys().filter(|name| !counted.costs.contains_key(*name)) {
            verdict.fail(format!("NOT COUNTED  {name}: it is kept, and there is no such case"));
        }
        let once = counted.costs.get(ALLOCATES_ONCE).map_or(0.0, |cost| cost.allocations);
        if (once - 1.0).abs() > ALLOCATIONS_ROOM {
            verdict.fail(format!("NOT SEEN     {ALLOCATES_ONCE} allocates once, and {once:.2} were seen"));
        }
        if !is_comparable {
            is_stale = true;
            verdict.lines.push(format!(
                "!! INSTRUCTIONS WERE NOT HELD, allocations were. Kept with {}; this is {}.",
                self.made_with, counted.made_with
            ));
        }
        if verdict.fails {
            verdict.lines.push(
                "Look for what was not meant. What is meant is kept by `just costs renew` (conformance/costs/run renew).\n\
                 Then kept.txt goes into the same commit, and its message says why."
                    .to_owned(),
            );
        } else if is_stale {
            verdict
                .lines
                .push("No failure. Keep the new figures: `just costs renew` (conformance/costs/run renew)".to_owned());
        }
        verdict.lines.push(format!(
            "{} of {} calls cost more, room {:.0} %",
            verdict.dearer,
            counted.costs.len(),
            100.0 * ROOM
        ));
        verdict
    }
}

impl Verdict {
    fn fail(&mut self, line: String) {
        self.lines.push(line);
        self.fails = true;
    }
}

fn figures(cost: Cost) -> String {
    format!("{:.1} instructions and {:.2} allocations", cost.instructions, cost.allocations)
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}\n# {}", self.made_with)?;
        for (name, Cost { instructions, allocations }) in &self.costs {
            writeln!(f, "{name:<28} {instructions:>11.1} {allocations:>9.2}")?;
        }
        Ok(())
    }
}

impl FromStr for Kept {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut kept = Self::default();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix('#') {
                comment.trim().clone_into(&mut kept.made_with);
                continue;
            }
            let columns: Vec<&str> = line.split_whitespace().collect();
            let [name, instructions, allocations] = columns[..] else {
                return Err(format!("not a name and two figures: {line}"));
            };
            let figure = |text: &str| text.parse().map_err(|_| format!("not a figure: {line}"));
            let cost = Cost { instructions: figure(instructions)?, allocations: figure(allocations)? };
            kept.costs.insert(name.to_owned(), cost);
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(costs: &[(&str, f64, f64)]) -> Kept {
        let once = [(ALLOCATES_ONCE, 100.0, 1.0)];
        let costs = once.iter().chain(costs).map(|(name, instructions, allocations)| {
            ((*name).to_owned(), Cost { instructions: *instructions, allocations: *allocations })
        });
        Kept { made_with: "rustc 1".to_owned(), costs: costs.collect() }
    }

    fn judged(new: &[(&str, f64, f64)]) -> Verdict {
        kept(&[("a", 1000.0, 2.0)]).judge(&kept(new))
    }

    #[test]
    fn what_is_written_is_read() {
        let kept = kept(&[("memory/get", 201.3, 1.0), ("memory/page", 12_345.6, 0.25)]);
        assert_eq!(kept.to_string().parse(), Ok(kept));
        assert!("memory/get 5".parse::<Kept>().is_err() && "memory/get 5 x".parse::<Kept>().is_err());
    }

    #[test]
    fn more_fails_and_says_which_call_and_what_to_run() {
        for (instructions, allocations) in [(1031.0, 2.0), (1000.0, 3.0), (900.0, 2.06)] {
            let verdict = judged(&[("a", instructions, allocations)]);
            assert!(verdict.fails, "{instructions} {allocations}");
            let text = verdict.lines.join("\n");
            assert!(
                text.contains(&format!("COSTS MORE   a: {instructions:.1} instructions and {allocations:.2} alloc"))
            );
            assert!(text.contains(" a call; kept 1000.0 and 2.00 ("));
            assert!(text.contains("just costs renew"));
        }
    }

    #[test]
    fn what_is_within_the_room_is_the_same() {
        for instructions in [971.0, 1000.0, 1029.0] {
            let verdict = judged(&[("a", instructions, 2.0)]);
            assert!(!verdict.fails && verdict.lines.len() == 1, "{:?}", verdict.lines);
        }
    }

    #[test]
    fn less_is_said_and_does_not_fail() {
        for (instructions, allocations) in [(960.0, 2.0), (1000.0, 1.0)] {
            let verdict = judged(&[("a", instructions, allocations)]);
            assert!(!verdict.fails);
            assert!(verdict.lines[0].starts_with("costs less   a: "), "{:?}", verdict.lines);
            assert!(verdict.lines[1].contains("just costs renew"));
        }
    }

    #[test]
    fn a_case_that_is_new_or_gone_fails() {
        assert!(judged(&[("a", 1000.0, 2.0), ("b", 1.0, 1.0)]).fails);
        assert!(judged(&[]).fails);
    }

    #[test]
    fn another_compiler_leaves_only_the_allocations() {
        let new = |instructions, allocations| {
            let counted = Kept { made_with: "rustc 2".to_owned(), ..kept(&[("a", instructions, allocations)]) };
            kept(&[("a", 1000.0, 2.0)]).judge(&counted)
        };
        let verdict = new(2000.0, 2.0);
        assert!(!verdict.fails);
        let text = verdict.lines.join("\n");
        assert!(text.contains("!! INSTRUCTIONS WERE NOT HELD") && text.contains("rustc 2"), "{text}");
        assert!(text.contains("other count  a: 2000.0") && text.contains("just costs renew"), "{text}");
        assert!(new(1000.0, 2.5).fails);
    }

    #[test]
    fn allocations_that_are_not_seen_fail() {
        let mut counted = kept(&[("a", 1000.0, 2.0)]);
        counted.costs.insert(ALLOCATES_ONCE.to_owned(), Cost { instructions: 100.0, allocations: 0.0 });
        assert!(kept(&[("a", 1000.0, 2.0)]).judge(&counted).fails);
    }
}
