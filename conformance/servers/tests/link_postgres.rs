//! A link before a private PostgreSQL: what it counts, and how it breaks.
#![allow(clippy::unwrap_used, reason = "a test, which clippy cannot see: it has its own main")]

use std::io::ErrorKind;
use std::process::{Command, ExitCode};
use std::time::Duration;

use kv_conformance::{Fault, Faults};
use kv_servers::{Link, Postgres, PostgresOptions, Protocol, Result, System, tests};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

fn main() -> ExitCode {
    kv_servers::run(
        System::Postgres,
        tests![
            all_passes_as_it_is,
            requests_are_counted_and_prepares_apart,
            bytes_that_come_one_by_one_count_the_same,
            a_password_passes_and_encryption_is_turned_down,
            a_statement_is_cancelled_through_it,
            faults_are_met_by_simple_queries,
            faults_are_met_by_prepared_statements,
            faults_are_met_by_statements_that_are_prepared_on_the_way,
            preparing_meets_no_fault,
            half_an_answer_arrives,
            what_is_answered_before_the_end_of_a_request_meets_its_fault,
            any_sqlstate_can_be_given,
            faults_for_writes_leave_reads_alone,
            a_block_is_written_by_its_commit,
            a_failed_statement_fails_its_block,
            refused_is_refused_by_the_operating_system,
            nothing_flows_while_it_is_stalled,
            a_cut_ends_all_and_new_ones_are_taken,
            a_long_query_meets_its_fault,
            callers_side_by_side_get_their_own_answers,
        ],
    )
}

/// One server for all: it ends with this process.
static SERVER: OnceCell<Postgres> = OnceCell::const_new();

struct Bench {
    postgres: &'static Postgres,
    link: Link,
}

impl Bench {
    /// With an empty table of this name.
    async fn new(table: &str) -> Result<Self> {
        let postgres = SERVER.get_or_try_init(|| Postgres::start(PostgresOptions::new())).await?;
        postgres.sql(&format!("drop table if exists {table}; create table {table} (a text)")).await?;
        let link = Link::open(postgres.address(), Protocol::Postgres)?;
        Ok(Self { postgres, link })
    }

    async fn client(&self) -> Client {
        Client::connect(&self.link).await
    }

    /// The rows of a table, asked past the link.
    async fn stored(&self, table: &str) -> String {
        self.postgres.sql(&format!("select string_agg(a, ',' order by a) from {table}")).await.unwrap()
    }
}

struct Client {
    stream: BufReader<TcpStream>,
    /// What cancels its statements.
    key: Vec<u8>,
}

/// An answer up to `ReadyForQuery`: the tags of its messages, the values of its rows, the SQLSTATE of its error, and
/// the state of the transaction.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    tags: String,
    values: Vec<String>,
    error: Option<String>,
    status: char,
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap() + 4;
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn query(text: &str) -> Vec<u8> {
    message(b'Q', format!("{text}\0").as_bytes())
}

fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
}

fn bind_and_execute(name: &str, values: &[&str]) -> Vec<u8> {
    let mut bind = format!("\0{name}\0").into_bytes();
    bind.extend([0, 0]);
    bind.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        bind.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        bind.extend(value.as_bytes());
    }
    bind.extend([0, 0]);
    [message(b'B', &bind), message(b'E', &[0, 0, 0, 0, 0]), message(b'C', b"P\0"), SYNC.to_vec()].concat()
}

const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];

impl Client {
    async fn connect(link: &Link) -> Self {
        let stream = TcpStream::connect(link.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self { stream: BufReader::new(stream), key: Vec::new() };
        let body = [&[0, 3, 0, 0][..], b"user\0postgres\0database\0postgres\0\0"].concat();
        let length = u32::try_from(body.len()).unwrap() + 4;
        let answer = client.ask(&[&length.to_be_bytes()[..], &body].concat()).await.unwrap();
        assert_eq!(answer.status, 'I', "{answer:?}");
        client
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// `None` when the connection ends before its end.
    async fn ask(&mut self, bytes: &[u8]) -> Option<Answer> {
        self.send(bytes).await;
        self.answer().await
    }

    async fn answer(&mut self) -> Option<Answer> {
        tokio::time::timeout(Duration::from_secs(20), self.next()).await.expect("an answer or an end")
    }

    async fn next(&mut self) -> Option<Answer> {
        let mut answer = Answer::default();
        loop {
            let tag = self.stream.read_u8().await.ok()?;
            let length = self.stream.read_u32().await.ok()?;
            let mut body = vec![0; usize::try_from(length).unwrap() - 4];
            self.stream.read_exact(&mut body).await.ok()?;
            answer.tags.push(char::from(tag));
            match tag {
                b'K' => self.key = body,
                b'E' => {
                    let fields = String::from_utf8(body).unwrap();
                    answer.error = fields.split('\0').find_map(|field| field.strip_prefix('C')).map(str::to_owned);
                }
                b'D' => {
                    let length = usize::try_from(u32::from_be_bytes(body[2..6].try_into().unwrap())).unwrap();
                    answer.values.push(String::from_utf8(body[6..6 + length].to_vec()).unwrap());
                }
                b'Z' => {
                    answer.status = char::from(body[0]);
                    return Some(answer);
                }
                _ => {}
            }
        }
    }

    /// What comes until the connection ends.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // An end by a reset is an end too.
        let _ = self.stream.read_to_end(&mut rest).await;
        rest
    }
}

async fn all_passes_as_it_is() -> Result<()> {
    let bench = Bench::new("passes").await?;
    let mut client = bench.client().await;
    let large = "v".repeat(3_000_000);
    let inserted =
        client.ask(&query(&format!("insert into passes values ('{large}') returning length(a)::text"))).await;
    assert_eq!(inserted.unwrap().values, ["3000000"]);
    client.ask(&[parse("s", "insert into passes values ($1) returning a"), SYNC.to_vec()].concat()).await.unwrap();
    let answer = client.ask(&bind_and_execute("s", &[&large])).await.unwrap();
    assert_eq!((&*answer.tags, answer.values == [large.as_str()]), ("2DC3Z", true));
    let rows = client.ask(&query("select g::text from generate_series(1, 50000) g")).await.unwrap();
    assert_eq!((rows.values.len(), rows.values.last().map(String::as_str)), (50_000, Some("50000")));
    // Several requests before an answer.
    client.send(&[bind_and_execute("s", &["x"]), query("select 'y'"), SYNC.to_vec()].concat()).await;
    assert_eq!(client.answer().await.unwrap().values, ["x"]);
    assert_eq!(client.answer().await.unwrap().values, ["y"]);
    assert_eq!(client.answer().await.unwrap().tags, "Z");
    let error = client.ask(&query("select nothing")).await.unwrap();
    assert_eq!((error.error.as_deref(), error.status), (Some("42703"), 'I'));
    // Data that is copied goes between a query and its answer.
    client.send(&query("copy passes from stdin")).await;
    client.send(&[message(b'd', b"z\n"), message(b'c', b"")].concat()).await;
    assert_eq!(client.answer().await.unwrap().tags, "GCZ");
    Ok(())
}

async fn requests_are_counted_and_prepares_apart() -> Result<()> {
    let bench = Bench::new("counted").await?;
    let mut client = bench.client().await;
    let counts = || (bench.link.requests(), bench.link.prepares(), bench.link.commands(), bench.link.connections());
    assert_eq!(counts(), (0, 0, 0, 1));
    client.ask(&[parse("s", "insert into counted values ($1)"), message(b'D', b"Ss\0"), SYNC.to_vec()].concat()).await;
    assert_eq!(counts(), (0, 1, 0, 1));
    for _ in 0..3 {
        client.ask(&bind_and_execute("s", &["x"])).await.unwrap();
    }
    assert_eq!(counts(), (3, 1, 3, 1));
    client.ask(&[parse("", "select $1::text"), bind_and_execute("", &["x"])].concat()).await.unwrap();
    assert_eq!(counts(), (4, 1, 4, 1));
    for text in ["select 1", "begin; select 1; commit", ""] {
        client.ask(&query(text)).await.unwrap();
    }
    assert_eq!(counts(), (7, 1, 7, 1));
    // What sets up a session, and what gives a statement back, is no request.
    client.ask(&query("set statement_timeout = 1000")).await.unwrap();
    client.ask(&[message(b'C', b"Ss\0"), SYNC.to_vec()].concat()).await.unwrap();
    assert_eq!((bench.link.requests(), bench.link.prepares()), (7, 1));
    // Several at once are several.
    client.send(&[query("select 1"), query("select 2")].concat()).await;
    client.answer().await.unwrap();
    client.answer().await.unwrap();
    assert_eq!(bench.link.requests(), 9);
    Ok(())
}

async fn bytes_that_come_one_by_one_count_the_same() -> Result<()> {
    let bench = Bench::new("slow").await?;
    let mut client = bench.client().await;
    client.ask(&[parse("s", "insert into slow values ($1)"), SYNC.to_vec()].concat()).await.unwrap();
    for fault in [Fault::FailureReported, Fault::Throttled] {
        bench.link.inject_into_writes(fault, 2);
        let read = query("select 'read'");
        let writes = [bind_and_execute("s", &["x"]), query("insert into slow values ('y')")];
        for (sent, fails) in [&read, &writes[0], &writes[1], &read].into_iter().zip([false, true, true, false]) {
            for byte in sent {
                client.send(&[*byte]).await;
                tokio::task::yield_now().await;
            }
            let answer = client.answer().await.unwrap();
            assert_eq!(answer.error.is_some(), fails, "{fault:?} {answer:?}");
        }
    }
    assert_eq!((bench.stored("slow").await, bench.link.requests()), ("x,y".to_owned(), 8));
    Ok(())
}

async fn a_password_passes_and_encryption_is_turned_down() -> Result<()> {
    let postgres = Postgres::start(PostgresOptions::new().password("secret")).await?;
    let link = Link::open(postgres.address(), Protocol::Postgres)?;
    let psql = |password: &str, mode: &str| {
        let mut command = Command::new("psql");
        command
            .args(["-X", "-A", "-t", "-h", "127.0.0.1", "-U", "postgres", "-c", "select 'in'", "-p"])
            .arg(link.address().port().to_string())
            .env("PGPASSWORD", password)
            .env("PGSSLMODE", mode);
        command
    };
    let run = |mut command: Command| async move {
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(psql("secret", "prefer")).await, "in\n");
    assert_eq!(run(psql("secret", "disable")).await, "in\n");
    assert_eq!(run(psql("wrong", "prefer")).await, "");
    assert_eq!(run(psql("secret", "require")).await, "");
    assert_eq!(link.requests(), 2);
    Ok(())
}

async fn a_statement_is_cancelled_through_it() -> Result<()> {
    let bench = Bench::new("cancelled").await?;
    let mut client = bench.client().await;
    client.send(&query("select pg_sleep(100)")).await;
    // Before it has begun there is nothing to cancel.
    let begun = "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'";
    while bench.postgres.sql(begun).await? == "0" {}
    let mut other = TcpStream::connect(bench.link.address()).await.unwrap();
    let cancel = [&[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e][..], &client.key].concat();
    other.write_all(&cancel).await.unwrap();
    assert_eq!(other.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(client.answer().await.unwrap().error.as_deref(), Some("57014"));
    Ok(())
}

/// Orders a fault for a write and a read by `request`; what each is answered, and what is stored.
async fn met(bench: &Bench, fault: Fault, name: &str, prepare: &str, write: &[u8], read: &[u8]) -> Result<()> {
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = bench.client().await;
        if !prepare.is_empty() {
            client.ask(prepare.as_bytes()).await.unwrap();
        }
        clients.push(client);
    }
    bench.postgres.sql(&format!("truncate {name}")).await?;
    bench.link.inject(fault, 2);
    let answers = (clients[0].ask(write).await, clients[1].ask(read).await);
    assert_eq!(bench.link.faults_left(), 0, "{fault:?}");
    let is_stored = !matches!(fault, Fault::RequestLost | Fault::Throttled | Fault::Unavailable);
    assert_eq!(bench.stored(name).await, if is_stored { "x" } else { "" }, "{fault:?}");
    match fault {
        Fault::RequestLost | Fault::AnswerLost | Fault::AnswerTruncated => {
            assert_eq!(answers, (None, None), "{fault:?}");
        }
        fault => {
            let error = match fault {
                Fault::Throttled => Some("53300"),
                Fault::Unavailable => Some("57P03"),
                Fault::FailureReported => Some("40003"),
                _ => None,
            };
            for answer in [answers.0.unwrap(), answers.1.unwrap()] {
                assert_eq!((answer.error.as_deref(), answer.status), (error, 'I'), "{fault:?} {answer:?}");
                assert_eq!(answer.tags.contains('?'), fault == Fault::AnswerGarbled, "{fault:?} {answer:?}");
                assert!(!answer.tags.contains('D') && !answer.tags.contains('C'), "{fault:?} {answer:?}");
            }
            // The connection goes on.
            let answer = clients[0].ask(read).await.unwrap();
            assert_eq!((&answer.values[..], answer.status), (&["read".to_owned()][..], 'I'), "{fault:?} {answer:?}");
        }
    }
    Ok(())
}

const FAULTS: [Fault; 7] = [
    Fault::RequestLost,
    Fault::AnswerLost,
    Fault::AnswerTruncated,
    Fault::AnswerGarbled,
    Fault::FailureReported,
    Fault::Throttled,
    Fault::Unavailable,
];

async fn faults_are_met_by_simple_queries() -> Result<()> {
    let bench = Bench::new("simple").await?;
    for fault in FAULTS {
        met(&bench, fault, "simple", "", &query("insert into simple values ('x')"), &query("select 'read'")).await?;
    }
    Ok(())
}

async fn faults_are_met_by_prepared_statements() -> Result<()> {
    let bench = Bench::new("prepared").await?;
    let prepare = [parse("w", "insert into prepared values ($1)"), parse("r", "select 'read'"), SYNC.to_vec()].concat();
    let prepare = String::from_utf8(prepare).unwrap();
    for fault in FAULTS {
        let (write, read) = (bind_and_execute("w", &["x"]), bind_and_execute("r", &[]));
        met(&bench, fault, "prepared", &prepare, &write, &read).await?;
    }
    Ok(())
}

async fn faults_are_met_by_statements_that_are_prepared_on_the_way() -> Result<()> {
    let bench = Bench::new("unnamed").await?;
    for fault in FAULTS {
        let write = [parse("", "insert into unnamed values ($1)"), bind_and_execute("", &["x"])].concat();
        let read = [parse("", "select 'read'"), bind_and_execute("", &[])].concat();
        met(&bench, fault, "unnamed", "", &write, &read).await?;
    }
    // What cannot be prepared is the server's error.
    bench.link.inject(Fault::Throttled, 1);
    let wrong = [parse("", "select nothing"), bind_and_execute("", &[])].concat();
    let answer = bench.client().await.ask(&wrong).await.unwrap();
    assert_eq!((&*answer.tags, answer.error.as_deref()), ("EZ", Some("42703")));
    Ok(())
}

async fn preparing_meets_no_fault() -> Result<()> {
    let bench = Bench::new("preparing").await?;
    bench.link.inject(Fault::AnswerLost, 1);
    let mut client = bench.client().await;
    let prepare = [parse("w", "insert into preparing values ($1)"), SYNC.to_vec()].concat();
    assert_eq!(client.ask(&prepare).await.unwrap().tags, "1Z");
    assert_eq!(client.ask(&query("set x.y = 1")).await.unwrap().error, None);
    assert_eq!(client.ask(&bind_and_execute("w", &["x"])).await, None);
    assert_eq!(bench.stored("preparing").await, "x");
    Ok(())
}

async fn half_an_answer_arrives() -> Result<()> {
    let bench = Bench::new("half").await?;
    let mut whole = bench.client().await;
    whole.send(&[query("select 'abcdefgh'"), message(b'X', b"")].concat()).await;
    let whole = whole.rest().await;
    let mut half = bench.client().await;
    bench.link.inject(Fault::AnswerTruncated, 1);
    half.send(&query("select 'abcdefgh'")).await;
    assert_eq!(half.rest().await, whole[..whole.len() / 2]);
    let mut client = bench.client().await;
    bench.link.inject(Fault::AnswerTruncated, 1);
    client.send(&query("select repeat('x', 1000000)")).await;
    assert_eq!(client.rest().await.len(), 16 * 1024);
    Ok(())
}

async fn what_is_answered_before_the_end_of_a_request_meets_its_fault() -> Result<()> {
    let bench = Bench::new("flushed").await?;
    let mut client = bench.client().await;
    let request = [parse("", "insert into flushed values ('x') returning a"), bind_and_execute("", &[])].concat();
    let before_sync = &request[..request.len() - SYNC.len()];
    bench.link.inject(Fault::AnswerLost, 1);
    client.send(&[before_sync, &message(b'H', b"")].concat()).await;
    let early = tokio::time::timeout(Duration::from_millis(20), client.stream.read_u8()).await;
    assert!(early.is_err(), "{early:?}");
    client.send(&SYNC).await;
    assert_eq!((client.rest().await, bench.stored("flushed").await), (Vec::new(), "x".to_owned()));
    Ok(())
}

async fn any_sqlstate_can_be_given() -> Result<()> {
    let bench = Bench::new("answered").await?;
    let mut client = bench.client().await;
    for sqlstate in ["40001", "40P01", "55P03", "57014", "25006"] {
        bench.link.answer_with(sqlstate, 1);
        let answer = client.ask(&query("insert into answered values ('x')")).await.unwrap();
        assert_eq!((&*answer.tags, answer.error.as_deref(), answer.status), ("EZ", Some(sqlstate), 'I'));
        bench.link.answer_writes_with(sqlstate, 1);
        assert_eq!(client.ask(&query("select 'read'")).await.unwrap().values, ["read"]);
        let answer = client.ask(&query("insert into answered values ('x')")).await.unwrap();
        assert_eq!(answer.error.as_deref(), Some(sqlstate));
    }
    assert_eq!(bench.stored("answered").await, "");
    Ok(())
}

async fn faults_for_writes_leave_reads_alone() -> Result<()> {
    let bench = Bench::new("writes").await?;
    let mut client = bench.client().await;
    let statements = [
        ("insert into writes values ('x')", true),
        ("with gone as (delete from writes returning a) select a from gone", true),
        ("/* update */ select 'delete' from writes for update", false),
        ("with a as (select 1) select 'insert' from a", false),
        ("do $$ begin perform 1; end $$", true),
        ("show server_version", false),
    ];
    for (text, is_write) in statements {
        bench.link.inject_into_writes(Fault::Throttled, 1);
        let answer = client.ask(&query(text)).await.unwrap();
        assert_eq!(answer.error.as_deref(), is_write.then_some("53300"), "{text}");
        let prepare = [parse("s", text), SYNC.to_vec()].concat();
        bench.link.inject_into_writes(Fault::Throttled, 1);
        assert_eq!(client.ask(&prepare).await.unwrap().error, None, "{text}");
        let answer = client.ask(&bind_and_execute("s", &[])).await.unwrap();
        assert_eq!(answer.error.as_deref(), is_write.then_some("53300"), "{text}");
        client.ask(&[message(b'C', b"Ss\0"), SYNC.to_vec()].concat()).await.unwrap();
    }
    Ok(())
}

async fn a_block_is_written_by_its_commit() -> Result<()> {
    let bench = Bench::new("block").await?;
    let mut client = bench.client().await;
    bench.link.inject_into_writes(Fault::AnswerLost, 1);
    // A block that writes nothing has nothing to lose.
    for text in ["begin", "select 1", "commit", "begin", "insert into block values ('rolled back')", "rollback"] {
        assert!(client.ask(&query(text)).await.is_some(), "{text}");
    }
    for text in ["begin", "insert into block values ('x')", "select 1"] {
        assert!(client.ask(&query(text)).await.is_some(), "{text}");
    }
    assert_eq!(client.ask(&query("commit")).await, None);
    assert_eq!(bench.stored("block").await, "x");
    // One that goes out at once is its own.
    let mut client = bench.client().await;
    bench.link.inject_into_writes(Fault::RequestLost, 1);
    assert_eq!(client.ask(&query("begin; insert into block values ('y'); commit")).await, None);
    assert_eq!(bench.stored("block").await, "x");
    Ok(())
}

async fn a_failed_statement_fails_its_block() -> Result<()> {
    let bench = Bench::new("fails").await?;
    let mut client = bench.client().await;
    assert_eq!(client.ask(&query("begin")).await.unwrap().status, 'T');
    bench.link.inject(Fault::Throttled, 1);
    let answer = client.ask(&query("insert into fails values ('x')")).await.unwrap();
    assert_eq!((answer.error.as_deref(), answer.status), (Some("53300"), 'E'));
    assert_eq!(client.ask(&query("rollback")).await.unwrap().status, 'I');
    Ok(())
}

async fn refused_is_refused_by_the_operating_system() -> Result<()> {
    let bench = Bench::new("refused").await?;
    let mut idle = bench.client().await;
    assert_eq!(idle.ask(&query("select 'a'")).await.unwrap().values, ["a"]);
    let mut busy = bench.client().await;
    busy.send(&query("select pg_sleep(0.3)")).await;
    while bench.link.requests() < 2 {
        tokio::task::yield_now().await;
    }
    bench.link.inject(Fault::Refused, 1);
    let error = TcpStream::connect(bench.link.address()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // A client that does not read while it is idle finds that it cannot write.
    let error = idle.stream.write_all(&query("select 1")).await.unwrap_err();
    assert_eq!((error.kind(), bench.link.requests()), (ErrorKind::BrokenPipe, 2));
    assert_eq!(busy.answer().await.unwrap().status, 'I');
    assert_eq!(busy.rest().await, b"");
    bench.link.inject(Fault::Refused, 0);
    assert_eq!(bench.client().await.ask(&query("select 'a'")).await.unwrap().values, ["a"]);
    Ok(())
}

async fn nothing_flows_while_it_is_stalled() -> Result<()> {
    let bench = Bench::new("stalled").await?;
    let mut client = bench.client().await;
    bench.link.stall(true);
    client.send(&query("insert into stalled values ('x')")).await;
    let answer = tokio::time::timeout(Duration::from_millis(20), client.answer()).await;
    assert!(answer.is_err() && bench.stored("stalled").await.is_empty());
    bench.link.stall(false);
    assert_eq!(client.answer().await.unwrap().tags, "CZ");
    Ok(())
}

async fn a_cut_ends_all_and_new_ones_are_taken() -> Result<()> {
    let bench = Bench::new("cut").await?;
    let mut idle = bench.client().await;
    let mut busy = bench.client().await;
    busy.send(&query("select pg_sleep(101)")).await;
    while bench.link.requests() < 1 {
        tokio::task::yield_now().await;
    }
    bench.link.cut();
    assert_eq!(idle.stream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(busy.answer().await, None);
    assert_eq!(bench.client().await.ask(&query("select 'a'")).await.unwrap().values, ["a"]);
    bench
        .postgres
        .sql("select pg_cancel_backend(pid) from pg_stat_activity where query like 'select pg_sleep(101)%'")
        .await?;
    Ok(())
}

async fn a_long_query_meets_its_fault() -> Result<()> {
    let bench = Bench::new("long").await?;
    let long = query(&format!("insert into long values ('{}')", "v".repeat(500_000)));
    let value = "v".repeat(500_000);
    for fault in [Fault::Throttled, Fault::RequestLost, Fault::FailureReported, Fault::AnswerLost] {
        bench.postgres.sql("truncate long").await?;
        for request in [&long, &[parse("", "insert into long values ($1)"), bind_and_execute("", &[&value])].concat()] {
            bench.link.inject_into_writes(fault, 1);
            let mut client = bench.client().await;
            let answer = client.ask(request).await;
            assert_eq!(answer.is_some(), matches!(fault, Fault::Throttled | Fault::FailureReported), "{fault:?}");
        }
        let count = bench.postgres.sql("select count(*) from long").await?;
        let is_stored = matches!(fault, Fault::FailureReported | Fault::AnswerLost);
        assert_eq!(count, if is_stored { "2" } else { "0" }, "{fault:?}");
    }
    Ok(())
}

async fn callers_side_by_side_get_their_own_answers() -> Result<()> {
    let bench = Bench::new("callers").await?;
    let callers = (0..16).map(|caller| {
        let link = bench.link.clone();
        tokio::spawn(async move {
            let mut client = Client::connect(&link).await;
            client.ask(&[parse("s", "select $1::text"), SYNC.to_vec()].concat()).await.unwrap();
            for round in 0..100 {
                let value = format!("{caller}.{round}");
                assert_eq!(client.ask(&bind_and_execute("s", &[&value])).await.unwrap().values, [value]);
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    assert_eq!((bench.link.requests(), bench.link.prepares()), (1_600, 16));
    Ok(())
}
