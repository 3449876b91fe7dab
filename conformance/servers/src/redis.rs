//! One `redis-server`.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::While;
use crate::home::home;
use crate::ports::free_port;
use crate::process::{End, PATIENCE, Patience, Process, is_port_in_use};
use crate::resp::{Reply, ask};
use crate::time::{ServerTime, live_by};
use crate::{Error, Result, Server, System};

/// How a [`Redis`] is set up. The default keeps nothing on disk and asks for no password.
///
/// `Debug` does not show the password.
#[derive(Clone, Default)]
pub struct RedisOptions {
    durable: bool,
    password: Option<String>,
    real_time: bool,
    settings: Vec<(String, String)>,
}

impl RedisOptions {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Each write is on disk before it is acknowledged: `appendonly yes`, `appendfsync always`. A server that is killed
    /// and restarted then has it.
    #[must_use]
    pub const fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// The password of the user `default`.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Leaves the server's clock alone, so that nothing is between it and the system: for measurements. Its time
    /// cannot be moved then.
    #[must_use]
    pub const fn real_time(mut self) -> Self {
        self.real_time = true;
        self
    }

    /// A line of `redis.conf`, such as `maxmemory` with `10mb`.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    pub(crate) const fn is_real_time(&self) -> bool {
        self.real_time
    }

    /// The nodes of a cluster ask each other for the password too.
    pub(crate) fn of_cluster(self) -> Self {
        match self.password.clone() {
            Some(password) => self.setting("masterauth", password),
            None => self,
        }
    }

    /// The file that the server reads, which keeps the password off the list of processes.
    fn file(&self, port: u16) -> String {
        let mut file = format!("port {port}\nbind 127.0.0.1\nprotected-mode no\ndaemonize no\nsave \"\"\n");
        if self.durable {
            file.push_str("appendonly yes\nappendfsync always\n");
        }
        let password = self.password.iter().map(|password| ("requirepass", password.as_str()));
        let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in password.chain(settings) {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            // Writing into a text cannot fail.
            let _ = writeln!(file, "{name} \"{value}\"");
        }
        file
    }
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisOptions").field("durable", &self.durable).finish_non_exhaustive()
    }
}

/// A private `redis-server` on this machine. It ends when this is dropped, and with this process however that ends.
#[derive(Debug)]
pub struct Redis {
    address: SocketAddr,
    options: RedisOptions,
    time: ServerTime,
    time_file: PathBuf,
    /// Before the folder, so that it ends before its folder is removed.
    process: Mutex<Option<Process>>,
    folder: TempDir,
}

impl Redis {
    /// Starts one, and waits until it answers.
    ///
    /// # Errors
    /// [`Error::Missing`] when a program is not installed; otherwise what the server said.
    pub async fn start(options: RedisOptions) -> Result<Self> {
        // Another process may take a port before the server does, now and then.
        for _ in 0..10 {
            match Self::start_on(free_port()?, options.clone()).await {
                Err(error) if is_port_in_use(&error) => {}
                result => return result,
            }
        }
        Err(Error::failed("each port was in use"))
    }

    async fn start_on(port: u16, options: RedisOptions) -> Result<Self> {
        let folder = home()?.folder("redis-")?;
        let file = folder.path().join("time");
        let time = ServerTime::of_server(&file, options.real_time)?;
        let redis = Self::lay_out(port, options, time, file, folder)?;
        redis.restart().await?;
        Ok(redis)
    }

    /// One that is not running yet. Its clock is in `time_file`.
    pub(crate) fn lay_out(
        port: u16,
        options: RedisOptions,
        time: ServerTime,
        time_file: PathBuf,
        folder: TempDir,
    ) -> Result<Self> {
        std::fs::create_dir(folder.path().join("data"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { address, options, time, time_file, process: Mutex::new(None), folder })
    }

    /// Where it listens, the same after a restart.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its wall clock.
    #[must_use]
    pub const fn time(&self) -> &ServerTime {
        &self.time
    }

    /// Ends it at once (SIGKILL), as a crash does. Does nothing when it is not running.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    /// Ends it in order (SIGTERM). Does nothing when it is not running.
    ///
    /// # Errors
    /// When it does not end; then it was killed.
    pub async fn stop(&self) -> Result<()> {
        let process = self.process().take();
        if let Some(mut process) = process {
            process.signal(Signal::TERM)?;
            process.ended().await?;
        }
        Ok(())
    }

    /// Starts it again at the same address, killing it first where it runs, and waits until it answers. Without
    /// [`RedisOptions::durable`] it is empty then. Not for two callers at the same time.
    ///
    /// # Errors
    /// What the server said.
    pub async fn restart(&self) -> Result<()> {
        self.kill();
        let mut process = self.spawn().await?;
        let mut patience = Patience::new(PATIENCE);
        // The port may be another's: only a server of this process id is the one. Until then a loading server says so.
        let id = i64::from(process.id());
        while !matches!(self.process_id().await, Ok(Some(found)) if found == id) {
            process.check()?;
            if !patience.pause().await {
                return Err(process.failed("does not answer"));
            }
        }
        *self.process() = Some(process);
        Ok(())
    }

    async fn spawn(&self) -> Result<Process> {
        let file = self.path("redis.conf");
        std::fs::write(&file, self.options.file(self.address.port())).when("redis.conf")?;
        let mut command = Command::new(System::Redis.program("redis-server")?);
        command.arg(&file).current_dir(self.path("data"));
        live_by(&self.time, &self.time_file, &mut command, System::Redis).await?;
        Process::start(&mut command, &self.path("log"), End::Kill)
    }

    async fn process_id(&self) -> Result<Option<i64>> {
        self.command(&["PING"]).await?;
        let info = self.command(&["INFO", "server"]).await?.to_string();
        Ok(info.lines().find_map(|line| line.strip_prefix("process_id:")?.trim().parse().ok()))
    }

    /// Sends one command over a connection of its own, as any other client would.
    ///
    /// ```no_run
    /// # async fn example() -> kv_servers::Result<()> {
    /// let redis = kv_servers::Redis::start(kv_servers::RedisOptions::new()).await?;
    /// redis.command(&["RPUSH", "list", "a"]).await?;
    /// assert_eq!(redis.command(&["TYPE", "list"]).await?.to_string(), "list");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What the server reports, or that it cannot be reached.
    pub async fn command(&self, arguments: &[impl AsRef<[u8]> + Sync]) -> Result<Reply> {
        let mut commands: Vec<Vec<&[u8]>> = Vec::new();
        if let Some(password) = &self.options.password {
            commands.push(vec![b"AUTH", password.as_bytes()]);
        }
        commands.push(arguments.iter().map(AsRef::as_ref).collect());
        ask(self.address, &commands).await
    }

    /// Whether it was started and neither killed nor stopped.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process().is_some()
    }

    /// Removes its files, while it is not running.
    pub(crate) fn empty(&self) -> Result<()> {
        std::fs::remove_dir_all(self.path("data"))?;
        Ok(std::fs::create_dir(self.path("data"))?)
    }

    /// Writes one of its files.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        std::fs::write(self.path("data").join(name), text).when(name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Server for Redis {
    type Options = RedisOptions;

    async fn start(options: RedisOptions) -> Result<Self> {
        Self::start(options).await
    }

    /// Started again, so that nothing that an earlier holder set at run time is left, no script, and no connection.
    async fn renew(&self) -> Result<()> {
        self.kill();
        self.time.reset();
        self.empty()?;
        self.restart().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_quoted_and_the_password_is_not_shown() {
        let options = RedisOptions::new().durable().password("a \"b\\").setting("maxmemory", "10mb");
        let file = options.file(7000);
        assert!(file.starts_with("port 7000\nbind 127.0.0.1\n"), "{file}");
        assert!(file.ends_with("appendfsync always\nrequirepass \"a \\\"b\\\\\"\nmaxmemory \"10mb\"\n"), "{file}");
        assert!(!format!("{options:?}").contains("a \\\"b"), "{options:?}");
    }
}
