//! Several ordered lists as one, page by page: a state machine without I/O (LIST-1 to LIST-5).
//!
//! A position inside a page has no name: a backend says only where a page ends. So a part remembers the page that it is
//! on, by the position that leads there, and from which key on its keys are still to come. That page is asked for again
//! until its last key has been passed on. A part whose next key is known to be greater than all that fits on this page
//! is not asked at all, so a walk through one mount asks the others once.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use kv_api::{Error, ErrorKind, ListItem, RawPage, Result};

/// How far the list of one part has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There may be more.
    At(Place),
    /// All of it has been passed on.
    End,
}

/// Where a part goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What leads to the page, as the part said; `None` for its first.
    pub(super) position: Option<Vec<u8>>,
    /// No key before this one is still to come.
    pub(super) from: String,
    /// The limit that the page was asked with, if some of its keys have been passed on: with it, it is the same again.
    pub(super) asked: Option<NonZeroUsize>,
}

impl Place {
    /// The beginning of the list of all keys with `prefix`.
    pub(super) fn start(prefix: &str) -> Self {
        Self { position: None, from: prefix.to_owned(), asked: None }
    }
}

/// What the merge needs next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The page of this part, to be given to [`Merge::put`].
    Fetch(Fetch),
    /// Nothing: the merged page is complete, or as complete as it gets.
    Done,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) part: usize,
    pub(super) position: Option<Vec<u8>>,
    pub(super) limit: NonZeroUsize,
}

/// One merged page in the making. Each part is asked at most once, for at most `limit` keys or what it was asked before.
#[derive(Debug)]
pub(super) struct Merge {
    parts: Vec<Part>,
    limit: NonZeroUsize,
    items: Vec<ListItem>,
}

#[derive(Debug)]
enum Part {
    /// Not asked for this page, so not even its next key is known; it is not before `Place::from`.
    Waiting(Place),
    /// Its page is here, and these keys of it are left, at least one.
    Here {
        place: Place,
        limit: NonZeroUsize,
        left: VecDeque<ListItem>,
        next: Option<Vec<u8>>,
    },
    /// Its page is used up, and there is another one.
    Spent(Place),
    End,
}

/// The next key of a part.
enum Front {
    Known,
    /// Not before this place.
    Unasked,
    /// As before, and it was asked already.
    Beyond,
}

impl Merge {
    pub(super) fn new(progress: Vec<Progress>, limit: NonZeroUsize) -> Self {
        let part = |progress| match progress {
            Progress::At(place) => Part::Waiting(place),
            Progress::End => Part::End,
        };
        Self { parts: progress.into_iter().map(part).collect(), limit, items: Vec::new() }
    }

    /// Passes on what is certain to come next, and says what is missing for more.
    pub(super) fn step(&mut self) -> Step {
        loop {
            let room = self.limit.get().checked_sub(self.items.len()).and_then(NonZeroUsize::new);
            let (Some(room), Some((at, front))) = (room, self.least()) else { return Step::Done };
            match (front, &self.parts[at]) {
                (Front::Unasked, Part::Waiting(place)) => {
                    let limit = place.asked.unwrap_or(room);
                    return Step::Fetch(Fetch { part: at, position: place.position.clone(), limit });
                }
                (Front::Known, _) => self.pass_on(at),
                _ => return Step::Done,
            }
        }
    }

    /// The part with the least next key. A key that is known goes before the same bound: no key is in two parts.
    fn least(&self) -> Option<(usize, Front)> {
        let fronts = self.parts.iter().enumerate().filter_map(|(at, part)| match part {
            Part::Waiting(place) => Some(((&*place.from, 1), (at, Front::Unasked))),
            Part::Here { place, left, .. } => {
                let key = left.front().map_or(&*place.from, |item| &*item.key);
                Some(((key, 0), (at, Front::Known)))
            }
            Part::Spent(place) => Some(((&*place.from, 1), (at, Front::Beyond))),
            Part::End => None,
        });
        fronts.min_by_key(|(order, _)| *order).map(|(_, found)| found)
    }

    fn pass_on(&mut self, at: usize) {
        let Part::Here { place, left, next, .. } = &mut self.parts[at] else { return };
        let Some(item) = left.pop_front() else { return };
        place.from = successor(&item.key);
        if left.is_empty() {
            let from = std::mem::take(&mut place.from);
            self.parts[at] = match next.take() {
                Some(position) => Part::Spent(Place { position: Some(position), from, asked: None }),
                None => Part::End,
            };
        }
        self.items.push(item);
    }

    /// Takes the page that [`step`](Self::step) asked for. `prefix` is what was asked of the part, `is_its` whether a
    /// key is the part's at all; others are left out.
    ///
    /// # Errors
    /// `Protocol` for a page that breaks LIST-1 to LIST-3.
    pub(super) fn put(
        &mut self,
        fetch: Fetch,
        page: RawPage,
        prefix: &str,
        is_its: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let Fetch { part, position, limit } = fetch;
        let Part::Waiting(place) = &self.parts[part] else { return Ok(()) };
        if page.next.is_some() && page.next == position {
            return Err(protocol("the position of the next page does not advance"));
        }
        if page.items.len() > limit.get() {
            return Err(protocol("a listed page holds more keys than the limit"));
        }
        let mut before = None;
        for item in &page.items {
            let key = item.key.as_str();
            if !key.starts_with(prefix) {
                return Err(protocol("a listed key does not begin with the prefix").with_key(key));
            }
            let is_repeat = place.asked.is_none() && key < place.from.as_str();
            if is_repeat || before.is_some_and(|before| key <= before) {
                return Err(protocol("a listed key does not come after the one before it").with_key(key));
            }
            before = Some(key);
        }
        let last = before.map(successor);
        // A page that ends before the first key to come was asked for again and has shrunk: so may the one after it.
        let is_behind = place.asked.filter(|_| last.as_ref().is_none_or(|last| *last < place.from));
        let from = last.filter(|last| *last > place.from).unwrap_or_else(|| place.from.clone());
        let is_left = |item: &ListItem| item.key >= place.from && is_its(&item.key);
        let left: VecDeque<ListItem> = page.items.into_iter().filter(is_left).collect();
        self.parts[part] = match (left.is_empty(), page.next) {
            (false, next) => {
                let place = Place { position, from: place.from.clone(), asked: place.asked };
                Part::Here { place, limit, left, next }
            }
            (true, Some(next)) => Part::Spent(Place { position: Some(next), from, asked: is_behind }),
            (true, None) => Part::End,
        };
        Ok(())
    }

    /// The merged page, and how far each part has come.
    pub(super) fn finish(self) -> (Vec<ListItem>, Vec<Progress>) {
        let progress = self.parts.into_iter().map(|part| match part {
            Part::Waiting(place) | Part::Spent(place) => Progress::At(place),
            Part::Here { place, limit, mut left, .. } => {
                let from = left.pop_front().map_or(place.from, |item| item.key);
                Progress::At(Place { position: place.position, from, asked: Some(limit) })
            }
            Part::End => Progress::End,
        });
        (self.items, progress.collect())
    }
}

/// The least key that is greater.
fn successor(key: impl AsRef<str>) -> String {
    [key.as_ref(), "\0"].concat()
}

fn protocol(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounted::frame;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn limit(limit: usize) -> NonZeroUsize {
        NonZeroUsize::new(limit).unwrap()
    }

    /// A part: keys in order, on pages whose sizes go round. A size of zero is an empty page.
    #[derive(Clone, Debug)]
    struct Listed {
        keys: BTreeSet<String>,
        sizes: Vec<usize>,
    }

    impl Listed {
        /// The position is the last key before the page and the number of the page.
        fn page(&self, fetch: &Fetch) -> RawPage {
            let (number, after) = match &fetch.position {
                None => (0, None),
                Some(position) => {
                    let text = String::from_utf8(position.clone()).unwrap();
                    let (number, key) = text.split_once(' ').unwrap();
                    (number.parse().unwrap(), Some(key.to_owned()).filter(|key| !key.is_empty()))
                }
            };
            let size = self.sizes[number % self.sizes.len()].min(fetch.limit.get());
            let mut rest = self.keys.iter().filter(|key| after.as_ref().is_none_or(|after| *key > after));
            let items: Vec<ListItem> = rest.by_ref().take(size).map(ListItem::new).collect();
            let last = items.last().map(|item| item.key.clone()).or_else(|| after.clone()).unwrap_or_default();
            RawPage::new(items, rest.next().map(|_| format!("{} {last}", number + 1).into_bytes()))
        }
    }

    /// One merged page, the progress through its wire form, and which parts were asked.
    fn page(
        parts: &[Listed],
        progress: Vec<Progress>,
        limit: NonZeroUsize,
    ) -> (Vec<String>, Vec<Progress>, Vec<usize>) {
        let mut merge = Merge::new(progress, limit);
        let mut asked = Vec::new();
        while let Step::Fetch(fetch) = merge.step() {
            asked.push(fetch.part);
            let raw = parts[fetch.part].page(&fetch);
            let part = fetch.part;
            merge.put(fetch, raw, "", |key| !key.ends_with(&format!("not{part}"))).unwrap();
        }
        let (items, progress) = merge.finish();
        let wire = frame::encode_merged(&progress).unwrap();
        assert_eq!(frame::decode_merged(&wire, parts.len()).unwrap(), progress);
        (items.into_iter().map(|item| item.key).collect(), progress, asked)
    }

    fn start(parts: usize) -> Vec<Progress> {
        vec![Progress::At(Place::start("")); parts]
    }

    /// Keys that are distinct over all parts; some belong to no part.
    fn parts() -> impl Strategy<Value = Vec<Listed>> {
        let part = (prop::collection::btree_set("[a-c]{1,3}", 0..20), prop::collection::vec(0..5_usize, 1..4));
        prop::collection::vec(part, 1..5).prop_map(|parts| {
            let listed = parts.into_iter().enumerate().map(|(at, (names, mut sizes))| {
                sizes.push(3); // not every page is empty
                let tail =
                    |name: String| if name.ends_with('c') { format!("{name}-not{at}") } else { format!("{name}-{at}") };
                Listed { keys: names.into_iter().map(tail).collect(), sizes }
            });
            listed.collect()
        })
    }

    proptest! {
        #[test]
        fn list_2_every_key_comes_once_and_in_order(
            parts in parts(),
            limits in prop::collection::vec(1..9_usize, 1..6),
        ) {
            let mut expected: Vec<String> =
                parts.iter().flat_map(|part| part.keys.iter().cloned()).filter(|key| !key.contains("not")).collect();
            expected.sort();
            let (mut found, mut progress) = (Vec::new(), start(parts.len()));
            for turn in 0.. {
                prop_assert!(turn < 1000, "it does not end");
                let limit = limit(limits[turn % limits.len()]);
                let (keys, next, asked) = page(&parts, progress.clone(), limit);
                prop_assert!(keys.len() <= limit.get(), "LIST-1");
                let once: BTreeSet<usize> = asked.iter().copied().collect();
                prop_assert_eq!(once.len(), asked.len(), "a part is asked once for a page");
                prop_assert!(next != progress, "it stands still");
                found.extend(keys);
                progress = next;
                if progress.iter().all(|progress| *progress == Progress::End) {
                    break;
                }
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn list_2_a_key_that_is_there_all_the_time_comes_once(
            mut parts in parts(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), "[a-c]{1,3}", any::<bool>()), 0..40),
            limits in prop::collection::vec(1..5_usize, 1..4),
        ) {
            let stable: Vec<String> = {
                let mut keys: Vec<String> =
                    parts.iter().flat_map(|part| part.keys.iter().cloned()).filter(|key| !key.contains("not")).collect();
                keys.sort();
                keys
            };
            let (mut found, mut progress) = (Vec::new(), start(parts.len()));
            for turn in 0..2000 {
                let (keys, next, _) = page(&parts, progress, limit(limits[turn % limits.len()]));
                found.extend(keys);
                progress = next;
                if progress.iter().all(|progress| *progress == Progress::End) {
                    break;
                }
                if let Some((at, name, added)) = changes.get(turn) {
                    let at = at.index(parts.len());
                    let key = format!("{name}+{at}");
                    let _ = if *added { parts[at].keys.insert(key) } else { parts[at].keys.remove(&key) };
                }
            }
            prop_assert!(progress.iter().all(|progress| *progress == Progress::End), "it does not end");
            prop_assert!(found.is_sorted_by(|one, other| one < other), "out of order: {:?}", found);
            found.retain(|key| !key.contains('+'));
            prop_assert_eq!(found, stable);
        }
    }

    fn listed(keys: &[&str]) -> Listed {
        Listed { keys: keys.iter().map(|key| (*key).to_owned()).collect(), sizes: vec![usize::MAX] }
    }

    #[test]
    fn list_1_a_part_whose_keys_come_later_is_not_asked() {
        let parts = [listed(&["a", "b", "y", "z"]), listed(&["m1", "m2", "m3", "m4"])];
        let mut progress = vec![Progress::At(Place::start("")), Progress::At(Place::start("m"))];
        let mut walk = Vec::new();
        while progress.iter().any(|progress| *progress != Progress::End) {
            let (keys, next, asked) = page(&parts, progress, limit(2));
            walk.push((keys.join(" "), asked));
            progress = next;
        }
        let expected = [
            ("a b", vec![0]),
            // Whether the first has a key before "m" is not known yet.
            ("m1 m2", vec![0, 1]),
            ("m3 m4", vec![1]),
            ("y z", vec![0]),
        ];
        assert_eq!(walk, expected.map(|(keys, asked)| (keys.to_owned(), asked)));
    }

    #[test]
    fn list_3_a_page_that_is_no_page_of_that_list_is_refused() {
        let put = |place: Place, items: &[&str], next: Option<&[u8]>| {
            let mut merge = Merge::new(vec![Progress::At(place)], limit(2));
            let Step::Fetch(fetch) = merge.step() else { panic!("it asks") };
            let items = items.iter().map(|key| ListItem::new(*key)).collect();
            merge.put(fetch, RawPage::new(items, next.map(<[u8]>::to_vec)), "k", |_| true).map_err(|error| error.kind())
        };
        let at = |asked| Place { position: Some(b"here".to_vec()), from: "k5".to_owned(), asked };
        let refused = Err(ErrorKind::Protocol);
        assert_eq!(put(at(None), &["k5", "k6"], Some(b"there")), Ok(()));
        assert_eq!(put(at(None), &["k5", "k6", "k7"], None), refused, "more than the limit");
        assert_eq!(put(at(None), &["k6", "k5"], None), refused, "out of order");
        assert_eq!(put(at(None), &["k6", "k6"], None), refused, "twice");
        assert_eq!(put(at(None), &["l"], None), refused, "another prefix");
        assert_eq!(put(at(None), &["k4"], None), refused, "in circles");
        assert_eq!(put(at(Some(limit(2))), &["k4", "k5"], None), Ok(()), "a page that is asked for again");
        assert_eq!(put(at(None), &[], Some(b"here")), refused, "it stands still");
    }
}
