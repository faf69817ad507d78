//! Sending what has been written down before.

use async_trait::async_trait;

use super::Outgoing;
use crate::error::Error;

/// A broker that remembers what has been sent under a number. The sender may
/// have died before it could note that it was.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Sends what `journal` has under `number`. A number that is not above the
    /// last one sent is not sent again.
    async fn publish_once(
        &self,
        messages: &[Outgoing],
        journal: &str,
        number: u64,
    ) -> Result<(), Error>;
}
