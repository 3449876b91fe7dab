//! Opening, closing, and the runtime (LIFE-1 to LIFE-3).

use std::net::SocketAddr;
use std::time::Duration;

use kv_api::{Backend, ErrorKind, Reason, Retry, Store};
use kv_conformance::{Fault, Faults};
use kv_redis::{RedisConfig, RedisStore, RetryPolicy, SecretString};
use kv_servers::{Redis, RedisOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{PASSWORD, System, open, plain};

/// A server that gives this answer to whatever it is asked.
async fn scripted(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut asked = [0; 4_096];
            while socket.read(&mut asked).await.is_ok_and(|bytes| bytes > 0) {
                if socket.write_all(answer).await.is_err() {
                    break;
                }
            }
        }
    });
    address
}

/// A server that says this to whoever connects, and closes the connection.
async fn turning_away(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
            // What is on the way is taken, so that the answer arrives.
            let mut asked = Vec::new();
            let _ = socket.read_to_end(&mut asked).await;
        }
    });
    address
}

async fn refused(config: RedisConfig) -> kv_api::Error {
    let remote = kv_redis::RemoteSettings::default().with_request_timeout(Duration::from_secs(20));
    open(config.with_remote(remote)).await.map(drop).unwrap_err()
}

pub(crate) async fn life_1_what_is_no_server_for_the_store_is_refused_with_the_reason() {
    let redis = Redis::start(RedisOptions::new().password(PASSWORD)).await.unwrap();
    let config = || plain(redis.address());
    let mut errors = vec![
        ("no password", refused(config()).await, ErrorKind::Unauthorized),
        ("another one", refused(config().with_password(SecretString::from("x"))).await, ErrorKind::Unauthorized),
    ];
    let known = config().with_password(SecretString::from(PASSWORD));
    errors.push(("no database", refused(known.clone().with_database(99)).await, ErrorKind::Misconfigured));
    let other = known.clone().with_username(SecretString::from("nobody"));
    errors.push(("another user", refused(other).await, ErrorKind::Unauthorized));
    drop(open(known).await.unwrap());

    let node = Redis::start(RedisOptions::new().setting("cluster-enabled", "yes")).await.unwrap();
    errors.push(("a node of a cluster", refused(plain(node.address())).await, ErrorKind::Misconfigured));

    let replica = Redis::start(RedisOptions::new()).await.unwrap();
    let port = redis.address().port().to_string();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]).await.unwrap();
    let error = refused(plain(replica.address())).await;
    assert_eq!((error.reason(), error.retry()), (Some(&Reason::ReadOnly), Retry::Safe), "{error}");
    errors.push(("a replica", error, ErrorKind::Misconfigured));

    const OLD: &[u8] =
        b"*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n6.2.6\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n\
        :3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n$0\r\n\r\n";
    const OLDER: &[u8] = b"-ERR unknown command `HELLO`, with args beginning with: \r\n$0\r\n\r\n";
    const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    for (what, answer) in [("an old server", OLD), ("an older one", OLDER), ("no Redis", HTTP)] {
        errors.push((what, refused(plain(scripted(answer).await)).await, ErrorKind::Misconfigured));
    }
    errors.push(("no host", refused(RedisConfig::new("nowhere.invalid", 1).unwrap()).await, ErrorKind::Misconfigured));
    for (what, error, kind) in &errors {
        assert_eq!(error.kind(), *kind, "{what}: {error}");
        assert!(!error.is_outcome_unknown(), "{what}: {error}");
        assert!(!format!("{error} {error:?}").contains(PASSWORD), "{what}");
    }
    let gone = scripted(b"").await;
    drop(redis);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = refused(plain(closed)).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
    // One that takes connections and says nothing.
    let remote = kv_redis::RemoteSettings::default().with_request_timeout(Duration::from_millis(200));
    let error = open(plain(gone).with_remote(remote)).await.map(drop).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
}

pub(crate) async fn life_1_a_server_that_turns_a_connection_away_says_why() {
    for (answer, kind, retry) in [
        ("-ERR max number of clients reached\r\n", ErrorKind::Exhausted, Retry::Safe),
        ("-DENIED Redis is running in protected mode because\r\n", ErrorKind::Unauthorized, Retry::Never),
    ] {
        let address = turning_away(answer).await;
        for config in [plain(address), plain(address).with_password(SecretString::from(PASSWORD))] {
            let error = refused(config).await;
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{error}");
        }
    }
}

pub(crate) async fn life_1_the_password_of_a_running_store_is_changed() {
    let redis = Redis::start(RedisOptions::new().password(PASSWORD)).await.unwrap();
    let link = kv_servers::Link::open(redis.address(), kv_servers::Protocol::Resp).unwrap();
    let store = open(plain(link.address()).with_password(SecretString::from(PASSWORD))).await.unwrap();
    store.set("k", 1).await.unwrap();
    redis.command(&["CONFIG", "SET", "requirepass", "another"]).await.unwrap();
    // A connection that is logged in stays so.
    store.set("k", 2).await.unwrap();
    link.inject(Fault::Refused, 1);
    link.inject(Fault::Refused, 0);
    let error = store.set("k", 3).await.unwrap_err();
    assert_eq!((error.kind(), error.native_code()), (ErrorKind::Unauthorized, Some("WRONGPASS")), "{error}");
}

pub(crate) async fn life_1_a_ping_says_whether_the_server_is_there() {
    let system = System::lease().await.unwrap();
    let remote = system.remote().with_retry(RetryPolicy::none());
    let store = open(system.config().with_remote(remote)).await.unwrap();
    store.ping().await.unwrap();
    system.link.inject(Fault::Refused, 1);
    let error = store.ping().await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe), "{error}");
    system.link.inject(Fault::Refused, 0);
    store.ping().await.unwrap();
}

pub(crate) async fn life_2_a_closed_store_has_no_connection() {
    let system = System::lease().await.unwrap();
    let store = RedisStore::open(system.config()).await.unwrap();
    let text = format!("{store:?}");
    assert!(text.starts_with("RedisStore {") && !text.contains(PASSWORD), "{text}");
    store.close().await.unwrap();
    wait_for_no_client(&system).await;
    // It is alive until here, closed and not dropped.
    assert_eq!(store.ping().await.unwrap_err().kind(), ErrorKind::Closed);
}

/// But for the one that asks.
async fn wait_for_no_client(system: &System) {
    for _ in 0..10_000 {
        if system.ask(&["CLIENT", "LIST", "TYPE", "normal"]).await.to_string().lines().count() == 1 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the connection of the store stays");
}

pub(crate) async fn life_2_a_dropped_store_ends_its_connection() {
    let system = System::lease().await.unwrap();
    let clients = async || system.ask(&["CLIENT", "LIST", "TYPE", "normal"]).await.to_string().lines().count();
    let store = system.store().await;
    let clone = store.with_prefix("a/");
    assert_eq!(clients().await, 2);
    drop(store);
    clone.set("k", 1).await.unwrap();
    drop(clone);
    wait_for_no_client(&system).await;
}

pub(crate) async fn life_3_after_its_runtime_has_ended_a_call_ends_with_an_error() {
    let system = System::lease().await.unwrap();
    let config = system.config().with_remote(system.remote().with_retry(RetryPolicy::none()));
    let store: Store = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(open(config)).unwrap()
    })
    .await
    .unwrap();
    let error = store.set("k", 1).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Closed), "{error}");
}
