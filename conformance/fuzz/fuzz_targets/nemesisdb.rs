//! Messages of NemesisDB: one a line. Each is read as the answer to every command, and handed to who waits for it.
#![no_main]

use kv_fuzz::{assert_silent, bounded, other_reader};
use kv_nemesisdb::fuzzing::{matched, reply};
use libfuzzer_sys::fuzz_target;

const KEYS: [&str; 3] = ["12345_username", "sixsix", "sixsix"];

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let messages: Vec<&str> = text.split('\n').collect();
    for message in &messages {
        let reply = match bounded(message.len(), 128, || reply(message)) {
            Ok(reply) => reply,
            Err(error) => {
                assert_silent(&error);
                continue;
            }
        };
        for error in [
            reply.set.as_ref().err(),
            reply.added.as_ref().err(),
            reply.removed.as_ref().err(),
            reply.found.as_ref().err(),
            reply.info.as_ref().err(),
        ] {
            error.into_iter().for_each(assert_silent);
        }
        if let Some(other) = other_reader(message.as_bytes()) {
            let body = &other[format!("{}_RSP", reply.command)];
            let status = body["st"].as_u64();
            assert!(status.is_some(), "a reply has a status");
            assert_eq!(reply.set.is_ok(), matches!(status, Some(1 | 2)));
            assert_eq!(reply.added.is_ok(), matches!(status, Some(1 | 4)));
            assert_eq!(reply.removed.is_ok(), matches!(status, Some(3 | 5)));
            assert_eq!(reply.info.is_ok(), status == Some(0));
            if let Ok(Some(_)) = reply.found {
                assert!(status == Some(0) && reply.command == "GET" && body.get(&reply.key).is_some());
            }
        }
    }
    // Each of five commands twice, that about figures without a key.
    let all = 2 * (4 * KEYS.len() + 1);
    let (fitted, outstanding, answered) = bounded(input.len(), 64, || matched(&KEYS, &messages));
    assert_eq!(fitted + outstanding, all, "each reply is one less to come");
    assert_eq!(answered, fitted, "no answer is lost");
});
