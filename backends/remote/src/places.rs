//! Which of the keys that were asked for an answer is about.

use std::collections::HashMap;

/// Finds keys among those of a request, which are distinct. An answer mostly names them in the order in which they were
/// asked for: then nothing is hashed.
#[derive(Debug)]
pub struct Places<'k> {
    keys: &'k [String],
    next: usize,
    /// Empty until a key is looked for out of order.
    by_key: HashMap<&'k str, usize>,
}

impl<'k> Places<'k> {
    /// Among these keys.
    #[must_use]
    pub fn new(keys: &'k [String]) -> Self {
        Self { keys, next: 0, by_key: HashMap::new() }
    }

    /// Where `key` stands among them.
    ///
    /// ```
    /// let keys = ["a", "b", "c"].map(String::from);
    /// let mut places = kv_remote::Places::new(&keys);
    /// assert_eq!(["b", "c", "a", "a", "d"].map(|key| places.find(key)), [Some(1), Some(2), Some(0), Some(0), None]);
    /// ```
    pub fn find(&mut self, key: &str) -> Option<usize> {
        let at = if self.keys.get(self.next).is_some_and(|next| next == key) {
            self.next
        } else {
            if self.by_key.is_empty() {
                self.by_key = self.keys.iter().enumerate().map(|(at, key)| (key.as_str(), at)).collect();
            }
            *self.by_key.get(key)?
        };
        self.next = at + 1;
        Some(at)
    }
}
