//! The rules of the system, where the recordings do not reach.

use futures_util::future::join_all;
use kv_fakes::nemesisdb::{Fake, MAX_MESSAGE_BYTES};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Closed, serve};

#[tokio::test]
async fn a_message_may_be_as_long_as_the_limit_and_not_a_byte_longer() {
    let server = serve(Fake::new()).await;
    let set = |bytes: usize| {
        let around = r#"{"SET":{"user_key_1":""}}"#.len();
        // Two bytes each: the limit is not counted in characters.
        let value = "é".repeat((bytes - around) / 2) + if (bytes - around) % 2 == 1 { "x" } else { "" };
        let text = format!(r#"{{"SET":{{"user_key_1":"{value}"}}}}"#);
        assert_eq!(text.len(), bytes);
        text
    };
    let mut client = Client::of(&server).await;
    assert_eq!(client.answer(&set(MAX_MESSAGE_BYTES)).await, r#"{"SET_RSP":{"k":"user_key_1","st":1}}"#);
    client.send(&set(MAX_MESSAGE_BYTES + 1).replace("user_key_1", "user_key_2")).await;
    assert_eq!(client.next().await, Err(Closed::Code(1009)));
    assert_eq!((server.keys(), server.requests()), (vec!["user_key_1".to_owned()], 1));

    let server = serve(Fake::new().with_max_message_bytes(30)).await;
    for message in [Message::text(set(31)), Message::binary(vec![0; 31])] {
        let mut client = Client::of(&server).await;
        client.send_message(message).await;
        assert_eq!(client.next().await, Err(Closed::Code(1009)));
    }
    assert!(server.keys().is_empty());
    // Answers are not limited.
    let mut client = Client::of(&server).await;
    client.send(&set(30)).await;
    assert!(client.next().await.unwrap().len() > 30);
}

#[tokio::test]
async fn a_key_has_six_bytes_or_more() {
    let server = serve(Fake::new()).await;
    let mut client = Client::of(&server).await;
    for (key, status) in [("12345", 6), ("123456", 1), ("éé1", 6), ("äöü", 1), ("日本", 1), ("\u{1F600}", 6)] {
        let answer = client.answer(&format!(r#"{{"SET":{{"{key}":1}}}}"#)).await;
        assert!(answer.contains(&format!(r#""st":{status}"#)) && answer.contains(key), "{answer}");
    }
    let long = "k".repeat(MAX_MESSAGE_BYTES - r#"{"ADD":{"":0}}"#.len());
    let answer = client.answer(&format!(r#"{{"ADD":{{"{long}":0}}}}"#)).await;
    assert_eq!(answer, format!(r#"{{"ADD_RSP":{{"k":"{long}","st":1}}}}"#));
    let answer = client.answer(r#"{"RMV":["123456","12345","123456"]}"#).await;
    assert_eq!(answer, r#"{"RMV_RSP":{"st":6,"k":"12345"}}"#);
    assert_eq!(client.next().await.unwrap(), r#"{"RMV_RSP":{"k":"123456","st":5}}"#);
    assert_eq!(client.next().await.unwrap(), r#"{"RMV_RSP":{"k":"123456","st":3}}"#);
    client.is_quiet().await;
}

#[tokio::test]
async fn silence_is_the_answer_to_what_has_no_key_or_no_text() {
    let server = serve(Fake::new()).await;
    let mut client = Client::of(&server).await;
    let texts = ["", r#"{"SET":{}}"#, r#"{"ADD":{}}"#, r#"{"GET":[]}"#, r#"{"RMV":[]}"#, r#"{"RNM_KEY":[]}"#];
    for text in texts {
        client.send(text).await;
    }
    client.send_message(Message::binary(r#"{"SET":{"user_key_1":1}}"#)).await;
    client.is_quiet().await;
    assert!(server.keys().is_empty());
    let logged: Vec<_> = server.messages().iter().map(|message| (message.command.clone(), message.answers)).collect();
    let logged: Vec<_> = logged.iter().map(|(command, answers)| (command.as_str(), *answers)).collect();
    let nothing = |command| (command, 0);
    let expected = ["", "SET", "ADD", "GET", "RMV", "RNM_KEY", ""].map(nothing);
    assert_eq!(logged, [&expected[..], &[("SERVER_INFO", 1)]].concat());
    // Only what has a text counts for the system.
    assert!(client.answer(r#"{"SERVER_INFO":{}}"#).await.contains(r#""qryCnt":7,"#));
}

#[tokio::test]
async fn values_come_back_however_deep() {
    let server = serve(Fake::new().with_max_message_bytes(1 << 20)).await;
    let mut client = Client::of(&server).await;
    for levels in [1, 126, 5_000] {
        let value = format!(r#"{}"é\n""#, r#"[{"a":"#.repeat(levels / 2)) + &"}]".repeat(levels / 2);
        client.answer(&format!(r#"{{"SET":{{"user_key_1":{value}}}}}"#)).await;
        let answer = client.answer(r#"{"GET":["user_key_1"]}"#).await;
        assert_eq!(answer, format!(r#"{{"GET_RSP":{{"user_key_1":{value},"st":0}}}}"#));
    }
}

#[tokio::test]
async fn all_connections_see_one_store_and_only_their_own_answers() {
    let server = serve(Fake::new()).await;
    let (mut one, mut other) = (Client::of(&server).await, Client::of(&server).await);
    one.answer(r#"{"SET":{"user_key_1":null}}"#).await;
    assert_eq!(other.answer(r#"{"GET":["user_key_1"]}"#).await, r#"{"GET_RSP":{"user_key_1":null,"st":0}}"#);
    assert_eq!(other.answer(r#"{"ADD":{"user_key_1":1}}"#).await, r#"{"ADD_RSP":{"k":"user_key_1","st":4}}"#);
    assert_eq!(other.answer(r#"{"CLEAR":{}}"#).await, r#"{"CLEAR_RSP":{"st":0,"cnt":1}}"#);
    one.is_quiet().await;
    other.is_quiet().await;
    let connections: Vec<_> = server.messages().iter().map(|message| message.connection).collect();
    assert_eq!(connections, [1, 2, 2, 2, 1, 2]);
}

#[tokio::test]
async fn of_many_adds_of_a_key_one_is_done() {
    let server = serve(Fake::new()).await;
    let mut clients = join_all((0..40).map(|_| Client::of(&server))).await;
    for round in 0..20 {
        let add = format!(r#"{{"ADD":{{"round_{round}":0}}}}"#);
        let answers = join_all(clients.iter_mut().map(|client| client.answer(&add))).await;
        let done = answers.iter().filter(|answer| answer.contains(r#""st":1"#)).count();
        let not = answers.iter().filter(|answer| answer.contains(r#""st":4"#)).count();
        assert_eq!((done, not), (1, 39));
    }
}

#[tokio::test]
async fn a_server_that_hangs_answers_nobody() {
    let server = serve(Fake::new()).await;
    let mut one = Client::of(&server).await;
    let mut other = Client::of(&server).await;
    one.send(r#"{"RNM_KEY":[{"nix_key":"new_key"}]}"#).await;
    while server.requests() < 1 {
        tokio::task::yield_now().await;
    }
    other.send(r#"{"SET":{"user_key_1":1}}"#).await;
    while server.requests() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.messages()[1].answers, 0);
    assert!(server.keys().is_empty());
}

#[tokio::test]
async fn no_name_of_a_member_has_a_meaning_and_members_are_sorted() {
    let server = serve(Fake::new()).await;
    let mut client = Client::of(&server).await;
    for (sent, kept) in [
        (r#"{"z":1,"a":{"y":[],"b":{}},"10":1.0,"9":1e3}"#, r#"{"10":1.0,"9":1000.0,"a":{"b":{},"y":[]},"z":1}"#),
        (
            r#"{"$serde_json::private::RawValue":"{\"admin\":true}"}"#,
            r#"{"$serde_json::private::RawValue":"{\"admin\":true}"}"#,
        ),
        (r#"{"$serde_json::private::RawValue":":5"}"#, r#"{"$serde_json::private::RawValue":":5"}"#),
        (r#"{"$serde_json::private::Number":"1e999"}"#, r#"{"$serde_json::private::Number":"1e999"}"#),
    ] {
        client.answer(&format!(r#"{{"SET":{{"user_key_1":{sent}}}}}"#)).await;
        let answer = client.answer(r#"{"GET":["user_key_1"]}"#).await;
        assert_eq!(answer, format!(r#"{{"GET_RSP":{{"user_key_1":{kept},"st":0}}}}"#));
    }
}

/// As recorded, and as seen again on the vendor's server.
#[tokio::test]
async fn an_empty_root_is_refused_twice_and_the_connection_stays() {
    let server = serve(Fake::new()).await;
    let mut client = Client::of(&server).await;
    for root in ["{}", " { } ", "{}"] {
        let refusals =
            [r#"{"SERVER_ERROR":{"s":4,"m":"Only one command permitted"}}"#, r#"{"SERVER_ERROR":{"s":3,"m":""}}"#];
        assert_eq!(client.answers(root, 2).await, refusals);
    }
    client.is_quiet().await;
}
