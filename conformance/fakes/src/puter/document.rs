//! Paths into a value, and what incr, update, add and remove do at the end of them.
//!
//! The program turns a path into an expression of the storage: each segment becomes a name made of its letters, digits
//! and underscores alone, with a table of what the names stand for. So two segments can become one name, and the last
//! of them counts for both.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use crate::javascript::number_of;
use crate::json::{Map, Number, Value};

/// What no object may have as a member name, and no path as a segment.
pub(super) const RESERVED_NAMES: [&str; 3] = ["__proto__", "constructor", "prototype"];

type Result<T> = std::result::Result<T, Refusal>;

/// One step down into a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

/// Whether brackets at the end of a segment are an index into an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brackets {
    /// They are lost on the way to a name, which then stands for nothing.
    Lost,
    Index,
}

/// Refuses reserved names in paths.
pub(super) fn check_paths<'a>(paths: impl IntoIterator<Item = &'a str>) -> Result<()> {
    for segment in paths.into_iter().flat_map(|path| path.split('.')) {
        let segment = split_brackets(segment).0;
        if RESERVED_NAMES.contains(&segment) {
            return Err(Refusal::bad_request(format!("kv: path segment `{segment}` is not allowed")));
        }
    }
    Ok(())
}

/// Makes the objects that the paths lead through, where they are missing. What is made stays, whatever the request
/// comes to.
pub(super) fn create_parents(value: &mut Option<Value>, paths: &[&str]) -> Result<()> {
    if paths.iter().all(|path| path.is_empty()) {
        return Ok(());
    }
    let mut nested = Value::Object(Map::new());
    let mut layers: Vec<Vec<&str>> = Vec::new();
    for path in paths {
        let segments: Vec<&str> = segments(path).collect();
        let mut place = &mut nested;
        for depth in 1..segments.len() {
            // Brackets are a part of the name here.
            place = &mut place[segments[depth - 1]];
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            layers.push(segments[..depth].to_vec());
        }
    }
    match value {
        None => {
            *value = Some(nested);
            return Ok(());
        }
        Some(own) if *own == nested => return Ok(()),
        Some(_) => {}
    }
    layers.sort_by_key(Vec::len);
    for layer in layers {
        let steps = steps(&layer, &names(layer.iter().copied()), Brackets::Lost)?;
        if get(value.as_ref(), &steps).is_none() {
            set(value, &steps, Value::Object(Map::new()))?;
        }
    }
    Ok(())
}

/// The paths of one request that sets something at each.
pub(super) fn paths_to_set(paths: &[&str]) -> Result<Vec<Vec<Step>>> {
    resolve(paths, Brackets::Lost)
}

/// Sets everything or nothing. The new values were computed from the old one.
pub(super) fn set_all(value: &mut Option<Value>, changes: Vec<(Vec<Step>, Value)>) -> Result<()> {
    let mut changed = value.clone();
    for (steps, new) in changes {
        set(&mut changed, &steps, new)?;
    }
    *value = changed;
    Ok(())
}

/// What is at the end of the steps.
pub(super) fn get<'a>(value: Option<&'a Value>, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(value?, |value, step| match (value, step) {
        (Value::Object(members), Step::Name(name)) => members.get(name),
        (Value::Array(items), Step::Index(index)) => items.get(*index),
        _ => None,
    })
}

/// The sum, with whole numbers counted exactly beyond what the program can read. Fractions are summed as doubles, while
/// the storage has decimals of 38 digits.
pub(super) fn sum(old: Option<&Value>, by: Number) -> Result<Value> {
    let old = match old {
        None => Number::Unsigned(0),
        Some(Value::Number(old)) => *old,
        Some(_) => return Err(Refusal::wrong_operand()),
    };
    if let Some(sum) = old.as_i64().zip(by.as_i64()).and_then(|(old, by)| old.checked_add(by)) {
        return Ok(Value::from(sum));
    }
    Ok(number_of(old.as_f64() + by.as_f64()))
}

/// The array with more at its end: all elements of an array, or any other value as one.
pub(super) fn appended(old: Option<&Value>, more: Value) -> Result<Value> {
    let mut items = match old {
        None => Vec::new(),
        Some(Value::Array(items)) => items.clone(),
        Some(_) => return Err(Refusal::wrong_operand()),
    };
    match more {
        Value::Array(more) => items.extend(more),
        more => items.push(more),
    }
    Ok(Value::Array(items))
}

/// Removes what is at the end of the paths, and whether it did: where one leads nowhere nothing at all is removed.
pub(super) fn remove(value: &mut Option<Value>, paths: &[&str]) -> bool {
    let Ok(mut resolved) = resolve(paths, Brackets::Index) else { return false };
    let mut changed = value.clone();
    // Indexes count as they were, so the last goes first.
    resolved.sort();
    for steps in resolved.iter().rev() {
        let Some((last, parents)) = steps.split_last() else {
            changed = None;
            continue;
        };
        match (get_mut(changed.as_mut(), parents), last) {
            (Some(Value::Object(members)), Step::Name(name)) => {
                members.remove(name);
            }
            (Some(Value::Array(items)), Step::Index(index)) => {
                if *index < items.len() {
                    items.remove(*index);
                }
            }
            _ => return false,
        }
    }
    *value = changed;
    true
}

fn get_mut<'a>(value: Option<&'a mut Value>, steps: &[Step]) -> Option<&'a mut Value> {
    steps.iter().try_fold(value?, |value, step| match (value, step) {
        (Value::Object(members), Step::Name(name)) => members.get_mut(name),
        (Value::Array(items), Step::Index(index)) => items.get_mut(*index),
        _ => None,
    })
}

fn set(value: &mut Option<Value>, steps: &[Step], new: Value) -> Result<()> {
    let Some((last, parents)) = steps.split_last() else {
        *value = Some(new);
        return Ok(());
    };
    match (get_mut(value.as_mut(), parents), last) {
        (Some(Value::Object(members)), Step::Name(name)) => {
            members.insert(name.clone(), new);
            Ok(())
        }
        _ => Err(Refusal::invalid_document_path()),
    }
}

fn resolve(paths: &[&str], brackets: Brackets) -> Result<Vec<Vec<Step>>> {
    let names = names(paths.iter().flat_map(|path| segments(path)));
    let mut resolved: Vec<Vec<Step>> = Vec::with_capacity(paths.len());
    for path in paths {
        let steps = steps(&segments(path).collect::<Vec<_>>(), &names, brackets)?;
        if resolved.iter().any(|other| other.starts_with(&steps) || steps.starts_with(other)) {
            return Err(Refusal::storage(
                "Invalid UpdateExpression: Two document paths overlap with each other; must remove or rewrite one of these \
                 paths",
            ));
        }
        resolved.push(steps);
    }
    Ok(resolved)
}

/// Repeated dots, and dots at an end, add nothing.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('.').filter(|segment| !segment.is_empty())
}

/// What each name of an expression stands for.
fn names<'a>(segments: impl Iterator<Item = &'a str>) -> BTreeMap<String, &'a str> {
    let mut names: BTreeMap<String, &str> =
        segments.map(|segment| split_brackets(segment).0).map(|segment| (expression_name(segment), segment)).collect();
    // The one that every expression begins with.
    names.insert("value".to_owned(), "value");
    names
}

fn steps(segments: &[&str], names: &BTreeMap<String, &str>, brackets: Brackets) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for segment in segments {
        let (own, indexes) = match brackets {
            Brackets::Lost => (*segment, ""),
            Brackets::Index => split_brackets(segment),
        };
        let name = expression_name(own);
        if name.is_empty() {
            return Err(Refusal::storage("Invalid UpdateExpression: Syntax error"));
        }
        let Some(own) = names.get(&name) else {
            return Err(Refusal::storage(format!(
                "Invalid UpdateExpression: An expression attribute name used in the document path is not defined; attribute \
                 name: #{name}"
            )));
        };
        steps.push(Step::Name((*own).to_owned()));
        for index in indexes.split_terminator(']') {
            let index = index.strip_prefix('[').and_then(|index| index.parse().ok());
            steps.push(Step::Index(index.ok_or_else(|| Refusal::storage("Invalid UpdateExpression: Syntax error"))?));
        }
    }
    Ok(steps)
}

fn expression_name(segment: &str) -> String {
    segment.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '_').collect()
}

/// A segment up to its first index in brackets, and the rest.
fn split_brackets(segment: &str) -> (&str, &str) {
    let opening = segment.match_indices('[').map(|(at, _)| at).find(|at| {
        let inside = segment[at + 1..].trim_start_matches(|character: char| character.is_ascii_digit());
        inside.starts_with(']')
    });
    segment.split_at(opening.unwrap_or(segment.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::json;

    fn created(value: Option<Value>, paths: &[&str]) -> Result<Option<Value>> {
        let mut value = value;
        create_parents(&mut value, paths).map(|()| value)
    }

    #[test]
    fn parents_are_created_where_there_are_none() {
        let check =
            |value, paths: &[&str], expected| assert_eq!(created(value, paths), Ok(Some(expected)), "{paths:?}");
        assert_eq!(created(None, &["", "."]), Ok(Some(json!({}))));
        assert_eq!(created(None, &[""]), Ok(None));
        check(None, &["a", "b.c.d", "b.e.f"], json!({"b": {"c": {}, "e": {}}}));
        check(Some(json!({"b": {"x": 1}, "y": 2})), &["b.c.d"], json!({"b": {"x": 1, "c": {}}, "y": 2}));
        check(Some(json!({"b": 1})), &["b.c"], json!({"b": 1}));
        assert_eq!(created(Some(json!(1)), &["b.c"]), Err(Refusal::invalid_document_path()));
        assert_eq!(created(Some(json!({"b": 1})), &["b.c.d"]), Err(Refusal::invalid_document_path()));
    }

    #[test]
    fn segments_become_names_and_may_clash() {
        let check = |paths: &[&str], expected: &[&[&str]]| {
            let expected: Vec<Vec<Step>> =
                expected.iter().map(|path| path.iter().map(|name| Step::Name((*name).to_owned())).collect()).collect();
            assert_eq!(paths_to_set(paths), Ok(expected), "{paths:?}");
        };
        check(&[""], &[&[]]);
        check(&["a..b.", "c"], &[&["a", "b"], &["c"]]);
        check(&["a-b"], &[&["a-b"]]);
        check(&["x.a-b", "y.ab"], &[&["x", "ab"], &["y", "ab"]]);
        check(&["l[]"], &[&["l"]]);
        // The name that the value itself has stands for nothing else.
        check(&["val-ue"], &[&["value"]]);
        for (paths, text) in [
            (&["a-b", "ab"][..], "overlap"),
            (&["", "a"], "overlap"),
            (&["a.b", "a"], "overlap"),
            (&["l[1]"], "attribute name: #l1"),
            (&["-"], "Syntax"),
        ] {
            let refused = paths_to_set(paths).unwrap_err();
            assert!(refused.message.contains(text) && refused.status == 400, "{paths:?}: {refused:?}");
        }
    }

    #[test]
    fn removal_is_whole_or_none() {
        let check = |paths: &[&str], expected: Option<Value>| {
            let mut value = Some(json!({"a": 1, "b": {"c": 2}, "l": [0, 1, 2, [3, 4]]}));
            assert!(remove(&mut value, paths), "{paths:?}");
            assert_eq!(value, expected, "{paths:?}");
        };
        check(&["a", "b.c"], Some(json!({"b": {}, "l": [0, 1, 2, [3, 4]]})));
        check(&["l[0]", "l[2]", "l[3][1]"], Some(json!({"a": 1, "b": {"c": 2}, "l": [1, [3]]})));
        check(&[""], None);
        let untouched = json!({"a": 1, "b": {"c": 2}, "l": [0, 1, 2, [3, 4]]});
        check(&["x", "l[9]"], Some(untouched.clone()));
        for paths in [&["a", "x.y"][..], &["a", "a"], &["l[]"], &["-"], &["a.b"], &["a", "b[0]"]] {
            let mut value = Some(untouched.clone());
            assert!(!remove(&mut value, paths), "{paths:?}");
            assert_eq!(value.as_ref(), Some(&untouched), "{paths:?}");
        }
    }

    #[test]
    fn sums_stay_exact_beyond_what_a_double_holds() {
        let sum = |old: Option<Value>, by: i64| sum(old.as_ref(), Number::from(by));
        assert_eq!(sum(Some(json!(9_007_199_254_740_992_i64)), 1), Ok(json!(9_007_199_254_740_993_i64)));
        assert_eq!(sum(Some(json!(0.5)), 1), Ok(json!(1.5)));
        assert_eq!(sum(Some(json!(-0.5)), 0), Ok(json!(-0.5)));
        assert_eq!(sum(None, 3), Ok(json!(3)));
        assert_eq!(sum(Some(json!("1")), 1), Err(Refusal::wrong_operand()));
        assert_eq!(sum(Some(json!(null)), 1), Err(Refusal::wrong_operand()));
    }
}
