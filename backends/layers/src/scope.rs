//! The scope of a layer over several backends (NS-3).

/// Made of names in their order, each with its length before it, so that no two lists of names read alike.
pub(crate) fn scope_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("{}:{name}", name.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ns_3_the_form_is_stable() {
        // A change here makes every stored cursor that of another store.
        assert_eq!(scope_of(["", "memory", "a:1"]), "0:6:memory3:a:1");
    }

    proptest! {
        #[test]
        fn ns_3_other_names_make_another_scope(
            one in prop::collection::vec("[0-9:]{0,4}", 0..5),
            other in prop::collection::vec("[0-9:]{0,4}", 0..5),
        ) {
            let scope = |names: &[String]| scope_of(names.iter().map(String::as_str));
            prop_assert_eq!(scope(&one) == scope(&other), one == other);
        }
    }
}
