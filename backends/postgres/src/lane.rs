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

/// How many statements of a lane are usually under way at once: while one waits for the disk, the next one is on its
/// way.
const STATEMENTS: usize = 2;

/// How long a call waits in line before it sees to one statement more, as long as there are connections: those under
/// way may wait for a lock, or belong to futures that nobody polls.
const OVERDUE: Duration = Duration::from_millis(200);

/// What one statement takes from the line at most.
const ITEMS_MAX: usize = 256;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often a lane that was crowded gives way to callers that are about to ask again.
const YIELDS_MAX: usize = 8;

/// What a lane does.
pub(crate) trait Work: fmt::Debug + Send + Sync + 'static {
    type Item: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// Items of one class fit into one statement. One without a class has a statement of its own.
    fn class(item: &Self::Item) -> Option<u8>;

    /// Whether two items of one key do not, nor into two that tasks have under way at once: the second would only wait
    /// for the first, and have others wait with it.
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
    /// The keys in those of tasks, where they have to be distinct. What a caller's own future carries out is not among
    /// them: nobody may poll it.
    keys: HashSet<String>,
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
        let line = Mutex::new(Line { statements: 0, keys: HashSet::new(), waiting: VecDeque::new(), next_number: 0 });
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
            if line.statements < STATEMENTS {
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
                let answer = match select(&mut *waiting, self.timer.sleep(OVERDUE)).await {
                    Either::Left((answer, _)) => answer,
                    Either::Right(_) => {
                        self.see_to_one_more(number);
                        waiting.await
                    }
                };
                place.answer = None;
                answer.map_err(|_| unanswered())?
            }
        }
    }

    /// One statement more, where this one still waits and a connection may be free.
    fn see_to_one_more(self: &Arc<Self>, number: u64) {
        {
            let mut line = self.line();
            if line.position(number).is_none() || line.statements >= self.pool.connections_max() {
                return;
            }
            line.statements += 1;
        }
        self.spawn();
    }

    /// Carries out what waits in a task of its own, in the place of a statement that has been counted.
    fn spawn(self: &Arc<Self>) {
        let lane = Arc::clone(self);
        let task = Task(Some(Arc::clone(&lane)));
        self.runtime.spawn(async move {
            lane.go_on().await;
            task.ended();
        });
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
        let under_way = UnderWay { lane: self, items };
        let items = &under_way.items;
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
        drop(under_way);
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

    /// What fits with the first that can be carried out, in the order of the line; the others keep their places. When
    /// there is none, the statement that was under way is counted as ended. Then what is left waits for a key, and goes
    /// out when the statement with it has ended.
    fn next_group(&self) -> Vec<Waiting<W>> {
        let mut line = self.line();
        let (mut group, mut left) = (Vec::new(), VecDeque::new());
        let (mut class, mut bytes) = (None, 0_usize);
        while let Some(next) = line.waiting.pop_front() {
            let longer = bytes.saturating_add(W::bytes(&next.item));
            let is_alike = class.is_some() && W::class(&next.item) == class;
            let fits = group.is_empty() || (is_alike && group.len() < ITEMS_MAX && longer <= BYTES_MAX);
            if fits && line.admits(&next.item) {
                (class, bytes) = (W::class(&next.item), longer);
                group.push(next);
            } else {
                left.push_back(next);
            }
        }
        line.waiting = left;
        if group.is_empty() {
            line.statements -= 1;
        }
        group
    }

    fn line(&self) -> std::sync::MutexGuard<'_, Line<W>> {
        // Nothing in here can panic half-way, so a poisoned lock still guards a whole state.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Work> Line<W> {
    /// Whether an item can be carried out now; then its key is under way.
    fn admits(&mut self, item: &W::Item) -> bool {
        !W::KEYS_DISTINCT || self.keys.insert(W::key(item).to_owned())
    }

    /// Where the call of this number waits.
    fn position(&self, number: u64) -> Option<usize> {
        // The line is in the order of its numbers.
        self.waiting.binary_search_by_key(&number, |waiting| waiting.number).ok()
    }
}

/// The items of a statement that a task has under way.
struct UnderWay<'a, W: Work> {
    lane: &'a Lane<W>,
    items: Vec<W::Item>,
}

impl<W: Work> Drop for UnderWay<'_, W> {
    fn drop(&mut self) {
        let mut line = self.lane.line();
        for item in &self.items {
            line.keys.remove(W::key(item));
        }
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
        self.0.spawn();
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
            line.position(self.number).and_then(|at| line.waiting.remove(at))
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
