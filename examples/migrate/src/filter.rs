//! Which keys are copied.

use std::fmt;

use kv_api::Escaped;
use regex::RegexSet;

/// Which keys are copied: those that match one of the globs to include, or all where there is none, and none of the
/// globs to exclude. By default every key. It looks at the keys of the source, before a
/// [`Rewrite`](crate::Rewrite).
///
/// A glob must match the whole key, and upper and lower case differ (KEY-3). A key is no path, so nothing is special
/// about `/` or a line break.
///
/// | glob | matches |
/// | --- | --- |
/// | `*` | any characters, also none |
/// | `?` | one character, in the sense of Unicode |
/// | `[abc]`, `[a-z]` | one of these characters; `]` first, `-` first or last, and `\` are characters too |
/// | `[!abc]`, `[^abc]` | one character that is none of these |
/// | `{one,two*}` | one of the globs in it; they can be nested, and empty |
/// | `\*` | the character behind the `\`, literally |
/// | anything else | itself |
///
/// ```
/// use kv_migrate::Filter;
/// let filter = Filter::new(["user/*", "{a,b}?"], ["*/tmp"])?;
/// assert!(filter.admits("user/1/name"));
/// assert!(filter.admits("bé"));
/// assert!(!filter.admits("user/1/tmp"));
/// assert!(!filter.admits("other"));
/// assert!(Filter::default().admits("other"));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Default)]
pub struct Filter {
    include: Globs,
    exclude: Globs,
}

#[derive(Clone, Default)]
struct Globs {
    globs: Vec<String>,
    set: RegexSet,
}

impl Filter {
    /// A filter of these globs.
    ///
    /// # Errors
    /// What is wrong with a glob, in one line that names it.
    pub fn new<T: AsRef<str>>(
        include: impl IntoIterator<Item = T>,
        exclude: impl IntoIterator<Item = T>,
    ) -> Result<Self, String> {
        Ok(Self { include: Globs::new(include)?, exclude: Globs::new(exclude)? })
    }

    /// Whether a key of the source is to be copied.
    #[must_use]
    pub fn admits(&self, key: &str) -> bool {
        (self.include.globs.is_empty() || self.include.set.is_match(key)) && !self.exclude.set.is_match(key)
    }
}

impl Globs {
    fn new<T: AsRef<str>>(globs: impl IntoIterator<Item = T>) -> Result<Self, String> {
        let globs: Vec<String> = globs.into_iter().map(|glob| glob.as_ref().to_owned()).collect();
        let mut patterns = Vec::with_capacity(globs.len());
        for glob in &globs {
            let pattern =
                pattern(glob).map_err(|problem| format!("the glob {:?}: {problem}", Escaped(glob).to_string()))?;
            patterns.push(pattern);
        }
        // Only their size can be wrong by now.
        let set = RegexSet::new(patterns).map_err(|_| "the globs are too large, or nested too deeply".to_owned())?;
        Ok(Self { globs, set })
    }
}

/// The regular expression that means the same. The crates for globs work on paths, and match `?` and classes byte by
/// byte.
fn pattern(glob: &str) -> Result<String, &'static str> {
    let mut pattern = String::from(r"(?s)\A");
    let mut braces = 0_usize;
    let mut rest = glob.chars();
    while let Some(char) = rest.next() {
        match char {
            '*' => pattern.push_str(".*"),
            '?' => pattern.push('.'),
            '[' => push_class(&mut rest, &mut pattern)?,
            '{' => {
                braces += 1;
                pattern.push_str("(?:");
            }
            '}' => {
                braces = braces.checked_sub(1).ok_or("a } closes nothing; write \\} for the character")?;
                pattern.push(')');
            }
            ',' if braces > 0 => pattern.push('|'),
            '\\' => push_literal(rest.next().ok_or("nothing follows the \\ at its end")?, &mut pattern),
            literal => push_literal(literal, &mut pattern),
        }
    }
    if braces > 0 {
        return Err("a { is not closed; write \\{ for the character");
    }
    pattern.push_str(r"\z");
    Ok(pattern)
}

/// What follows a `[`, to its `]`.
fn push_class(rest: &mut std::str::Chars<'_>, pattern: &mut String) -> Result<(), &'static str> {
    const OPEN: &str = "a [ is not closed; write \\[ for the character";
    pattern.push('[');
    if let Some(after) = rest.as_str().strip_prefix(['!', '^']) {
        *rest = after.chars();
        pattern.push('^');
    }
    let mut from = rest.next().ok_or(OPEN)?; // a `]` too, since no class is empty
    loop {
        let range = rest.as_str().strip_prefix('-').filter(|after| !after.starts_with(']'));
        push_literal(from, pattern);
        if let Some(after) = range {
            *rest = after.chars();
            let to = rest.next().ok_or(OPEN)?;
            if to < from {
                return Err("a range in [ ] ends before it begins");
            }
            pattern.push('-');
            push_literal(to, pattern);
        }
        match rest.next().ok_or(OPEN)? {
            ']' => break,
            next => from = next,
        }
    }
    pattern.push(']');
    Ok(())
}

fn push_literal(char: char, pattern: &mut String) {
    pattern.push_str(&regex::escape(char.encode_utf8(&mut [0; 4])));
}

/// The globs.
impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { include, exclude } = self;
        f.debug_struct("Filter").field("include", &include.globs).field("exclude", &exclude.globs).finish()
    }
}

/// Of the same globs.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.include.globs == other.include.globs && self.exclude.globs == other.exclude.globs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(glob: &str, key: &str) -> bool {
        Filter::new([glob], []).unwrap().admits(key)
    }

    #[test]
    fn a_glob_matches_the_whole_key_character_by_character() {
        for (glob, key) in [
            ("", ""),
            ("*", "a/b\n\u{1f600}"),
            ("a*c", "a/b\nc"),
            ("a**c", "ac"),
            ("?", "é"),
            ("?", "/"),
            ("?", "\n"),
            ("日?語", "日本語"),
            ("[é]", "é"),
            ("[à-ê]?", "é!"),
            ("[!a]", "日"),
            ("[^a]", "b"),
            ("[]-]", "]"),
            ("[]-]", "-"),
            ("[!]]", "a"),
            ("[a-]", "-"),
            ("[-a]", "-"),
            (r"[\]", r"\"),
            ("[a&&b]", "&"),
            ("[[:alpha:]]", ":]"),
            ("[^^]", "a"),
            ("{a,b}*", "b/c"),
            ("{a{1,2},}x", "a2x"),
            ("{a{1,2},}x", "x"),
            ("{*,?}", ""),
            ("a,b", "a,b"),
            (r"\*\{\[\\é", r"*{[\é"),
            ("a.c+(x)$", "a.c+(x)$"),
            ("#~- ", "#~- "),
        ] {
            assert!(matches(glob, key), "{glob:?} {key:?}");
        }
        for (glob, key) in [
            ("", "a"),
            ("a", "ab"),
            ("a", "ba"),
            ("a", "a\n"),
            ("a", "A"),
            ("[a-z]", "B"),
            ("?", ""),
            ("?", "e\u{301}"),
            ("[!a]", "a"),
            ("[!a]", ""),
            ("[a-]", "b"),
            ("[a&&b]", "c"),
            ("[[:alpha:]]", "a"),
            ("{a,b}", "a,b"),
            ("{a,b}", "{a,b}"),
            ("a.c", "abc"),
            (r"\*", "x"),
            ("é", "e\u{301}"),
        ] {
            assert!(!matches(glob, key), "{glob:?} {key:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_glob_is_said() {
        for (glob, problem) in [
            ("a[", "a [ is not closed; write \\[ for the character"),
            ("a[]", "a [ is not closed; write \\[ for the character"),
            ("a[b-", "a [ is not closed; write \\[ for the character"),
            ("[z-a]", "a range in [ ] ends before it begins"),
            ("{a,b", "a { is not closed; write \\{ for the character"),
            ("a}", "a } closes nothing; write \\} for the character"),
            ("a\\", "nothing follows the \\ at its end"),
        ] {
            for wrong in [Filter::new([glob], []), Filter::new([], [glob])] {
                assert_eq!(wrong, Err(format!("the glob {glob:?}: {problem}")));
            }
        }
        let deep = "{".repeat(10_000) + &"}".repeat(10_000);
        assert_eq!(Filter::new([&*deep], []), Err("the globs are too large, or nested too deeply".to_owned()));
    }

    #[test]
    fn a_key_is_admitted_by_one_glob_to_include_and_no_glob_to_exclude() {
        let filter = Filter::new(["user/*", "group/?"], ["*/tmp", "user/0"]).unwrap();
        let admitted = ["user/1", "user/", "group/a", "user/1/tmp", "user/0", "group/ab", "", "other"]
            .map(|key| filter.admits(key));
        assert_eq!(admitted, [true, true, true, false, false, false, false, false]);
        let filter = Filter::new([], ["a*"]).unwrap();
        assert_eq!(["a", "b", ""].map(|key| filter.admits(key)), [false, true, true]);
        assert_eq!(Filter::new::<&str>([], []), Ok(Filter::default()));
        assert_eq!(format!("{filter:?}"), r#"Filter { include: [], exclude: ["a*"] }"#);
    }

    proptest! {
        /// Whatever the characters mean in a regular expression or a class.
        #[test]
        fn an_escaped_key_matches_itself_alone(key in any::<String>(), other in any::<String>()) {
            let escaped: String = key.chars().flat_map(|char| ['\\', char]).collect();
            prop_assert!(matches(&escaped, &key));
            prop_assert_eq!(matches(&escaped, &other), key == other);
        }

        #[test]
        fn a_class_of_one_character_matches_it_alone(char in any::<char>(), other in any::<char>()) {
            prop_assume!(!matches!(char, '!' | '^'));
            let class = format!("[{char}]");
            prop_assert!(matches(&class, &char.to_string()));
            prop_assert_eq!(matches(&class, &other.to_string()), char == other);
            prop_assert_eq!(matches(&format!("[!{char}]"), &other.to_string()), char != other);
        }
    }
}
