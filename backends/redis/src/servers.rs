//! Who is asked: one server, or the node of a cluster that a key lies on.

use kv_api::Result;
use redis::{Cmd, Value};

use crate::client::{Answers, Client};
use crate::cluster::Cluster;
use crate::list::Place;
use crate::wire::command;
use crate::wire::reply::{scanned, sized};

/// The servers of a store.
#[derive(Debug)]
pub(crate) enum Servers {
    One(Client),
    Cluster(Cluster),
}

/// A step of a list.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) keys: Vec<Vec<u8>>,
    /// Where it goes on; `None` at the end.
    pub(crate) next: Option<Place>,
}

impl Servers {
    /// Sends one command and waits for its reply.
    ///
    /// # Errors
    /// When no reply came. What a server refuses is a reply.
    pub(crate) async fn one(&self, cmd: Cmd) -> Result<Value> {
        match self {
            Self::One(client) => client.one(cmd).await,
            Self::Cluster(cluster) => cluster.one(cmd).await,
        }
    }

    /// Sends several commands that do not depend on each other, and gives the reply to each, in order.
    pub(crate) async fn many(&self, cmds: Vec<Cmd>) -> Vec<Result<Value>> {
        match self {
            Self::One(client) => {
                let count = cmds.len();
                match client.many(cmds).await {
                    Ok(answers) => answers.replies.into_iter().map(Ok).collect(),
                    Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
                }
            }
            Self::Cluster(cluster) => cluster.many(cmds).await,
        }
    }

    /// Takes a step of a list over about `count` places.
    ///
    /// # Errors
    /// `InvalidArgument` with [`Reason::CursorInvalid`](kv_api::Reason::CursorInvalid) when the place is lost.
    pub(crate) async fn scan(&self, place: &Place, pattern: &str, count: usize) -> Result<Step> {
        match self {
            Self::One(client) => {
                let cmds = vec![command::scan(place.cursor, pattern, count).cmd, command::size().cmd];
                let Answers { replies, run } = client.many_in_run(cmds, place.run.clone()).await?;
                let mut replies = replies.into_iter();
                let mut next = || replies.next().unwrap_or_default();
                let (cursor, keys) = scanned(next())?;
                Ok(Step { keys, next: place.after_step(run?, cursor, count, sized(next())?)? })
            }
            Self::Cluster(cluster) => cluster.scan(place, pattern, count).await,
        }
    }

    /// Waits until the connections are closed (LIFE-2).
    pub(crate) async fn close(&self) {
        match self {
            Self::One(client) => client.close().await,
            Self::Cluster(cluster) => cluster.close().await,
        }
    }
}
