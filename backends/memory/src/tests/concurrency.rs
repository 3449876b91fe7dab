//! Calls that meet: SET-6, BATCH-3, and index and table staying one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use kv_api::{BatchOutcome, SetItem, SetStatus, Value};

use super::{Fixture, millis};
use crate::MemoryConfig;

#[test]
fn index_and_table_agree_after_concurrent_calls_on_the_same_keys() {
    let fixture = Fixture::with(MemoryConfig::new().with_entries_max(1000));
    let keys: Vec<String> = (0..24).map(|number| format!("k{number}")).collect();
    thread::scope(|scope| {
        for thread in 0..4_usize {
            let (fixture, keys) = (&fixture, &keys);
            scope.spawn(move || {
                for round in 0..20_000_usize {
                    let key = &keys[(round * 7 + thread * 5) % keys.len()];
                    match (round * 31 + thread) % 9 {
                        0 | 1 => drop(fixture.put(key, "v")),
                        2 | 3 => drop(fixture.put_for(key, "v", millis(2))),
                        4 => drop(fixture.set(SetItem::new(key, "v").metadata(serde_json::json!(1)))),
                        5 => drop(fixture.delete(key)),
                        6 => drop(fixture.expire(key, Some(millis(1)))),
                        7 => drop(fixture.entry(key)),
                        _ => fixture.clock.advance(std::time::Duration::from_micros(300)),
                    }
                    if round % 500 == 0 {
                        assert!(fixture.page("", 100, None).unwrap().items.is_sorted_by(|a, b| a.key < b.key));
                    }
                }
            });
        }
    });
    fixture.audit();
}

#[test]
fn set_1_a_value_that_was_read_is_whole_and_stays_what_it_was() {
    let fixture = Fixture::new();
    // Copied to a reader, shared with it, and built before the lock is taken.
    let lengths = [100, 500, 5000];
    let write = |letter: char| {
        for length in lengths {
            fixture.put(&format!("k{length}"), &letter.to_string().repeat(length));
        }
    };
    write('a');
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let is_whole = |value: &Value| value.as_bytes().iter().all(|byte| *byte == value.as_bytes()[0]);
                let mut held = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    held.extend(lengths.map(|length| fixture.entry(&format!("k{length}")).unwrap().into_value()));
                    assert!(held.iter().all(is_whole));
                    held.drain(..held.len().saturating_sub(30));
                }
            });
        }
        for round in 0..20_000 {
            write(if round % 2 == 0 { 'b' } else { 'c' });
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn set_6_of_concurrent_if_not_exists_exactly_one_is_written() {
    let fixture = Fixture::new();
    let won = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..2000 {
                    let item = SetItem::new(format!("k{number}"), "v").if_not_exists();
                    if fixture.set(item) == SetStatus::Created {
                        won.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(won.into_inner(), 2000);
}

#[test]
fn set_6_compare_and_set_and_increment_lose_no_update() {
    let fixture = Fixture::new();
    fixture.set(SetItem::new("cas", 0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    fixture.add("sum", 1).unwrap();
                    loop {
                        let entry = fixture.entry("cas").unwrap();
                        let next = entry.value().as_i64().unwrap() + 1;
                        let item = SetItem::new("cas", next).if_version(entry.version().unwrap().clone());
                        if fixture.set(item) == SetStatus::Updated {
                            break;
                        }
                    }
                }
            });
        }
    });
    for key in ["sum", "cas"] {
        assert_eq!(fixture.entry(key).unwrap().value().as_i64(), Some(4000), "{key}");
    }
}

#[test]
fn batch_3_nobody_sees_half_a_batch_and_batches_do_not_wait_for_each_other_for_ever() {
    let fixture = Fixture::new();
    let keys: Vec<String> = (0..20).map(|number| format!("k{number:02}")).collect();
    let write = |value: &str, backwards: bool| {
        let mut items: Vec<SetItem<'_>> = keys.iter().map(|key| SetItem::new(key, value)).collect();
        if backwards {
            items.reverse();
        }
        assert!(matches!(fixture.all_or_nothing(items), Ok(BatchOutcome::Written(_))));
    };
    write("0", false);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers = [false, true].map(|backwards| {
            let write = &write;
            scope.spawn(move || {
                for number in 1..=2000 {
                    write(&number.to_string(), backwards);
                }
            })
        });
        scope.spawn(|| {
            // Every item of a batch shares a value. A reader that goes one way sees what each batch left behind, never
            // an older value after a newer one of the same batch: so with one writer values could only rise. With two,
            // a batch read while nothing is written is whole.
            while !done.load(Ordering::Relaxed) {
                let listed = fixture.keys("", 7);
                assert_eq!(listed.len(), 20);
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let values: std::collections::BTreeSet<_> = keys.iter().map(|key| fixture.text(key)).collect();
    assert_eq!(values.len(), 1, "the last batch stands whole: {values:?}");
    fixture.audit();
}

#[test]
fn batch_3_a_reader_never_meets_an_older_value_after_a_newer_one() {
    let fixture = Fixture::new();
    let keys: Vec<String> = (0..20).map(|number| format!("k{number:02}")).collect();
    let done = AtomicBool::new(false);
    let write = |number: i64| {
        fixture.all_or_nothing(keys.iter().map(|key| SetItem::new(key, number)).collect()).unwrap();
    };
    write(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=3000 {
                write(number);
            }
            done.store(true, Ordering::Relaxed);
        });
        for backwards in [false, true] {
            let (fixture, keys, done) = (&fixture, &keys, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let read = |key: &String| fixture.entry(key).unwrap().value().as_i64().unwrap();
                    let values: Vec<i64> =
                        if backwards { keys.iter().rev().map(read).collect() } else { keys.iter().map(read).collect() };
                    assert!(values.is_sorted(), "{values:?}");
                }
            });
        }
    });
}

#[test]
fn batch_3_a_list_shows_all_new_keys_of_a_batch_or_none() {
    let fixture = Fixture::new();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..300 {
                let keys: Vec<String> = (0..50).map(|number| format!("{round:03}/{number:02}")).collect();
                fixture.all_or_nothing(keys.iter().map(|key| SetItem::new(key, "v")).collect()).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for round in (0..300).step_by(13) {
                    let listed = fixture.page(&format!("{round:03}/"), 100, None).unwrap().items.len();
                    assert!(listed == 0 || listed == 50, "{listed}");
                }
            }
        });
    });
}
