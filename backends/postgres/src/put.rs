//! Sets: one by a statement of its own, many by one statement, all or nothing.

use std::collections::HashMap;

use kv_api::{BatchOutcome, Error, ErrorKind, Expiry, Metadata, Result, Timestamp, Value, Write, WriteParts};
use kv_sql::{PutCondition, kind_number, put_outcome};
use sqlx::Row;

use crate::arguments::Arguments;
use crate::error::{may_be_of_one_row, undecodable};
use crate::lane::Work;
use crate::pool::Borrowed;
use crate::queries;

/// One set, with a condition in the terms of the table.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) key: String,
    kind: i16,
    value: Value,
    metadata: Option<Metadata>,
    ttl_ms: Option<i64>,
    expires_at: Option<Timestamp>,
    pub(crate) condition: PutCondition,
    /// Whether it has failed before. Then it is not carried out with others: what it failed of may be the trouble of
    /// one of them, such as a row that another program keeps locked.
    is_repeat: bool,
}

impl Put {
    pub(crate) fn new(write: Write<'_>, origin: u64) -> Result<Self> {
        let WriteParts { key, value, metadata, expiry, condition, .. } = write.into_parts();
        let kind = kind_number(value.kind())
            .and_then(|kind| i16::try_from(kind).ok())
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the adapter does not know this kind of value"))?;
        let (ttl_ms, expires_at) = deadline(expiry)?;
        let condition = PutCondition::new(&condition, origin)?;
        Ok(Self { key: key.into_owned(), kind, value, metadata, ttl_ms, expires_at, condition, is_repeat: false })
    }

    /// The same again, by itself.
    pub(crate) fn repeat(&self) -> Self {
        Self { is_repeat: true, ..self.clone() }
    }

    pub(crate) fn bytes(&self) -> usize {
        let metadata = self.metadata.as_ref().map_or(0, |metadata| metadata.as_bytes().len());
        self.key.len() + self.value.as_bytes().len() + metadata
    }

    /// Which statement for many carries it out: each has its condition in its text.
    pub(crate) const fn class(&self) -> u8 {
        match self.condition {
            PutCondition::Always => 0,
            PutCondition::IfNotExists => 1,
            PutCondition::IfExists | PutCondition::IfVersion(_) => 2,
        }
    }

    const fn life(&self) -> (Option<i64>, Option<Timestamp>) {
        (self.ttl_ms, self.expires_at)
    }

    const fn expected(&self) -> Option<i64> {
        match self.condition {
            PutCondition::IfVersion(version) => Some(version),
            _ => None,
        }
    }

    fn metadata_bytes(&self) -> Option<&[u8]> {
        self.metadata.as_ref().map(|metadata| &metadata.as_bytes()[..])
    }
}

/// An expiry as the statements take it: a ttl in milliseconds, or a time; both are multiples of a millisecond (EXP-4).
pub(crate) fn deadline(expiry: Expiry) -> Result<(Option<i64>, Option<Timestamp>)> {
    match expiry {
        Expiry::Never => Ok((None, None)),
        Expiry::After(ttl) => {
            // The resolver has refused what ends after the year 9999.
            let millis = ttl.as_nanos().div_ceil(1_000_000);
            Ok((Some(i64::try_from(millis).unwrap_or(i64::MAX)), None))
        }
        Expiry::At(at) => Ok((None, Some(at))),
        _ => Err(Error::new(ErrorKind::Internal, "the adapter does not know this form of expiry")),
    }
}

/// Sets of one namespace.
#[derive(Debug)]
pub(crate) struct Puts {
    pub(crate) namespace: String,
}

impl Work for Puts {
    type Item = Put;
    /// The new version; `None` where the condition was not met.
    type Answer = Option<i64>;

    const KEYS_DISTINCT: bool = true;
    const CHANGES: bool = true;

    fn class(put: &Put) -> Option<u8> {
        (!put.is_repeat).then(|| put.class())
    }

    fn key(put: &Put) -> &str {
        &put.key
    }

    fn bytes(put: &Put) -> usize {
        put.bytes()
    }

    async fn carry_out(&self, connection: &mut Borrowed, put: &Put) -> Result<Option<i64>> {
        let expires_at = put.expires_at.map(|at| at.to_string());
        let arguments = connection
            .arguments()
            .text(&self.namespace)
            .bytes(put.key.as_bytes())
            .small(put.kind)
            .optional_number(put.ttl_ms)
            .optional_text(expires_at.as_deref())
            .optional_bytes(put.metadata_bytes())
            .bytes(put.value.as_bytes());
        let row = match put.condition {
            PutCondition::Always => connection.row(queries::PUT, arguments).await?,
            PutCondition::IfNotExists => connection.row(queries::PUT_IF_NOT_EXISTS, arguments).await?,
            PutCondition::IfExists | PutCondition::IfVersion(_) => {
                connection.row(queries::PUT_OVER, arguments.optional_number(put.expected())).await?
            }
        };
        row.map(|row| row.try_get(0).map_err(undecodable)).transpose()
    }

    async fn carry_out_all(&self, connection: &mut Borrowed, puts: &[&Put]) -> Vec<Result<Option<i64>>> {
        match self.put_each(connection, puts).await {
            Ok(answers) => answers,
            Err(error) => puts.iter().map(|_| Err(error.clone())).collect(),
        }
    }
}

impl Puts {
    /// Carries out puts of distinct keys and one class by one statement, or, where that is refused for one of them,
    /// each by its own: the statement was undone, and the others are not to blame (BATCH-3).
    pub(crate) async fn put_each(&self, connection: &mut Borrowed, puts: &[&Put]) -> Result<Vec<Result<Option<i64>>>> {
        match self.put_many(connection, puts).await {
            Ok(versions) => return Ok(versions.into_iter().map(Ok).collect()),
            Err(error) if may_be_of_one_row(&error) && puts.len() > 1 && connection.is_usable() => {}
            Err(error) => return Err(error),
        }
        let mut answers = Vec::with_capacity(puts.len());
        for put in puts {
            answers.push(self.carry_out(connection, put).await);
        }
        Ok(answers)
    }

    /// Carries out puts of distinct keys and one class by one statement: the new versions in their order.
    pub(crate) async fn put_many(&self, connection: &mut Borrowed, puts: &[&Put]) -> Result<Vec<Option<i64>>> {
        // In the order of the keys, so that statements at the same time wait for each other's rows in one order.
        let mut sorted: Vec<usize> = (0..puts.len()).collect();
        sorted.sort_unstable_by(|left, right| puts[*left].key.cmp(&puts[*right].key));
        let in_order = sorted.iter().map(|at| puts[*at]);
        let class = puts.first().map_or(0, |put| put.class());
        let form = if class == 0 { Form::of(puts) } else { Form::Many };
        let arguments = columns(connection.arguments(), &self.namespace, in_order.clone(), form);
        let rows = match class {
            0 => connection.rows(form.statement(), arguments).await?,
            1 => connection.rows(queries::PUT_MANY_IF_NOT_EXISTS, arguments).await?,
            _ => {
                let arguments = arguments.optional_number_list(in_order.map(Put::expected).collect());
                connection.rows(queries::PUT_MANY_OVER, arguments).await?
            }
        };
        let mut versions = HashMap::with_capacity(rows.len());
        for row in &rows {
            let key: Vec<u8> = row.try_get(0).map_err(undecodable)?;
            versions.insert(key, row.try_get::<i64, _>(1).map_err(undecodable)?);
        }
        Ok(puts.iter().map(|put| versions.remove(put.key.as_bytes())).collect())
    }

    /// Carries out puts of distinct keys in one transaction, all or none (BATCH-3).
    pub(crate) async fn all_or_nothing(
        &self,
        connection: &mut Borrowed,
        puts: &[Put],
        origin: u64,
    ) -> Result<BatchOutcome> {
        let chunks = chunks(puts);
        // One statement without conditions is a transaction of its own.
        if let [only] = &*chunks
            && only.iter().all(|at| puts[*at].class() == 0)
        {
            let puts: Vec<&Put> = puts.iter().collect();
            let versions = self.put_many(connection, &puts).await?;
            return Ok(BatchOutcome::Written(
                versions.into_iter().map(|version| put_outcome(origin, version)).collect(),
            ));
        }
        // Before the commit nothing is applied.
        let done = self.put_in_transaction(connection, puts, &chunks).await.map_err(Error::not_applied);
        if let Ok(Ok(versions)) = done {
            connection.end(queries::COMMIT).await?;
            return Ok(BatchOutcome::Written(
                versions.into_iter().map(|version| put_outcome(origin, Some(version))).collect(),
            ));
        }
        if connection.is_usable() {
            // Where this fails the connection is closed, which undoes the transaction too.
            let _ = connection.end(queries::ROLLBACK).await;
        }
        done.map(|versions| BatchOutcome::NotMet { index: versions.err().unwrap_or_default() })
    }

    /// The new versions, or the position of the first put whose condition was not met.
    async fn put_in_transaction(
        &self,
        connection: &mut Borrowed,
        puts: &[Put],
        chunks: &[Vec<usize>],
    ) -> Result<Result<Vec<i64>, usize>> {
        connection.begin().await?;
        let (mut versions, mut unmet) = (vec![0; puts.len()], None);
        for chunk in chunks {
            let items: Vec<&Put> = chunk.iter().map(|at| &puts[*at]).collect();
            // From here on there are no conditions.
            if unmet.is_some() && items.iter().all(|put| put.class() == 0) {
                break;
            }
            for (at, version) in chunk.iter().zip(self.put_many(connection, &items).await?) {
                match version {
                    Some(version) => versions[*at] = version,
                    None => unmet = Some(unmet.map_or(*at, |unmet: usize| unmet.min(*at))),
                }
            }
        }
        Ok(unmet.map_or(Ok(versions), Err))
    }
}

/// How much one statement writes.
pub(crate) const CHUNK_ITEMS_MAX: usize = 1000;
pub(crate) const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The positions of puts in groups of one class and bounded size.
fn chunks(puts: &[Put]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..puts.len()).collect();
    // Those without conditions last: what a condition turns down is undone before more is written.
    order.sort_by_key(|at| (std::cmp::Reverse(puts[*at].class()), *at));
    let mut chunks: Vec<Vec<usize>> = Vec::new();
    let (mut class, mut bytes) = (None, 0);
    for at in order {
        let put = &puts[at];
        let longer = bytes + put.bytes();
        match chunks.last_mut() {
            Some(chunk) if class == Some(put.class()) && chunk.len() < CHUNK_ITEMS_MAX && longer <= CHUNK_BYTES_MAX => {
                chunk.push(at);
                bytes = longer;
            }
            _ => {
                chunks.push(vec![at]);
                (class, bytes) = (Some(put.class()), put.bytes());
            }
        }
    }
    chunks
}

/// How much of it differs between the puts of one statement.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// They have no metadata, and never end.
    Plain,
    OneLife(Option<i64>, Option<Timestamp>),
    Many,
}

impl Form {
    fn of(puts: &[&Put]) -> Self {
        let (ttl_ms, expires_at) = puts.first().map_or((None, None), |put| put.life());
        if puts.iter().any(|put| put.life() != (ttl_ms, expires_at)) {
            Self::Many
        } else if ttl_ms.is_none() && expires_at.is_none() && puts.iter().all(|put| put.metadata.is_none()) {
            Self::Plain
        } else {
            Self::OneLife(ttl_ms, expires_at)
        }
    }

    /// Where there is no condition.
    const fn statement(self) -> &'static str {
        match self {
            Self::Plain => queries::PUT_MANY_PLAIN,
            Self::OneLife(..) => queries::PUT_MANY_OF_ONE_LIFE,
            Self::Many => queries::PUT_MANY,
        }
    }
}

/// The parameters that all statements of a form have.
fn columns<'p>(
    arguments: Arguments,
    namespace: &str,
    puts: impl Iterator<Item = &'p Put> + Clone,
    form: Form,
) -> Arguments {
    let arguments = arguments
        .text(namespace)
        .bytes_list(puts.clone().map(|put| put.key.as_bytes()).collect())
        .small_list(puts.clone().map(|put| put.kind).collect());
    let metadata = || puts.clone().map(Put::metadata_bytes).collect();
    let arguments = match form {
        Form::Plain => arguments,
        Form::OneLife(ttl_ms, expires_at) => arguments
            .optional_number(ttl_ms)
            .optional_text(expires_at.map(|at| at.to_string()).as_deref())
            .optional_bytes_list(metadata()),
        Form::Many => arguments
            .optional_number_list(puts.clone().map(|put| put.ttl_ms).collect())
            .optional_text_list(puts.clone().map(|put| put.expires_at.map(|at| at.to_string())).collect())
            .optional_bytes_list(metadata()),
    };
    arguments.bytes_list(puts.map(|put| &put.value.as_bytes()[..]).collect())
}
