//! A PgBouncer before a PostgreSQL.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use tempfile::TempDir;

use crate::error::While;
use crate::home::home;
use crate::ports::free_port;
use crate::process::{End, PATIENCE, Patience, Process, is_port_in_use};
use crate::user::User;
use crate::{Error, Postgres, Result, System};

/// A private PgBouncer in transaction mode before a [`Postgres`], with the same databases and the same password. A
/// connection of the server is a client's only for the length of a transaction: what lives longer, as a session's
/// settings and prepared statements do, is another client's next.
///
/// It ends when this is dropped, and with this process however that ends. It finds the server again after a restart.
#[derive(Debug)]
pub struct PgBouncer {
    address: SocketAddr,
    /// Before the folder, so that it ends before its folder is removed.
    _process: Process,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts one, and waits until it accepts connections.
    ///
    /// # Errors
    /// [`Error::Missing`] when it is not installed; otherwise what it said.
    pub async fn start(postgres: &Postgres) -> Result<Self> {
        // Another process may take a port before it does, now and then.
        for _ in 0..10 {
            match Self::start_on(free_port()?, postgres).await {
                Err(error) if is_port_in_use(&error) => {}
                result => return result,
            }
        }
        Err(Error::failed("each port was in use"))
    }

    async fn start_on(port: u16, postgres: &Postgres) -> Result<Self> {
        let user = User::unprivileged()?;
        let folder = home()?.folder("pgbouncer-")?;
        let (settings, users, log) =
            (folder.path().join("pgbouncer.ini"), folder.path().join("users"), folder.path().join("log"));
        let password = postgres.password();
        let quoted = |text: &str| text.replace('"', "\"\"");
        let line = format!("\"{}\" \"{}\"\n", Postgres::USER, quoted(password.unwrap_or_default()));
        fs::write(&users, line).when("users")?;
        let file = format!(
            "[databases]\n* = host=127.0.0.1 port={server}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\npool_mode = transaction\n\
             auth_type = {method}\nauth_file = {users}\nadmin_users = {admin}\n",
            server = postgres.address().port(),
            method = if password.is_some() { "scram-sha-256" } else { "trust" },
            users = users.display(),
            admin = Postgres::USER,
        );
        fs::write(&settings, file).when("pgbouncer.ini")?;
        user.own(&settings)?;
        user.own(&users)?;
        let mut command = Command::new(System::PgBouncer.program("pgbouncer")?);
        command.arg(&settings).current_dir(folder.path());
        let mut process = Process::start(user.run(&mut command), &log, End::Kill)?;
        let mut patience = Patience::new(PATIENCE);
        while !fs::read_to_string(&log)?.contains(" process up: ") {
            process.check()?;
            if !patience.pause().await {
                return Err(process.failed("is not ready"));
            }
        }
        Ok(Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), _process: process, _folder: folder })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}
