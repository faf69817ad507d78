//! A list that replies are read from, and that goes with its reader.

use std::time::Duration;

use ::redis::AsyncCommands;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::fanout::{PAUSE, hand_over};
use crate::broker::Notice;
use crate::error::Error;
use crate::redis::link::{self, Connection, Server};

/// How long one blocking read of a reply list lasts; shorter than an answer is
/// waited for.
const BLOCK: Duration = Duration::from_secs(1);

/// A list of replies that is being read.
pub(super) struct ReplyQueue {
    pub key: String,
    /// The exchange's bindings, and the queue's among them.
    pub table: String,
    pub member: String,
    pub server: Server,
    /// Of the broker; outlives the one that reads.
    pub connection: Connection,
}

impl ReplyQueue {
    /// Puts it into its exchange's table, which kombu 5.7 sweeps away at its
    /// deadline, by the server's clock in milliseconds. The deadline only ever
    /// goes up: others may have bound their queues for longer.
    pub async fn bind(&self, exchange: &str, deadlines: &str, life: Duration) -> Result<(), Error> {
        let mut connection = self.connection.clone();
        let now = link::time(&mut connection).await?;
        let deadline = now.timestamp_millis() + life.as_millis() as i64;
        let mut raise = ::redis::cmd("ZADD");
        raise.arg(deadlines).arg("GT").arg(deadline).arg(exchange);
        let mut pipeline = ::redis::pipe();
        pipeline.atomic().add_command(raise).ignore();
        pipeline.sadd(&self.table, &self.member).ignore();
        Ok(pipeline.exec_async(&mut connection).await?)
    }

    /// Reads replies until nobody wants them, and removes the list then.
    pub async fn serve(mut self, listener: UnboundedSender<Notice>, end: CancellationToken) {
        end.run_until_cancelled(self.read(&listener)).await;
        let mut pipeline = ::redis::pipe();
        pipeline.srem(&self.table, &self.member).ignore();
        pipeline.del(&self.key).ignore();
        if let Err(error) = pipeline.exec_async(&mut self.connection).await {
            tracing::debug!(%error, "cannot remove a reply queue; it expires");
        }
    }

    async fn read(&self, listener: &UnboundedSender<Notice>) {
        while let Err(error) = self.read_on_one_connection(listener).await {
            tracing::debug!(%error, "cannot read replies; trying again");
            sleep(PAUSE).await;
        }
    }

    async fn read_on_one_connection(
        &self,
        listener: &UnboundedSender<Notice>,
    ) -> Result<(), Error> {
        let mut line = self.server.open().await?;
        let block = BLOCK.min(self.server.patience() / 2).as_secs_f64();
        loop {
            let reply: Option<(String, Vec<u8>)> = line.brpop(&self.key, block).await?;
            if let Some((_, payload)) = reply {
                hand_over(listener, &payload);
            }
        }
    }
}
