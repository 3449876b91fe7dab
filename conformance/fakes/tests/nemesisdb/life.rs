//! Servers that end, stop, crash and come back.

use std::time::Duration;

use kv_fakes::ServerOptions;
use kv_fakes::nemesisdb::{Data, Fake, Server};

use crate::client::{Client, Closed, serve};

const SET: &str = r#"{"SET":{"user_key_1":1}}"#;
const GET: &str = r#"{"GET":["user_key_1"]}"#;
const MISS: &str = r#"{"GET_RSP":{"k":"user_key_1","st":3}}"#;
const HIT: &str = r#"{"GET_RSP":{"user_key_1":1,"st":0}}"#;

#[tokio::test]
async fn servers_are_worlds_of_their_own() {
    let (one, other) = (serve(Fake::new()).await, serve(Fake::new()).await);
    assert_ne!(one.url(), other.url());
    assert_eq!(one.store_url().replace("nemesisdb://", "ws://") + "/", one.url());
    Client::of(&one).await.answer(SET).await;
    assert_eq!(Client::of(&other).await.answer(GET).await, MISS);
    assert_eq!((one.requests(), other.requests(), other.keys().len()), (1, 1, 0));
}

#[tokio::test]
async fn it_ends_with_its_last_handle_and_frees_whoever_waits() {
    let server = serve(Fake::new()).await;
    let url = server.url();
    let mut client = Client::of(&server).await;
    drop(server.clone());
    client.answer(SET).await;
    drop(server);
    assert_eq!(client.next().await, Err(Closed::Dropped));
    // Its port is free at once.
    let port = url.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
    let again = Fake::new().serve(ServerOptions::new().with_port(port)).await.unwrap();
    assert_eq!(again.url(), url);
    let taken = Fake::new().serve(ServerOptions::new().with_port(port)).await.unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn it_outlives_the_runtime_it_was_served_from() {
    let serving = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve(Fake::new()))
    });
    let server = serving.join().unwrap();
    Client::of(&server).await.is_quiet().await;
}

#[tokio::test]
async fn it_comes_back_on_the_same_port_with_or_without_its_data() {
    let server = serve(Fake::new()).await;
    let url = server.url();
    let mut client = Client::of(&server).await;
    client.answer(SET).await;
    for (data, answer) in [(Data::Kept, HIT), (Data::Lost, MISS)] {
        server.restart(data).await.unwrap();
        assert_eq!(client.next().await, Err(Closed::Dropped));
        client = Client::of(&server).await;
        assert_eq!((client.answer(GET).await.as_str(), server.url()), (answer, url.clone()));
    }
    client.is_quiet().await;
    // Down, and up again.
    server.stop().await;
    assert_eq!(client.next().await, Err(Closed::Dropped));
    assert!(Client::try_of(&server).await.is_err());
    server.restart(Data::Kept).await.unwrap();
    Client::of(&server).await.is_quiet().await;
}

#[tokio::test]
async fn connections_are_dropped_and_refused_on_demand() {
    let server = serve(Fake::new()).await;
    let (mut one, mut other) = (Client::of(&server).await, Client::of(&server).await);
    server.disconnect().await;
    assert_eq!((one.next().await, other.next().await), (Err(Closed::Dropped), Err(Closed::Dropped)));
    let mut client = Client::of(&server).await;
    server.refuse_connections(2);
    // It may be too late to be dropped before this, but not to be ignored.
    let _ = futures_util::SinkExt::send(&mut client.socket, SET.into()).await;
    assert_eq!(client.next().await, Err(Closed::Dropped));
    assert!(Client::try_of(&server).await.is_err());
    assert!(Client::try_of(&server).await.is_err());
    assert_eq!(Client::of(&server).await.answer(GET).await, MISS);
}

async fn crashed(server: &Server) {
    while Client::try_of(server).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn it_crashes_as_the_real_one_if_told_to() {
    let options = ServerOptions::new().with_latency(Duration::from_millis(100));
    let server = Fake::new().with_crash_on_early_close().serve(options).await.unwrap();
    let mut bystander = Client::of(&server).await;
    bystander.answer(SET).await;
    // Closing with nothing due does no harm.
    let mut client = Client::of(&server).await;
    client.answer(GET).await;
    client.socket.close(None).await.unwrap();
    assert_eq!(client.next().await, Err(Closed::Code(1005)));
    assert_eq!(bystander.answer(GET).await, HIT);

    let mut client = Client::of(&server).await;
    client.send(GET).await;
    drop(client);
    assert_eq!(bystander.next().await, Err(Closed::Dropped));
    crashed(&server).await;
    assert!(server.keys().is_empty());
    server.restart(Data::Kept).await.unwrap();
    assert_eq!(Client::of(&server).await.answer(GET).await, MISS);
}

#[tokio::test]
async fn options_that_it_cannot_heed_are_refused() {
    let limit = kv_fakes::RateLimit { requests: 1, window: Duration::from_secs(1) };
    let options = ServerOptions::new;
    let hyper = options().with_engine(kv_fakes::Engine::Hyper);
    for options in [options().with_rate_limit(limit), options().with_observer(|_| {}), hyper] {
        let refused = Fake::new().serve(options).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    }
}
