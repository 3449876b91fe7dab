//! Keys as the server has them: `NAMESPACE:KEY`, or the key alone.

/// Between the name of a namespace and a key, and so in no name.
pub(crate) const SEPARATOR: char = ':';

/// Whether a namespace can have this name (NS-1): no colon, so that no namespace shows through another, and braces only
/// around the whole name. There they are a hash tag, which puts all keys of the namespace into one slot of a cluster;
/// elsewhere a brace would pair with one in a key.
pub(crate) fn is_namespace(name: &str) -> bool {
    let inner = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    !inner.is_empty() && !inner.contains([SEPARATOR, '{', '}'])
}

/// A pattern that matches exactly what begins with `prefix`: everything that means more than itself in a glob is
/// escaped.
pub(crate) fn starts_with_pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ns_1_no_name_reaches_into_another_namespace_or_into_a_key() {
        for name in ["a", "sessions", "{a}", "a b", "é", "*", "a/b", "0"] {
            assert!(is_namespace(name), "{name}");
        }
        for name in ["", "a:b", ":", "a:", "{", "}", "{}", "{a", "a}", "a{b}", "{a}b", "{{a}}", "{a:b}"] {
            assert!(!is_namespace(name), "{name}");
        }
    }

    #[test]
    fn list_1_a_prefix_is_literal() {
        for (prefix, pattern) in [
            ("", "*"),
            ("a:", "a:*"),
            ("a*b?c", "a\\*b\\?c*"),
            ("[a-z]", "\\[a-z\\]*"),
            ("\\", "\\\\*"),
            ("[^é", "\\[\\^é*"),
        ] {
            assert_eq!(starts_with_pattern(prefix), pattern);
        }
    }
}
