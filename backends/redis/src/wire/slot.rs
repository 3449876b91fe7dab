//! Which of a cluster's 16,384 slots a key lies in, by the documents of Redis Cluster.

use redis::{Arg, Cmd};

/// How many slots there are.
pub(crate) const SLOTS: u16 = 16_384;

/// The slot of a key: that of what stands in its first pair of braces, if anything does, or else of all of it.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    let position = |bytes: &[u8], brace: u8| bytes.iter().position(|byte| *byte == brace);
    let tag = position(key, b'{').and_then(|open| {
        let rest = &key[open + 1..];
        position(rest, b'}').filter(|length| *length > 0).map(|length| &rest[..length])
    });
    crc16::State::<crc16::XMODEM>::calculate(tag.unwrap_or(key)) % SLOTS
}

/// The slot of a command, that of its first key; `None` where it has none.
pub(crate) fn slot_of_command(cmd: &Cmd) -> Option<u16> {
    let mut words = cmd.args_iter().map(|arg| match arg {
        Arg::Simple(word) => word,
        _ => &[],
    });
    let name = words.next()?;
    // Behind the script and the number of its keys.
    let key = if name.starts_with(b"EVAL") { words.nth(2)? } else { words.next()? };
    Some(slot_of(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::command;
    use kv_api::Fields;

    #[test]
    fn a_key_lies_in_the_slot_that_the_server_says() {
        // As CLUSTER KEYSLOT says.
        for (key, slot) in [
            ("somekey", 11_058),
            ("foo", 12_182),
            ("foo{hash_tag}", 2_515),
            ("bar{hash_tag}", 2_515),
            ("{}foo", 9_500),
            ("foo{}{bar}", 8_363),
            ("foo{{bar}}zap", 4_015),
            ("foo{bar}{zap}", 5_061),
            ("bar", 5_061),
            ("{bar", 4_015),
            ("", 0),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn a_command_goes_where_its_first_key_lies() {
        for fields in [Fields::Existence, Fields::Value, Fields::All] {
            assert_eq!(slot_of_command(&command::read(b"foo", fields).cmd), Some(12_182));
        }
        let by_text = command::read(b"foo", Fields::All).with_text();
        assert_eq!(by_text.as_ref().and_then(slot_of_command), Some(12_182));
        assert_eq!(slot_of_command(&command::size().cmd), None);
    }
}
