//! The rules of the contract that this suite shows.

/// The ids of all rules that have cases here: each has at least one. `ENV-1` and `ENV-2` are about one form on the
/// wire, `LIFE-3` is about processes and runtimes, and `LAYER-3` and `LAYER-5` are about single layers; they are tested
/// where they concern. `MODEL` is all rules together, in random sequences.
pub const RULES: &[&str] = &[
    "CHK-1", "CHK-2", "ERR-1", "ERR-2", "ERR-3", "ERR-4", "ERR-5", "ERR-6", "ERR-7", "KEY-1", "KEY-2", "KEY-3", "NS-1",
    "NS-2", "NS-3", "NS-4", "VAL-1", "VAL-2", "VAL-3", "VAL-4", "VAL-5", "VAL-6", "VAL-7", "SET-1", "SET-2", "SET-3",
    "SET-4", "SET-5", "SET-6", "SET-7", "SET-8", "SET-9", "VER-1", "VER-2", "EXP-1", "EXP-2", "EXP-3", "EXP-4",
    "EXP-5", "EXP-6", "EXP-7", "EXP-8", "EXP-9", "EXP-10", "EXP-11", "EXP-12", "META-1", "META-2", "GET-1", "GET-2",
    "GET-3", "GET-4", "DEL-1", "DEL-2", "DEL-3", "LIST-1", "LIST-2", "LIST-3", "LIST-4", "LIST-5", "LIST-6", "LIST-7",
    "CNT-1", "CNT-2", "CNT-3", "BATCH-1", "BATCH-2", "BATCH-3", "BATCH-4", "BATCH-5", "BATCH-6", "LIFE-1", "LIFE-2",
    "ENV-3", "CAP-1", "CAP-2", "CAP-3", "CAP-4", "CAP-5", "LAYER-1", "LAYER-2", "LAYER-4", "MODEL",
];

/// What the contract says under the id of a rule, as Markdown of one line.
///
/// ```
/// let rule = kv_conformance::rule_text("SET-4").expect("the contract has this rule");
/// assert_eq!(rule, "An expired entry does not exist, for conditions too.");
/// assert_eq!(kv_conformance::rule_text("SET-99"), None);
/// ```
#[must_use]
pub fn rule_text(id: &str) -> Option<&'static str> {
    if id == "MODEL" {
        return Some(
            "All rules together, in random sequences of calls that are compared with a model of the contract.",
        );
    }
    let rows = kv_api::_semantics::MARKDOWN.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.filter_map(|row| row.split_once(" | ")).find(|(found, _)| *found == id).map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;

    #[test]
    fn every_rule_has_a_case_and_every_case_a_rule() {
        let mut without: Vec<&str> = RULES.to_vec();
        for case in Case::ALL {
            let rule = case.rule();
            assert!(RULES.contains(&rule.as_str()), "{} is of no rule", case.name());
            without.retain(|id| *id != rule);
        }
        assert!(without.is_empty(), "without a case: {without:?}");
        for id in RULES {
            assert!(rule_text(id).is_some_and(|text| !text.is_empty()), "{id} has no text");
        }
    }

    #[test]
    fn every_rule_of_the_contract_is_tried_here_or_known_to_be_tested_elsewhere() {
        const ELSEWHERE: [&str; 5] = ["LIFE-3", "ENV-1", "ENV-2", "LAYER-3", "LAYER-5"];
        let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../kv-api/docs/semantics.md");
        let contract = std::fs::read_to_string(contract).expect("the contract lies beside this package");
        let ids = contract.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")).map(|(id, _)| id);
        let ids: Vec<&str> = ids.filter(|id| id.ends_with(|end: char| end.is_ascii_digit())).collect();
        let known: Vec<&str> = RULES.iter().copied().filter(|rule| *rule != "MODEL").chain(ELSEWHERE).collect();
        for id in &ids {
            assert!(known.contains(id), "{id} has no case");
        }
        assert_eq!(ids.len(), known.len(), "a rule here is not in the contract");
    }

    #[test]
    fn no_two_cases_have_one_name() {
        let mut names: Vec<&str> = Case::ALL.iter().map(Case::name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
