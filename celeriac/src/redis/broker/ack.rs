//! Acknowledging: what is done with is forgotten.

use async_trait::async_trait;

use super::keys::Keys;
use crate::broker::Tag;
use crate::error::Fault;
use crate::redis::batcher::Batched;
use crate::redis::link::Connection;

/// Takes the entries of many messages out of `unacked`.
pub(super) struct Acks {
    pub connection: Connection,
    pub keys: Keys,
}

#[async_trait]
impl Batched for Acks {
    type Request = Tag;
    type Answer = ();

    async fn perform(&self, tags: &[Tag]) -> Result<Vec<()>, Fault> {
        let mut entries = redis::cmd("HDEL");
        entries.arg(self.keys.unacked());
        let mut times = redis::cmd("ZREM");
        times.arg(self.keys.unacked_index());
        for tag in tags {
            entries.arg(&**tag);
            times.arg(&**tag);
        }
        let mut pipeline = redis::pipe();
        pipeline.add_command(entries).ignore();
        pipeline.add_command(times).ignore();
        pipeline.exec_async(&mut self.connection.clone()).await?;
        Ok(vec![(); tags.len()])
    }
}
