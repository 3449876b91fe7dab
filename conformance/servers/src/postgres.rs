//! One PostgreSQL.

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::home::home;
use crate::ports::free_port;
use crate::process::{End, PATIENCE, Patience, Process, is_port_in_use, output};
use crate::time::{ServerTime, live_by};
use crate::user::User;
use crate::{Error, Result, Server, System};

/// How a [`Postgres`] is set up. By default it trusts everybody on this machine and waits for no disk: what is committed
/// survives the death of the server and not that of the machine.
///
/// `Debug` does not show the password.
#[derive(Clone, Default)]
pub struct PostgresOptions {
    durable: bool,
    password: Option<String>,
    real_time: bool,
    settings: Vec<(String, String)>,
}

impl PostgresOptions {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As in production: what is committed is on the disk before it is acknowledged (`fsync`).
    #[must_use]
    pub const fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// The password of the user `postgres`, asked for by SCRAM-SHA-256.
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

    /// A line of `postgresql.conf`, such as `max_connections` with `300`.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// What is added to `postgresql.conf`.
    fn file(&self, port: u16) -> String {
        // Shared memory in files of the data directory goes with it. A time that was moved begins no checkpoint.
        let mut file = format!(
            "\nlisten_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\n\
             dynamic_shared_memory_type = mmap\ncheckpoint_timeout = 1d\nrecovery_init_sync_method = syncfs\n"
        );
        if !self.durable {
            file.push_str("fsync = off\nfull_page_writes = off\n");
        }
        for (name, value) in &self.settings {
            // Writing into a text cannot fail.
            let _ = writeln!(file, "{name} = {}", quoted(value));
        }
        file
    }
}

impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions").field("durable", &self.durable).finish_non_exhaustive()
    }
}

/// A literal of SQL, and of the configuration.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A private PostgreSQL on this machine. It ends when this is dropped, and with this process however that ends.
///
/// Its data directory is a copy of one that is made once a process, in UTF-8 and with the locale `C`. Where the process
/// is root, the server runs as `postgres` or `nobody`.
#[derive(Debug)]
pub struct Postgres {
    address: SocketAddr,
    options: PostgresOptions,
    time: ServerTime,
    user: User,
    /// Before the folder, so that it ends before its folder is removed.
    process: Mutex<Option<Process>>,
    folder: TempDir,
}

impl Postgres {
    /// The superuser of the server.
    pub const USER: &str = "postgres";
    /// The database that is there.
    pub const DATABASE: &str = "postgres";

    /// Starts one, and waits until it accepts connections.
    ///
    /// # Errors
    /// [`Error::Missing`] when a program is not installed; otherwise what the server said.
    pub async fn start(options: PostgresOptions) -> Result<Self> {
        // Another process may take a port before the server does, now and then.
        for _ in 0..10 {
            match Self::start_on(free_port()?, options.clone()).await {
                Err(error) if is_port_in_use(&error) => {}
                result => return result,
            }
        }
        Err(Error::failed("each port was in use"))
    }

    async fn start_on(port: u16, options: PostgresOptions) -> Result<Self> {
        let user = User::unprivileged()?;
        let folder = home()?.folder("postgres-")?;
        user.own(folder.path())?;
        let time = ServerTime::of_server(&folder.path().join("time"), options.real_time)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let postgres = Self { address, options, time, user, process: Mutex::new(None), folder };
        postgres.lay_out().await?;
        postgres.restart().await?;
        Ok(postgres)
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

    /// The password of [`USER`](Self::USER), where one was set.
    pub(crate) fn password(&self) -> Option<&str> {
        self.options.password.as_deref()
    }

    /// Ends all its processes at once (SIGKILL), as a crash does. Does nothing when it is not running.
    pub fn kill(&self) {
        if let Some(process) = self.process().take() {
            process.kill();
            kill_all_in(&self.path("data"));
        }
    }

    /// Ends it in order (a fast shutdown, SIGINT). Does nothing when it is not running.
    ///
    /// # Errors
    /// When it does not end; then it was killed.
    pub async fn stop(&self) -> Result<()> {
        let process = self.process().take();
        if let Some(mut process) = process {
            process.signal(Signal::INT)?;
            process.ended().await?;
        }
        Ok(())
    }

    /// Starts it again at the same address, killing it first where it runs, and waits until it accepts connections.
    /// Not for two callers at the same time.
    ///
    /// # Errors
    /// What the server said.
    pub async fn restart(&self) -> Result<()> {
        self.kill();
        let mut command = Command::new(System::Postgres.program("postgres")?);
        command.arg("-D").arg(self.path("data")).current_dir(self.folder.path()).env("LC_ALL", "C");
        live_by(&self.time, &self.path("time"), &mut command, System::Postgres).await?;
        let mut process = Process::start(self.user.run(&mut command), &self.path("log"), End::Quit)?;
        let mut patience = Patience::new(PATIENCE);
        while !self.is_ready(process.id()) {
            process.check()?;
            if !patience.pause().await {
                return Err(process.failed("is not ready"));
            }
        }
        *self.process() = Some(process);
        Ok(())
    }

    /// Whether the server of this process id accepts connections, as its `postmaster.pid` says.
    fn is_ready(&self, id: u32) -> bool {
        let file = fs::read_to_string(self.path("data/postmaster.pid")).unwrap_or_default();
        let mut lines = file.lines();
        lines.next() == Some(id.to_string().as_str()) && lines.nth(6).is_some_and(|line| line.trim_end() == "ready")
    }

    /// Runs SQL with `psql` as any other client would, in the database `postgres`, and gives its rows, a line each with
    /// `|` between the columns.
    ///
    /// ```no_run
    /// # async fn example() -> kv_servers::Result<()> {
    /// let postgres = kv_servers::Postgres::start(kv_servers::PostgresOptions::new()).await?;
    /// postgres.sql("create database app").await?;
    /// assert_eq!(postgres.sql("select 1, 'a'").await?, "1|a");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `psql` said.
    pub async fn sql(&self, statements: &str) -> Result<String> {
        self.sql_through(self.address, Self::DATABASE, statements).await
    }

    /// The same in another database, or through what is between it and a client.
    ///
    /// # Errors
    /// What `psql` said.
    pub async fn sql_through(&self, address: SocketAddr, database: &str, statements: &str) -> Result<String> {
        let mut command = self.psql(address, database)?;
        command.args(["-c", statements]);
        let output = output(command).await?;
        Ok(output.strip_suffix('\n').unwrap_or(&output).to_owned())
    }

    fn psql(&self, address: SocketAddr, database: &str) -> Result<Command> {
        let mut command = Command::new(System::Postgres.program("psql")?);
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", &address.ip().to_string()])
            .args(["-p", &address.port().to_string(), "-U", Self::USER, "-d", database])
            .env("PGPASSWORD", self.password().unwrap_or_default())
            .env("PGCONNECT_TIMEOUT", "10")
            .stdin(Stdio::null());
        Ok(command)
    }

    /// A fresh data directory.
    async fn lay_out(&self) -> Result<()> {
        let data = self.path("data");
        let mut copy = Command::new("cp");
        copy.arg("-R").arg(template(self.user).await?).arg(&data).current_dir(self.folder.path());
        self.user.run(&mut copy).stdin(Stdio::null());
        output(copy).await?;
        append(&data.join("postgresql.conf"), &self.options.file(self.address.port()))?;
        if let Some(password) = &self.options.password {
            let file = self.folder.path().join("password.sql");
            fs::write(&file, format!("alter role {} password {}\n", Self::USER, quoted(password)))?;
            let mut single = Command::new(System::Postgres.program("postgres")?);
            single.arg("--single").arg("-D").arg(&data).arg(Self::DATABASE).current_dir(self.folder.path());
            self.user.run(single.env("LC_ALL", "C")).stdin(fs::File::open(&file)?);
            let result = output(single).await;
            fs::remove_file(&file)?;
            result?;
            fs::write(data.join("pg_hba.conf"), "host all all 127.0.0.1/32 scram-sha-256\n")?;
        }
        Ok(())
    }

    /// Frees what the kernel keeps of a server that was killed: the one thing that no folder holds.
    fn free_shared_memory(&self) {
        let file = fs::read_to_string(self.path("data/postmaster.pid")).unwrap_or_default();
        if let Some(id) = file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            // Where it fails, a few bytes stay until the machine starts again.
            let _ = Command::new("ipcrm").args(["-m", id]).stderr(Stdio::null()).status();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.process().take());
        self.free_shared_memory();
    }
}

#[async_trait]
impl Server for Postgres {
    type Options = PostgresOptions;

    async fn start(options: PostgresOptions) -> Result<Self> {
        Self::start(options).await
    }

    /// Nobody is connected, the earlier holder's databases, schemas, roles and settings are gone, the time is the
    /// machine's. It is started again only where it has to be: that takes ten times as long, and a fresh data directory
    /// a hundred times.
    async fn renew(&self) -> Result<()> {
        self.time.reset();
        let settings = self.path("data/postgresql.auto.conf");
        let is_set = fs::read_to_string(&settings)?.lines().any(|line| !line.starts_with('#'));
        if is_set || self.process().is_none() {
            self.kill();
            fs::write(&settings, "")?;
            self.restart().await?;
        }
        let script = self.path("renew.sql");
        fs::write(&script, include_str!("renew.sql"))?;
        let mut command = self.psql(self.address, Self::DATABASE)?;
        command.arg("-f").arg(script);
        output(command).await.map(drop)
    }
}

/// The data directory that all others are copies of.
async fn template(user: User) -> Result<&'static Path> {
    static MADE: OnceCell<PathBuf> = OnceCell::const_new();
    let make = || async {
        // Fresh each time: one whose caller has gone may still be in the making.
        let folder = home()?.folder("postgres-template-")?.keep();
        user.own(&folder)?;
        let mut initdb = Command::new(System::Postgres.program("initdb")?);
        initdb
            .args(["--no-sync", "--no-instructions", "-A", "trust", "-E", "UTF8", "--locale=C", "-U", Postgres::USER])
            .arg("-D")
            .arg(&folder)
            .current_dir("/")
            .env("LC_ALL", "C");
        user.run(&mut initdb).stdin(Stdio::null());
        output(initdb).await?;
        Ok(folder)
    };
    MADE.get_or_try_init(make).await.map(PathBuf::as_path)
}

fn append(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    Ok(fs::File::options().append(true).open(path)?.write_all(text.as_bytes())?)
}

/// Ends the processes that work in this folder, as all of one PostgreSQL do. A process whose parent has been killed
/// goes on until it looks, and no new server starts as long as one is there.
fn kill_all_in(folder: &Path) {
    // Each round takes a millisecond or so; a killed process is gone after the first few.
    for _ in 0..10_000 {
        let mut found = false;
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            let is_there = || fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder);
            if let Some(id) = id.filter(|_| is_there()) {
                found = true;
                // An error means that it has ended already.
                let _ = kill_process(id, Signal::KILL);
            }
        }
        if !found {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_quoted_and_the_password_is_not_shown() {
        let options = PostgresOptions::new().durable().password("a 'b'").setting("search_path", "it's");
        let file = options.file(7000);
        assert!(file.contains("port = 7000\n") && !file.contains("fsync"), "{file}");
        assert!(file.ends_with("\nsearch_path = 'it''s'\n"), "{file}");
        assert!(PostgresOptions::new().file(7000).contains("\nfsync = off\n"));
        assert!(!format!("{options:?}").contains("a 'b'"), "{options:?}");
    }
}
