//! What is asked of the server, as commands.

use kv_api::{Condition, Delete, Error, ErrorKind, Expire, Expiry, Fields, Increment, Result, Timestamp, Write};
use redis::{Arg, Cmd, ToRedisArgs};

use super::script::Script;
use super::value::encode;

/// What stands around key and value in a command, as a rule.
const COMMAND_BYTES: usize = 64;

/// Room for what most commands take beside a long value; one that takes more gets more when it is there.
const ARGS: usize = 8;
const BYTES: usize = 256;

/// About how long a command is that carries parts of these lengths, before it is made.
pub(crate) fn bytes_about<const PARTS: usize>(parts: [usize; PARTS]) -> usize {
    parts.iter().sum::<usize>() + COMMAND_BYTES
}

/// One command, and the script that it runs, if it is one.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) cmd: Cmd,
    pub(crate) script: Option<Script>,
}

impl Command {
    fn new(name: &str) -> Self {
        let mut cmd = Cmd::with_capacity(ARGS, BYTES);
        cmd.arg(name);
        Self { cmd, script: None }
    }

    /// A script over these keys.
    fn of_script<K: AsRef<[u8]>>(script: Script, keys: &[K]) -> Self {
        let (by_hash, _) = script.commands();
        let mut command = Self::new(by_hash);
        command.cmd.arg(script.hash()).arg(keys.len());
        for key in keys {
            command.cmd.arg(key.as_ref());
        }
        Self { script: Some(script), ..command }
    }

    /// The same by the text of the script, for a server that does not know it, or not any more.
    pub(crate) fn with_text(&self) -> Option<Cmd> {
        let script = self.script?;
        let mut cmd = Cmd::new();
        cmd.arg(script.commands().1).arg(script.text());
        self.cmd.args_iter().skip(2).for_each(|arg| {
            if let Arg::Simple(arg) = arg {
                cmd.arg(arg);
            }
        });
        Some(cmd)
    }

    fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.cmd.arg(arg);
        self
    }
}

/// Reads an entry: no more of it than is wanted.
pub(crate) fn read(key: &[u8], fields: Fields) -> Command {
    match fields {
        Fields::Existence => Command::new("EXISTS").arg(key),
        Fields::Value => Command::new("GET").arg(key),
        _ => read_entries(&[key]),
    }
}

/// Reads the values of several keys, all of one node.
pub(crate) fn read_values(keys: &[impl AsRef<[u8]>]) -> Command {
    keys.iter().fold(Command::new("MGET"), |command, key| command.arg(key.as_ref()))
}

/// Reads several entries, of one slot on a cluster.
pub(crate) fn read_entries(keys: &[impl AsRef<[u8]>]) -> Command {
    Command::of_script(Script::ReadEntry, keys)
}

/// How a `SET` gives the expiry: the word, and the milliseconds.
///
/// A key is there until the millisecond *after* its `PXAT`, so one millisecond less makes it end when it shall (EXP-7).
/// A `PX` counts from the millisecond that the server's clock shows, of which up to all has passed; so nothing is taken
/// off, and the entry ends up to one millisecond late, but never early.
fn set_expiry(expiry: Expiry) -> Option<(&'static str, i64)> {
    match expiry {
        Expiry::Never => None,
        Expiry::After(ttl) => Some(("PX", millis(ttl))),
        Expiry::At(at) => Some(("PXAT", last_millisecond(at))),
        // There is no other form, and none may be taken for "never".
        _ => Some(("PX", 1)),
    }
}

fn millis(ttl: std::time::Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)
}

/// The last millisecond in which an entry with this expiry is there. Zero is no expiry that the server takes.
fn last_millisecond(at: Timestamp) -> i64 {
    (at.as_unix_millis_ceil() - 1).max(1)
}

/// The expiry of an entry whose last millisecond is this one; the reverse of what is sent.
pub(crate) fn expiry_of(last_millisecond: i64) -> Timestamp {
    Timestamp::from_unix_millis(last_millisecond.saturating_add(1))
}

/// Sets one entry, and what its version is to be computed from.
pub(crate) fn write(scope: &str, key: &[u8], write: &Write<'_>, stored: &[u8]) -> Command {
    let expiry = set_expiry(write.expiry());
    let command = match write.condition() {
        Condition::IfVersion(version) => {
            Command::of_script(Script::SetIfVersion, &[key]).arg(scope).arg(version.to_string()).arg(stored)
        }
        _ => Command::new("SET").arg(key).arg(stored),
    };
    let command = ending(command, expiry);
    match write.condition() {
        Condition::IfNotExists => command.arg("NX"),
        Condition::IfExists => command.arg("XX"),
        _ => command,
    }
}

/// Sets all entries or none.
///
/// # Errors
/// `Internal` for a condition that this version does not know.
pub(crate) fn write_all(scope: &str, keys: &[Vec<u8>], writes: &[Write<'_>]) -> Result<(Command, Vec<Vec<u8>>)> {
    let stored: Vec<Vec<u8>> =
        writes.iter().map(|write| encode(write.value(), write.metadata()).into_owned()).collect();
    let mut command = Command::of_script(Script::WriteAll, keys).arg(scope);
    for (write, stored) in writes.iter().zip(&stored) {
        let (condition, version) = match write.condition() {
            Condition::Always => ("", String::new()),
            Condition::IfNotExists => ("NX", String::new()),
            Condition::IfExists => ("XX", String::new()),
            Condition::IfVersion(version) => ("VERSION", version.to_string()),
            _ => return Err(Error::new(ErrorKind::Internal, "a condition that this backend does not know")),
        };
        command = command.arg(condition).arg(version).arg(stored.as_slice());
        command = match set_expiry(write.expiry()) {
            None => command.arg("").arg(""),
            Some((form, millis)) => command.arg(form).arg(millis),
        };
    }
    Ok((command, stored))
}

/// Deletes one entry.
pub(crate) fn delete(scope: &str, key: &[u8], delete: &Delete<'_>) -> Command {
    match delete.if_version() {
        None => unlink(key),
        Some(version) => Command::of_script(Script::DeleteIfVersion, &[key]).arg(scope).arg(version.to_string()),
    }
}

/// Deletes whatever the key holds. The server frees the memory of a large value beside other calls.
pub(crate) fn unlink(key: &[u8]) -> Command {
    Command::new("UNLINK").arg(key)
}

/// Counts. The server's own command knows one range, that of 64 bits.
pub(crate) fn increment(key: &[u8], increment: &Increment<'_>) -> Command {
    let (min, max) = (increment.min(), increment.max());
    let created = set_expiry(increment.created_expiry());
    if (min, max) == (i64::MIN, i64::MAX) && increment.expiring_allowed() && created.is_none() {
        return Command::new("INCRBY").arg(key).arg(increment.by());
    }
    let command = Command::of_script(Script::Increment, &[key]).arg(increment.by()).arg(min).arg(max);
    ending(command.arg(i64::from(increment.expiring_allowed())), created)
}

/// Adds how an entry ends, where it ends.
fn ending(command: Command, expiry: Option<(&'static str, i64)>) -> Command {
    match expiry {
        None => command,
        Some((form, millis)) => command.arg(form).arg(millis),
    }
}

/// What is done to an entry in the step that reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Expiry(Expiry),
    Delete,
}

/// Reads an entry and changes it. What may be of a newer version is left alone, unless its digest is `readable`.
pub(crate) fn read_and_change(key: &[u8], change: Change, readable: &str) -> Command {
    let command = Command::of_script(Script::ReadAndChange, &[key]).arg(readable);
    match change {
        Change::Delete => command.arg("UNLINK"),
        Change::Expiry(expiry) => match set_expiry(expiry) {
            None => command.arg("PERSIST"),
            Some(("PXAT", millis)) => command.arg("PEXPIREAT").arg(millis),
            Some((_, millis)) => command.arg("PEXPIRE").arg(millis),
        },
    }
}

/// Changes the expiry of an entry.
pub(crate) fn expire(scope: &str, key: &[u8], expire: &Expire<'_>) -> Command {
    if let Some(version) = expire.if_version() {
        let command = Command::of_script(Script::ExpireIfVersion, &[key]).arg(scope).arg(version.to_string());
        return ending(command, set_expiry(expire.expiry()));
    }
    match expire.expiry() {
        Expiry::Never => Command::of_script(Script::NeverExpire, &[key]),
        Expiry::At(at) => Command::of_script(Script::ExpireAt, &[key]).arg(last_millisecond(at)),
        Expiry::After(ttl) => Command::new("PEXPIRE").arg(key).arg(millis(ttl)),
        // As in a set.
        _ => Command::new("PEXPIRE").arg(key).arg(1),
    }
}

/// One step of a list: about `count` keys of type string that match, from this place of the server on.
pub(crate) fn scan(cursor: u64, pattern: &str, count: usize) -> Command {
    let command = Command::new("SCAN").arg(cursor).arg("MATCH").arg(pattern);
    command.arg("COUNT").arg(count).arg("TYPE").arg("string")
}

/// Asks how many keys the server has, of all kinds and namespaces.
pub(crate) fn size() -> Command {
    Command::new("DBSIZE")
}

/// Asks whether a key is there, which proves address, credentials and the right to read in the namespace (LIFE-1).
pub(crate) fn ping(key: &[u8]) -> Command {
    Command::new("EXISTS").arg(key)
}

/// Whether a command can change nothing, and so may be carried out by a replica.
pub(crate) fn only_reads(cmd: &Cmd) -> bool {
    let name = cmd.args_iter().next();
    matches!(name, Some(Arg::Simple(b"GET" | b"EXISTS" | b"EVALSHA_RO" | b"EVAL_RO")))
}

/// How long a command is on the wire: an array of strings.
pub(crate) fn wire_bytes(cmd: &Cmd) -> usize {
    let digits = |n: usize| n.checked_ilog10().unwrap_or(0) as usize + 1;
    let header = |n: usize| 3 + digits(n);
    let args = cmd.args_iter();
    let count = args.len();
    let strings: usize = args
        .map(|arg| match arg {
            Arg::Simple(arg) => header(arg.len()) + arg.len() + 2,
            // Not used here: the place of a cursor that the driver fills in.
            _ => 0,
        })
        .sum();
    header(count) + strings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::CAPABILITIES;
    use kv_api::{ExpireOptions, IncrementOptions, ManualClock, Resolver, SetItem, SystemClock, TouchOptions, Version};
    use std::time::Duration;

    const NOW: i64 = 1_800_000_000_000;

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::from_unix_millis(NOW))
    }

    fn words(command: &Command) -> Vec<String> {
        let words = command.cmd.args_iter().map(|arg| match arg {
            Arg::Simple(arg) => String::from_utf8_lossy(arg).into_owned(),
            _ => "cursor".to_owned(),
        });
        words.collect()
    }

    fn set(item: SetItem<'_>) -> String {
        let resolved = Resolver::new(&CAPABILITIES).write(item, &clock()).unwrap();
        let stored = encode(resolved.value(), resolved.metadata());
        words(&write("scope", b"ns:k", &resolved, &stored)).join(" ")
    }

    #[test]
    fn the_length_of_a_command_is_about_that_of_its_parts() {
        assert_eq!(bytes_about([]), COMMAND_BYTES);
        assert_eq!(bytes_about([2, 3, 7]), 12 + COMMAND_BYTES);
    }

    #[test]
    fn a_set_is_one_command() {
        assert_eq!(set(SetItem::new("k", "v")), "SET ns:k v");
        assert_eq!(set(SetItem::new("k", 7).if_not_exists()), "SET ns:k 7 NX");
        assert_eq!(set(SetItem::new("k", "v").if_exists()), "SET ns:k v XX");
        let hash = Script::SetIfVersion.hash();
        let if_version = SetItem::new("k", "v").if_version("abc".parse::<Version>().unwrap());
        assert_eq!(set(if_version.clone()), format!("EVALSHA {hash} 1 ns:k scope abc v"));
        let ending = set(if_version.ttl(Duration::from_secs(1)));
        assert_eq!(ending, format!("EVALSHA {hash} 1 ns:k scope abc v PX 1000"));
    }

    #[test]
    fn exp_7_an_expiry_is_sent_as_the_last_millisecond() {
        let at = Timestamp::from_unix_millis(NOW + 5_000);
        assert_eq!(set(SetItem::new("k", "v").expire_at(at)), format!("SET ns:k v PXAT {}", NOW + 4_999));
        assert_eq!(expiry_of(NOW + 4_999), at);
        assert_eq!(set(SetItem::new("k", "v").ttl(Duration::from_millis(5))), "SET ns:k v PX 5");
        // EXP-4: up to the next whole millisecond.
        assert_eq!(set(SetItem::new("k", "v").ttl(Duration::from_micros(5_001)).if_exists()), "SET ns:k v PX 6 XX");
        let odd = Timestamp::from_unix_micros(NOW * 1000 + 1);
        assert_eq!(set(SetItem::new("k", "v").expire_at(odd)), format!("SET ns:k v PXAT {NOW}"));
        let zero = ManualClock::new(Timestamp::UNIX_EPOCH);
        let first = SetItem::new("k", "v").expire_at(Timestamp::from_unix_millis(1));
        let resolved = Resolver::new(&CAPABILITIES).write(first, &zero).unwrap();
        assert_eq!(words(&write("scope", b"k", &resolved, b"v")).join(" "), "SET k v PXAT 1");
    }

    #[test]
    fn expire_has_a_command_for_each_form() {
        let resolver = Resolver::new(&CAPABILITIES);
        let words_of = |options: ExpireOptions| {
            let resolved = resolver.expire("k", options, &clock()).unwrap();
            words(&expire("scope", b"k", &resolved)).join(" ")
        };
        let mut at = ExpireOptions::default();
        at.expire_at = Some(Timestamp::from_unix_millis(NOW + 10));
        assert_eq!(words_of(at.clone()), format!("EVALSHA {} 1 k {}", Script::ExpireAt.hash(), NOW + 9));
        let mut ttl = ExpireOptions::default();
        ttl.ttl = Some(Duration::from_millis(10));
        assert_eq!(words_of(ttl.clone()), "PEXPIRE k 10");
        let mut never = ExpireOptions::default();
        never.never = true;
        assert_eq!(words_of(never.clone()), format!("EVALSHA {} 1 k", Script::NeverExpire.hash()));
        let script = format!("EVALSHA {} 1 k scope abc", Script::ExpireIfVersion.hash());
        let guarded = |mut options: ExpireOptions| {
            options.if_version = Some("abc".parse().unwrap());
            words_of(options)
        };
        assert_eq!(guarded(at), format!("{script} PXAT {}", NOW + 9));
        assert_eq!(guarded(ttl), format!("{script} PX 10"));
        assert_eq!(guarded(never), script);
    }

    #[test]
    fn a_read_that_changes_is_one_script() {
        let ttl = TouchOptions::new(Duration::from_micros(1_001));
        let resolved = Resolver::new(&CAPABILITIES).touch("k", Fields::Value, ttl, &clock()).unwrap();
        let script = format!("EVALSHA {} 1 k", Script::ReadAndChange.hash());
        let words_of = |change, readable| words(&read_and_change(b"k", change, readable)).join(" ");
        assert_eq!(words_of(Change::Expiry(resolved.expiry()), ""), format!("{script}  PEXPIRE 2"));
        let at = Expiry::At(Timestamp::from_unix_millis(NOW));
        assert_eq!(words_of(Change::Expiry(at), "abc"), format!("{script} abc PEXPIREAT {}", NOW - 1));
        assert_eq!(words_of(Change::Expiry(Expiry::Never), ""), format!("{script}  PERSIST"));
        assert_eq!(words_of(Change::Delete, ""), format!("{script}  UNLINK"));
    }

    #[test]
    fn only_what_changes_nothing_may_go_to_a_replica() {
        let entry = read(b"k", Fields::All);
        for cmd in [&read(b"k", Fields::Value).cmd, &read(b"k", Fields::Existence).cmd, &entry.cmd] {
            assert!(only_reads(cmd));
        }
        assert!(only_reads(&entry.with_text().unwrap()));
        for command in [unlink(b"k"), read_and_change(b"k", Change::Delete, ""), scan(0, "*", 1), size()] {
            assert!(!only_reads(&command.cmd), "{:?}", words(&command));
        }
    }

    #[test]
    fn cnt_1_only_another_range_or_a_ttl_needs_the_script() {
        let full = Resolver::new(&CAPABILITIES).increment("k", -5, IncrementOptions::default(), &SystemClock).unwrap();
        assert_eq!(words(&increment(b"k", &full)).join(" "), "INCRBY k -5");
        let narrow = CAPABILITIES.clone().with_counters(kv_api::Support::Native, -10, 10);
        let narrow = Resolver::new(&narrow).increment("k", 1, IncrementOptions::default(), &SystemClock).unwrap();
        let hash = Script::Increment.hash();
        assert_eq!(words(&increment(b"k", &narrow)).join(" "), format!("EVALSHA {hash} 1 k 1 -10 10 1"));
        let mut window = IncrementOptions::default();
        window.ttl_if_created = Some(Duration::from_secs(1));
        let window = Resolver::new(&CAPABILITIES).increment("k", 1, window, &SystemClock).unwrap();
        let range = format!("{} {}", i64::MIN, i64::MAX);
        assert_eq!(words(&increment(b"k", &window)).join(" "), format!("EVALSHA {hash} 1 k 1 {range} 1 PX 1000"));
        let lasting = CAPABILITIES.clone().with_counter_expiry(false);
        let lasting = Resolver::new(&lasting).increment("k", 1, IncrementOptions::default(), &SystemClock).unwrap();
        assert_eq!(
            words(&increment(b"k", &lasting)).join(" "),
            format!("EVALSHA {hash} 1 k 1 {} {} 0", i64::MIN, i64::MAX)
        );
    }

    #[test]
    fn a_script_that_is_not_known_is_sent_as_text() {
        let command = read(b"k", Fields::All);
        assert_eq!(words(&command), ["EVALSHA_RO", Script::ReadEntry.hash(), "1", "k"]);
        let cmd = command.with_text().unwrap();
        let by_text = Command { cmd, script: None };
        assert_eq!(words(&by_text), ["EVAL_RO", Script::ReadEntry.text(), "1", "k"]);
        assert!(read(b"k", Fields::Value).with_text().is_none());
    }

    #[test]
    fn the_length_on_the_wire_is_that_of_the_packed_command() {
        let long = vec![7; 12_345];
        for command in [
            read(b"k", Fields::Value),
            read(b"", Fields::Existence),
            read_entries(&[b"a".to_vec(), long.clone()]),
            read_values(&vec![&b"0123456789"[..]; 101]),
            scan(u64::MAX, "a*", 1000),
            unlink(&long),
        ] {
            assert_eq!(wire_bytes(&command.cmd), command.cmd.get_packed_command().len(), "{:?}", words(&command));
        }
    }
}
