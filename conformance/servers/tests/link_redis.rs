//! A link before a private Redis: what it counts, and how it breaks.
#![allow(clippy::unwrap_used, reason = "a test, which clippy cannot see: it has its own main")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use kv_conformance::{Fault, Faults};
use kv_servers::{Link, Protocol, Redis, RedisOptions, Result, System, tests};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

fn main() -> ExitCode {
    kv_servers::run(
        System::Redis,
        tests![
            all_passes_as_it_is,
            a_pipeline_is_one_request_and_set_up_is_none,
            bytes_that_come_one_by_one_count_the_same,
            refused_is_refused_by_the_operating_system,
            an_idle_client_sees_the_end_before_it_sends,
            what_is_under_way_is_answered_before_the_end,
            a_request_that_is_lost_leaves_nothing,
            a_lost_answer_was_carried_out,
            half_an_answer_arrives,
            a_garbled_answer_was_carried_out,
            a_failure_was_carried_out_and_says_nothing,
            unavailable_reaches_no_server,
            any_answer_can_be_given,
            a_fault_hits_a_pipeline_whole,
            a_transaction_fails_at_its_end,
            faults_for_writes_leave_reads_alone,
            a_bulk_answers_what_cannot_be,
            what_is_no_message_ends_the_connection,
            what_has_no_name_for_too_long_ends_the_connection,
            pages_are_empty_stand_still_and_go_in_circles,
            set_up_meets_no_fault,
            one_order_replaces_another,
            nothing_flows_while_it_is_stalled,
            a_cut_ends_all_and_new_ones_are_taken,
            a_partition_heals,
            the_next_connections_are_reset,
            a_dead_server_resets_its_clients,
            subscriptions_pass,
            callers_side_by_side_get_their_own_answers,
            a_link_ends_when_it_is_dropped,
        ],
    )
}

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    async fn send(&mut self, commands: &[&[&str]]) {
        self.stream.write_all(&encoded(commands)).await.unwrap();
    }

    /// The next answer, a list in brackets; `None` when the connection ends before its end.
    async fn answer(&mut self) -> Option<String> {
        let next = Box::pin(self.next());
        tokio::time::timeout(Duration::from_secs(20), next).await.expect("an answer or an end")
    }

    async fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.ok()?;
        let line = line.strip_suffix("\r\n")?;
        match line.split_at(1) {
            ("$", "-1") => Some("nil".to_owned()),
            ("$", length) => {
                let mut bytes = vec![0; length.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut bytes).await.ok()?;
                bytes.truncate(bytes.len() - 2);
                Some(String::from_utf8(bytes).unwrap())
            }
            ("*", length) => {
                let mut members = Vec::new();
                for _ in 0..length.parse().unwrap() {
                    members.push(Box::pin(self.next()).await?);
                }
                Some(format!("[{}]", members.join(" ")))
            }
            (_, text) => Some(text.to_owned()),
        }
    }

    async fn ask(&mut self, words: &[&str]) -> Option<String> {
        self.ask_all(&[words]).await.remove(0)
    }

    async fn ask_all(&mut self, commands: &[&[&str]]) -> Vec<Option<String>> {
        self.stream.write_all(&encoded(commands)).await.unwrap();
        let mut answers = Vec::new();
        for _ in commands {
            answers.push(self.answer().await);
        }
        answers
    }

    /// Whether the connection has ended, after as many bytes as were left of an answer.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // An end by a reset is an end too.
        let _ = self.stream.read_to_end(&mut rest).await;
        rest
    }
}

fn encoded(commands: &[&[&str]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for words in commands {
        bytes.extend(format!("*{}\r\n", words.len()).bytes());
        for word in *words {
            bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
        }
    }
    bytes
}

struct Bench {
    redis: Redis,
    link: Link,
}

impl Bench {
    async fn new() -> Result<Self> {
        let redis = Redis::start(RedisOptions::new()).await?;
        let link = Link::open(redis.address(), Protocol::Resp).unwrap();
        Ok(Self { redis, link })
    }

    async fn client(&self) -> Client {
        Client::connect(self.link.address()).await
    }

    /// What the server has under a key, asked past the link.
    async fn stored(&self, key: &str) -> String {
        self.redis.command(&["GET", key]).await.unwrap().to_string()
    }
}

/// Waits until the link has seen so many commands.
async fn arrived(bench: &Bench, commands: u64) {
    while bench.link.commands() < commands {
        tokio::task::yield_now().await;
    }
}

/// What a client gets that does nothing but connect, which may see it while it does.
async fn connection_ends_with(bench: &Bench) -> ErrorKind {
    match TcpStream::connect(bench.link.address()).await {
        Ok(mut stream) => stream.read_u8().await.unwrap_err().kind(),
        Err(error) => error.kind(),
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

async fn all_passes_as_it_is() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    let large = "v".repeat(5_000_000);
    assert_eq!(client.ask(&["SET", "large", &large]).await, some("OK"));
    assert_eq!(client.ask(&["GET", "large"]).await, some(&large));
    assert_eq!(bench.stored("large").await, large);
    assert_eq!(client.ask(&["MGET", "large", "none", "large"]).await, some(&format!("[{large} nil {large}]")));
    let commands: Vec<Vec<String>> =
        (0..20_000).map(|number| vec!["APPEND".to_owned(), format!("k{}", number % 7), number.to_string()]).collect();
    let words: Vec<Vec<&str>> = commands.iter().map(|words| words.iter().map(String::as_str).collect()).collect();
    let words: Vec<&[&str]> = words.iter().map(Vec::as_slice).collect();
    let bytes = encoded(&words);
    let Client { stream } = client;
    let (reader, mut writer) = tokio::io::split(stream.into_inner());
    let writing = tokio::spawn(async move { writer.write_all(&bytes).await.map(|()| writer) });
    let mut reader = BufReader::new(reader);
    let mut lengths = [0; 7];
    for number in 0..20_000_usize {
        let mut line = String::new();
        reader.read_line(&mut line).await.unwrap();
        lengths[number % 7] += number.to_string().len();
        assert_eq!(line, format!(":{}\r\n", lengths[number % 7]));
    }
    writing.await.unwrap().unwrap();
    assert_eq!((bench.link.commands(), bench.link.connections()), (20_003, 1));
    Ok(())
}

async fn a_pipeline_is_one_request_and_set_up_is_none() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    client.ask_all(&[&["HELLO", "2"], &["CLIENT", "SETINFO", "LIB-NAME", "x"], &["SELECT", "0"]]).await;
    client.ask(&["INFO", "server"]).await;
    client.ask(&["script", "load", "return 1"]).await;
    client.ask(&["CLUSTER", "SLOTS"]).await;
    client.ask(&["PING"]).await;
    assert_eq!((bench.link.requests(), bench.link.commands()), (0, 0));
    client.ask(&["GET", "a"]).await;
    client.ask_all(&[&["SET", "a", "1"], &["GET", "a"], &["SET", "b", "2"]]).await;
    assert_eq!((bench.link.requests(), bench.link.commands()), (2, 4));
    client.ask_all(&[&["SELECT", "0"], &["GET", "a"]]).await;
    client.ask_all(&[&["MULTI"], &["SET", "a", "1"], &["EXEC"]]).await;
    client.ask(&["EVAL", "return 1", "0"]).await;
    assert_eq!((bench.link.requests(), bench.link.commands()), (5, 9));
    Ok(())
}

async fn bytes_that_come_one_by_one_count_the_same() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    bench.link.inject_into_writes(Fault::FailureReported, 1);
    for byte in encoded(&[&["GET", "a"]]).into_iter().chain(encoded(&[&["SET", "a", "1"]])) {
        client.stream.write_all(&[byte]).await.unwrap();
        client.stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(client.answer().await, some("nil"));
    assert_eq!(client.answer().await, some("ERR unexplained failure"));
    assert_eq!((bench.stored("a").await, bench.link.commands()), ("1".to_owned(), 2));
    Ok(())
}

async fn refused_is_refused_by_the_operating_system() -> Result<()> {
    let bench = Bench::new().await?;
    for count in [1, 1_000] {
        let mut client = bench.client().await;
        assert_eq!(client.ask(&["GET", "a"]).await, some("nil"));
        let requests = bench.link.requests();
        bench.link.inject(Fault::Refused, count);
        assert_eq!(client.rest().await, b"");
        for _ in 0..3 {
            let error = TcpStream::connect(bench.link.address()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        bench.link.inject(Fault::Refused, 0);
        assert_eq!(bench.link.requests(), requests);
        assert_eq!(bench.client().await.ask(&["PING"]).await, some("PONG"));
    }
    Ok(())
}

async fn an_idle_client_sees_the_end_before_it_sends() -> Result<()> {
    let bench = Bench::new().await?;
    // One that reads while it is idle has ended the connection from its side.
    let mut reads = bench.client().await;
    assert_eq!(reads.ask(&["SET", "a", "1"]).await, some("OK"));
    let reading = tokio::spawn(async move { reads.rest().await });
    // One that does not finds that it cannot write.
    let mut idle = bench.client().await;
    assert_eq!(idle.ask(&["SET", "a", "1"]).await, some("OK"));
    bench.link.inject(Fault::Refused, 1);
    let error = idle.stream.write_all(&encoded(&[&["SET", "a", "2"]])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(reading.await.unwrap(), b"");
    assert_eq!(bench.stored("a").await, "1");
    Ok(())
}

async fn what_is_under_way_is_answered_before_the_end() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    client.send(&[&["BLPOP", "list", "0"]]).await;
    arrived(&bench, 1).await;
    bench.link.inject(Fault::Refused, 1);
    bench.redis.command(&["RPUSH", "list", "x"]).await?;
    assert_eq!(client.answer().await, some("[list x]"));
    assert_eq!(client.rest().await, b"");
    Ok(())
}

/// Orders a fault for a `SET a 1` and for a `GET a`; what each is answered, and what is stored.
async fn met(fault: Fault) -> Result<(Bench, Option<String>, Option<String>)> {
    let bench = Bench::new().await?;
    bench.link.inject(fault, 2);
    let set = bench.client().await.ask(&["SET", "a", "1"]).await;
    let get = bench.client().await.ask(&["GET", "a"]).await;
    assert_eq!((bench.link.faults_left(), bench.link.requests()), (0, 2));
    assert_eq!(bench.client().await.ask(&["PING"]).await, some("PONG"));
    Ok((bench, set, get))
}

async fn a_request_that_is_lost_leaves_nothing() -> Result<()> {
    let (bench, set, get) = met(Fault::RequestLost).await?;
    assert_eq!((set, get, bench.stored("a").await), (None, None, String::new()));
    // What was asked before is answered.
    let mut client = bench.client().await;
    client.send(&[&["BLPOP", "list", "0"]]).await;
    arrived(&bench, 3).await;
    bench.link.inject(Fault::RequestLost, 1);
    client.send(&[&["SET", "a", "2"], &["SET", "b", "2"]]).await;
    arrived(&bench, 4).await;
    bench.redis.command(&["RPUSH", "list", "x"]).await?;
    assert_eq!(client.answer().await, some("[list x]"));
    assert_eq!((client.answer().await, bench.stored("a").await), (None, String::new()));
    Ok(())
}

async fn a_lost_answer_was_carried_out() -> Result<()> {
    let (bench, set, get) = met(Fault::AnswerLost).await?;
    assert_eq!((set, get, bench.stored("a").await), (None, None, "1".to_owned()));
    let mut client = bench.client().await;
    bench.link.inject(Fault::AnswerLost, 1);
    client.send(&[&["INCR", "n"]]).await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(bench.stored("n").await, "1");
    Ok(())
}

async fn half_an_answer_arrives() -> Result<()> {
    let (bench, set, get) = met(Fault::AnswerTruncated).await?;
    assert_eq!((set, get, bench.stored("a").await), (None, None, "1".to_owned()));
    bench.redis.command(&["SET", "large", &"v".repeat(1_000_000)]).await?;
    for (key, expected) in [("a", &b"$1\r"[..]), ("large", &[b"$1000000\r\n", &[b'v'; 16 * 1024 - 10][..]].concat())] {
        let mut client = bench.client().await;
        bench.link.inject(Fault::AnswerTruncated, 1);
        client.send(&[&["GET", key]]).await;
        assert_eq!(client.rest().await, expected, "{key}");
    }
    Ok(())
}

async fn a_garbled_answer_was_carried_out() -> Result<()> {
    let (bench, set, get) = met(Fault::AnswerGarbled).await?;
    assert_eq!((set, get, bench.stored("a").await), (some("[[-7]]"), some("[[-7]]"), "1".to_owned()));
    Ok(())
}

async fn a_failure_was_carried_out_and_says_nothing() -> Result<()> {
    let (bench, set, get) = met(Fault::FailureReported).await?;
    let error = some("ERR unexplained failure");
    assert_eq!((set, get, bench.stored("a").await), (error.clone(), error, "1".to_owned()));
    Ok(())
}

async fn unavailable_reaches_no_server() -> Result<()> {
    let (bench, set, get) = met(Fault::Unavailable).await?;
    let error = some("LOADING Redis is loading the dataset in memory");
    assert_eq!((set, get, bench.stored("a").await), (error.clone(), error, String::new()));
    Ok(())
}

async fn any_answer_can_be_given() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    for text in ["READONLY no", "MOVED 1 127.0.0.1:1", "OOM no", "BUSY no", "NOSCRIPT no", "CLUSTERDOWN no"] {
        bench.link.answer_with(text, 1);
        assert_eq!(client.ask(&["SET", "a", "1"]).await, some(text));
        bench.link.answer_writes_with(text, 1);
        assert_eq!(client.ask(&["GET", "a"]).await, some("nil"));
        assert_eq!(client.ask(&["SET", "a", "1"]).await, some(text));
    }
    bench.link.answer_with("A\r\n:1", 1);
    assert_eq!(client.ask(&["SET", "a", "1"]).await, some("A  :1"));
    assert_eq!(client.ask(&["SET", "a", "1"]).await, some("OK"));
    Ok(())
}

async fn a_fault_hits_a_pipeline_whole() -> Result<()> {
    const COUNT: usize = 5_000;
    let bench = Bench::new().await?;
    let keys: Vec<String> = (0..COUNT).map(|number| format!("k{number}")).collect();
    let words: Vec<[&str; 3]> = keys.iter().map(|key| ["SET", key, "1"]).collect();
    let commands: Vec<&[&str]> = words.iter().map(<[&str; 3]>::as_slice).collect();
    for (fault, answered, stored) in [
        (Fault::RequestLost, 0, 0),
        (Fault::AnswerLost, 0, COUNT),
        (Fault::AnswerTruncated, 0, COUNT),
        (Fault::AnswerGarbled, COUNT, COUNT),
        (Fault::FailureReported, COUNT, COUNT),
        (Fault::Unavailable, COUNT, 0),
    ] {
        bench.redis.command(&["FLUSHALL"]).await?;
        let mut client = bench.client().await;
        let requests = bench.link.requests();
        bench.link.inject(fault, 1);
        client.send(&commands).await;
        let mut answers = 0;
        while answers < COUNT {
            match client.answer().await {
                Some(answer) => assert_ne!(answer, "OK", "{fault:?}"),
                None => break,
            }
            answers += 1;
        }
        let found: usize = bench.redis.command(&["DBSIZE"]).await?.to_string().parse().unwrap();
        assert_eq!((answers, found, bench.link.requests() - requests), (answered, stored, 1), "{fault:?}");
        if answered > 0 {
            assert_eq!(client.ask(&["PING"]).await, some("PONG"));
        }
    }
    Ok(())
}

async fn a_transaction_fails_at_its_end() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    let transaction: &[&[&str]] = &[&["MULTI"], &["INCR", "a"], &["INCR", "a"], &["EXEC"]];
    for order in [<Link as Faults>::inject, <Link as Faults>::inject_into_writes] {
        order(&bench.link, Fault::FailureReported, 1);
        let answers = client.ask_all(transaction).await;
        assert_eq!(answers, ["OK", "QUEUED", "QUEUED", "ERR unexplained failure"].map(some));
        order(&bench.link, Fault::Unavailable, 1);
        let answers = client.ask_all(transaction).await;
        assert!(answers.iter().all(|answer| answer.as_ref().unwrap().starts_with("LOADING")), "{answers:?}");
        assert_eq!(client.ask(&["GET", "a"]).await, some("2"), "no transaction is open");
        client.ask(&["DEL", "a"]).await;
    }
    Ok(())
}

async fn faults_for_writes_leave_reads_alone() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    for write in [
        &["SET", "a", "1"][..],
        &["EVAL", "return 1", "0"],
        &["EVALSHA", "0", "0"],
        &["FCALL", "f", "0"],
        &["PEXPIRE", "a", "1"],
        &["GETDEL", "a"],
        &["unlink", "a"],
    ] {
        bench.link.inject_into_writes(Fault::Unavailable, 1);
        for read in [&["GET", "a"][..], &["mget", "a", "b"], &["EVAL_RO", "return 1", "0"], &["SCAN", "0"]] {
            let answer = client.ask(read).await.unwrap();
            assert!(!answer.starts_with("LOADING"), "{read:?}: {answer}");
        }
        let answer = client.ask(write).await.unwrap();
        assert!(answer.starts_with("LOADING"), "{write:?}: {answer}");
    }
    // Of a pipeline it hits what comes from the first write on.
    bench.link.inject_into_writes(Fault::AnswerLost, 1);
    let answers = client.ask_all(&[&["GET", "b"], &["SET", "b", "1"]]).await;
    assert_eq!(answers, [some("nil"), None]);
    assert_eq!(bench.stored("b").await, "1");
    Ok(())
}

async fn a_bulk_answers_what_cannot_be() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    bench.link.inject(Fault::BulkAnswerImplausible, 4);
    assert_eq!(client.ask(&["SET", "a", "1"]).await, some("OK"));
    assert_eq!(client.ask(&["DEL", "a"]).await, some("1"));
    assert_eq!(client.ask(&["MSET", "a", "1", "b", "2"]).await, some("-1"));
    assert_eq!(bench.stored("b").await, "2");
    assert_eq!(client.ask(&["UNLINK", "a", "b"]).await, some("-1"));
    assert_eq!(bench.stored("b").await, "");
    let answers = client.ask_all(&[&["SET", "a", "1"], &["SET", "b", "2"], &["INCR", "n"], &["DEL", "a"]]).await;
    assert_eq!(answers, ["OK", "-1", "1", "-1"].map(some));
    let stored = (bench.stored("a").await, bench.stored("b").await, bench.link.faults_left());
    assert_eq!(stored, (String::new(), "2".to_owned(), 0));
    Ok(())
}

async fn what_is_no_message_ends_the_connection() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    client.stream.write_all(b"*1\r\n+GET\r\n").await.unwrap();
    assert_eq!(client.rest().await, b"");
    assert_eq!(bench.client().await.ask(&["PING"]).await, some("PONG"));
    Ok(())
}

async fn what_has_no_name_for_too_long_ends_the_connection() -> Result<()> {
    let bench = Bench::new().await?;
    let long = "x".repeat(100_000);
    for sent in [format!("*1\r\n$100000\r\n{long}\r\n"), format!("{long}\r\n"), "\r\n".repeat(100_000)] {
        let mut client = bench.client().await;
        // The end may come before all of it has been written.
        let _ = client.stream.write_all(sent.as_bytes()).await;
        assert_eq!(client.answer().await, None);
    }
    assert_eq!(bench.client().await.ask(&["PING"]).await.as_deref(), Some("PONG"));
    Ok(())
}

async fn pages_are_empty_stand_still_and_go_in_circles() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    for number in 0..50 {
        bench.redis.command(&["SET", &format!("k{number}"), "1"]).await?;
    }
    let cursor = |page: &Option<String>| {
        let page = page.as_deref().unwrap();
        page[1..].split_once(' ').map(|(cursor, keys)| (cursor.to_owned(), keys.to_owned())).unwrap()
    };
    let first = client.ask(&["SCAN", "0", "COUNT", "5"]).await;
    let (second, first_keys) = cursor(&first);

    bench.link.inject(Fault::PageEmpty, 2);
    let (one, keys) = cursor(&client.ask(&["SCAN", "0"]).await);
    let (other, _) = cursor(&client.ask(&["SCAN", &second]).await);
    assert_eq!(keys, "[]]");
    assert!(one != other && one != second && one != "0", "{one} {other}");

    bench.link.inject(Fault::PageStandsStill, 3);
    assert_eq!(client.ask(&["SCAN", &second]).await, some(&format!("[{second} []]")));
    let (still, _) = cursor(&client.ask(&["SCAN", "0"]).await);
    assert_ne!(still, "0");
    assert_eq!(client.ask(&["SCAN", &still]).await, some(&format!("[{still} []]")));

    bench.link.inject(Fault::PageInCircles, 2);
    let (one, keys) = cursor(&client.ask(&["SCAN", &second, "COUNT", "5"]).await);
    let (other, again) = cursor(&client.ask(&["SCAN", &one, "COUNT", "5"]).await);
    assert!((&keys, &again) == (&first_keys, &first_keys), "{keys} {again}");
    assert!(one != other && one != "0", "{one} {other}");
    assert_eq!(client.ask(&["SCAN", "0", "COUNT", "5"]).await, first);
    // Other requests leave them for a later one.
    bench.link.inject(Fault::PageEmpty, 1);
    client.ask(&["GET", "k1"]).await;
    assert_eq!(bench.link.faults_left(), 1);
    Ok(())
}

async fn set_up_meets_no_fault() -> Result<()> {
    let bench = Bench::new().await?;
    bench.link.inject(Fault::AnswerLost, 1);
    let mut client = bench.client().await;
    let answers = client.ask_all(&[&["CLIENT", "SETNAME", "x"], &["SELECT", "0"]]).await;
    assert_eq!(answers, ["OK", "OK"].map(some));
    assert_eq!(client.ask(&["SET", "a", "1"]).await, None);
    Ok(())
}

async fn one_order_replaces_another() -> Result<()> {
    let bench = Bench::new().await?;
    bench.link.inject(Fault::AnswerLost, 9);
    bench.link.inject(Fault::Unavailable, 1);
    let mut client = bench.client().await;
    assert!(client.ask(&["SET", "a", "1"]).await.unwrap().starts_with("LOADING"));
    assert_eq!(client.ask(&["SET", "a", "1"]).await, some("OK"));
    bench.link.inject(Fault::Refused, 9);
    bench.link.inject(Fault::AnswerLost, 0);
    assert_eq!(bench.client().await.ask(&["GET", "a"]).await, some("1"));
    Ok(())
}

async fn nothing_flows_while_it_is_stalled() -> Result<()> {
    let bench = Bench::new().await?;
    let mut old = bench.client().await;
    assert_eq!(old.ask(&["PING"]).await, some("PONG"));
    bench.link.stall(true);
    let mut new = bench.client().await;
    for client in [&mut old, &mut new] {
        client.send(&[&["INCR", "a"]]).await;
        let answer = tokio::time::timeout(Duration::from_millis(20), client.answer()).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    assert_eq!(bench.stored("a").await, "");
    bench.link.stall(false);
    let mut answers = [old.answer().await, new.answer().await];
    answers.sort();
    assert_eq!(answers, ["1", "2"].map(some));
    Ok(())
}

async fn a_cut_ends_all_and_new_ones_are_taken() -> Result<()> {
    let bench = Bench::new().await?;
    let mut idle = bench.client().await;
    assert_eq!(idle.ask(&["PING"]).await, some("PONG"));
    let mut busy = bench.client().await;
    busy.send(&[&["BLPOP", "list", "0"]]).await;
    arrived(&bench, 1).await;
    bench.link.cut();
    let error = idle.stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(busy.answer().await, None);
    assert_eq!(bench.client().await.ask(&["PING"]).await, some("PONG"));
    Ok(())
}

async fn a_partition_heals() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    assert_eq!(client.ask(&["PING"]).await, some("PONG"));
    bench.link.partition();
    client.send(&[&["INCR", "a"]]).await;
    let refused = TcpStream::connect(bench.link.address()).await.unwrap_err();
    assert_eq!((refused.kind(), bench.stored("a").await), (ErrorKind::ConnectionRefused, String::new()));
    // An order of a fault does not heal it.
    bench.link.inject(Fault::AnswerLost, 0);
    assert!(TcpStream::connect(bench.link.address()).await.is_err());
    bench.link.heal();
    assert_eq!(client.answer().await, some("1"));
    assert_eq!(bench.client().await.ask(&["PING"]).await, some("PONG"));
    Ok(())
}

async fn the_next_connections_are_reset() -> Result<()> {
    let bench = Bench::new().await?;
    let mut old = bench.client().await;
    assert_eq!(old.ask(&["PING"]).await, some("PONG"));
    bench.link.reset_next(2);
    for _ in 0..2 {
        assert_eq!(connection_ends_with(&bench).await, ErrorKind::ConnectionReset);
    }
    assert_eq!(bench.client().await.ask(&["PING"]).await, some("PONG"));
    assert_eq!(old.ask(&["PING"]).await, some("PONG"));
    Ok(())
}

async fn a_dead_server_resets_its_clients() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    assert_eq!(client.ask(&["PING"]).await, some("PONG"));
    bench.redis.kill();
    assert_eq!(client.rest().await, b"");
    assert_eq!(connection_ends_with(&bench).await, ErrorKind::ConnectionReset);
    bench.redis.restart().await?;
    assert_eq!(bench.client().await.ask(&["PING"]).await, some("PONG"));
    Ok(())
}

async fn subscriptions_pass() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    assert_eq!(client.ask(&["SUBSCRIBE", "news"]).await, some("[subscribe news 1]"));
    bench.redis.command(&["PUBLISH", "news", "x"]).await?;
    assert_eq!(client.answer().await, some("[message news x]"));
    assert_eq!(client.ask(&["UNSUBSCRIBE", "news"]).await, some("[unsubscribe news 0]"));
    Ok(())
}

async fn callers_side_by_side_get_their_own_answers() -> Result<()> {
    let bench = Bench::new().await?;
    let callers = (0..64).map(|caller| {
        let address = bench.link.address();
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            for round in 0..100 {
                let value = format!("{caller}.{round}");
                let key = format!("k{caller}");
                let answers = client.ask_all(&[&["SET", &key, &value], &["GET", &key], &["INCR", "n"]]).await;
                assert_eq!(answers[1], Some(value));
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    assert_eq!((bench.stored("n").await, bench.link.requests()), ("6400".to_owned(), 6_400));
    Ok(())
}

async fn a_link_ends_when_it_is_dropped() -> Result<()> {
    let bench = Bench::new().await?;
    let mut client = bench.client().await;
    assert_eq!(client.ask(&["PING"]).await, some("PONG"));
    let (address, other) = (bench.link.address(), bench.link.clone());
    drop(bench.link);
    assert_eq!(client.ask(&["PING"]).await, some("PONG"));
    drop(other);
    assert_eq!(client.rest().await, b"");
    let error = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    Ok(())
}
