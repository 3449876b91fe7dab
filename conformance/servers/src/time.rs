//! The wall clock of a server, in the hands of a test.

use std::fs::{File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use kv_api::{Clock, ManualClock, SystemClock, Timer, Timestamp, TokioTimer};
use kv_conformance::Time;
use tokio::sync::OnceCell;

use crate::error::While;
use crate::home::home;
use crate::process::output;
use crate::{Result, System};

/// The wall clock that a server lives by. It starts as the machine's clock. Clones share it.
///
/// [`freeze`](Self::freeze) makes it stand still, so that a test moves it to the microsecond; [`run`](Self::run) lets it
/// go on from there. A store that is opened with it as its `Clock` reads the same time as the server. The server's
/// monotonic clock is not touched.
#[derive(Clone, Debug)]
pub struct ServerTime(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Moved { file: File, state: Mutex<State> },
    Real { granularity: Duration },
}

#[derive(Clone, Copy, Debug)]
struct State {
    count: u8,
    setting: Setting,
}

#[derive(Clone, Copy, Debug)]
enum Setting {
    Standing(Timestamp),
    /// Microseconds ahead of the machine's clock.
    Running(i64),
}

/// How far a step may overshoot while the clock runs: the test and the server may be held up.
const RUNNING_GRANULARITY: Duration = Duration::from_millis(500);

impl ServerTime {
    /// A clock that a server reads from this file, or the machine's, which needs none. On other systems than Linux it is
    /// always that.
    pub(crate) fn of_server(path: &Path, is_real: bool) -> Result<Self> {
        if is_real || !cfg!(target_os = "linux") {
            return Ok(Self::real(RUNNING_GRANULARITY));
        }
        let file = File::options().create(true).truncate(true).write(true).open(path).when("no file for the time")?;
        file.set_len(40)?;
        readable(path)?;
        let state = State { count: 0, setting: Setting::Running(0) };
        Ok(Self(Arc::new(Kind::Moved { file, state: Mutex::new(state) })))
    }

    /// The machine's clock, which nobody moves, for a server that is [given](crate::System::given): time passes by
    /// waiting. `granularity` is how far its clock may be from this machine's, and a step may overshoot.
    #[must_use]
    pub fn real(granularity: Duration) -> Self {
        Self(Arc::new(Kind::Real { granularity }))
    }

    /// Stops the clock at the present time.
    ///
    /// # Panics
    /// When the clock is the machine's, or its file cannot be written.
    pub fn freeze(&self) {
        self.change(|setting| Setting::Standing(setting.now()));
    }

    /// Lets the clock go on from where it stands.
    ///
    /// # Panics
    /// As [`freeze`](Self::freeze).
    pub fn run(&self) {
        self.change(|setting| match setting {
            Setting::Standing(at) => Setting::Running(at.as_unix_micros() - SystemClock.now().as_unix_micros()),
            running @ Setting::Running(_) => running,
        });
    }

    /// Moves the clock forward at once, whether it stands or runs. Beyond the last representable time it stays there.
    ///
    /// # Panics
    /// As [`freeze`](Self::freeze).
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX);
        self.change(|setting| match setting {
            Setting::Standing(at) => {
                Setting::Standing(Timestamp::from_unix_micros(at.as_unix_micros().saturating_add(micros)))
            }
            Setting::Running(ahead) => Setting::Running(ahead.saturating_add(micros)),
        });
    }

    /// Back to the machine's clock.
    pub(crate) fn reset(&self) {
        if let Kind::Moved { .. } = &*self.0 {
            self.change(|_| Setting::Running(0));
        }
    }

    /// Whether the clock stands.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        match &*self.0 {
            Kind::Moved { state, .. } => matches!(lock(state).setting, Setting::Standing(_)),
            Kind::Real { .. } => false,
        }
    }

    /// Whether it is the machine's, and cannot be moved: for measurements, for a given server, and on other systems than
    /// Linux.
    #[must_use]
    pub fn is_real(&self) -> bool {
        matches!(&*self.0, Kind::Real { .. })
    }

    fn change(&self, change: impl FnOnce(Setting) -> Setting) {
        let Kind::Moved { file, state } = &*self.0 else {
            panic!("this clock is the machine's and cannot be moved");
        };
        let mut state = lock(state);
        let next = State { count: state.count.wrapping_add(1), setting: change(state.setting) };
        if let Err(error) = write(file, next) {
            panic!("the time of the server cannot be moved: {error}");
        }
        *state = next;
    }
}

impl Setting {
    fn now(self) -> Timestamp {
        match self {
            Self::Standing(at) => at,
            Self::Running(ahead) => {
                Timestamp::from_unix_micros(SystemClock.now().as_unix_micros().saturating_add(ahead))
            }
        }
    }
}

/// The slot that does not count first, then the count that makes it count. `time.c` is the reader.
fn write(file: &File, state: State) -> std::io::Result<()> {
    let (standing, ahead) = match state.setting {
        Setting::Standing(at) => (at.as_unix_micros(), 0),
        Setting::Running(ahead) => (0, ahead),
    };
    let mut slot = [0; 16];
    slot[..8].copy_from_slice(&standing.to_ne_bytes());
    slot[8..].copy_from_slice(&ahead.to_ne_bytes());
    file.write_all_at(&slot, 8 + 16 * u64::from(state.count & 1))?;
    file.write_all_at(&[state.count], 0)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // It is replaced as a whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clock for ServerTime {
    fn now(&self) -> Timestamp {
        match &*self.0 {
            Kind::Moved { state, .. } => lock(state).setting.now(),
            Kind::Real { .. } => SystemClock.now(),
        }
    }
}

#[async_trait]
impl Time for ServerTime {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }

    async fn advance(&self, by: Duration) {
        match &*self.0 {
            Kind::Moved { .. } => Self::advance(self, by),
            Kind::Real { .. } => TokioTimer.sleep(by).await,
        }
    }

    fn granularity(&self) -> Duration {
        match &*self.0 {
            Kind::Real { granularity } => *granularity,
            Kind::Moved { .. } if self.is_frozen() => Duration::ZERO,
            Kind::Moved { .. } => RUNNING_GRANULARITY,
        }
    }
}

/// The clock of a server, standing, and the one of this side. The suite moves them together and sets the client's wrong
/// to show that no expiry hangs on it (EXP-3).
#[derive(Clone, Debug)]
pub struct BothClocks {
    /// The server's.
    pub server: ServerTime,
    /// That of this side: for `Fixture::with_client_clock` and for what the store is opened with.
    pub client: ManualClock,
}

impl BothClocks {
    /// Stops the clock of the server, and makes one for this side that shows the same time.
    ///
    /// # Panics
    /// As [`ServerTime::freeze`].
    #[must_use]
    pub fn freeze(server: ServerTime) -> Self {
        server.freeze();
        let client = ManualClock::new(Clock::now(&server));
        Self { server, client }
    }
}

#[async_trait]
impl Time for BothClocks {
    fn now(&self) -> Timestamp {
        Clock::now(&self.server)
    }

    async fn advance(&self, by: Duration) {
        self.server.advance(by);
        self.client.advance(by);
    }

    fn granularity(&self) -> Duration {
        self.server.granularity()
    }
}

/// A server may run as another user.
fn readable(path: &Path) -> Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).when("permissions")
}

/// Lets `command` live by the clock `time`, which is in `file`.
pub(crate) async fn live_by(time: &ServerTime, file: &Path, command: &mut Command, system: System) -> Result<()> {
    if !time.is_real() {
        command.env("LD_PRELOAD", interposer(system).await?).env("KV_SERVERS_TIME", file);
    }
    Ok(())
}

/// The shared object that moves a server's clock, compiled at first use.
async fn interposer(system: System) -> Result<&'static Path> {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    let build = || async {
        let (source, object) = (home()?.path("time.c"), home()?.path("time.so"));
        std::fs::write(&source, include_str!("time.c")).when("time.c cannot be written")?;
        let mut command = Command::new(system.program("cc")?);
        command.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&object).arg(&source).stdin(Stdio::null());
        output(command).await?;
        readable(&object)?;
        Ok(object)
    };
    BUILT.get_or_try_init(build).await.map(PathBuf::as_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_lives_by_a_file_of_the_time_that_is_not_whole() {
        if !cfg!(target_os = "linux") || System::Redis.program("cc").is_err() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let [whole, short, missing] = ["whole", "short", "missing"].map(|name| folder.path().join(name));
        let time = ServerTime::of_server(&whole, false).unwrap();
        File::create(&short).unwrap().set_len(39).unwrap();
        time.freeze();
        for (file, is_whole) in [(&whole, true), (&short, false), (&missing, false)] {
            let mut command = Command::new("date");
            command.arg("+%s%6N").stdin(Stdio::null());
            live_by(&time, file, &mut command, System::Redis).await.unwrap();
            let said = output(command).await;
            match said {
                Ok(said) => {
                    assert!(is_whole && said.trim() == Clock::now(&time).as_unix_micros().to_string(), "{said}")
                }
                Err(error) => assert!(!is_whole && error.to_string().contains("the file of the time"), "{error}"),
            }
        }
    }
}
