//! What the stores of several reports support, side by side: rows of a table in any form.

use kv_conformance::kv_api::Support;
use kv_conformance::{Fact, FactValue, Report, Requests};

use crate::render::{Column, Ending, totals};

/// Before the name of an operation, which may be that of a capability too.
pub(crate) const REQUESTS: &str = "requests of ";

/// Rows about one subject.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug)]
pub(crate) struct Row {
    /// The name of the capability, or of the operation after [`REQUESTS`], the same in every version.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) cells: Vec<Cell>,
}

/// What one store says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
    /// What there is room for in a page alone.
    pub(crate) note: Option<String>,
}

/// How a cell looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// With all guarantees.
    Full,
    /// With a race window, after an opt-in.
    Weak,
    /// Not at all.
    Absent,
    /// A number or a text.
    Plain,
    /// Something is wrong.
    Bad,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone, note: None }
    }

    /// Nothing is reported, or nothing is supported.
    fn absent() -> Self {
        Self::new("-", Tone::Absent)
    }

    fn of_fact(value: &FactValue) -> Self {
        match value {
            FactValue::Support(Support::None) | FactValue::Flag(false) => Self::absent(),
            FactValue::Support(Support::BestEffort) => Self::new("opt-in", Tone::Weak),
            FactValue::Support(_) | FactValue::Flag(true) => Self::new(value.to_string(), Tone::Full),
            value => Self::new(value.to_string(), Tone::Plain),
        }
    }

    fn of_requests(requests: &Requests) -> Self {
        match requests {
            Requests::Counted(number) => Self::new(number.to_string(), Tone::Plain),
            Requests::NotCounted => Self::new("·", Tone::Plain),
            Requests::NotSupported => Self::absent(),
            Requests::Failed(text) => Self { note: Some(text.clone()), ..Self::new("failed", Tone::Bad) },
            // From a later version of the suite.
            _ => Self::new("?", Tone::Plain),
        }
    }
}

/// Everything that the reports say: what became of the cases, the capabilities by subject, and the requests.
pub(crate) fn groups(columns: &[Column<'_>]) -> Vec<Group> {
    let mut groups = vec![cases(columns)];
    groups.retain(|group| !group.rows.is_empty());
    groups.extend(capabilities_and_requests(columns));
    groups
}

/// The same without what became of the cases.
pub(crate) fn capabilities_and_requests(columns: &[Column<'_>]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let facts = union(columns, |report| report.capabilities.iter().collect(), |fact: &&Fact| fact.name.clone());
    for fact in facts {
        let cells =
            columns.iter().map(|column| find(column.report, &fact.name).map_or_else(Cell::absent, Cell::of_fact));
        let row = Row { name: fact.name.clone(), title: fact.title.clone(), cells: cells.collect() };
        let title = fact.group.to_string();
        match groups.iter_mut().find(|group| group.title == title) {
            Some(group) => group.rows.push(row),
            None => groups.push(Group { title, rows: vec![row] }),
        }
    }
    groups.push(operations(columns));
    groups.retain(|group| !group.rows.is_empty());
    groups
}

/// What a report says of a capability.
pub(crate) fn find<'r>(report: &'r Report, name: &str) -> Option<&'r FactValue> {
    report.capabilities.iter().find(|fact| fact.name == name).map(|fact| &fact.value)
}

fn cases(columns: &[Column<'_>]) -> Group {
    let outcomes = || columns.iter().flat_map(|column| column.report.cases.iter().map(|case| &case.outcome));
    let row = |ending: Ending| {
        let cells = columns.iter().map(|column| {
            let cases = column.report.cases.iter();
            let count = cases.filter(|case| Ending::of(&case.outcome) == ending).count();
            match count {
                0 => Cell::absent(),
                count if ending.is_ok() => Cell::new(count.to_string(), Tone::Plain),
                count => Cell::new(count.to_string(), Tone::Bad),
            }
        });
        Row { name: ending.class().to_owned(), title: ending.word().to_owned(), cells: cells.collect() }
    };
    Group { title: "cases".to_owned(), rows: totals(outcomes()).into_iter().map(|(ending, _)| row(ending)).collect() }
}

fn operations(columns: &[Column<'_>]) -> Group {
    let names =
        union(columns, |report| report.operations.iter().map(|noted| noted.operation.clone()).collect(), Clone::clone);
    let row = |name: String| {
        let cells = columns.iter().map(|column| {
            let noted = column.report.operations.iter().find(|noted| noted.operation == name);
            noted.map_or_else(Cell::absent, |noted| Cell::of_requests(&noted.requests))
        });
        Row { name: format!("{REQUESTS}{name}"), cells: cells.collect(), title: name }
    };
    Group { title: "requests for one call".to_owned(), rows: names.into_iter().map(row).collect() }
}

/// What any of the reports names, each once. One that a report names beside others stays beside them.
fn union<'r, T>(columns: &[Column<'r>], items: impl Fn(&'r Report) -> Vec<T>, name: impl Fn(&T) -> String) -> Vec<T> {
    let mut all: Vec<T> = Vec::new();
    for column in columns {
        let mut place = 0;
        for item in items(column.report) {
            match all.iter().position(|known| name(known) == name(&item)) {
                Some(known) => place = known + 1,
                None => {
                    all.insert(place, item);
                    place += 1;
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{all_outcomes, report};

    #[test]
    fn what_one_report_lacks_is_no_promise() {
        let (one, mut other) = (all_outcomes(), report(&["set_1_a"]));
        other.capabilities.remove(0);
        let groups = groups(&[Column::alone(&one), Column::alone(&other)]);
        let titles: Vec<&str> = groups.iter().map(|group| group.title.as_str()).collect();
        assert_eq!(titles, ["cases", "expiry", "limits", "requests for one call"]);
        let texts = |row: &Row| row.cells.iter().map(|cell| cell.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&groups[1].rows[0]), ["native", "-"]);
        assert_eq!(texts(&groups[2].rows[0]), ["512", "512"]);
        assert_eq!(texts(&groups[3].rows[1]), ["-", "-"]);
        let failed = groups[0].rows.iter().find(|row| row.name == "failed").expect("failures are said");
        assert_eq!(failed.cells, [Cell::new("1", Tone::Bad), Cell::absent()]);
    }

    #[test]
    fn a_limit_of_one_store_stands_where_it_names_it() {
        let (mut one, mut other) = (report(&[]), report(&[]));
        one.capabilities.clear();
        let named = |name: &str| Fact { name: name.to_owned(), ..report(&[]).capabilities[0].clone() };
        one.capabilities = ["a", "b", "d"].map(named).to_vec();
        other.capabilities = ["a", "c", "d", "e"].map(named).to_vec();
        let groups = groups(&[Column::alone(&one), Column::alone(&other)]);
        let rows = &groups.iter().find(|group| group.title == "expiry").expect("the group of the facts").rows;
        assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<String>(), "acbde");
    }
}
