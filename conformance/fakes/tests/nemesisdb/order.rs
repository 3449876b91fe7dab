//! In which order answers come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kv_fakes::nemesisdb::Fake;

use crate::client::{Client, serve};

const SET: &str = r#"{"SET":{"user_key_5":5,"user_key_4":4,"user_key_3":3,"x":0,"user_key_2":2,"a":0,"user_key_1":1}}"#;

async fn answers(seed: u64) -> Vec<String> {
    let server = serve(Fake::new().with_seed(seed)).await;
    Client::of(&server).await.answers(SET, 7).await
}

#[tokio::test]
async fn refusals_come_first_and_the_rest_as_the_seed_will() {
    let mut orders = BTreeSet::new();
    for seed in 0..20 {
        let order = answers(seed).await;
        assert_eq!(order, answers(seed).await);
        assert_eq!(order[..2], [r#"{"SET_RSP":{"st":6,"k":"a"}}"#, r#"{"SET_RSP":{"st":6,"k":"x"}}"#]);
        let keys: BTreeSet<_> = order[2..].iter().collect();
        assert_eq!(keys.len(), 5);
        orders.insert(order);
    }
    assert!(orders.len() > 15, "{}", orders.len());
}

/// Which of the messages an answer belongs to: they are one more for each message, from 1 on.
fn number(answer: &str) -> usize {
    let digits = answer.split("_key_").nth(1).unwrap();
    let value = digits.split_once(':').unwrap().1;
    value[..value.find([',', '}']).unwrap()].parse().unwrap()
}

#[tokio::test]
async fn messages_stay_apart_unless_they_are_to_be_mixed() {
    const KEYS: usize = 4;
    const MESSAGES: usize = 400;
    for (spread, mixes) in [(Duration::ZERO, false), (Duration::from_millis(20), true)] {
        let server = serve(Fake::new().with_spread(spread).with_seed(7)).await;
        let mut client = Client::of(&server).await;
        for message in 1..=MESSAGES {
            let key = message % KEYS;
            client.send(&format!(r#"{{"SET":{{"user_key_{key}":{message}}}}}"#)).await;
            client.send(&format!(r#"{{"GET":["user_key_{key}"]}}"#)).await;
        }
        client.send(r#"{"SERVER_INFO":{}}"#).await;
        let mut numbers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut order = Vec::new();
        for _ in 0..2 * MESSAGES {
            let answer = client.next().await.unwrap();
            if answer.starts_with(r#"{"GET_RSP""#) {
                order.push(number(&answer));
                let key = answer[..answer.find(':').unwrap() + 14].to_owned();
                numbers.entry(key).or_default().push(number(&answer));
            }
        }
        // A count of all comes after what was sent before it.
        let info = client.next().await.unwrap();
        assert!(info.contains(&format!(r#""keyCnt":{KEYS},"qryCnt":{}"#, 2 * MESSAGES + 1)), "{info}");
        assert_eq!(numbers.len(), KEYS);
        for of_key in numbers.values() {
            assert!(of_key.is_sorted() && of_key.len() == MESSAGES / KEYS, "{of_key:?}");
        }
        assert_eq!(!order.is_sorted(), mixes, "{order:?}");
    }
}

#[tokio::test]
async fn a_client_may_send_much_before_it_reads() {
    const MESSAGES: usize = 20_000;
    let server = serve(Fake::new()).await;
    let mut client = Client::of(&server).await;
    let value = "x".repeat(500);
    client.answer(&format!(r#"{{"SET":{{"user_key_1":"{value}"}}}}"#)).await;
    // Ten megabytes of answers, more than the buffers of the connection hold.
    for _ in 0..MESSAGES {
        client.send(r#"{"GET":["user_key_1"]}"#).await;
    }
    for _ in 0..MESSAGES {
        assert!(client.next().await.unwrap().contains(&value));
    }
    client.is_quiet().await;
}
