//! The systems whose servers can be started, and what they need.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A system whose servers can be started here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum System {
    /// One `redis-server`.
    Redis,
    /// Six of them: three masters with a replica each.
    RedisCluster,
    /// One `postgres`.
    Postgres,
    /// A `pgbouncer` before it.
    PgBouncer,
}

impl System {
    /// Every system.
    pub const ALL: &[Self] = &[Self::Redis, Self::RedisCluster, Self::Postgres, Self::PgBouncer];

    /// What `KV_TEST_REQUIRE` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::RedisCluster => "redis-cluster",
            Self::Postgres => "postgres",
            Self::PgBouncer => "pgbouncer",
        }
    }

    /// The Debian packages that bring its programs, as `apt-get install` takes them.
    #[must_use]
    pub const fn packages(self) -> &'static str {
        match self {
            Self::Redis | Self::RedisCluster => "redis-server gcc libc6-dev",
            Self::Postgres => "postgresql gcc libc6-dev",
            Self::PgBouncer => "pgbouncer",
        }
    }

    /// The address of a server that is used instead of a private one: `KV_TEST_REDIS_URL`, `KV_TEST_POSTGRES_URL`. It
    /// may hold a password. Its time runs: see [`ServerTime::real`](crate::ServerTime::real).
    #[must_use]
    pub fn given(self) -> Option<String> {
        let variable = match self {
            Self::Redis => "KV_TEST_REDIS_URL",
            Self::Postgres => "KV_TEST_POSTGRES_URL",
            Self::RedisCluster | Self::PgBouncer => return None,
        };
        env::var(variable).ok().filter(|url| !url.is_empty())
    }

    const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Redis | Self::RedisCluster => &["redis-server", "cc"],
            Self::Postgres => &["initdb", "postgres", "psql", "cc"],
            Self::PgBouncer => &["pgbouncer"],
        }
    }

    /// Whether private servers can be started.
    ///
    /// # Errors
    /// [`Error::Missing`] names the first program that is missing, and the Debian packages.
    pub fn available(self) -> Result<()> {
        self.programs().iter().try_for_each(|program| self.program(program).map(drop))
    }

    /// Where a program is: in the `PATH`, or where Debian puts those of PostgreSQL, of which the newest counts. All of
    /// PostgreSQL are of the version of `initdb`: Debian's `psql` in the `PATH` is a script that chooses one, slowly.
    pub(crate) fn program(self, name: &'static str) -> Result<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
        // That of PgBouncer is there, where the path of a user may not lead.
        folders.push(PathBuf::from("/usr/sbin"));
        folders.extend(postgres_folders(Path::new("/usr/lib/postgresql")));
        if self == Self::Postgres {
            let initdb = find(&folders, "initdb").and_then(|path| path.canonicalize().ok());
            let folder = initdb.as_deref().and_then(Path::parent);
            folders.splice(0..0, folder.map(Path::to_path_buf));
        }
        find(&folders, name).ok_or(Error::Missing { system: self, program: name })
    }
}

fn find(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// `15/bin` and its like, the highest version first.
fn postgres_folders(root: &Path) -> Vec<PathBuf> {
    let mut versions: Vec<u32> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|version| root.join(version.to_string()).join("bin")).collect()
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_postgres_counts() {
        let root = tempfile::tempdir().unwrap();
        for name in ["9", "15", "16", "common"] {
            std::fs::create_dir_all(root.path().join(name).join("bin")).unwrap();
        }
        let found = postgres_folders(root.path());
        assert_eq!(found, ["16", "15", "9"].map(|version| root.path().join(version).join("bin")));
        assert!(postgres_folders(&root.path().join("none")).is_empty());
    }

    #[test]
    fn a_missing_program_names_what_to_install() {
        let error = System::Redis.program("no-such-program").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("`no-such-program`") && text.contains("apt-get install redis-server"), "{text}");
    }
}
