//! Batches, cut into pieces of bounded size.

/// Cuts items, in order, into chunks of at most `items_max` items and `bytes_max` bytes. An item that is larger has a
/// chunk for itself.
pub(crate) fn chunks<T>(
    items: impl IntoIterator<Item = T>,
    items_max: usize,
    bytes_max: usize,
    bytes_of: impl Fn(&T) -> usize,
) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = items.next()?;
        let mut bytes = bytes_of(&first);
        let mut chunk = vec![first];
        while let Some(item) = items.next_if(|next| chunk.len() < items_max && bytes + bytes_of(next) <= bytes_max) {
            bytes += bytes_of(&item);
            chunk.push(item);
        }
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_ends_at_whichever_bound_comes_first() {
        let cut = |bytes: &[usize]| -> Vec<usize> {
            chunks(bytes.iter().copied(), 3, 10, |bytes| *bytes).map(|chunk| chunk.len()).collect()
        };
        assert!(cut(&[]).is_empty());
        assert_eq!(cut(&[1, 1, 1]), [3]);
        assert_eq!(cut(&[1, 1, 1, 1]), [3, 1], "by number");
        assert_eq!(cut(&[4, 6, 1]), [2, 1], "ten bytes fit");
        assert_eq!(cut(&[4, 7]), [1, 1], "eleven do not");
        assert_eq!(cut(&[2, 3, 6]), [2, 1], "the bytes of all that are in it count");
        assert_eq!(cut(&[11, 1, 1]), [1, 2], "one that is too large is alone");
        assert_eq!(cut(&[1, 11, 1]), [1, 1, 1]);
    }

    #[test]
    fn all_items_come_once_and_in_order() {
        let all: Vec<usize> = chunks(0..100, 7, 50, |item| *item).flatten().collect();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }
}
