//! A private Redis: its time, its life, its pool.
#![allow(clippy::unwrap_used, reason = "a test, which clippy cannot see: it has its own main")]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::try_join;
use kv_api::{Clock, Timer, TokioTimer};
use kv_servers::{Pool, Redis, RedisOptions, Reply, Result, ServerTime, System, tests};

/// Set where this program is started by one of its own tests, to be killed.
const HELPER: &str = "KV_SERVERS_HELPER";

fn main() -> ExitCode {
    if std::env::var_os(HELPER).is_some() {
        return kv_servers::run(System::Redis, tests![helper]);
    }
    kv_servers::run(
        System::Redis,
        tests![
            a_frozen_clock_is_the_servers_to_the_microsecond,
            a_clock_that_is_moved_meanwhile_is_read_whole,
            a_key_ends_when_the_time_was_moved,
            a_running_clock_can_be_moved,
            a_blocked_client_waits_by_the_clock_that_was_moved,
            many_keys_end_at_once_and_are_removed,
            a_killed_server_starts_again_on_its_port_and_keeps_what_it_promised,
            a_password_is_asked_for,
            a_pool_gives_no_server_twice,
            a_lease_begins_as_new,
            servers_end_with_a_process_that_is_killed,
            what_is_missing_is_ignored_or_fails,
        ],
    )
}

/// What `TIME` says, in microseconds.
async fn time(redis: &Redis) -> Result<i64> {
    Ok(micros(&redis.command(&["TIME"]).await?.to_string()))
}

fn micros(time: &str) -> i64 {
    let (seconds, micros) = time.split_once('\n').unwrap();
    seconds.parse::<i64>().unwrap() * 1_000_000 + micros.parse::<i64>().unwrap()
}

async fn a_frozen_clock_is_the_servers_to_the_microsecond() -> Result<()> {
    let redis = Redis::start(RedisOptions::new()).await?;
    redis.time().freeze();
    for step in [0, 1, 999_999, 86_400_000_000 * 365 * 100] {
        redis.time().advance(Duration::from_micros(step));
        for _ in 0..3 {
            assert_eq!(time(&redis).await?, redis.time().now().as_unix_micros());
        }
    }
    Ok(())
}

async fn a_clock_that_is_moved_meanwhile_is_read_whole() -> Result<()> {
    // Each byte of the number changes with a step.
    const STEP: i64 = 0x0000_0101_0101_0101;
    let redis = Redis::start(RedisOptions::new()).await?;
    redis.time().freeze();
    let start = redis.time().now().as_unix_micros();
    let mover = redis.time().clone();
    let moving = tokio::task::spawn_blocking(move || {
        for _ in 0..20_000 {
            mover.advance(Duration::from_micros(STEP.unsigned_abs()));
        }
    });
    let mut last = start;
    while !moving.is_finished() {
        let script = "local all = {} for i = 1, 200 do all[i] = redis.call('TIME') end return all";
        let Reply::List(times) = redis.command(&["EVAL", script, "0"]).await? else { panic!("no list") };
        for reply in times {
            let found = micros(&reply.to_string());
            assert!(found >= last && (found - start) % STEP == 0, "{found} after {last}, from {start}");
            last = found;
        }
    }
    assert!(last > start);
    Ok(())
}

async fn a_key_ends_when_the_time_was_moved() -> Result<()> {
    let redis = Redis::start(RedisOptions::new()).await?;
    redis.time().freeze();
    redis.command(&["SET", "a", "1", "PX", "5000"]).await?;
    redis.time().advance(Duration::from_millis(4_999));
    assert_eq!(redis.command(&["PTTL", "a"]).await?.as_integer(), Some(1));
    // Redis shows an entry in the very millisecond of its end.
    redis.time().advance(Duration::from_millis(1));
    assert_eq!(redis.command(&["PTTL", "a"]).await?.as_integer(), Some(0));
    redis.time().advance(Duration::from_millis(1));
    assert_eq!(redis.command(&["EXISTS", "a"]).await?.as_integer(), Some(0));
    Ok(())
}

async fn a_running_clock_can_be_moved() -> Result<()> {
    let redis = Redis::start(RedisOptions::new()).await?;
    let behind = |time: &ServerTime, found: i64| time.now().as_unix_micros() - found;
    redis.time().freeze();
    redis.time().advance(Duration::from_secs(3_600));
    let stood = time(&redis).await?;
    redis.time().run();
    let first = time(&redis).await?;
    assert!(first > stood && behind(redis.time(), first) < 60_000_000, "{first} after {stood}");
    redis.time().advance(Duration::from_secs(86_400));
    let second = time(&redis).await?;
    assert!(second > first + 86_400_000_000 && behind(redis.time(), second) < 60_000_000, "{second} after {first}");
    Ok(())
}

async fn a_blocked_client_waits_by_the_clock_that_was_moved() -> Result<()> {
    let redis = Redis::start(RedisOptions::new()).await?;
    redis.time().freeze();
    let blocked = async {
        let reply = redis.command(&["BLPOP", "list", "5"]).await?;
        Ok::<_, kv_servers::Error>((reply, redis.time().now()))
    };
    let move_on = async {
        while !redis.command(&["INFO", "clients"]).await?.to_string().contains("blocked_clients:1") {}
        // More rounds of the server than the seconds it was asked to wait.
        for _ in 0..10 {
            redis.command(&["PING"]).await?;
        }
        let before = redis.time().now();
        redis.time().advance(Duration::from_secs(6));
        Ok::<_, kv_servers::Error>(before)
    };
    let ((reply, ended), before) = try_join(blocked, move_on).await?;
    assert_eq!(reply, Reply::Nil);
    assert!(ended > before);
    Ok(())
}

async fn many_keys_end_at_once_and_are_removed() -> Result<()> {
    let redis = Redis::start(RedisOptions::new()).await?;
    redis.time().freeze();
    let script = "for i = 1, 20000 do redis.call('SET', i, i, 'PX', 5000) end";
    redis.command(&["EVAL", script, "0"]).await?;
    assert_eq!(redis.command(&["DBSIZE"]).await?.as_integer(), Some(20_000));
    redis.time().advance(Duration::from_millis(5_001));
    assert_eq!(redis.command(&["MGET", "1", "20000"]).await?, Reply::List(vec![Reply::Nil, Reply::Nil]));
    // The cycle that removes them has its limit by the same clock, and ends.
    for _ in 0..2_000 {
        if redis.command(&["DBSIZE"]).await?.as_integer() == Some(0) {
            return Ok(());
        }
        TokioTimer.sleep(Duration::from_millis(5)).await;
    }
    panic!("{} keys are left", redis.command(&["DBSIZE"]).await?);
}

async fn a_killed_server_starts_again_on_its_port_and_keeps_what_it_promised() -> Result<()> {
    for (options, kept) in [(RedisOptions::new(), ""), (RedisOptions::new().durable(), "1")] {
        let redis = Redis::start(options).await?;
        let address = redis.address();
        for end in 0..3 {
            redis.command(&["SET", "a", "1"]).await?;
            match end {
                0 => redis.kill(),
                1 => redis.stop().await?,
                // A restart kills by itself.
                _ => {}
            }
            if end < 2 {
                let error = redis.command(&["PING"]).await.unwrap_err().to_string();
                assert!(error.contains("refused"), "{error}");
            }
            redis.restart().await?;
            assert_eq!(redis.address(), address);
            assert_eq!(redis.command(&["GET", "a"]).await?.to_string(), kept);
        }
    }
    Ok(())
}

async fn a_password_is_asked_for() -> Result<()> {
    let redis = Redis::start(RedisOptions::new().password("hush \"hush\"")).await?;
    assert_eq!(redis.command(&["PING"]).await?.to_string(), "PONG");
    let error = redis.command(&["AUTH", "wrong"]).await.unwrap_err().to_string();
    assert!(error.starts_with("WRONGPASS"), "{error}");
    Ok(())
}

async fn a_pool_gives_no_server_twice() -> Result<()> {
    let pool = Pool::<Redis>::new(2, RedisOptions::new());
    let (first, second) = (pool.lease().await?, pool.lease().await?);
    assert_ne!(first.address(), second.address());
    let all = HashSet::from([first.address(), second.address()]);
    // A third caller waits for one to be given back, and then has that one.
    let mut third = Box::pin(pool.lease());
    assert!((&mut third).now_or_never().is_none());
    let expected = first.address();
    drop(first);
    let third = third.await?;
    assert_eq!(third.address(), expected);
    drop((second, third));
    let (first, second) = (pool.lease().await?, pool.lease().await?);
    assert_eq!(HashSet::from([first.address(), second.address()]), all);
    Ok(())
}

async fn a_lease_begins_as_new() -> Result<()> {
    let pool = Pool::<Redis>::new(1, RedisOptions::new().durable());
    for end in 0..3 {
        let redis = pool.lease().await?;
        assert!(!redis.time().is_frozen());
        assert_eq!(redis.command(&["DBSIZE"]).await?.as_integer(), Some(0));
        assert_eq!(redis.command(&["CONFIG", "GET", "maxmemory"]).await?.to_string(), "maxmemory\n0");
        redis.time().freeze();
        redis.time().advance(Duration::from_secs(86_400));
        redis.command(&["SET", "a", "1"]).await?;
        redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await?;
        if end == 1 {
            redis.kill();
        }
    }
    Ok(())
}

/// Starts a server, says its process id and folder, and waits until it is killed.
async fn helper() -> Result<()> {
    let redis = Redis::start(RedisOptions::new().durable()).await?;
    let info = redis.command(&["INFO", "server"]).await?.to_string();
    let id = info.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap();
    let folder = redis.command(&["CONFIG", "GET", "dir"]).await?.to_string().replace("dir\n", "");
    writeln!(std::io::stdout(), "\nhelper {id} {folder}")?;
    std::future::pending().await
}

async fn servers_end_with_a_process_that_is_killed() -> Result<()> {
    let mut helper = Command::new(std::env::current_exe()?).env(HELPER, "1").stdout(Stdio::piped()).spawn()?;
    let output = BufReader::new(helper.stdout.take().unwrap());
    let line = output.lines().map(|line| line.unwrap()).find(|line| line.starts_with("helper ")).unwrap();
    let [_, id, folder] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
    assert!(is_alive(id) && std::fs::exists(folder)?);
    helper.kill()?;
    helper.wait()?;
    for _ in 0..2_000 {
        if !is_alive(id) && !std::fs::exists(folder)? {
            return Ok(());
        }
        TokioTimer.sleep(Duration::from_millis(5)).await;
    }
    panic!("process {id}: alive {}, folder {folder}: there {}", is_alive(id), std::fs::exists(folder)?);
}

/// Whether there is such a process. One that has ended and that nobody has asked about is none.
fn is_alive(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

async fn what_is_missing_is_ignored_or_fails() -> Result<()> {
    let run = |require: &str, arguments: &[&str]| -> Result<(bool, String, String)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["a_password", "--quiet"]).args(arguments).env("PATH", "/nowhere").env("KV_TEST_REQUIRE", require);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (mut output, mut errors) = (String::new(), String::new());
        child.stdout.take().unwrap().read_to_string(&mut output)?;
        child.stderr.take().unwrap().read_to_string(&mut errors)?;
        Ok((child.wait()?.success(), output, errors))
    };
    for arguments in [&[][..], &["--include-ignored"]] {
        let (is_success, output, errors) = run("postgres", arguments)?;
        assert!(is_success && output.contains("0 passed; 0 failed; 1 ignored"), "{output}");
        assert_eq!(
            errors,
            "NOT RUN: redis cannot be started: there is no `redis-server`; on Debian: \
             apt-get install redis-server gcc libc6-dev\n"
        );
        let (is_success, output, _) = run("postgres, redis", arguments)?;
        assert!(!is_success && output.contains("0 passed; 1 failed; 0 ignored"), "{output}");
    }
    let (is_success, output, errors) = run("redsi", &[])?;
    assert!(!is_success && output.is_empty() && errors.contains("\"redsi\""), "{errors}");
    Ok(())
}
