//! Part files: what an interrupted copy has written is there for the next one, and nothing else is taken for it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use kv_migrate::{BulkReader, BulkWriter, Mark, Record, RecordExpiry};

const NAMES: [&str; 6] = ["out.jsonl", "out.json", "out.jsonl.gz", "out.json.gz", "out.ndjson.zst", "out.json.zst"];

fn record(key: &str) -> Record {
    Record {
        key: key.to_owned(),
        value: "v".repeat(100).into(),
        metadata: None,
        expiry: RecordExpiry::Never,
        line: None,
    }
}

fn write(writer: &mut BulkWriter, keys: &[&str]) {
    for key in keys {
        writer.write(&record(key)).unwrap().unwrap();
    }
}

fn keys(path: &Path) -> Vec<String> {
    let mut reader = BulkReader::open(path).unwrap();
    std::iter::from_fn(|| reader.next_record().unwrap()).map(|record| record.key).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

/// A folder with the part file of `out.jsonl` that a writer has left behind a checkpoint, and the mark.
fn left_behind(name: &str) -> (tempfile::TempDir, PathBuf, Mark) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let mut writer = BulkWriter::create(&path).unwrap();
    write(&mut writer, &["a", "b"]);
    let mark = writer.checkpoint().unwrap().unwrap();
    write(&mut writer, &["lost"]);
    drop(writer);
    (folder, path, mark)
}

#[test]
fn a_writer_goes_on_from_each_checkpoint_in_every_format() {
    for name in NAMES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let part = BulkWriter::part_path(&path);
        let mut writer = BulkWriter::create(&path).unwrap();
        let mut expected: Vec<String> = Vec::new();
        for (items, new) in [&[][..], &["a"], &["b", "c"], &[], &["d"]].iter().enumerate() {
            write(&mut writer, new);
            expected.extend(new.iter().map(|key| (*key).to_owned()));
            let mark = writer.checkpoint().unwrap().unwrap();
            assert_eq!((mark.bytes, mark.items), (fs::metadata(&part).unwrap().len(), expected.len() as u64), "{name}");
            assert_eq!(writer.checkpoint().unwrap().unwrap(), mark, "{name}: nothing new, nothing written");
            // What comes behind it is not lasting, and may be there in part.
            write(&mut writer, &["lost 1", "lost 2"]);
            drop(writer);
            fs::OpenOptions::new().append(true).open(&part).unwrap().write_all(&[b'{'; 3][..items.min(3)]).unwrap();
            writer = BulkWriter::resume(&path, &mark).unwrap();
            assert!(!path.exists());
        }
        write(&mut writer, &["last"]);
        expected.push("last".to_owned());
        writer.finish().unwrap();
        assert_eq!(keys(&path), expected, "{name}");
        assert_eq!(names(folder.path()), [name]);

        // An array is one when another program reads it.
        if name == "out.json" {
            let read: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            assert_eq!(read.as_array().unwrap().len(), expected.len());
        }
    }
}

#[test]
fn a_resumed_writer_that_has_nothing_to_add_makes_a_whole_file() {
    for name in NAMES {
        let (folder, path, mark) = left_behind(name);
        BulkWriter::resume(&path, &mark).unwrap().finish().unwrap();
        assert_eq!(keys(&path), ["a", "b"], "{name}");
        assert_eq!(names(folder.path()), [name]);

        let (_folder, path, mark) = left_behind(name);
        let beside = BulkWriter::resume(&path, &mark).unwrap().finish_beside().unwrap().unwrap();
        assert_eq!((keys(&beside), path.exists()), (vec!["a".to_owned(), "b".to_owned()], false), "{name}");

        // Without an item, too.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut writer = BulkWriter::create(&path).unwrap();
        let mark = writer.checkpoint().unwrap().unwrap();
        drop(writer);
        BulkWriter::resume(&path, &mark).unwrap().finish().unwrap();
        assert_eq!(keys(&path), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_part_file_stays_only_behind_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let mut writer = BulkWriter::create(&path).unwrap();
    write(&mut writer, &["a"]);
    assert_eq!(names(folder.path()), ["out.jsonl.kv-migrate-part"]);
    drop(writer);
    assert_eq!(names(folder.path()), [""; 0]);

    let (folder, path, mark) = left_behind("out.jsonl");
    assert_eq!(names(folder.path()), ["out.jsonl.kv-migrate-part"]);
    // One that was resumed stays as well.
    drop(BulkWriter::resume(&path, &mark).unwrap());
    assert_eq!(names(folder.path()), ["out.jsonl.kv-migrate-part"]);
    // A new writer discards it, and what a new one leaves is its own.
    let writer = BulkWriter::create(&path).unwrap();
    assert_eq!(fs::metadata(BulkWriter::part_path(&path)).unwrap().len(), 0);
    drop(writer);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_part_file_that_a_writer_writes_to_is_left_alone() {
    let (folder, path, mark) = left_behind("out.jsonl");
    let mut first = BulkWriter::resume(&path, &mark).unwrap();
    for second in [BulkWriter::create(&path), BulkWriter::resume(&path, &mark)] {
        let error = second.unwrap_err().to_string();
        let named = error.starts_with(&path.display().to_string());
        assert!(named && error.ends_with("another copy is writing to it"), "{error}");
    }
    assert_eq!(BulkWriter::clean(&path).unwrap(), Vec::<PathBuf>::new());
    write(&mut first, &["c"]);
    first.finish().unwrap();
    assert_eq!(keys(&path), ["a", "b", "c"]);
    assert_eq!(names(folder.path()), ["out.jsonl"]);
}

#[test]
fn what_is_not_there_up_to_the_mark_is_not_resumed() {
    let (_folder, path, mark) = left_behind("out.jsonl");
    let part = BulkWriter::part_path(&path);
    let short = &fs::read(&part).unwrap()[..usize::try_from(mark.bytes).unwrap() - 1];
    fs::write(&part, short).unwrap();
    let error = BulkWriter::resume(&path, &mark).unwrap_err().to_string();
    assert!(error.contains("out.jsonl.kv-migrate-part is shorter than it was"), "{error}");
    assert_eq!(fs::read(&part).unwrap(), short);
    fs::remove_file(&part).unwrap();
    let error = BulkWriter::resume(&path, &mark).unwrap_err().to_string();
    assert!(error.contains("out.jsonl.kv-migrate-part is gone"), "{error}");
}

#[cfg(unix)]
#[test]
fn what_kv_migrate_has_not_made_is_neither_followed_nor_replaced() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let part = BulkWriter::part_path(&path);
    let precious = folder.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let makers: [fn(&Path, &Path); 4] = [
        |precious, part| symlink(precious, part).unwrap(),
        |precious, part| symlink(precious.with_file_name("gone"), part).unwrap(),
        |precious, part| fs::hard_link(precious, part).unwrap(),
        |_, part| fs::create_dir(part).unwrap(),
    ];
    for make in makers {
        make(&precious, &part);
        let mark = Mark { bytes: 2, items: 1, tail: 0 };
        for opened in [BulkWriter::create(&path), BulkWriter::resume(&path, &mark)] {
            let error = opened.unwrap_err().to_string();
            assert!(error.contains("out.jsonl.kv-migrate-part beside it is no file that kv-migrate"), "{error}");
        }
        let left = names(folder.path());
        assert_eq!(left, ["out.jsonl.kv-migrate-part", "precious"]);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        let _ = fs::remove_file(&part).or_else(|_| fs::remove_dir(&part));
    }
}

#[test]
fn what_interrupted_copies_have_left_is_removed_and_named() {
    let (folder, path, _) = left_behind("out.jsonl");
    let here = folder.path();
    for name in [".kv-migrate-x1.part", ".kv-migrate-.part.jsonl", "other.jsonl.kv-migrate-part", "out.jsonl"] {
        fs::write(here.join(name), "").unwrap();
    }
    fs::create_dir(here.join(".kv-migrate-folder.part")).unwrap();
    let removed = BulkWriter::clean(&path).unwrap();
    assert_eq!(removed, [here.join(".kv-migrate-x1.part"), here.join("out.jsonl.kv-migrate-part")]);
    let left = [".kv-migrate-.part.jsonl", ".kv-migrate-folder.part", "other.jsonl.kv-migrate-part", "out.jsonl"];
    assert_eq!(names(here), left);
    assert_eq!(BulkWriter::clean(&path).unwrap(), Vec::<PathBuf>::new());
    let error = BulkWriter::clean(&here.join("missing/out.jsonl")).unwrap_err().to_string();
    assert!(error.contains("missing/out.jsonl: cannot remove what was left beside it"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_part_file_stands_beside_the_file_that_a_link_leads_to_and_gets_its_permissions() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::create_dir(here.join("far")).unwrap();
    fs::write(here.join("far/real.jsonl"), "").unwrap();
    fs::set_permissions(here.join("far/real.jsonl"), fs::Permissions::from_mode(0o440)).unwrap();
    symlink("far/real.jsonl", here.join("link.jsonl")).unwrap();
    let path = here.join("link.jsonl");
    let mut writer = BulkWriter::create(&path).unwrap();
    let part = BulkWriter::part_path(&path);
    assert_eq!(names(&here.join("far")), ["real.jsonl", "real.jsonl.kv-migrate-part"]);
    // Until then it can be written, and be read by nobody else.
    assert_eq!(fs::metadata(&part).unwrap().permissions().mode() & 0o777, 0o600);
    write(&mut writer, &["a"]);
    let mark = writer.checkpoint().unwrap().unwrap();
    drop(writer);
    BulkWriter::resume(&path, &mark).unwrap().finish().unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(keys(&here.join("far/real.jsonl")), ["a"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o440);
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_has_no_part_file_and_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("null.jsonl");
    std::os::unix::fs::symlink("/dev/null", &path).unwrap();
    let mut writer = BulkWriter::create(&path).unwrap();
    write(&mut writer, &["a"]);
    assert_eq!(writer.checkpoint().unwrap(), None);
    writer.finish().unwrap();
    assert!(!BulkWriter::part_path(&path).exists());
}
