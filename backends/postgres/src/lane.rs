//! Calls that wait for one another are carried out together.
//!
//! A call that finds the lane free goes on by itself, at once, in the caller's own future. One that does not waits in
//! line. When a statement has ended, all that fits together of the line becomes the next one. So a lone caller waits
//! for nobody, and many share a few statements.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use kv_api::{Error, ErrorKind, Result, Retry, Timer};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::error::unanswered;
use crate::pool::{Borrowed, Pool};

/// How many statements of a lane are under way at once: while one waits for the disk, the next one is on its way.
const STATEMENTS_MAX: usize = 2;

/// What one statement takes from the line at most.
const ITEMS_MAX: usize = 256;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often a lane that was crowded gives way to callers that are about to ask again.
const YIELDS_MAX: usize = 8;

/// What a lane does.
pub(crate) trait Work: fmt::Debug + Send + Sync + 'static {
    type Item: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// Items of one class fit into one statement.
    fn class(item: &Self::Item) -> u8;

    /// Whether two items of one key do not.
    const KEYS_DISTINCT: bool;

    /// Whether it changes anything.
    const CHANGES: bool;

    fn key(item: &Self::Item) -> &str;

    /// The bytes that an item carries.
    fn bytes(item: &Self::Item) -> usize;

    /// Carries out one item by a statement of its own.
    fn carry_out(
        &self,
        connection: &mut Borrowed,
        item: &Self::Item,
    ) -> impl Future<Output = Result<Self::Answer>> + Send;

    /// Carries out items of one class, at least two, and answers each.
    fn carry_out_all(
        &self,
        connection: &mut Borrowed,
        items: &[&Self::Item],
    ) -> impl Future<Output = Vec<Result<Self::Answer>>> + Send;
}

pub(crate) struct Lane<W: Work> {
    work: W,
    pool: Arc<Pool>,
    timer: Arc<dyn Timer>,
    patience: Duration,
    runtime: Handle,
    line: Mutex<Line<W>>,
}

struct Line<W: Work> {
    /// Statements under way.
    statements: usize,
    waiting: VecDeque<Waiting<W>>,
    next_number: u64,
}

struct Waiting<W: Work> {
    number: u64,
    item: W::Item,
    reply: oneshot::Sender<Result<W::Answer>>,
}

impl<W: Work> fmt::Debug for Lane<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("work", &self.work).finish_non_exhaustive()
    }
}

impl<W: Work> Lane<W> {
    pub(crate) fn new(work: W, pool: Arc<Pool>, timer: Arc<dyn Timer>, patience: Duration, runtime: Handle) -> Self {
        let line = Mutex::new(Line { statements: 0, waiting: VecDeque::new(), next_number: 0 });
        Self { work, pool, timer, patience, runtime, line }
    }

    pub(crate) const fn work(&self) -> &W {
        &self.work
    }

    /// Carries out one item, alone or with others. An item of a caller that goes away while it waits in line is not
    /// carried out; after that it may be, and the others in its statement are not concerned.
    pub(crate) async fn call(self: &Arc<Self>, item: W::Item) -> Result<W::Answer> {
        let waiting = {
            let mut line = self.line();
            if line.statements < STATEMENTS_MAX {
                line.statements += 1;
                Err(item)
            } else {
                let (reply, answer) = oneshot::channel();
                let number = line.next_number;
                line.next_number += 1;
                line.waiting.push_back(Waiting { number, item, reply });
                Ok((number, answer))
            }
        };
        match waiting {
            Err(item) => {
                let _turn = Turn(self);
                let mut connection = self.pool.borrow().await?;
                self.work.carry_out(&mut connection, &item).await
            }
            Ok((number, answer)) => {
                let mut place = Place { lane: self, number, answer: Some(answer) };
                let Some(waiting) = &mut place.answer else { return Err(unanswered()) };
                let answer = waiting.await;
                place.answer = None;
                answer.map_err(|_| unanswered())?
            }
        }
    }

    /// Carries out what waits, until nothing does.
    async fn go_on(&self) {
        let mut group = self.next_group();
        while !group.is_empty() {
            let crowd = group.len();
            self.answer(group).await;
            for _ in 0..YIELDS_MAX {
                if crowd == 1 || self.line().waiting.len() >= crowd {
                    break;
                }
                yield_now().await;
            }
            group = self.next_group();
        }
    }

    async fn answer(&self, group: Vec<Waiting<W>>) {
        let (items, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|one| (one.item, one.reply)).unzip();
        let failed = |error: &Error| items.iter().map(|_| Err(error.clone())).collect();
        let answers = match self.within_patience(self.pool.borrow()).await {
            Err(error) => failed(&error.with_retry(Retry::Safe)),
            Ok(Err(error)) => failed(&error),
            Ok(Ok(mut connection)) => {
                let items: Vec<&W::Item> = items.iter().collect();
                let answers = async {
                    match &*items {
                        [item] => vec![self.work.carry_out(&mut connection, item).await],
                        items => self.work.carry_out_all(&mut connection, items).await,
                    }
                };
                self.within_patience(answers).await.unwrap_or_else(|error| failed(&error))
            }
        };
        for (reply, answer) in replies.into_iter().zip(answers) {
            // A caller that has gone away changes nothing (ERR-6).
            let _ = reply.send(answer);
        }
    }

    async fn within_patience<T>(&self, work: impl Future<Output = T> + Send) -> Result<T> {
        match select(pin!(work), self.timer.sleep(self.patience)).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(_) => Err(Error::new(ErrorKind::Unavailable, "no answer in time")),
        }
    }

    /// What fits with the first that waits, in the order of the line; the others keep their places. When nothing waits,
    /// the statement that was under way is counted as ended.
    fn next_group(&self) -> Vec<Waiting<W>> {
        let mut line = self.line();
        let Some(first) = line.waiting.pop_front() else {
            line.statements -= 1;
            return Vec::new();
        };
        let (class, mut bytes) = (W::class(&first.item), W::bytes(&first.item));
        let mut group = vec![first];
        if line.waiting.is_empty() {
            return group;
        }
        let mut keys = HashSet::new();
        keys.insert(W::key(&group[0].item).to_owned());
        let mut left = VecDeque::new();
        while let Some(next) = line.waiting.pop_front() {
            let longer = bytes.saturating_add(W::bytes(&next.item));
            let fits = group.len() < ITEMS_MAX && longer <= BYTES_MAX && W::class(&next.item) == class;
            if fits && (!W::KEYS_DISTINCT || keys.insert(W::key(&next.item).to_owned())) {
                bytes = longer;
                group.push(next);
            } else {
                left.push_back(next);
            }
        }
        line.waiting = left;
        group
    }

    fn line(&self) -> std::sync::MutexGuard<'_, Line<W>> {
        // Nothing in here can panic half-way, so a poisoned lock still guards a whole state.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of a call that is carried out by itself. Those that came to wait meanwhile get it next.
struct Turn<'a, W: Work>(&'a Arc<Lane<W>>);

impl<W: Work> Drop for Turn<'_, W> {
    fn drop(&mut self) {
        let mut line = self.0.line();
        if line.waiting.is_empty() {
            line.statements -= 1;
            return;
        }
        drop(line);
        let lane = Arc::clone(self.0);
        let task = Task(Some(Arc::clone(&lane)));
        self.0.runtime.spawn(async move {
            lane.go_on().await;
            task.ended();
        });
    }
}

/// A task that works for a lane, until it ends by itself. Where it ends with its runtime, those that wait learn of it.
struct Task<W: Work>(Option<Arc<Lane<W>>>);

impl<W: Work> Task<W> {
    fn ended(mut self) {
        self.0 = None;
    }
}

impl<W: Work> Drop for Task<W> {
    fn drop(&mut self) {
        let Some(lane) = self.0.take() else { return };
        let waiting = {
            let mut line = lane.line();
            line.statements -= 1;
            std::mem::take(&mut line.waiting)
        };
        drop(waiting);
    }
}

/// A place in the line, given up with the future of its caller.
struct Place<'a, W: Work> {
    lane: &'a Lane<W>,
    number: u64,
    /// `None` once it is there.
    answer: Option<oneshot::Receiver<Result<W::Answer>>>,
}

impl<W: Work> Drop for Place<'_, W> {
    fn drop(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        let left = {
            let mut line = self.lane.line();
            // The line is in the order of its numbers.
            let at = line.waiting.binary_search_by_key(&self.number, |waiting| waiting.number);
            at.ok().and_then(|at| line.waiting.remove(at))
        };
        if left.is_none() && W::CHANGES {
            // It is under way.
            let leftover = self.lane.pool.leftovers.add();
            self.lane.runtime.spawn(async move {
                let _ = answer.await;
                drop(leftover);
            });
        }
    }
}
