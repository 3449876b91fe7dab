//! No key reaches anything but its own entry (KEY-1, KEY-2).

use kv_api::Reason;
use kv_testkit::remote::keys::{any_key_reaches_its_own_entry_or_is_refused, is_refused};

use crate::harness::System;

#[tokio::test]
async fn key_2_a_dot_is_refused() {
    is_refused::<System>(".", Reason::KeyForbidden).await;
}

#[tokio::test]
async fn key_2_two_dots_are_refused() {
    is_refused::<System>("..", Reason::KeyForbidden).await;
}

#[tokio::test]
async fn key_1_513_bytes_are_refused() {
    let limit = Reason::Limit { name: "key_bytes_max".into(), allowed: 512, found: 513 };
    is_refused::<System>(&"k".repeat(513), limit.clone()).await;
    is_refused::<System>(&("é".repeat(256) + "k"), limit).await;
}

kv_testkit::remote_tests! { keys for System:
    key_2_keys: "keys";
    key_2_bulk: "bulk";
    key_2_a_slash: "a/b";
    key_2_slashes_around: "//a//";
    key_2_an_encoded_slash: "a%2Fb";
    key_2_a_percent_sign: "50%";
    key_2_an_encoded_dot: "%2E%2E";
    key_2_a_question_mark: "?";
    key_2_a_query: "a?expiration_ttl=60&b=c";
    key_2_a_hash: "#";
    key_2_dots_in_a_path: "x/../y";
    key_2_dots_first: "../x";
    key_2_three_dots: "...";
    key_2_a_tab: "a\tb";
    key_2_a_newline: "a\nb\r\n";
    key_2_a_nul: "a\0b";
    key_2_a_nul_first: "\0";
    key_2_a_space: " a b ";
    key_2_a_plus: "a+b";
    key_2_a_backslash_and_quotes: "\\\"'`";
    key_2_an_emoji: "😀👩‍👩‍👧";
    key_2_a_combining_mark: "e\u{301}";
    key_2_a_byte_order_mark: "\u{FEFF}k";
    key_1_512_bytes: "k".repeat(512);
    key_1_512_bytes_of_wide_characters: "😀".repeat(128);
}

#[test]
fn key_2_any_key_reaches_its_own_entry_or_is_refused() {
    any_key_reaches_its_own_entry_or_is_refused::<System>(96, "[./%?#&=+a]{1,6}", |key| {
        matches!(key, "" | "." | "..") || key.len() > 512
    });
}
