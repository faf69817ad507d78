//! One message's life: decode, *known? expired?*, eta, slot, run, settle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit};

use super::settle::{GaveUp, Outcome, Settlement, bury, store};
use super::{Shared, limits};
use crate::message::Envelope;
use crate::results::{TaskMeta, states};
use crate::task::{Failure, Request};
use crate::transport::Delivery;

/// Carries a message from its delivery to its end. `room` is its place among
/// the prefetched.
pub(super) async fn live(shared: Arc<Shared>, delivery: Delivery, room: OwnedSemaphorePermit) {
    let Some(request) = read(&shared, &delivery).await else {
        return;
    };
    let headers = request.headers();
    let Some(task) = shared.tasks.get(&headers.task).cloned() else {
        // Giving up leaves it unacknowledged, which is all there is to do.
        let _ = refuse_unknown(&shared, &delivery, request).await;
        return;
    };
    tracing::info!("Task {}[{}] received", headers.task, headers.id);
    let settlement = Settlement::new(&shared, &delivery, &task, request);
    // Held until the end: the permit is what bounds the reserved.
    let Some(_room) = settlement.await_eta(room).await else {
        return;
    };
    let Some(slot) = settlement.await_slot().await else {
        return;
    };
    if settlement.run(slot).await.is_err() {
        tracing::error!("a task could not be settled; it runs again");
    }
}

/// The request in a delivery; what cannot be read is kept aside.
async fn read(shared: &Shared, delivery: &Delivery) -> Option<Request> {
    let decoded = Envelope::decode(&delivery.payload).and_then(|envelope| {
        let accept = &shared.app.settings().accept_content.0;
        let (queue, node) = (Arc::clone(&delivery.queue), Arc::clone(&shared.nodename));
        Request::new(envelope, accept, queue, node)
    });
    match decoded {
        Ok(request) => Some(request),
        Err(error) => {
            let reason = error.to_string();
            tracing::error!(queue = &*delivery.queue, "Refused a message: {reason}");
            let _ = bury(shared, delivery, &reason).await;
            None
        }
    }
}

/// As Celery's `on_unknown_task`; and the message is kept.
async fn refuse_unknown(
    shared: &Shared,
    delivery: &Delivery,
    request: Request,
) -> Result<(), GaveUp> {
    let name = request.headers().task.clone();
    tracing::error!(
        "Received unregistered task of type '{name}'[{}]. The message has been kept in the dead-letter list.",
        request.headers().id
    );
    let failure = Failure::new("celery.exceptions.NotRegistered", name.clone());
    let exception = failure.to_meta();
    let extended = shared.app.settings().result_extended;
    let meta = TaskMeta::of_request(&request, extended, states::FAILURE, exception, None);
    store(shared, &meta).await?;
    bury(shared, delivery, &format!("unregistered task {name}")).await
}

impl Settlement<'_> {
    /// Waits until the request may run. Up to `worker_eta_task_limit` of those
    /// who wait give up their place among the prefetched: what is held takes
    /// no room from what can run. `None`: the request has been settled.
    async fn await_eta(&self, room: OwnedSemaphorePermit) -> Option<Option<OwnedSemaphorePermit>> {
        let eta = self.request().eta;
        let wait = eta.and_then(|eta| (eta - Utc::now()).to_std().ok());
        let Some(wait) = wait else {
            return Some(Some(room));
        };
        let held = self.shared().held.try_acquire();
        let room = held.is_err().then_some(room);
        self.unless_shutdown(tokio::time::sleep(wait)).await?;
        Some(room)
    }

    /// Waits for a slot, and for the limits on what may still run.
    async fn await_slot(&self) -> Option<SemaphorePermit<'_>> {
        let slot = self
            .unless_shutdown(self.shared().slots.acquire())
            .await?
            .ok()?;
        let expires = self.request().expires;
        if expires.is_some_and(|expires| Utc::now() > expires) {
            let _ = self
                .settle(Outcome::Revoked("expired"), Duration::ZERO)
                .await;
            return None;
        }
        Some(slot)
    }

    /// Waits for `future`; at a shutdown the message goes back to its queue.
    async fn unless_shutdown<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.shared().shutdown.warm() => {
                let _ = self.requeue().await;
                None
            }
            output = future => Some(output),
        }
    }

    /// Runs the task in its slot and settles how it ended.
    async fn run(&self, slot: SemaphorePermit<'_>) -> Result<(), GaveUp> {
        if !self.acks_late() {
            self.ack().await?;
        }
        if self.shared().app.settings().task_track_started {
            self.store_started().await;
        }
        let begun = Instant::now();
        let run = limits::run(self.task(), self.context(), self.limits());
        let outcome = tokio::select! {
            outcome = run => outcome,
            () = self.shared().shutdown.cold() => return self.abandon().await,
        };
        // The slot is for running: what the outcome leaves behind needs none.
        drop(slot);
        self.settle(outcome, begun.elapsed()).await
    }

    /// A cold shutdown: what is not acknowledged yet runs again elsewhere.
    async fn abandon(&self) -> Result<(), GaveUp> {
        let headers = self.request().headers();
        tracing::warn!("Task {}[{}] was cut off", headers.task, headers.id);
        match self.acks_late() {
            true => self.requeue().await,
            false => Ok(()),
        }
    }
}
