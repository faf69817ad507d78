//! One message's life: decode, *known? revoked?*, eta, rate limit, slot, run,
//! settle; and what monitors are told meanwhile.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::sync::OwnedSemaphorePermit;

use super::insist::Undone;
use super::metrics::Stopwatch;
use super::outcome::{Ending, Outcome, Revocation};
use super::pool::Slot;
use super::process::Lease;
use super::requests::{Place, SOFT_LIMIT};
use super::settle::{Fate, Settlement, bury};
use super::{Shared, builtins, limits, outcome};
use crate::events::TaskEvent;
use crate::message::{DecodeError, Envelope};
use crate::task::{Failure, Request, Retry, Task};
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
    tracing::info!("Task {}[{}] received", headers.shown(), headers.id);
    let stopwatch = Stopwatch::arrived(&shared.metrics, &headers.task);
    let settlement = Settlement::new(&shared, &delivery, &task, request);
    let place = shared.requests.hold(settlement.context().clone());
    let life = Life {
        settlement,
        place,
        stopwatch,
    };
    if matches!(life.pass(room).await, Some(Err(_))) {
        tracing::error!("a task could not be settled; if it is not acknowledged, it runs again");
    }
}

/// The request in a delivery; what cannot be read is kept aside.
async fn read(shared: &Shared, delivery: &Delivery) -> Option<Request> {
    let decoded = Envelope::decode(&delivery.payload).and_then(|envelope| {
        let (accept, queue, node) = place_of(shared, delivery);
        Request::new(envelope, accept, queue, node)
    });
    match decoded {
        Ok(request) => Some(request),
        Err(error) => {
            tracing::error!(queue = &*delivery.queue, "Refused a message: {error}");
            // Giving up leaves it unacknowledged, which is all there is to do.
            let _ = refuse_unreadable(shared, delivery, &error).await;
            None
        }
    }
}

/// What is accepted, the queue that a delivery was in, and who has it now.
fn place_of<'a>(shared: &'a Shared, delivery: &Delivery) -> (&'a [String], Arc<str>, Arc<str>) {
    let accept = &shared.app.settings().accept_content.0;
    let (queue, node) = (Arc::clone(&delivery.queue), Arc::clone(&shared.nodename));
    (accept, queue, node)
}

/// Keeps a message that cannot be read. If its headers can be, the task has
/// failed, and so has what waits for it; Celery leaves all of them waiting.
async fn refuse_unreadable(
    shared: &Shared,
    delivery: &Delivery,
    error: &DecodeError,
) -> Result<(), Undone> {
    let reason = error.to_string();
    let Ok(envelope) = Envelope::decode(&delivery.payload) else {
        return bury(shared, delivery, &reason).await;
    };
    let class = match error {
        DecodeError::ContentDisallowed(_) => "kombu.exceptions.ContentDisallowed",
        _ => "kombu.exceptions.DecodeError",
    };
    let (accept, queue, node) = place_of(shared, delivery);
    let request = Request::refused(envelope, accept, queue, node);
    fail_unrun(
        shared,
        delivery,
        request,
        &Failure::new(class, reason.clone()),
        &reason,
    )
    .await
}

/// As Celery's `on_unknown_task`; but what waits for the task fails with it,
/// and the message is kept.
async fn refuse_unknown(
    shared: &Shared,
    delivery: &Delivery,
    request: Request,
) -> Result<(), Undone> {
    let name = request.headers().task.clone();
    tracing::error!(
        "Received unregistered task of type '{name}'.\nThe message has been kept in the dead-letter list: {}",
        request.headers().id
    );
    let failure = Failure::new("celery.exceptions.NotRegistered", name.clone());
    let reason = format!("unregistered task {name}");
    fail_unrun(shared, delivery, request, &failure, &reason).await
}

/// Fails a task that was never run, and keeps its message for this reason.
async fn fail_unrun(
    shared: &Shared,
    delivery: &Delivery,
    request: Request,
    failure: &Failure,
    reason: &str,
) -> Result<(), Undone> {
    let event = TaskEvent::Failed {
        exception: failure.repr(),
        traceback: None,
    };
    let task = Task::unregistered(&request.headers().task);
    let settlement = Settlement::new(shared, delivery, &task, request);
    settlement.refuse(failure).await?;
    bury(shared, delivery, reason).await?;
    shared.events.task(settlement.request(), &event);
    Ok(())
}

/// A message's life between its delivery and its end.
struct Life<'a> {
    settlement: Settlement<'a>,
    place: Place<'a>,
    stopwatch: Stopwatch<'a>,
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
    async fn pass(&self, room: OwnedSemaphorePermit) -> Option<Result<(), Undone>> {
        self.unless_revoked().await?;
        self.tell(&TaskEvent::Received);
        let room = self.await_eta(room).await?;
        self.stopwatch.due();
        self.await_turn().await?;
        let slot = self.unless_stopped(self.shared().pool.slot()).await?;
        let child = self.unless_stopped(self.child()).await?;
        // What follows may compute: not among the first steps, which the
        // consumer takes.
        tokio::task::yield_now().await;
        self.unless_revoked().await?;
        self.if_still_held().await?;
        Some(self.run(slot, room, child).await)
    }

    /// Ends it here if it is not held any more: another worker runs it.
    async fn if_still_held(&self) -> Option<()> {
        loop {
            match self.settlement.may_begin() {
                Some(held) => return held.then_some(()),
                None => {
                    self.unless_stopped(self.shared().app.transport().sure())
                        .await?
                }
            }
        }
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
            self.revoke(Revocation::Expired).await;
            return None;
        }
        if self.shared().revoked.covers(self.request()) {
            self.revoke(Revocation::Revoked).await;
            return None;
        }
        Some(())
    }

    async fn revoke(&self, reason: Revocation) {
        let headers = self.request().headers();
        tracing::info!(
            "Discarding revoked task: {}[{}]",
            headers.shown(),
            headers.id
        );
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
                self.revoke(Revocation::Revoked).await;
                None
            }
            output = future => Some(output),
        }
    }

    /// The child that the task runs in, if it does not run here.
    async fn child(&self) -> Option<Lease> {
        let children = &self.shared().children;
        let mapped = builtins::mapped(self.request());
        let mapped = mapped.and_then(|name| self.shared().tasks.get(name));
        match children.run(mapped.unwrap_or(self.settlement.task())) {
            true => Some(children.lease().await),
            false => None,
        }
    }

    /// Runs the task in its slot and settles how it ended. It has its place
    /// among the prefetched, its `room`, until it has run; with a late
    /// acknowledgement, until that is done.
    async fn run(
        &self,
        slot: Slot<'_>,
        room: Option<OwnedSemaphorePermit>,
        child: Option<Lease>,
    ) -> Result<(), Undone> {
        let settlement = &self.settlement;
        if let Some(meta) = settlement.earlier_success().await? {
            return settlement.succeed_again(meta).await;
        }
        settlement.begin();
        let pid = child.as_ref().map_or_else(std::process::id, Lease::pid);
        self.place.activate(settlement.task().name(), pid);
        self.stopwatch.started();
        self.tell(&TaskEvent::Started {});
        if self.shared().app.settings().task_track_started {
            settlement.store_started(pid).await;
        }
        let begun = Instant::now();
        let run = async {
            let ended = self.ended(child).await;
            let runtime = begun.elapsed();
            // The slot is for running: what the outcome leaves behind needs none.
            drop(slot);
            let settling = self.shared().settling.acquire().await;
            let _room = room.filter(|_| settlement.acks_late());
            match ended {
                Some((outcome, signum)) => {
                    self.end(self.autoretried(outcome), runtime, signum).await?;
                }
                None => self.abandon().await?,
            }
            Ok(settling)
        };
        // As in Celery, neither the run nor what it leaves behind waits for its
        // early acknowledgement.
        let (acknowledged, settled) = tokio::join!(self.acknowledge_early(), run);
        acknowledged.and(settled.map(drop))
    }

    /// A failure of a class in `autoretry_for` is a retry, and so may be the
    /// death of a child.
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
            Outcome::WorkerLost(failure) if self.settlement.retries_when_lost() => {
                Outcome::Retry(Retry::default().because(failure))
            }
            outcome => outcome,
        }
    }

    async fn acknowledge_early(&self) -> Result<(), Undone> {
        if !self.settlement.acks_late() {
            self.settlement.ack().await?;
            self.place.acknowledge();
        }
        Ok(())
    }

    /// Runs the task: how it ended, and which signal ended it. `None`: it was
    /// cut off by a cold shutdown.
    async fn ended(&self, child: Option<Lease>) -> Option<(Outcome, Option<i32>)> {
        tokio::select! {
            biased;
            never = self.tell_when_softened() => match never {},
            // What has ended has ended, whatever else happens then.
            outcome = self.outcome(child) => Some((outcome, None)),
            signum = self.place.terminated() => Some((Outcome::Revoked(Revocation::Terminated), Some(signum))),
            () = self.shared().shutdown.cold() => None,
        }
    }

    /// Tells monitors, as Python does, that a task has been revoked which is to
    /// end as it does at its soft limit.
    async fn tell_when_softened(&self) -> Infallible {
        self.place.softened().await;
        self.tell(&TaskEvent::Revoked {
            terminated: true,
            signum: Some(SOFT_LIMIT),
            expired: false,
        });
        std::future::pending().await
    }

    async fn outcome(&self, child: Option<Lease>) -> Outcome {
        let settlement = &self.settlement;
        let (context, limits) = (settlement.context(), settlement.limits());
        match child {
            Some(child) => {
                let message = settlement.message();
                child.run(message, context, limits, &self.place).await
            }
            None => {
                let told = self.place.softened();
                limits::run(settlement.task(), context, limits, told).await
            }
        }
    }

    /// Settles it, and tells of it then.
    async fn end(
        &self,
        outcome: Outcome,
        runtime: Duration,
        signum: Option<i32>,
    ) -> Result<(), Undone> {
        let news = match self.shared().events.enabled() {
            true => outcome::news(&self.settlement, &outcome, runtime, signum),
            false => Vec::new(),
        };
        let timed_out = matches!(outcome, Outcome::TimeLimitExceeded(_));
        let ending = Ending::from(&outcome);
        let span = self.settlement.context().span();
        let reason = match &outcome {
            Outcome::Retry(retry) if span.is_recording() => {
                Some(self.settlement.retry_reason(retry))
            }
            _ => None,
        };
        let fate = self.settlement.settle(outcome, runtime).await?;
        let failure = self.settlement.failure();
        let (ending, reason, news) = match failure {
            Some(failure) => {
                let news = outcome::failed(&self.settlement, failure, timed_out);
                (Ending::Failed, None, news)
            }
            None => (ending, reason, news),
        };
        self.stopwatch.ended(ending, runtime);
        span.end(self.request(), ending.state(), reason, failure);
        news.iter().for_each(|event| self.tell(event));
        match fate {
            Fate::Settled => Ok(()),
            Fate::GoesBack => self.settlement.requeue().await,
        }
    }

    /// A cold shutdown: what is not acknowledged yet runs again elsewhere; of
    /// the rest it is told that it might be.
    async fn abandon(&self) -> Result<(), Undone> {
        let headers = self.request().headers();
        tracing::warn!("Task {}[{}] was cut off", headers.shown(), headers.id);
        self.tell(&TaskEvent::Cancelled {});
        match self.settlement.acks_late() {
            true => self.settlement.requeue().await,
            false => self.settlement.cancel().await,
        }
    }
}
