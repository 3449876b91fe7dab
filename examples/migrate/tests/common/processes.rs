//! The command as a process that is sent signals.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use kv_api::{Timer, TokioTimer};

/// A process that ends with the test that started it, whatever that finds.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Sends a signal such as `-INT` that the process hears.
    ///
    /// What a shell starts with `&` ignores SIGINT, what `nohup` starts ignores SIGHUP, and so does all that they
    /// start.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        assert!(
            !self.ignores(name),
            "{name} is ignored where this test runs: start it neither with `&` nor with `nohup`"
        );
        assert!(self.send(name), "it has ended before {name}");
    }

    /// Where the system does not show it, `false`.
    pub(crate) fn ignores(&self, name: &str) -> bool {
        let number = match name {
            "-HUP" => 1,
            "-INT" => 2,
            "-TERM" => 15,
            _ => panic!("{name} is no signal of these tests"),
        };
        signals(&self.0, "SigIgn:").is_some_and(|ignored| ignored & bit(number) != 0)
    }

    /// Whether the signal could be sent: the process may ignore it.
    pub(crate) fn send(&self, name: &str) -> bool {
        let sent = Command::new("kill").args([name, &self.0.id().to_string()]).stderr(Stdio::null()).status();
        sent.unwrap().success()
    }

    /// Until it listens to SIGINT and SIGTERM, and all of its threads have waited for something for a while.
    pub(crate) fn wait_until_it_waits(&mut self) {
        const IN_A_ROW: u32 = 200;
        let both = bit(2) | bit(15);
        let mut in_a_row = 0;
        wait_for("the command to wait", || {
            assert!(self.0.try_wait().unwrap().is_none(), "it ended by itself");
            // One that is ignored is not listened to.
            let sets = signals(&self.0, "SigCgt:").zip(signals(&self.0, "SigIgn:"));
            let listens = sets.is_some_and(|(caught, ignored)| (caught | ignored) & both == both);
            in_a_row = if listens && sleeps(&self.0) == Some(true) { in_a_row + 1 } else { 0 };
            (in_a_row == IN_A_ROW).then_some(())
        });
    }

    /// It must not write more than a pipe holds.
    pub(crate) fn wait_until_it_ends(&mut self) -> ExitStatus {
        wait_for("the command to end", || self.0.try_wait().unwrap())
    }

    /// What else was written to standard output and error, where those are pipes that nobody else reads.
    pub(crate) fn output(&mut self) -> (String, String) {
        let (mut out, mut error) = (String::new(), String::new());
        self.0.stdout.take().map(|mut stdout| stdout.read_to_string(&mut out).unwrap());
        self.0.stderr.take().map(|mut stderr| stderr.read_to_string(&mut error).unwrap());
        (out, error)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Polls until it answers something, for a minute at most.
pub(crate) fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let began = TokioTimer.monotonic_now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        let waited = TokioTimer.monotonic_now().saturating_sub(began);
        assert!(waited < Duration::from_secs(60), "waited too long for {what}");
        std::thread::yield_now();
    }
}

const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// A set of signals of the process, where the system shows it.
fn signals(child: &Child, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let set = status.lines().find_map(|line| line.strip_prefix(name))?;
    u64::from_str_radix(set.trim(), 16).ok()
}

fn sleeps(child: &Child) -> Option<bool> {
    let mut states = fs::read_dir(format!("/proc/{}/task", child.id())).ok()?.map(|thread| {
        let stat = fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    });
    states.all(|state| state == Some('S')).into()
}
