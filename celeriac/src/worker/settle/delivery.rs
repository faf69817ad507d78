//! What becomes of the message itself, last of all.

use super::Settlement;
use crate::broker::{Delivery, Settled, Tag};
use crate::worker::Shared;
use crate::worker::insist::{Undone, insist};

impl Settlement<'_> {
    /// Settles a late acknowledgement; an early one is long done.
    pub(super) async fn end(&self, acknowledge: bool) -> Result<(), Undone> {
        match (self.acks_late(), acknowledge) {
            (false, _) => Ok(()),
            (true, true) => self.ack().await,
            (true, false) => {
                let reason = "failed, and task_acks_on_failure is off";
                Box::pin(bury(self.shared, self.delivery, reason)).await
            }
        }
    }

    pub(in crate::worker) async fn ack(&self) -> Result<(), Undone> {
        let (consumer, tag) = (&self.shared.consumer, &self.delivery.tag);
        let settled = insist(self.shared, "acknowledge", || consumer.ack(tag)).await;
        if matches!(settled, Ok(Settled::Lost)) {
            let headers = self.request().headers();
            let (task, id) = (headers.shown(), &headers.id);
            tracing::warn!(
                "Task {task}[{id}] was given to another worker while it ran; it may run twice"
            );
        }
        self.or_log("be acknowledged", settled.map(drop)).map(drop)
    }
}

/// Puts a message back into its queue. One that cannot be put back stays
/// unacknowledged.
pub(in crate::worker) async fn requeue(shared: &Shared, tag: &Tag) -> Result<(), Undone> {
    let consumer = &shared.consumer;
    match insist(shared, "requeue", || consumer.requeue(tag)).await {
        Err(Undone::Lasts(error)) => {
            tracing::error!(%error, tag = &**tag, "a message cannot go back to its queue; it is left as it is");
            Ok(())
        }
        // One that was lost goes to another anyway.
        back => back.map(drop),
    }
}

/// Keeps a message that nobody can run, and settles it. One that cannot be kept
/// stays unacknowledged.
pub(in crate::worker) async fn bury(
    shared: &Shared,
    delivery: &Delivery,
    reason: &str,
) -> Result<(), Undone> {
    shared.metrics.dead_letters.inc();
    let consumer = &shared.consumer;
    let buried = insist(shared, "dead-letter", || consumer.bury(delivery, reason));
    match buried.await {
        Err(Undone::Lasts(error)) => {
            tracing::error!(
                %error,
                queue = &*delivery.queue,
                "a message that nobody can run cannot be kept as a dead letter; it is left as it is"
            );
            Ok(())
        }
        buried => buried.map(drop),
    }
}
