//! What a person at a terminal gets: a line that fits, signals that end it in order.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use common::processes::{Running, wait_for};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

fn command(here: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
    command.current_dir(here).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Standard error is a terminal of this width; what it gets arrives piece by piece.
fn on_terminal(mut command: Command, columns: u16) -> (Running, Receiver<String>) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    // It must not become the terminal of the tests, which its end would hang up.
    let slave = File::from(rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap());
    tcsetwinsize(&slave, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let running = Running::start(command.env("TERM", "xterm").stderr(slave));
    drop(command); // its copy of the terminal's other end
    let (sender, receiver) = channel();
    let mut master = File::from(master);
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        // It ends with an error once nobody has the other end any more.
        while let Ok(read @ 1..) = master.read(&mut piece) {
            if sender.send(String::from_utf8_lossy(&piece[..read]).into_owned()).is_err() {
                return;
            }
        }
    });
    (running, receiver)
}

/// Reads until the terminal has been sent how many batches of 500 are done.
fn until_it_moves(screen: &Receiver<String>) -> String {
    let mut sent = String::new();
    while !["500", "1,000", "2,000"].iter().any(|done| sent.contains(done)) {
        sent.push_str(&screen.recv().unwrap_or_else(|_| panic!("it ended without a batch: {sent:?}")));
    }
    sent
}

/// What stood on each line at a time, without what moves the cursor.
fn lines(sent: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut rest = sent.chars();
    while let Some(next) = rest.next() {
        if next == '\u{1b}' {
            // A sequence ends with a letter.
            rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(next);
        }
    }
    plain.split(['\r', '\n']).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// More than are read at once, so that some are written while it waits for more.
const ITEMS: usize = 2500;

fn items() -> String {
    (0..ITEMS).map(|at| format!("{{\"key\":\"{at}\",\"value\":\"\"}}\n")).collect()
}

#[test]
fn progress_fits_the_terminal_and_goes_before_the_summary() {
    for columns in [30, 40, 80, 200] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = command(directory.path(), &["import", "--batch", "500", "sqlite:app.db"]);
        command.stdin(Stdio::piped());
        let (mut process, screen) = on_terminal(command, columns);
        let mut input = process.0.stdin.take().unwrap();
        input.write_all(items().as_bytes()).unwrap();
        // It waits for more, and shows meanwhile how far it is.
        let running = until_it_moves(&screen);
        drop(input);
        let rest: String = screen.iter().collect();
        assert_eq!(process.wait_until_it_ends().code(), Some(0));
        for line in lines(&running) {
            // Blanks up to the last column wipe out what stood there before.
            assert!(line.len() <= columns.into() && line.trim_end().len() < columns.into(), "{columns}: {line:?}");
        }
        let last = lines(&rest).pop().unwrap();
        assert!(last.starts_with("copied 2,500 entries from - to sqlite:app.db in "), "{columns}: {last:?}");
    }
}

#[test]
fn an_interrupt_on_a_terminal_says_how_far_it_came() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = command(directory.path(), &["import", "--batch", "500", "sqlite:app.db"]);
    command.stdin(Stdio::piped());
    let (mut process, screen) = on_terminal(command, 80);
    let mut input = process.0.stdin.take().unwrap();
    input.write_all(items().as_bytes()).unwrap();
    until_it_moves(&screen);
    process.signal("-INT");
    let rest: String = screen.iter().collect();
    assert_eq!(process.wait_until_it_ends().code(), Some(130));
    drop(input);
    let lines = lines(&rest);
    let [.., ended, stays] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(ended.contains("interrupted: ") && ended.contains("00 entries of - were dealt with"), "{lines:?}");
    assert_eq!(stays, "what sqlite:app.db has acknowledged stays there");
}

/// The other end may never come: opening it must not keep a signal waiting.
#[test]
fn a_named_pipe_without_its_other_end_hears_signals() {
    for (arguments, name, code) in [
        (&["copy", "pipe.jsonl", "memory:"][..], "-INT", 130),
        (&["copy", "memory:", "pipe.jsonl"], "-TERM", 143),
        (&["copy", "--keys-from", "pipe.jsonl", "sqlite:app.db", "out.jsonl"], "-HUP", 129),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        assert!(Command::new("mkfifo").arg(here.join("pipe.jsonl")).status().unwrap().success());
        fs::write(here.join("empty.jsonl"), "").unwrap();
        assert!(command(here, &["import", "empty.jsonl", "sqlite:app.db"]).status().unwrap().success());
        let mut process = Running::start(command(here, &[arguments, &["-v"]].concat()).stderr(Stdio::piped()));
        process.wait_until_it_waits();
        process.signal(name);
        let status = process.wait_until_it_ends();
        let (_, error) = process.output();
        assert_eq!(status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains("interrupted: "), "{error}");
        let mut left: Vec<_> = fs::read_dir(here).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.retain(|name| !name.to_str().unwrap().starts_with("app.db"));
        assert_eq!(left.len(), 2, "{left:?}");
    }
}

/// A person who does not want to wait for it to end in order.
#[test]
fn a_second_signal_ends_it_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    assert!(Command::new("mkfifo").arg(here.join("pipe.jsonl")).status().unwrap().success());
    let mut process = Running::start(command(here, &["copy", "pipe.jsonl", "memory:"]).stderr(Stdio::piped()));
    process.wait_until_it_waits();
    process.signal("-INT");
    let mut error = BufReader::new(process.0.stderr.take().unwrap());
    let mut first = String::new();
    error.read_line(&mut first).unwrap();
    assert!(first.starts_with("interrupted: "), "{first}");
    // It waits for the thread that opens the pipe; the second signal can come before it listens for that.
    let status = wait_for("the command to end", || {
        process.send("-TERM");
        process.0.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(143));
}

/// As under `nohup`: closing the terminal must not end what was started to outlive it.
#[test]
fn a_hangup_that_was_ignored_from_the_beginning_stays_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let program = format!("exec nohup {} copy - sqlite:app.db", env!("CARGO_BIN_EXE_kv-migrate"));
    let mut shell = Command::new("sh");
    shell.current_dir(directory.path()).args(["-c", &program]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Running::start(shell.stdout(Stdio::null()));
    process.wait_until_it_waits();
    assert!(process.ignores("-HUP") && process.send("-HUP"));
    process.0.stdin.take().unwrap().write_all(items().as_bytes()).unwrap();
    let status = process.wait_until_it_ends();
    let (_, error) = process.output();
    assert!(status.success() && error.contains("copied 2,500 entries"), "{error}");
}
