//! One message's life: decode, *known? revoked?*, eta, rate limit, slot, run,
//! settle; and what monitors are told meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::sync::OwnedSemaphorePermit;

use super::pool::Slot;
use super::requests::Place;
use super::settle::{GaveUp, Outcome, Settlement, bury, store};
use super::{Shared, limits, outcome};
use crate::events::TaskEvent;
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
    let place = shared.requests.hold(settlement.context().clone());
    let life = Life { settlement, place };
    if matches!(life.pass(room).await, Some(Err(GaveUp))) {
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
    let event = TaskEvent::Failed {
        exception: failure.repr(),
        traceback: None,
    };
    let exception = failure.to_meta();
    let extended = shared.app.settings().result_extended;
    let meta = TaskMeta::of_request(&request, extended, states::FAILURE, exception, None);
    store(shared, &meta).await?;
    bury(shared, delivery, &format!("unregistered task {name}")).await?;
    shared.events.task(&request, &event);
    Ok(())
}

/// A message's life between its delivery and its end.
struct Life<'a> {
    settlement: Settlement<'a>,
    place: Place<'a>,
}

impl<'a> Life<'a> {
    fn shared(&self) -> &'a Shared {
        self.settlement.shared()
    }

    fn request(&self) -> &Request {
        self.settlement.request()
    }

    fn tell(&self, event: &TaskEvent) {
        self.shared().events.task(self.request(), event);
    }

    /// All of it. `None`: it has ended before it ran.
    async fn pass(&self, room: OwnedSemaphorePermit) -> Option<Result<(), GaveUp>> {
        self.unless_revoked().await?;
        self.tell(&TaskEvent::Received);
        // Held until the end: the permit is what bounds the reserved.
        let _room = self.await_eta(room).await?;
        self.await_turn().await?;
        let slot = self.unless_stopped(self.shared().pool.slot()).await?;
        self.unless_revoked().await?;
        Some(self.run(slot).await)
    }

    /// Waits until the request may run. Up to `worker_eta_task_limit` of those
    /// who wait give up their place among the prefetched: what is held takes
    /// no room from what can run.
    async fn await_eta(&self, room: OwnedSemaphorePermit) -> Option<Option<OwnedSemaphorePermit>> {
        let eta = self.request().eta;
        let wait = eta.and_then(|eta| (eta - Utc::now()).to_std().ok());
        let Some(wait) = wait else {
            return Some(Some(room));
        };
        let held = self.shared().held.try_acquire();
        let room = held.is_err().then_some(room);
        self.place.schedule();
        self.unless_stopped(tokio::time::sleep(wait)).await?;
        self.place.reserve();
        Some(room)
    }

    /// Waits until the task's rate limit lets it start.
    async fn await_turn(&self) -> Option<()> {
        match self.shared().tunings.of(self.settlement.task().name()) {
            Some(tuning) => self.unless_stopped(tuning.turn()).await,
            None => Some(()),
        }
    }

    /// Ends it here if it has been revoked, or has expired.
    async fn unless_revoked(&self) -> Option<()> {
        let expires = self.request().expires;
        if expires.is_some_and(|expires| Utc::now() > expires) {
            self.shared().revoked.add([&self.request().headers().id]);
            self.revoke("expired").await;
            return None;
        }
        if self.shared().revoked.covers(self.request()) {
            self.revoke("revoked").await;
            return None;
        }
        Some(())
    }

    async fn revoke(&self, reason: &'static str) {
        let headers = self.request().headers();
        tracing::info!("Discarding revoked task: {}[{}]", headers.task, headers.id);
        let _ = self
            .end(Outcome::Revoked(reason), Duration::ZERO, None)
            .await;
    }

    /// Waits for `future`; at a shutdown the message goes back to its queue,
    /// and if it is revoked it ends here.
    async fn unless_stopped<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.shared().shutdown.warm() => {
                let _ = self.settlement.requeue().await;
                None
            }
            () = self.place.revoked() => {
                self.revoke("revoked").await;
                None
            }
            output = future => Some(output),
        }
    }

    /// Runs the task in its slot and settles how it ended.
    async fn run(&self, slot: Slot<'_>) -> Result<(), GaveUp> {
        let settlement = &self.settlement;
        if !settlement.acks_late() {
            settlement.ack().await?;
            self.place.acknowledge();
        }
        self.place.activate(settlement.task().name());
        self.tell(&TaskEvent::Started {});
        if self.shared().app.settings().task_track_started {
            settlement.store_started().await;
        }
        let begun = Instant::now();
        let run = limits::run(settlement.task(), settlement.context(), settlement.limits());
        let (outcome, signum) = tokio::select! {
            outcome = run => (outcome, None),
            signum = self.place.terminated() => (Outcome::Revoked("terminated"), Some(signum)),
            () = self.shared().shutdown.cold() => return self.abandon().await,
        };
        // The slot is for running: what the outcome leaves behind needs none.
        drop(slot);
        let outcome = self.unless_exhausted(self.autoretried(outcome));
        self.end(outcome, begun.elapsed(), signum).await
    }

    /// A failure of a class in `autoretry_for` is a retry.
    fn autoretried(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Failure(failure) => {
                let (options, headers) =
                    (self.settlement.task().options(), self.request().headers());
                match options.autoretry(&failure, headers.retries) {
                    Some(retry) => Outcome::Retry(retry.because(failure)),
                    None => Outcome::Failure(failure),
                }
            }
            outcome => outcome,
        }
    }

    /// A retry that is one too many is the failure that caused it.
    fn unless_exhausted(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Retry(retry) => {
                let most = retry
                    .max_retries
                    .or(self.settlement.task().options().max_retries);
                if most.is_none_or(|most| self.request().headers().retries < most) {
                    return Outcome::Retry(retry);
                }
                let exceeded = || self.settlement.max_retries_exceeded();
                Outcome::Failure(retry.exc.unwrap_or_else(exceeded))
            }
            outcome => outcome,
        }
    }

    /// Settles it, and tells of it then.
    async fn end(
        &self,
        outcome: Outcome,
        runtime: Duration,
        signum: Option<i32>,
    ) -> Result<(), GaveUp> {
        let events = match self.shared().events.enabled() {
            true => outcome::events(&self.settlement, &outcome, runtime, signum),
            false => Vec::new(),
        };
        self.settlement.settle(outcome, runtime).await?;
        events.iter().for_each(|event| self.tell(event));
        Ok(())
    }

    /// A cold shutdown: what is not acknowledged yet runs again elsewhere.
    async fn abandon(&self) -> Result<(), GaveUp> {
        let headers = self.request().headers();
        tracing::warn!("Task {}[{}] was cut off", headers.task, headers.id);
        match self.settlement.acks_late() {
            true => self.settlement.requeue().await,
            false => Ok(()),
        }
    }
}
