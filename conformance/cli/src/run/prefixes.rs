//! Where a run writes: below a prefix that nobody else has.

use std::sync::atomic::{AtomicU32, Ordering};

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Gives each case a prefix of its own. Letters, digits and hyphens, which every system takes, and as few as will do:
/// they count towards the length of a key.
#[derive(Debug)]
pub(crate) struct Prefixes {
    root: String,
    next: AtomicU32,
}

impl Prefixes {
    /// Below `prefix`, and random.
    pub(crate) fn below(prefix: &str) -> Self {
        let random: String = (0..6).map(|_| char::from(DIGITS[fastrand::usize(..DIGITS.len())])).collect();
        Self { root: format!("{prefix}{random}-"), next: AtomicU32::new(0) }
    }

    /// What all keys of the run begin with.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// Another prefix, which begins with no earlier one.
    pub(crate) fn next(&self) -> String {
        let mut number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut digits = Vec::new();
        while number > 0 || digits.is_empty() {
            digits.push(DIGITS[(number % 36) as usize]);
            number /= 36;
        }
        let digits: String = digits.iter().rev().map(|digit| char::from(*digit)).collect();
        format!("{}{digits}-", self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_begins_with_another() {
        let prefixes = Prefixes::below("a/");
        let all: Vec<String> = (0..100).map(|_| prefixes.next()).collect();
        assert!(all.iter().all(|prefix| prefix.starts_with(prefixes.root()) && prefix.starts_with("a/")));
        for (at, prefix) in all.iter().enumerate() {
            assert!(all.iter().enumerate().all(|(other, text)| other == at || !text.starts_with(prefix)), "{prefix}");
        }
    }
}
