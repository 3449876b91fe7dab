//! A private PostgreSQL: its time, its life, its pool.
#![allow(clippy::unwrap_used, reason = "a test, which clippy cannot see: it has its own main")]

use std::collections::HashSet;
use std::fs::DirEntry;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join, try_join};
use kv_api::{Clock, Timer, TokioTimer};
use kv_servers::{PgBouncer, Pool, Postgres, PostgresOptions, Result, System, Test, tests};

/// Set where this program is started by one of its own tests, to be killed.
const HELPER: &str = "KV_SERVERS_HELPER";

fn main() -> ExitCode {
    if std::env::var_os(HELPER).is_some() {
        return kv_servers::run(System::Postgres, tests![helper]);
    }
    let mut tests = tests![
        a_frozen_clock_is_the_servers_to_the_microsecond,
        a_killed_server_starts_again_on_its_port_with_what_was_committed,
        no_timeout_ends_while_the_clock_stands,
        a_password_is_asked_for,
        a_lease_begins_as_new,
        nothing_of_a_server_that_was_killed_is_left,
        all_processes_end_with_a_process_that_is_killed,
        nothing_is_left_of_a_process_that_is_killed_while_it_begins,
    ];
    let pgbouncer = Test::new("pgbouncer_is_in_transaction_mode", pgbouncer_is_in_transaction_mode);
    tests.push(pgbouncer.needs(System::PgBouncer));
    kv_servers::run(System::Postgres, tests)
}

/// What `clock_timestamp()` says, in microseconds.
async fn time(postgres: &Postgres) -> Result<i64> {
    let found = postgres.sql("select (extract(epoch from clock_timestamp()) * 1000000)::bigint").await?;
    Ok(found.parse().unwrap())
}

async fn a_frozen_clock_is_the_servers_to_the_microsecond() -> Result<()> {
    let postgres = Postgres::start(PostgresOptions::new()).await?;
    postgres.time().freeze();
    for step in [0, 1, 999_999, 86_400_000_000 * 365 * 100] {
        postgres.time().advance(Duration::from_micros(step));
        assert_eq!(time(&postgres).await?, postgres.time().now().as_unix_micros());
    }
    postgres.time().run();
    let (first, second) = (time(&postgres).await?, time(&postgres).await?);
    assert!(first < second && second <= postgres.time().now().as_unix_micros(), "{first}, {second}");
    Ok(())
}

async fn a_killed_server_starts_again_on_its_port_with_what_was_committed() -> Result<()> {
    for options in [PostgresOptions::new(), PostgresOptions::new().durable()] {
        let postgres = Postgres::start(options).await?;
        let address = postgres.address();
        postgres.sql("create table a (b int)").await?;
        for end in 0..4 {
            postgres.sql(&format!("insert into a values ({end})")).await?;
            // A process of the server that does not look whether it shall end.
            let busy = postgres.sql("set statement_timeout = 20000; do 'begin loop end loop; end'");
            let crash = async {
                let started = "select count(*) from pg_stat_activity where query like 'set statement%'";
                while postgres.sql(started).await? == "0" {}
                match end {
                    0 => postgres.kill(),
                    1 => postgres.stop().await?,
                    // A restart kills by itself.
                    _ => {}
                }
                if end < 2 {
                    let error = postgres.sql("select 1").await.unwrap_err().to_string();
                    assert!(error.contains("refused"), "{error}");
                }
                postgres.restart().await
            };
            let (crashed, result) = join(crash, busy).await;
            crashed?;
            assert!(result.is_err());
            assert_eq!(postgres.address(), address);
            assert_eq!(postgres.sql("select max(b) from a").await?, end.to_string());
        }
    }
    Ok(())
}

async fn no_timeout_ends_while_the_clock_stands() -> Result<()> {
    let postgres = Postgres::start(PostgresOptions::new()).await?;
    postgres.time().freeze();
    let busy = "set statement_timeout = 20; do 'begin for i in 1..1000000 loop perform sqrt(i); end loop; end'";
    assert_eq!(postgres.sql(busy).await?, "");
    postgres.time().run();
    let error = postgres.sql("set statement_timeout = 20; do 'begin loop end loop; end'").await.unwrap_err();
    assert!(error.to_string().contains("statement timeout"), "{error}");
    Ok(())
}

async fn a_password_is_asked_for() -> Result<()> {
    let postgres = Postgres::start(PostgresOptions::new().password("hush 'hush'")).await?;
    assert_eq!(postgres.sql("select current_user").await?, "postgres");
    let without = Postgres::start(PostgresOptions::new()).await?;
    let methods = "select distinct auth_method from pg_hba_file_rules";
    assert_eq!(postgres.sql(methods).await?, "scram-sha-256");
    assert_eq!(without.sql(methods).await?, "trust");
    Ok(())
}

async fn a_lease_begins_as_new() -> Result<()> {
    let pool = Pool::<Postgres>::new(1, PostgresOptions::new());
    let mut first = None;
    for end in 0..5 {
        let postgres = pool.lease().await?;
        assert_eq!(postgres.sql("select count(*) from pg_stat_activity where query like '%sleep%'").await?, "1");
        assert!(!postgres.time().is_frozen());
        let seen = postgres
            .sql(
                "select datname::text from pg_database union all select rolname from pg_roles \
                 union all select nspname || coalesce(nspacl::text, '') from pg_namespace \
                 union all select oid::regclass::text from pg_class where oid >= 16384 and relkind = 'r' \
                 union all select name || setting from pg_settings where name in ('work_mem', 'search_path') \
                 order by 1",
            )
            .await?;
        let seen = (postgres.address(), seen);
        assert_eq!(&seen, first.get_or_insert_with(|| seen.clone()), "lease {end}");
        postgres.time().freeze();
        postgres.time().advance(Duration::from_secs(86_400 * 365 * 100));
        for statement in [
            "create role app login; create schema app authorization app; create table app.a (b int); create table b ()",
            "grant create on schema public to app; drop view if exists c; create view c as select * from app.a",
            "create database \"a b\"",
            "alter role postgres set search_path = app",
        ] {
            postgres.sql(statement).await?;
        }
        match end {
            0 => drop(postgres.sql("alter system set work_mem = '8MB'").await?),
            1 => postgres.kill(),
            _ => {}
        }
        // A connection that is still busy when the server is given back.
        let mut busy = Box::pin(postgres.sql("lock table app.a; select pg_sleep(600)"));
        assert!((&mut busy).now_or_never().is_none());
        while end > 1 && postgres.sql("select count(*) from pg_locks where mode like 'AccessExclusive%'").await? == "0"
        {
        }
    }
    Ok(())
}

/// The segments of shared memory that there are, of all processes of the machine.
fn shared_memory() -> Result<HashSet<String>> {
    let table = std::fs::read_to_string("/proc/sysvipc/shm")?;
    Ok(table.lines().filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect())
}

async fn nothing_of_a_server_that_was_killed_is_left() -> Result<()> {
    for killed in [false, true] {
        let postgres = Postgres::start(PostgresOptions::new()).await?;
        let file = format!("{}/postmaster.pid", postgres.sql("show data_directory").await?);
        let file = std::fs::read_to_string(file)?;
        let segment = file.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap();
        assert!(shared_memory()?.contains(segment));
        if killed {
            postgres.kill();
            assert!(shared_memory()?.contains(segment));
        }
        drop(postgres);
        assert!(!shared_memory()?.contains(segment));
    }
    Ok(())
}

/// Starts a server, keeps it busy, says its folder, and waits until it is killed.
async fn helper() -> Result<()> {
    let postgres = Postgres::start(PostgresOptions::new()).await?;
    let busy = postgres.sql("do 'begin loop end loop; end'");
    let say = async {
        while postgres.sql("select count(*) from pg_stat_activity where query like 'do %'").await? == "0" {}
        let folder = postgres.sql("show data_directory").await?;
        writeln!(std::io::stdout(), "\nhelper {folder}")?;
        Ok(String::new())
    };
    try_join(busy, say).await.map(drop)
}

/// The processes that work in this folder.
fn processes_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let processes = std::fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
    Ok(processes.filter(|process| std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == folder)).collect())
}

/// Whether it has not ended. One that nobody has asked about since is none.
fn is_alive(process: &Path) -> bool {
    let stat = std::fs::read_to_string(process.join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

async fn all_processes_end_with_a_process_that_is_killed() -> Result<()> {
    let mut helper = Command::new(std::env::current_exe()?).env(HELPER, "1").stdout(Stdio::piped()).spawn()?;
    let output = BufReader::new(helper.stdout.take().unwrap());
    let line = output.lines().map(|line| line.unwrap()).find(|line| line.starts_with("helper ")).unwrap();
    let folder = Path::new(line.strip_prefix("helper ").unwrap());
    // The server, its helpers, and the one that is busy.
    let processes = processes_in(folder)?;
    assert!(processes.len() > 4 && std::fs::exists(folder)?, "{processes:?}");
    helper.kill()?;
    helper.wait()?;
    for _ in 0..4_000 {
        if !std::fs::exists(folder)? {
            // The folder goes last. A server whose folder is gone would end by itself, but late.
            let alive: Vec<_> = processes.iter().filter(|process| is_alive(process)).collect();
            assert!(alive.is_empty(), "{alive:?}");
            return Ok(());
        }
        TokioTimer.sleep(Duration::from_millis(5)).await;
    }
    panic!("the folder is still there");
}

async fn nothing_is_left_of_a_process_that_is_killed_while_it_begins() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
    let is_empty = || std::fs::read_dir(folder.path()).map(|mut entries| entries.next().is_none());
    let mut helper = Command::new(std::env::current_exe()?)
        .env(HELPER, "1")
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .spawn()?;
    let mut initdb = Vec::new();
    while initdb.is_empty() {
        TokioTimer.sleep(Duration::from_millis(1)).await;
        initdb = initdb_in(folder.path())?;
    }
    // It does not end by itself.
    assert!(Command::new("kill").args(["-s", "STOP"]).args(&initdb).status()?.success());
    helper.kill()?;
    helper.wait()?;
    for _ in 0..2_000 {
        if is_empty()? {
            assert_eq!(initdb_in(folder.path())?, [""; 0]);
            return Ok(());
        }
        TokioTimer.sleep(Duration::from_millis(5)).await;
    }
    panic!("the folder is still there");
}

/// The processes of `initdb` whose command names this folder. One that has ended has none.
fn initdb_in(folder: &Path) -> Result<Vec<String>> {
    let processes = std::fs::read_dir("/proc")?.flatten();
    let is_one = |line: &str| line.contains("initdb\0") && line.contains(folder.to_str().unwrap());
    let id = |entry: DirEntry| {
        let line = String::from_utf8(std::fs::read(entry.path().join("cmdline")).ok()?).ok()?;
        is_one(&line).then(|| entry.file_name().to_string_lossy().into_owned())
    };
    Ok(processes.filter_map(id).collect())
}

async fn pgbouncer_is_in_transaction_mode() -> Result<()> {
    for options in [PostgresOptions::new(), PostgresOptions::new().password("hush \"'hush'\"")] {
        let postgres = Postgres::start(options).await?;
        let pgbouncer = PgBouncer::start(&postgres).await?;
        let port = postgres.address().port().to_string();
        for _ in 0..2 {
            let found = postgres.sql_through(pgbouncer.address(), "postgres", "select inet_server_port()").await?;
            assert_eq!(found, port);
            postgres.restart().await?;
        }
        let settings = postgres.sql_through(pgbouncer.address(), "pgbouncer", "show config").await?;
        assert!(settings.lines().any(|line| line.starts_with("pool_mode|transaction|")), "{settings}");
    }
    Ok(())
}
