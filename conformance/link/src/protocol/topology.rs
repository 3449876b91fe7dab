//! The ports of a cluster's nodes in what they answer: `CLUSTER SLOTS`, `SHARDS`, `NODES`, and `MOVED` and `ASK`.

use std::collections::HashMap;

/// What each port becomes.
pub(crate) type Ports = HashMap<u16, u16>;

/// An error that sends a client to another node; any other line as it is.
pub(crate) fn redirected(line: &[u8], ports: &Ports) -> Option<Vec<u8>> {
    if !line.starts_with(b"-MOVED ") && !line.starts_with(b"-ASK ") {
        return None;
    }
    let text = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let (rest, port) = text.rsplit_once(':')?;
    Some(format!("{rest}:{}\r\n", ports.get(&port.parse().ok()?)?).into_bytes())
}

/// A whole answer to a command of `CLUSTER`. A port is a number right after a text, and what is between `:` and `@` in
/// a text of several words: slots are neither.
pub(crate) fn announced(answer: &[u8], ports: &Ports) -> Vec<u8> {
    let mut out = Vec::with_capacity(answer.len());
    let mut rest = answer;
    let mut before: Option<&[u8]> = None;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, after) = rest.split_at(end + 1);
        rest = after;
        let number = std::str::from_utf8(&line[1..]).unwrap_or_default().trim_end();
        match line[0] {
            b'$' | b'=' => {
                // Of nil there is nothing more.
                let Some((text, after)) = number.parse().ok().and_then(|length| rest.split_at_checked(length)) else {
                    out.extend_from_slice(line);
                    before = Some(b"");
                    continue;
                };
                let changed = nodes(text, ports);
                out.extend_from_slice(format!("{}{}\r\n", char::from(line[0]), changed.len()).as_bytes());
                out.extend_from_slice(&changed);
                rest = after;
                before = Some(text);
                // The end of its line is one of its own.
                if let Some(end) = memchr::memchr(b'\n', rest) {
                    out.extend_from_slice(&rest[..=end]);
                    rest = &rest[end + 1..];
                }
            }
            b':' if before.is_some_and(|text| text != b"replication-offset") => {
                match number.parse().ok().and_then(|port: u16| ports.get(&port)) {
                    Some(port) => out.extend_from_slice(format!(":{port}\r\n").as_bytes()),
                    None => out.extend_from_slice(line),
                }
                before = None;
            }
            _ => {
                out.extend_from_slice(line);
                before = None;
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

/// The lines of `CLUSTER NODES`: `ID HOST:PORT@BUS …`.
fn nodes(text: &[u8], ports: &Ports) -> Vec<u8> {
    let changed = |line: &str| {
        let (address, rest) = line.split_once('@')?;
        let (host, port) = address.rsplit_once(':')?;
        Some(format!("{host}:{}@{rest}", ports.get(&port.parse().ok()?)?))
    };
    match std::str::from_utf8(text) {
        Ok(text) if text.contains('@') => {
            let lines = text.split_inclusive('\n').map(|line| changed(line).unwrap_or_else(|| line.to_owned()));
            lines.collect::<String>().into_bytes()
        }
        _ => text.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports() -> Ports {
        Ports::from([(7001, 41_001), (7002, 2)])
    }

    fn changed(answer: &str) -> String {
        String::from_utf8(announced(answer.as_bytes(), &ports())).unwrap()
    }

    #[test]
    fn redirections_lead_to_the_links() {
        let to = |line: &str| redirected(line.as_bytes(), &ports()).map(|line| String::from_utf8(line).unwrap());
        assert_eq!(to("-MOVED 7001 127.0.0.1:7001\r\n").as_deref(), Some("-MOVED 7001 127.0.0.1:41001\r\n"));
        assert_eq!(to("-ASK 12 :7002\r\n").as_deref(), Some("-ASK 12 :2\r\n"));
        for line in ["-MOVED 7001 127.0.0.1:7003\r\n", "-ERR 127.0.0.1:7001\r\n", "-MOVED\r\n", "+OK\r\n"] {
            assert_eq!(to(line), None, "{line}");
        }
    }

    #[test]
    fn slots_that_look_like_ports_stay() {
        let node = "*4\r\n$9\r\n127.0.0.1\r\n:7001\r\n$2\r\nid\r\n*0\r\n";
        let own = "*4\r\n$-1\r\n:7002\r\n$2\r\nid\r\n*2\r\n$8\r\nhostname\r\n$1\r\nh\r\n";
        let answer = format!("*1\r\n*4\r\n:7001\r\n:7002\r\n{node}{own}");
        let expected = answer.replace("127.0.0.1\r\n:7001", "127.0.0.1\r\n:41001").replace("-1\r\n:7002", "-1\r\n:2");
        assert_eq!(changed(&answer), expected);
    }

    #[test]
    fn shards_have_ports_by_name() {
        let answer = "*1\r\n*4\r\n$5\r\nslots\r\n*2\r\n:7001\r\n:7002\r\n$5\r\nnodes\r\n*1\r\n*6\r\n\
                      $4\r\nport\r\n:7001\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$18\r\nreplication-offset\r\n:7001\r\n";
        assert_eq!(changed(answer), answer.replacen("port\r\n:7001", "port\r\n:41001", 1));
    }

    #[test]
    fn nodes_are_lines() {
        let text = "a 127.0.0.1:7001@17001 master - 0 0 1 connected 0-7001\nb 127.0.0.1:7002@17002,h myself\n";
        let expected = text.replace(":7001@", ":41001@").replace(":7002@", ":2@");
        let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        assert_eq!(changed(&bulk(text)), bulk(&expected));
        assert_eq!(changed("-ERR no\r\n"), "-ERR no\r\n");
    }
}
