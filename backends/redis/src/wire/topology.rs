//! Which node of a cluster serves which slots, as one of its nodes sees it.

use std::ops::RangeInclusive;

use kv_api::{Error, Result};
use redis::{Cmd, ServerError, Value};

use super::reply::{accepted, unexpected};
use super::slot::SLOTS;
use super::value::digest;
use crate::config::Node;

/// How many nodes are read of one answer; a cluster is documented for 1,000.
const NODES_MAX: usize = 4_000;

/// What one node knows of its cluster.
#[derive(Debug)]
pub(crate) struct Topology {
    /// Those with slots, by their identities.
    pub(crate) masters: Vec<Master>,
    /// The place in `masters` for each slot.
    slots: Vec<Option<u16>>,
    /// Another one where any slot has another master.
    pub(crate) fingerprint: String,
    /// The identity of the node that was asked.
    myself: String,
    /// Slots are on their way from or to the node that was asked.
    pub(crate) has_open_slots: bool,
    /// The node that was asked reaches most of the masters. One that is cut off from them still takes itself for a
    /// master when others have taken over.
    pub(crate) is_of_majority: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Master {
    pub(crate) id: String,
    pub(crate) node: Node,
    ranges: Vec<RangeInclusive<u16>>,
    /// In the order of their identities.
    pub(crate) replicas: Vec<Node>,
}

/// Asks for it.
pub(crate) fn ask() -> Cmd {
    redis::cmd("CLUSTER").arg("NODES").take()
}

impl Topology {
    /// Nothing is known yet.
    pub(crate) fn unknown() -> Self {
        let slots = vec![None; usize::from(SLOTS)];
        let (masters, fingerprint, myself) = (Vec::new(), String::new(), String::new());
        Self { masters, slots, fingerprint, myself, has_open_slots: false, is_of_majority: false }
    }

    /// Reads the answer of the node at this address.
    ///
    /// # Errors
    /// What the node refused with; `Protocol` for what is no such answer.
    pub(crate) fn read(reply: Value, asked: &Node) -> Result<Self> {
        let text = match accepted(reply)? {
            Value::BulkString(text) => String::from_utf8(text).map_err(|_| unexpected())?,
            Value::VerbatimString { text, .. } => text,
            _ => return Err(unexpected()),
        };
        let (mut masters, mut myself, mut has_open_slots, mut missed) = (Vec::new(), None, false, 0);
        let mut replicas: Vec<(&str, &str, Node)> = Vec::new();
        for line in text.lines().take(NODES_MAX) {
            let mut words = line.split_ascii_whitespace();
            let mut next = || words.next().ok_or_else(unexpected);
            let (id, address, flags) = (next()?, next()?, next()?);
            let flags: Vec<&str> = flags.split(',').collect();
            let of_master = next()?;
            // Two times, the epoch and the state of the link.
            let slots: Vec<&str> = words.skip(4).collect();
            if flags.contains(&"myself") {
                myself = Some(id.to_owned());
                has_open_slots = slots.iter().any(|slots| slots.starts_with('['));
            }
            let ranges: Vec<_> =
                slots.into_iter().filter(|slots| !slots.starts_with('[')).map(range).collect::<Result<_>>()?;
            if flags.contains(&"master") && !ranges.is_empty() {
                // That it is gone for the others too is "fail".
                missed += usize::from(flags.contains(&"fail?"));
                masters.push(Master {
                    id: id.to_owned(),
                    node: address_of(address, asked)?,
                    ranges,
                    replicas: Vec::new(),
                });
            }
            // One that has failed may be back. Where one without an address is nobody knows.
            if flags.contains(&"slave") && !flags.contains(&"noaddr") {
                replicas.extend(address_of(address, asked).ok().map(|node| (of_master, id, node)));
            }
        }
        masters.sort_by(|left, right| left.id.cmp(&right.id));
        replicas.sort();
        for (of_master, _, node) in replicas {
            if let Ok(place) = masters.binary_search_by(|master| master.id.as_str().cmp(of_master)) {
                masters[place].replicas.push(node);
            }
        }
        let is_of_majority = 2 * missed < masters.len();
        let (slots, fingerprint) = Self::slots_of(&masters)?;
        let myself = myself.ok_or_else(unexpected)?;
        Ok(Self { masters, slots, fingerprint, myself, has_open_slots, is_of_majority })
    }

    /// The place in `masters` for each slot, and the fingerprint.
    fn slots_of(masters: &[Master]) -> Result<(Vec<Option<u16>>, String)> {
        let mut slots = vec![None; usize::from(SLOTS)];
        let mut all = String::new();
        for (place, master) in masters.iter().enumerate() {
            for range in &master.ranges {
                for slot in range.clone() {
                    // A slot has one master, so this is at most as long as there are slots.
                    if slots[usize::from(slot)].replace(u16::try_from(place).map_err(|_| unexpected())?).is_some() {
                        return Err(unexpected());
                    }
                }
                all += &format!("{} {}-{}\n", master.id, range.start(), range.end());
            }
        }
        Ok((slots, digest(all.as_bytes())))
    }

    /// The master of a slot.
    pub(crate) fn master_of(&self, slot: u16) -> Option<&Master> {
        self.masters.get(usize::from((*self.slots.get(usize::from(slot))?)?))
    }

    /// The master of this identity.
    pub(crate) fn master(&self, id: &str) -> Option<&Master> {
        self.masters.iter().find(|master| master.id == id)
    }

    /// The master behind this one in the order of identities.
    pub(crate) fn master_after(&self, id: &str) -> Option<&Master> {
        self.masters.iter().find(|master| *master.id > *id)
    }

    /// Whether each slot has a master.
    pub(crate) fn is_whole(&self) -> bool {
        self.slots.iter().all(Option::is_some)
    }

    /// Whether the node that was asked is this one, and a master.
    pub(crate) fn is_of_master(&self, id: &str) -> bool {
        self.myself == id && self.master(id).is_some()
    }
}

/// `7` or `7-9`.
fn range(text: &str) -> Result<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last && last < SLOTS => Ok(first..=last),
        _ => Err(unexpected()),
    }
}

/// `HOST:PORT@BUS`, with `,NAME` behind it where the node has a name.
fn address_of(text: &str, asked: &Node) -> Result<Node> {
    let (address, more) = text.split_once('@').unwrap_or((text, ""));
    let name = more.split(',').nth(1).filter(|name| !name.is_empty());
    let (host, port) = host_and_port(address, asked)?;
    Node::new(name.unwrap_or(&host), port).map_err(|_: Error| unexpected())
}

/// The host is missing where it is that of the node that was asked. An IPv6 address has no brackets here.
fn host_and_port(address: &str, asked: &Node) -> Result<(String, u16)> {
    let (host, port) = address.rsplit_once(':').ok_or_else(unexpected)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = if host.is_empty() { &asked.host } else { host };
    Ok((host.to_owned(), port.parse().map_err(|_| unexpected())?))
}

/// Where a node sends a command that it does not carry out itself. It has not carried it out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// The slot has another master.
    Moved(Node),
    /// The slot is on its way there, and perhaps the key has arrived.
    Ask(Node),
}

/// The redirect that a reply is; `None` for any other reply, and for one that names no node.
pub(crate) fn redirect(reply: &Value, asked: &Node) -> Option<Redirect> {
    let Value::ServerError(error) = reply else { return None };
    let node = |error: &ServerError| {
        let (host, port) = host_and_port(error.details()?.split_ascii_whitespace().nth(1)?, asked).ok()?;
        Node::new(host, port).ok()
    };
    match error.code() {
        "MOVED" => node(error).map(Redirect::Moved),
        "ASK" => node(error).map(Redirect::Ask),
        _ => None,
    }
}

/// Whether a refusal says that the cluster is no longer as it was known.
pub(crate) fn is_of_another_topology(reply: &Value) -> bool {
    let codes = ["CLUSTERDOWN", "MASTERDOWN", "READONLY", "LOADING"];
    matches!(reply, Value::ServerError(error) if codes.contains(&error.code()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::ErrorKind;

    const NODES: &str = "\
b 127.0.0.1:7001@17001 master - 0 1426238316232 2 connected 5461-10922
c 127.0.0.1:7002@17002,,shard-id=x master - 0 1 3 connected 10923-16383
d 127.0.0.1:7003@17003 slave a 0 1 1 connected
e :0@0 master,noaddr - 0 0 9 disconnected
g 127.0.0.1:7005@17005 slave,fail a 0 1 1 disconnected
f :0@0 slave,noaddr a 0 0 1 disconnected
h 127.0.0.1:7006@17006 slave gone 0 1 1 connected
i hush slave a 0 2 1 connected
a :7000@17000,name.example myself,master - 0 0 1 connected 0-5459 5460 [93-<-b] [77->-c]
";

    fn asked() -> Node {
        Node::new("10.0.0.9", 7000).unwrap()
    }

    fn read(text: &str) -> Result<Topology> {
        Topology::read(Value::BulkString(text.as_bytes().to_vec()), &asked())
    }

    #[test]
    fn each_slot_has_its_master() {
        let topology = read(NODES).unwrap();
        let ids: Vec<_> = topology.masters.iter().map(|master| &*master.id).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert_eq!(topology.masters[0].replicas, [7003, 7005].map(|port| Node::new("127.0.0.1", port).unwrap()));
        assert!(topology.masters[1].replicas.is_empty() && topology.masters[2].replicas.is_empty());
        for (slot, host, port) in [
            (0, "name.example", 7000),
            (5_460, "name.example", 7000),
            (5_461, "127.0.0.1", 7001),
            (16_383, "127.0.0.1", 7002),
        ] {
            assert_eq!(topology.master_of(slot).unwrap().node, Node::new(host, port).unwrap(), "{slot}");
        }
        assert!(topology.is_whole() && topology.has_open_slots);
        assert!(topology.is_of_master("a") && !topology.is_of_master("b"));
        assert_eq!(topology.master_after("a").unwrap().id, "b");
        assert!(topology.master_after("c").is_none() && topology.master("d").is_none());
        assert!(topology.master_of(SLOTS).is_none());
    }

    #[test]
    fn list_3_another_master_of_any_slot_shows_in_the_fingerprint() {
        let fingerprint = |text: &str| read(text).unwrap().fingerprint;
        let now = fingerprint(NODES);
        // Order, times, states and slots that are on their way do not count.
        let mut lines: Vec<&str> = NODES.lines().collect();
        lines.reverse();
        assert_eq!(fingerprint(&lines.join("\n")), now);
        assert_eq!(
            fingerprint(&NODES.replace("1426238316232 2 connected", "7 8 disconnected").replace(" [93-<-b]", "")),
            now
        );
        let moved = NODES.replace("5461-10922", "5462-10922").replace("0-5459 5460", "0-5461");
        assert_ne!(fingerprint(&moved), now);
        let failed_over =
            NODES.replace("slave a 0 1 1 connected", "master - 0 1 4 connected 0-5460").replace("0-5459 5460", "");
        assert_ne!(fingerprint(&failed_over), now);
        let less = read(&NODES.replace("10923-16383", "10923-16000")).unwrap();
        assert!(!less.is_whole() && less.master_of(16_383).is_none());
    }

    #[test]
    fn a_node_that_is_cut_off_is_not_of_the_majority() {
        let view = |text: &str| read(text).unwrap().is_of_majority;
        assert!(view(NODES));
        assert!(view(&NODES.replace("b 127.0.0.1:7001@17001 master", "b 127.0.0.1:7001@17001 master,fail?")));
        assert!(view(&NODES.replace("17001 master", "17001 master,fail").replace("=x master", "=x master,fail")));
        assert!(!view(&NODES.replace("17001 master", "17001 master,fail?").replace("=x master", "=x master,fail?")));
        let four = NODES.replace(
            "d 127.0.0.1:7003@17003 slave a 0 1 1 connected",
            "d 127.0.0.1:7003@17003 master - 0 1 4 connected 0-9",
        );
        let four = four.replace("0-5459 5460", "10-5460").replace("17001 master", "17001 master,fail?");
        assert!(view(&four));
        assert!(!view(&four.replace("=x master", "=x master,fail?")), "half of them are no majority");
    }

    #[test]
    fn some_refusals_say_that_the_cluster_has_changed() {
        let is_changed = |line: &str| is_of_another_topology(&redis::parse_redis_value(line.as_bytes()).unwrap());
        for line in ["-CLUSTERDOWN down\r\n", "-MASTERDOWN down\r\n", "-READONLY no\r\n", "-LOADING it\r\n"] {
            assert!(is_changed(line), "{line}");
        }
        for line in ["-ERR CLUSTERDOWN\r\n", "-TRYAGAIN later\r\n", "+READONLY\r\n", ":1\r\n"] {
            assert!(!is_changed(line), "{line}");
        }
    }

    #[test]
    fn what_is_no_topology_is_refused() {
        for text in ["", "a", "a 127.0.0.1:1@2 master - 0 0 1 connected 0-99", "a x myself,master - 0 0 1 connected 0"]
        {
            assert_eq!(read(text).unwrap_err().kind(), ErrorKind::Protocol, "{text}");
        }
        for slots in ["0-16384", "9-8", "x", "1-2-3", "1-2 2-3", "7 7"] {
            let text = format!("a 127.0.0.1:1@2 myself,master - 0 0 1 connected {slots}");
            assert_eq!(read(&text).unwrap_err().kind(), ErrorKind::Protocol, "{slots}");
        }
        assert!(Topology::read(Value::Okay, &asked()).is_err());
        let text = format!("={}\r\ntxt:{NODES}\r\n", NODES.len() + 4);
        let text = redis::parse_redis_value(text.as_bytes()).unwrap();
        assert!(Topology::read(text, &asked()).unwrap().is_whole(), "as a text in the newer protocol");
    }

    #[test]
    fn a_redirect_names_a_node() {
        let of = |line: &str| redirect(&redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap(), &asked());
        let node = |host: &str| Node::new(host, 6381).unwrap();
        assert_eq!(of("MOVED 3999 127.0.0.1:6381"), Some(Redirect::Moved(node("127.0.0.1"))));
        assert_eq!(of("ASK 3999 name.example:6381"), Some(Redirect::Ask(node("name.example"))));
        assert_eq!(of("MOVED 3999 :6381"), Some(Redirect::Moved(node("10.0.0.9"))));
        assert_eq!(of("MOVED 3999 ::1:6381"), Some(Redirect::Moved(node("::1"))));
        for line in ["MOVED 3999", "MOVED", "ASK 1 x", "MOVED 1 a:0b", "TRYAGAIN x", "MOVED 1 ?:x"] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
