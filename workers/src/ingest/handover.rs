//! Handing a page's calls over to the store and to the queue.

use async_trait::async_trait;
use store::{Inserted, NewCall, Page, Store};
use tokio::sync::Mutex;

use super::report::IngestError;

/// How many calls that an earlier run left pending are sent at once.
const PENDING_BATCH: u64 = 500;

/// Hands calls to `insights.process`.
#[async_trait]
pub trait CallSender: Send + Sync {
    /// Sends all of the calls.
    ///
    /// # Errors
    /// [`SendError`] when any may not have been sent.
    async fn send(&self, calls: &[NewCall]) -> Result<(), SendError>;
}

/// Why calls could not be sent.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct SendError {
    /// What went wrong.
    pub text: String,
    /// Whether it may go well later.
    pub passes: bool,
}

/// Stores calls, sends those that are new, and marks what was sent.
pub struct HandOver {
    store: Store,
    /// Held from storing calls until they are marked as queued, so that of
    /// two runs at once neither takes the other's calls for left behind.
    alone: Mutex<()>,
}

impl HandOver {
    /// Hands calls over to this store.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            alone: Mutex::new(()),
        }
    }

    /// Stores a page and sends what is new in it; says how many were sent.
    ///
    /// # Errors
    /// [`IngestError`] of the store or of the queue.
    pub async fn page(
        &self,
        page: &Page,
        sender: &dyn CallSender,
    ) -> Result<(Inserted, u64), IngestError> {
        let _alone = self.alone.lock().await;
        let inserted = self.store.insert_page(page).await?;
        let queued = match inserted {
            Inserted { stored: 0, .. } => 0,
            Inserted { duplicates: 0, .. } => self.send(&page.calls, sender).await?,
            // Only the store knows which are new: those that are pending.
            _ => self.send_pending(sender).await?,
        };
        Ok((inserted, queued))
    }

    /// Sends the calls that an earlier run stored but did not mark as queued;
    /// says how many.
    ///
    /// # Errors
    /// [`IngestError`] of the store or of the queue.
    pub async fn left_behind(&self, sender: &dyn CallSender) -> Result<u64, IngestError> {
        let _alone = self.alone.lock().await;
        self.send_pending(sender).await
    }

    async fn send_pending(&self, sender: &dyn CallSender) -> Result<u64, IngestError> {
        let mut queued = 0;
        loop {
            let calls = self.store.pending(PENDING_BATCH).await?;
            if calls.is_empty() {
                return Ok(queued);
            }
            queued += self.send(&calls, sender).await?;
        }
    }

    async fn send(&self, calls: &[NewCall], sender: &dyn CallSender) -> Result<u64, IngestError> {
        sender.send(calls).await?;
        let ids: Vec<_> = calls.iter().map(|call| call.call_id).collect();
        self.store.mark_queued(&ids).await?;
        Ok(calls.len() as u64)
    }
}
