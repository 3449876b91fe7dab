//! Hand-written pipelines: one caller who has all commands at hand and sends them at once.

use std::hint::black_box;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;

use super::single;
use crate::database::Batches;
use crate::measure::Result;
use crate::row::Row;

/// A pipeline a batch, on one connection.
pub(crate) struct Pipeline(pub(crate) MultiplexedConnection);

impl Batches for Pipeline {
    async fn set_many(&self, rows: &[Row]) -> Result<()> {
        let mut pipeline = redis::Pipeline::with_capacity(rows.len());
        for row in rows {
            pipeline.add_command(single::set(row));
        }
        Ok(pipeline.exec_async(&mut self.0.clone()).await?)
    }

    async fn get_many(&self, keys: &[String]) -> Result<usize> {
        let mut pipeline = redis::Pipeline::with_capacity(keys.len());
        for key in keys {
            pipeline.add_command(single::get(key));
        }
        let values: Vec<Option<Bytes>> = pipeline.query_async(&mut self.0.clone()).await?;
        Ok(black_box(values).iter().flatten().count())
    }
}
