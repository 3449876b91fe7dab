//! Glob patterns as Redis has them.

/// Whether the whole of `text` fits `pattern`: `*` any run of characters, `?` one, `[abc]`, `[a-z]` and `[^a-z]` one of
/// a set, and `\` before a character makes it stand for itself.
///
/// As in Redis, a set that is not closed ends with the pattern, the ends of a range may come in either order, and a
/// backslash that ends the pattern means itself. Unlike in Redis, which counts bytes, a character is a Unicode one.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut place) = (0, 0);
    // Where the last star was, and how far the text was when it had taken as little as was left to try. Only the last
    // one counts: whatever an earlier one could still give up, the last can take.
    let mut retry: Option<(usize, usize)> = None;
    while place < text.len() {
        if pattern.get(at) == Some(&'*') {
            at += 1;
            retry = Some((at, place));
        } else if let Some(next) = step(&pattern, at, text[place]) {
            at = next;
            place += 1;
        } else if let Some((after_star, taken)) = retry {
            at = after_star;
            place = taken + 1;
            retry = Some((after_star, place));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&sign| sign == '*')
}

/// The place in the pattern after the one sign at `at`, when that sign (no star) stands for `character`.
fn step(pattern: &[char], at: usize, character: char) -> Option<usize> {
    match *pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => {
            let (found, next) = set(pattern, at + 1, character);
            found.then_some(next)
        }
        '\\' if at + 1 < pattern.len() => (pattern[at + 1] == character).then_some(at + 2),
        literal => (literal == character).then_some(at + 1),
    }
}

/// Whether the set whose first sign is at `at` holds `character`, and where the pattern goes on after it.
fn set(pattern: &[char], mut at: usize, character: char) -> (bool, usize) {
    let negated = pattern.get(at) == Some(&'^');
    at += usize::from(negated);
    let mut found = false;
    while let Some(&sign) = pattern.get(at) {
        match sign {
            ']' => return (found != negated, at + 1),
            '\\' if at + 1 < pattern.len() => {
                found |= pattern[at + 1] == character;
                at += 2;
            }
            first if pattern.get(at + 1) == Some(&'-') && at + 2 < pattern.len() => {
                let last = pattern[at + 2];
                found |= (first.min(last)..=first.max(last)).contains(&character);
                at += 3;
            }
            member => {
                found |= member == character;
                at += 1;
            }
        }
    }
    (found != negated, at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn signs_mean_what_they_mean_in_redis() {
        let check = |pattern, text, expected| assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
        check("", "", true);
        check("", "a", false);
        check("*", "", true);
        check("**", "anything/at all", true);
        check("user:*", "user:1", true);
        check("user:*", "User:1", false);
        check("*1", "user:11", true);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "a-c-b", false);
        check("h?llo", "hello", true);
        check("h?llo", "hllo", false);
        check("?", "é", true);
        check("h[ae]llo", "hallo", true);
        check("h[ae]llo", "hillo", false);
        check("h[^e]llo", "hallo", true);
        check("h[^e]llo", "hello", false);
        check("[a-c]", "b", true);
        check("[c-a]", "b", true);
        check("[a-c]", "-", false);
        // The bracket is the end of the range, not of the set.
        check("[a-]", "_", true);
        check("[a-]", "-", false);
        check(r"[\]]", "]", true);
        check(r"[\-z]", "-", true);
        check("[abc", "b", true);
        check("[]", "a", false);
        check("[^]", "a", true);
        check(r"\*", "*", true);
        check(r"\*", "a", false);
        check(r"\[a\]\?\\", r"[a]?\", true);
        check(r"a\", r"a\", true);
        check("a*", "a\nb", true);
    }

    /// The plainest reading of the same rules: try every way a star can be read.
    fn matches_by_trying(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|taken| matches_by_trying(rest, &text[taken..])),
            ['?', rest @ ..] => !text.is_empty() && matches_by_trying(rest, &text[1..]),
            ['\\', literal, rest @ ..] => text.first() == Some(literal) && matches_by_trying(rest, &text[1..]),
            ['[', rest @ ..] => {
                let (negated, mut rest) = match rest {
                    ['^', rest @ ..] => (true, rest),
                    rest => (false, rest),
                };
                let Some(&character) = text.first() else { return false };
                let mut members: Vec<(char, char)> = Vec::new();
                loop {
                    rest = match rest {
                        [] => break,
                        [']', rest @ ..] => {
                            let found = members.iter().any(|&(low, high)| low <= character && character <= high);
                            return found != negated && matches_by_trying(rest, &text[1..]);
                        }
                        ['\\', literal, rest @ ..] => {
                            members.push((*literal, *literal));
                            rest
                        }
                        [first, '-', last, rest @ ..] => {
                            members.push((*first.min(last), *first.max(last)));
                            rest
                        }
                        [member, rest @ ..] => {
                            members.push((*member, *member));
                            rest
                        }
                    };
                }
                let found = members.iter().any(|&(low, high)| low <= character && character <= high);
                found != negated && text.len() == 1
            }
            [literal, rest @ ..] => text.first() == Some(literal) && matches_by_trying(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_trying_every_way(pattern in r"[ab*?\[\]^\\\-é]{0,10}", text in r"[ab*?\[\]^\\\-é]{0,8}") {
            let (signs, characters): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), matches_by_trying(&signs, &characters));
        }

        #[test]
        fn an_escaped_prefix_means_itself(prefix in any::<String>(), rest in any::<String>(), other in any::<String>()) {
            let escaped: String = prefix
                .chars()
                .flat_map(|c| "*?[]^-\\".contains(c).then_some('\\').into_iter().chain([c]))
                .chain(['*'])
                .collect();
            prop_assert!(matches(&escaped, &[prefix.as_str(), &rest].concat()));
            prop_assert_eq!(matches(&escaped, &other), other.starts_with(&prefix));
        }
    }
}
