//! Which items go out together: as few messages as the limit allows (BATCH-1, BATCH-5).

use std::collections::BTreeSet;

/// Puts items of these sizes into messages with room for `room` bytes of items and of the commas between them, and
/// gives the positions of the items in each. No message is empty, and every item is in one. An item that is larger than
/// the room is alone.
///
/// The largest items first, each into the fullest message that has room for it. The fewest messages for items of one
/// size, and close to the fewest for others: finding the fewest there takes more time than it saves.
pub(crate) fn pack(sizes: &[usize], room: usize) -> Vec<Vec<usize>> {
    // One comma more than there are stands for the one that an item may need.
    let room = room + 1;
    let mut by_size: Vec<usize> = (0..sizes.len()).collect();
    by_size.sort_by_key(|item| std::cmp::Reverse(sizes[*item]));
    let mut messages: Vec<Vec<usize>> = Vec::new();
    let mut free: BTreeSet<(usize, usize)> = BTreeSet::new();
    for item in by_size {
        let size = sizes[item] + 1;
        let (left, message) = match free.range((size, 0)..).next().copied() {
            Some(found) => {
                free.remove(&found);
                found
            }
            None => {
                messages.push(Vec::new());
                (room, messages.len() - 1)
            }
        };
        messages[message].push(item);
        free.insert((left.saturating_sub(size), message));
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn items_of_one_size_take_the_fewest_messages() {
        for (count, size, room) in
            [(0, 5, 10), (1, 10, 10), (1000, 12, 1014), (1000, 1014, 1014), (7, 3, 11), (9, 3, 11)]
        {
            let per_message = (room + 1) / (size + 1);
            assert_eq!(
                pack(&vec![size; count], room).len(),
                count.div_ceil(per_message),
                "{count} of {size} in {room}"
            );
        }
    }

    #[test]
    fn small_items_fill_what_large_ones_leave() {
        assert_eq!(pack(&[6, 3, 6, 3], 10).len(), 2);
    }

    proptest! {
        #[test]
        fn every_item_is_in_one_message_and_none_is_too_long(sizes in prop::collection::vec(1usize..60, 0..200)) {
            const ROOM: usize = 59;
            let messages = pack(&sizes, ROOM);
            let mut seen: Vec<usize> = messages.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..sizes.len()).collect::<Vec<_>>());
            let bytes = |message: &Vec<usize>| {
                message.iter().map(|item| sizes[*item]).sum::<usize>() + message.len() - 1
            };
            for message in &messages {
                prop_assert!(!message.is_empty());
                prop_assert!(bytes(message) <= ROOM);
            }
            // No two could be one.
            let mut least: Vec<usize> = messages.iter().map(bytes).collect();
            least.sort_unstable();
            prop_assert!(least.len() < 2 || least[0] + 1 + least[1] > ROOM);
        }
    }
}
