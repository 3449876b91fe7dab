//! Reports side by side: the cases of all, by family and rule.

use kv_conformance::{CaseReport, Outcome, Report};

use super::ending::Ending;

/// A report, and what it is called beside others.
#[derive(Clone, Debug)]
pub(crate) struct Column<'r> {
    pub(crate) name: String,
    pub(crate) report: &'r Report,
}

impl<'r> Column<'r> {
    /// A report that stands alone.
    pub(crate) fn alone(report: &'r Report) -> Self {
        Self { name: report.system.clone(), report }
    }
}

/// The rules whose ids begin alike.
#[derive(Debug)]
pub(crate) struct Family<'r> {
    pub(crate) id: &'r str,
    pub(crate) rules: Vec<Rule<'r>>,
}

#[derive(Debug)]
pub(crate) struct Rule<'r> {
    pub(crate) id: &'r str,
    pub(crate) cases: Vec<Row<'r>>,
}

/// A case, and what became of it in each report; `None` where a report does not have it.
#[derive(Debug)]
pub(crate) struct Row<'r> {
    pub(crate) name: &'r str,
    pub(crate) cells: Vec<Option<&'r CaseReport>>,
}

impl Family<'_> {
    /// Its name for a person.
    pub(crate) fn title(&self) -> &str {
        match self.id {
            "CHK" => "checks",
            "ERR" => "errors",
            "KEY" => "keys",
            "NS" => "namespaces",
            "VAL" => "values",
            "SET" => "set",
            "VER" => "versions",
            "EXP" => "expiry",
            "META" => "metadata",
            "GET" => "reads",
            "DEL" => "deletes",
            "LIST" => "lists",
            "CNT" => "counters",
            "BATCH" => "batches",
            "LIFE" => "the life of a store",
            "ENV" => "the envelope",
            "CAP" => "capabilities",
            "LAYER" => "layers",
            "MODEL" => "random sequences",
            id => id,
        }
    }

    pub(crate) fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        let rows = self.rules.iter().flat_map(|rule| &rule.cases);
        rows.flat_map(|row| row.cells.iter().flatten()).map(|case| &case.outcome)
    }
}

/// In the order in which the reports name them.
pub(crate) fn families<'r>(columns: &[Column<'r>]) -> Vec<Family<'r>> {
    let mut families: Vec<Family<'r>> = Vec::new();
    for (place, column) in columns.iter().enumerate() {
        for case in &column.report.cases {
            let id = case.rule.split('-').next().unwrap_or_default();
            let family = entry(&mut families, |family| family.id == id, || Family { id, rules: Vec::new() });
            let rule = || Rule { id: &case.rule, cases: Vec::new() };
            let rule = entry(&mut family.rules, |rule| rule.id == case.rule, rule);
            let row = || Row { name: &case.name, cells: vec![None; columns.len()] };
            entry(&mut rule.cases, |row| row.name == case.name, row).cells[place] = Some(case);
        }
    }
    families
}

/// What is not as it should be, and what is said of it.
#[derive(Debug)]
pub(crate) struct Failure<'r> {
    pub(crate) ending: Ending,
    pub(crate) cases: Vec<&'r CaseReport>,
    pub(crate) text: &'r str,
}

/// The failures of a report; one for all cases of which the same is said.
pub(crate) fn failures(report: &Report) -> Vec<Failure<'_>> {
    let mut failures: Vec<Failure<'_>> = Vec::new();
    for case in report.cases.iter().filter(|case| !case.outcome.is_ok()) {
        let (ending, text) = (Ending::of(&case.outcome), case.outcome.text().unwrap_or_default());
        let is_it = |failure: &Failure<'_>| (failure.ending, failure.text) == (ending, text);
        entry(&mut failures, is_it, || Failure { ending, cases: Vec::new(), text }).cases.push(case);
    }
    failures
}

/// The one that is there, or a new one at the end.
fn entry<T>(items: &mut Vec<T>, is_wanted: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> &mut T {
    let place = items.iter().position(is_wanted).unwrap_or_else(|| {
        items.push(make());
        items.len() - 1
    });
    &mut items[place]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::report;

    #[test]
    fn what_one_report_lacks_is_a_gap_and_no_pass() {
        let (one, other) = (report(&["set_1_a", "exp_1_a"]), report(&["set_1_b", "set_1_a"]));
        let columns = [Column::alone(&one), Column::alone(&other)];
        let families = families(&columns);
        let found: Vec<_> = families.iter().map(|family| (family.id, family.rules.len())).collect();
        assert_eq!(found, [("SET", 1), ("EXP", 1)]);
        let rows: Vec<_> = families[0].rules[0].cases.iter().map(|row| (row.name, row.cells[0].is_some())).collect();
        assert_eq!(rows, [("set_1_a", true), ("set_1_b", false)]);
        assert_eq!(families[0].outcomes().count(), 3);
    }
}
