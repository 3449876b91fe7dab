//! What goes wrong on demand.

use std::time::Duration;

use futures_util::FutureExt;
use kv_api::{Timer, TokioTimer};
use kv_fakes::nemesisdb::{Fake, Server};
use kv_fakes::{Applied, Fault, ServerOptions};

use crate::client::{Client, Closed, PATIENCE, serve};

const SET: &str = r#"{"SET":{"user_key_1":1}}"#;
const SET_FOUR: &str = r#"{"SET":{"user_key_1":1,"user_key_2":2,"user_key_3":3,"user_key_4":4}}"#;
const GET: &str = r#"{"GET":["user_key_1"]}"#;

/// Sends and expects no text; what ended the connection.
async fn ends(client: &mut Client, text: &str) -> Closed {
    client.send(text).await;
    client.next().await.unwrap_err()
}

#[tokio::test]
async fn connections_are_dropped_before_or_after_a_message_is_carried_out() {
    for (applied, keys) in [(Applied::No, 0), (Applied::Yes, 1)] {
        let server = serve(Fake::new()).await;
        let (mut client, mut other) = (Client::of(&server).await, Client::of(&server).await);
        server.inject(Fault::Cut { applied }, 1);
        assert_eq!(ends(&mut client, SET).await, Closed::Dropped);
        assert_eq!((server.keys().len(), server.faults_left()), (keys, 0));
        // Nobody else is concerned.
        other.is_quiet().await;
        let mut client = Client::of(&server).await;
        assert_eq!(client.answer(SET).await, format!(r#"{{"SET_RSP":{{"k":"user_key_1","st":{}}}}}"#, keys + 1));
    }
}

#[tokio::test]
async fn answers_are_swallowed_and_the_connection_goes_on() {
    let server = serve(Fake::new()).await;
    let mut client = Client::of(&server).await;
    for (applied, keys) in [(Applied::No, 0), (Applied::Yes, 4)] {
        server.inject(Fault::Silent { applied }, 2);
        client.send(SET_FOUR).await;
        client.send(GET).await;
        client.is_quiet().await;
        assert_eq!(server.keys().len(), keys);
    }
}

#[tokio::test]
async fn only_writes_meet_what_was_ordered_for_writes() {
    let server = serve(Fake::new()).await;
    let mut client = Client::of(&server).await;
    client.answer(SET).await;
    server.inject_into_writes(Fault::Silent { applied: Applied::No }, 5);
    client.answer(GET).await;
    client.is_quiet().await;
    client.send("{bad").await;
    assert!(client.next().await.unwrap().contains("SERVER_ERROR"));
    assert_eq!(server.faults_left(), 5);
    for write in [SET, r#"{"ADD":{"user_key_2":1}}"#, r#"{"RMV":["user_key_1"]}"#, r#"{"CLEAR":{}}"#] {
        client.send(write).await;
    }
    client.send(r#"{"RNM_KEY":[{"user_key_1":"user_key_3"}]}"#).await;
    client.is_quiet().await;
    assert_eq!((server.faults_left(), server.keys()), (0, vec!["user_key_1".to_owned()]));
}

#[tokio::test]
async fn failures_and_garbage_are_answered() {
    let server = serve(Fake::new()).await;
    let mut client = Client::of(&server).await;
    for (applied, keys) in [(Applied::No, 0), (Applied::Yes, 4)] {
        server.inject(Fault::ServerError { status: 500, applied }, 1);
        assert_eq!(client.answer(SET_FOUR).await, r#"{"SERVER_ERROR":{"s":6,"m":"Unknown"}}"#);
        client.is_quiet().await;
        assert_eq!(server.keys().len(), keys);
    }
    server.inject(Fault::Garbage, 1);
    let garbage = client.answer(r#"{"RMV":["user_key_1","user_key_2"]}"#).await;
    assert!(serde_json::from_str::<serde_json::Value>(&garbage).is_err(), "{garbage}");
    client.is_quiet().await;
    assert_eq!(server.keys().len(), 2);
    // What does not fit waits, and so does what is ordered for later.
    server.inject(Fault::Stale, 1);
    client.is_quiet().await;
    assert_eq!(server.faults_left(), 1);
    server.inject_after(2, Fault::Garbage, 1);
    assert_ne!(client.answer(GET).await, garbage);
    assert_ne!(client.answer(GET).await, garbage);
    assert_eq!(client.answer(GET).await, garbage);
    assert_eq!(server.faults_left(), 0);
}

#[tokio::test]
async fn answers_break_off_half_way() {
    let server = serve(Fake::new()).await;
    let mut client = Client::of(&server).await;
    server.inject(Fault::Truncated, 2);
    let answers = client.answers(SET_FOUR, 2).await;
    assert!(answers.iter().all(|answer| answer.starts_with(r#"{"SET_RSP""#)), "{answers:?}");
    assert_eq!(client.next().await, Err(Closed::Dropped));
    assert_eq!(server.keys().len(), 4);
    let mut client = Client::of(&server).await;
    assert_eq!(ends(&mut client, GET).await, Closed::Dropped);
}

#[tokio::test]
async fn answers_come_late_and_in_order() {
    let server = serve(Fake::new()).await;
    let mut client = Client::of(&server).await;
    let mut other = Client::of(&server).await;
    server.inject(Fault::Slow { delay: Duration::from_millis(500) }, 1);
    client.send(SET).await;
    client.send(GET).await;
    while server.requests() < 2 {
        tokio::task::yield_now().await;
    }
    // Others are answered meanwhile.
    other.is_quiet().await;
    assert!(client.next().now_or_never().is_none());
    assert_eq!(server.keys(), ["user_key_1"]);
    assert!(client.next().await.unwrap().starts_with(r#"{"SET_RSP""#));
    assert!(client.next().await.unwrap().starts_with(r#"{"GET_RSP""#));
}

/// Which of 200 messages got all their answers when each may cost its connection, and how many keys were set.
async fn under_chance(seed: u64) -> (Vec<bool>, usize) {
    let server = serve(Fake::new().with_seed(seed)).await;
    server.drop_at_random(10);
    let mut client = Client::of(&server).await;
    let mut answered = Vec::new();
    for message in 0..200 {
        client.send(&format!(r#"{{"SET":{{"user_{message}_a":1,"user_{message}_b":1}}}}"#)).await;
        let whole = client.next().await.is_ok() && client.next().await.is_ok();
        answered.push(whole);
        if whole {
            let keys = server.keys();
            for letter in ["a", "b"] {
                assert!(keys.contains(&format!("user_{message}_{letter}")), "acknowledged and lost");
            }
        } else {
            client = Client::of(&server).await;
        }
    }
    (answered, server.keys().len())
}

#[tokio::test]
async fn connections_drop_by_chances_that_can_be_repeated() {
    let (answered, keys) = under_chance(3).await;
    let whole = answered.iter().filter(|whole| **whole).count();
    assert!((165..197).contains(&whole), "{whole}");
    // Some were carried out whose answers were lost, and some were not.
    assert!(keys > 2 * whole && keys < 400, "{keys}");
    let (_, keys_again) = under_chance(3).await;
    assert_eq!(keys, keys_again);
    assert_ne!(answered, under_chance(4).await.0);
}

/// Waits for as many closes as that to be counted.
async fn closed_early(server: &Server, count: u64) {
    let counted = async {
        while server.closes_with_answers_due() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = counted => {}
        () = TokioTimer.sleep(PATIENCE) => panic!("{} of {count} were counted", server.closes_with_answers_due()),
    }
}

#[tokio::test]
async fn who_closes_before_all_answers_have_come_is_counted() {
    let latency = ServerOptions::new().with_latency(Duration::from_millis(200));
    let server = Fake::new().serve(latency).await.unwrap();
    // With a goodbye and without one.
    let mut client = Client::of(&server).await;
    client.send(SET).await;
    client.socket.close(None).await.unwrap();
    closed_early(&server, 1).await;
    let mut client = Client::of(&server).await;
    client.send(SET).await;
    drop(client);
    closed_early(&server, 2).await;
    // A client that waits is not.
    let mut client = Client::of(&server).await;
    client.answer(SET).await;
    client.socket.close(None).await.unwrap();
    assert_eq!(client.next().await, Err(Closed::Code(1005)));
    assert_eq!(server.closes_with_answers_due(), 2);

    // The answer has been sent, and nobody reads it.
    let server = serve(Fake::new()).await;
    let mut client = Client::of(&server).await;
    client.send(SET).await;
    client.socket.get_ref().readable().await.unwrap();
    drop(client);
    closed_early(&server, 1).await;
    // The server is still there.
    Client::of(&server).await.is_quiet().await;
}

/// How each of 400 messages was answered (a whole, a `SERVER_ERROR`, nothing), and whether it was carried out.
async fn under_faults_by_chance(seed: u64, per_mille: u32) -> Vec<(&'static str, bool)> {
    let server = serve(Fake::new()).await;
    server.inject_at_random(seed, per_mille);
    let mut client = Client::of(&server).await;
    let mut seen = Vec::new();
    for message in 0..400 {
        client.send(&format!(r#"{{"SET":{{"user_{message:03}":1}}}}"#)).await;
        let answer = match client.next().await {
            Ok(answer) if answer.contains("SERVER_ERROR") => "failed",
            Ok(_) => "set",
            Err(_) => {
                client = Client::of(&server).await;
                "cut"
            }
        };
        seen.push((answer, server.keys().contains(&format!("user_{message:03}"))));
    }
    seen
}

#[tokio::test]
async fn messages_meet_faults_of_every_kind_by_chances_that_can_be_repeated() {
    let seen = under_faults_by_chance(3, 200).await;
    let mut kinds = seen.clone();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, [("cut", false), ("cut", true), ("failed", false), ("failed", true), ("set", true)]);
    let faulty = seen.iter().filter(|(answer, _)| *answer != "set").count();
    assert!((50..110).contains(&faulty), "{faulty} of 400");
    assert_eq!(seen, under_faults_by_chance(3, 200).await);
    assert_ne!(seen, under_faults_by_chance(4, 200).await);
    assert!(under_faults_by_chance(3, 0).await.iter().all(|one| *one == ("set", true)));
}
