//! One message's life: decode, *known? revoked?*, eta, rate limit, slot, run,
//! settle; and what monitors are told meanwhile.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;

use super::insist::Undone;
use super::metrics::Stopwatch;
use super::outcome::{Ending, Fate, Outcome, Revocation};
use super::pool::Slot;
use super::process::Lease;
use super::requests::{Place, SOFT_LIMIT};
use super::settle::{Settlement, bury, requeue};
use super::tuning::Tuning;
use super::{Shared, builtins, limits, outcome};
use crate::broker::Delivery;
use crate::events::TaskEvent;
use crate::task::{AllHooks, Context, Ended, Failure, Request, Retry, Task};
use crate::value::DecodeError;

/// Carries a message from its delivery to its end. `room` is its place among
/// the prefetched.
pub(super) async fn live(shared: Arc<Shared>, delivery: Delivery, room: OwnedSemaphorePermit) {
    let delivery = Arc::new(delivery);
    let (message, context) = match receive(&shared, &delivery) {
        Ok(received) => received,
        Err(refusing) => {
            // Giving up leaves it unacknowledged, which is all there is to do.
            let _ = refusing.await;
            return;
        }
    };
    if matches!(message.pass(context, room).await, Some(Err(_))) {
        tracing::error!("a task could not be settled; if it is not acknowledged, it runs again");
    }
}

/// What a message asks for, if it can be read and a task is registered for it;
/// else what there is to do about that.
fn receive<'a>(
    shared: &'a Shared,
    delivery: &'a Arc<Delivery>,
) -> Result<(Arrival<'a>, Context), BoxFuture<'a, Result<(), Undone>>> {
    let request = match read(shared, delivery) {
        Ok(request) => request,
        Err(error) => {
            tracing::error!(queue = &*delivery.queue, "Refused a message: {error}");
            return Err(Box::pin(refuse_unreadable(shared, delivery, error)));
        }
    };
    let headers = request.headers();
    let Some(task) = shared.tasks.get(&headers.task) else {
        return Err(Box::pin(refuse_unknown(shared, delivery, request)));
    };
    tracing::info!("Task {}[{}] received", headers.shown(), headers.id);
    let stopwatch = Stopwatch::arrived(&shared.metrics, &headers.task);
    let context = Context::new(shared.app.clone(), request, shared.registry());
    let message = Arrival {
        shared,
        delivery,
        task,
        place: shared.requests.hold(context.clone()),
        stopwatch,
    };
    Ok((message, context))
}

/// The request in a delivery.
fn read(shared: &Shared, delivery: &Delivery) -> Result<Request, DecodeError> {
    let (accept, queue, node) = place_of(shared, delivery);
    Request::new(delivery.content.read()?, accept, queue, node)
}

/// What is accepted, the queue that a delivery was in, and who has it now.
fn place_of<'a>(shared: &'a Shared, delivery: &Delivery) -> (&'a [String], Arc<str>, Arc<str>) {
    let accept = &shared.app.settings().accept_content.0;
    let (queue, node) = (Arc::clone(&delivery.queue), Arc::clone(&shared.nodename));
    (accept, queue, node)
}

/// Keeps a message that cannot be read. If it can be told whose it is, the task
/// has failed, and so has what waits for it; Celery leaves all of them waiting.
async fn refuse_unreadable(
    shared: &Shared,
    delivery: &Delivery,
    error: DecodeError,
) -> Result<(), Undone> {
    let reason = error.to_string();
    let Some(message) = delivery.content.salvage() else {
        return bury(shared, delivery, &reason).await;
    };
    let class = match error {
        DecodeError::ContentDisallowed(_) => "kombu.exceptions.ContentDisallowed",
        _ => "kombu.exceptions.DecodeError",
    };
    let (accept, queue, node) = place_of(shared, delivery);
    let request = Request::refused(message, accept, queue, node);
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
    let context = Context::new(shared.app.clone(), request, shared.registry());
    let settlement = Settlement::new(shared, delivery, &task, context);
    settlement.refuse(failure).await?;
    bury(shared, delivery, reason).await?;
    shared.events.task(settlement.request(), &event);
    Ok(())
}

/// A message that is held, and what the worker knows of it without its request.
struct Arrival<'a> {
    shared: &'a Shared,
    delivery: &'a Arc<Delivery>,
    task: &'a Task,
    place: Place<'a>,
    stopwatch: Stopwatch<'a>,
}

impl<'a> Arrival<'a> {
    /// All of its life. `None`: it has ended before it ran.
    async fn pass(
        &self,
        context: Context,
        room: OwnedSemaphorePermit,
    ) -> Option<Result<(), Undone>> {
        let context = self.unless_revoked(context).await?;
        let received = &TaskEvent::Received;
        self.shared.events.task(context.request(), received);
        let (context, room) = self.await_eta(context, room).await?;
        self.stopwatch.due();
        self.await_turn().await?;
        let slot = self.unless_stopped(self.shared.pool.slot()).await?;
        let context = match context {
            Some(context) => context,
            None => self.take_up()?,
        };
        // Few of those that wait run at the same time: what a run needs is not
        // kept for the others.
        Box::pin(self.start(context, slot, room)).await
    }

    /// Waits until the request may run. Up to `worker_eta_task_limit` of those
    /// who wait give up their place among the prefetched: what is held takes
    /// no room from what can run. Their requests are laid aside, since many
    /// may wait, and for long: what is read takes three times what it is read
    /// from.
    async fn await_eta(
        &self,
        context: Context,
        room: OwnedSemaphorePermit,
    ) -> Option<(Option<Context>, Option<OwnedSemaphorePermit>)> {
        let eta = context.request().eta;
        let wait = eta.and_then(|eta| (eta - Utc::now()).to_std().ok());
        let Some(wait) = wait else {
            return Some((Some(context), Some(room)));
        };
        let held = self.shared.held.try_acquire();
        let room = held.is_err().then_some(room);
        drop(context);
        self.place.schedule(self.delivery);
        self.unless_stopped(tokio::time::sleep(wait)).await?;
        self.place.reserve();
        Some((None, room))
    }

    /// Waits until the task's rate limit lets it start.
    async fn await_turn(&self) -> Option<()> {
        let tuning = self.shared.tunings.of(self.task.name());
        match tuning.and_then(Tuning::turn) {
            Some(turn) => Box::pin(self.unless_stopped(turn)).await,
            None => Some(()),
        }
    }

    /// Reads a request that was laid aside.
    fn take_up(&self) -> Option<Context> {
        // It was read before, from the same bytes.
        let request = read(self.shared, self.delivery).ok()?;
        let shared = self.shared;
        let context = Context::new(shared.app.clone(), request, shared.registry());
        self.place.take_up(context.clone());
        Some(context)
    }

    fn life(&self, context: Context) -> Life<'_> {
        Life {
            settlement: Settlement::new(self.shared, self.delivery, self.task, context),
            message: self,
        }
    }

    /// Runs it in its slot, unless that is not wanted any more.
    async fn start(
        &self,
        context: Context,
        slot: Slot<'_>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Option<Result<(), Undone>> {
        let life = self.life(context.clone());
        let child = self.unless_stopped(life.child()).await?;
        // What follows may compute: not among the first steps, which the
        // consumer takes.
        tokio::task::yield_now().await;
        self.unless_revoked(context).await?;
        self.if_still_held().await?;
        Some(life.run(slot, room, child).await)
    }

    /// Ends it here if it is not held any more: another worker runs it.
    async fn if_still_held(&self) -> Option<()> {
        let consumer = &self.shared.consumer;
        loop {
            match consumer.begin(&self.delivery.tag) {
                Some(held) => return held.then_some(()),
                None => self.unless_stopped(consumer.sure()).await?,
            }
        }
    }

    /// Ends it here if it has been revoked, or has expired.
    async fn unless_revoked(&self, context: Context) -> Option<Context> {
        let request = context.request();
        if request.expires.is_some_and(|expires| Utc::now() > expires) {
            self.shared.revoked.add([&request.headers().id]);
            self.revoke(context, Revocation::Expired).await;
            return None;
        }
        if self.shared.revoked.covers(request) {
            self.revoke(context, Revocation::Revoked).await;
            return None;
        }
        Some(context)
    }

    async fn revoke(&self, context: Context, reason: Revocation) {
        let headers = context.headers();
        tracing::info!(
            "Discarding revoked task: {}[{}]",
            headers.shown(),
            headers.id
        );
        let life = self.life(context);
        let end = life.end(Outcome::Revoked(reason), Duration::ZERO, None);
        let _ = Box::pin(end).await;
    }

    /// Waits for `future`; at a shutdown the message goes back to its queue,
    /// and if it is revoked it ends here.
    async fn unless_stopped<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        // What is ready needs nobody to tell of anything else.
        let stopped = self.shared.shutdown.is_warm() || self.place.is_stopped();
        if !stopped && let Some(output) = (&mut future).now_or_never() {
            return Some(output);
        }
        tokio::select! {
            biased;
            () = self.shared.shutdown.warm() => {
                let _ = Box::pin(requeue(self.shared, &self.delivery.tag)).await;
                None
            }
            () = self.place.revoked() => {
                if let Some(context) = self.take_up() {
                    Box::pin(self.revoke(context, Revocation::Revoked)).await;
                }
                None
            }
            output = &mut future => Some(output),
        }
    }
}

/// The life of a message that runs, or that is settled without.
struct Life<'a> {
    settlement: Settlement<'a>,
    message: &'a Arrival<'a>,
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
            return Box::pin(settlement.succeed_again(meta)).await;
        }
        settlement.begin();
        let pid = child.as_ref().map_or_else(std::process::id, Lease::pid);
        self.message.place.activate(settlement.task().name(), pid);
        self.message.stopwatch.started();
        self.tell(&TaskEvent::Started {});
        let track = settlement.task().options().track_started;
        if track.unwrap_or(self.shared().app.settings().task_track_started) {
            Box::pin(settlement.store_started(pid)).await;
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
                None => Box::pin(self.abandon()).await?,
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
                    Some(retry) => Outcome::Retry(Box::new(retry.because(failure))),
                    None => Outcome::Failure(failure),
                }
            }
            Outcome::WorkerLost(failure) if self.settlement.retries_when_lost() => {
                Outcome::Retry(Box::new(Retry::default().because(failure)))
            }
            outcome => outcome,
        }
    }

    async fn acknowledge_early(&self) -> Result<(), Undone> {
        if !self.settlement.acks_late() {
            self.settlement.ack().await?;
            self.message.place.acknowledge();
        }
        Ok(())
    }

    /// Runs the task: how it ended, and which signal ended it. `None`: it was
    /// cut off by a cold shutdown.
    async fn ended(&self, child: Option<Lease>) -> Option<(Outcome, Option<i32>)> {
        let place = &self.message.place;
        let mut told = false;
        let softened = async {
            place.softened().await;
            self.tell_of_soft_limit();
            told = true;
            std::future::pending::<Infallible>().await
        };
        let ended = tokio::select! {
            biased;
            never = softened => match never {},
            // What has ended has ended, whatever else happens then.
            outcome = self.outcome(child) => Some((outcome, None)),
            signum = place.terminated() => Some((Outcome::Revoked(Revocation::Terminated), Some(signum))),
            () = self.shared().shutdown.cold() => None,
        };
        // The task may have seen it first, and ended.
        if place.is_softened() && !told {
            self.tell_of_soft_limit();
        }
        ended
    }

    /// Tells monitors, as Python does, that a task has been revoked which is to
    /// end as it does at its soft limit.
    fn tell_of_soft_limit(&self) {
        self.tell(&TaskEvent::Revoked {
            terminated: true,
            signum: Some(SOFT_LIMIT),
            expired: false,
        });
    }

    async fn outcome(&self, child: Option<Lease>) -> Outcome {
        let settlement = &self.settlement;
        let (context, limits) = (settlement.context(), settlement.limits());
        let hooks = settlement.task().all_hooks();
        if !hooks.is_empty()
            && let Err(error) = Box::pin(hooks.before_start(context)).await
        {
            return Outcome::from(Err(error));
        }
        match child {
            Some(child) => {
                let run = child.run(context, limits, &self.message.place);
                Box::pin(run).await
            }
            None => {
                let told = self.message.place.softened();
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
        let hooks = self.settlement.task().all_hooks();
        let told = (!hooks.is_empty()).then(|| Box::new(outcome.clone()));
        let fate = self.settlement.settle(outcome, runtime).await?;
        let failure = self.settlement.failure();
        if let Some(outcome) = told {
            Box::pin(self.tell_hooks(hooks, &outcome, failure)).await;
        }
        let (ending, reason, news) = match failure {
            Some(failure) => {
                let news = outcome::failed(&self.settlement, failure, timed_out);
                (Ending::Failed, None, news)
            }
            None => (ending, reason, news),
        };
        self.message.stopwatch.ended(ending, runtime);
        span.end(self.request(), ending.state(), reason, failure);
        news.iter().for_each(|event| self.tell(event));
        match fate {
            Fate::Settled => Ok(()),
            Fate::GoesBack => requeue(self.shared(), &self.message.delivery.tag).await,
        }
    }

    /// Tells the task's hooks how it has ended. `failure`: what it has failed
    /// with in the end, perhaps not before what it leaves behind was written.
    async fn tell_hooks(&self, hooks: &AllHooks, outcome: &Outcome, failure: Option<&Failure>) {
        let context = self.settlement.context();
        match (failure, outcome) {
            (Some(failure), _) => hooks.ended(context, Ended::Failure(failure)).await,
            (None, Outcome::Success(result)) => hooks.ended(context, Ended::Success(result)).await,
            (None, Outcome::Retry(retry)) => hooks.retried(context, retry).await,
            _ => {}
        }
    }

    /// A cold shutdown: what is not acknowledged yet runs again elsewhere; of
    /// the rest it is told that it might be.
    async fn abandon(&self) -> Result<(), Undone> {
        let headers = self.request().headers();
        tracing::warn!("Task {}[{}] was cut off", headers.shown(), headers.id);
        self.tell(&TaskEvent::Cancelled {});
        match self.settlement.acks_late() {
            true => requeue(self.shared(), &self.message.delivery.tag).await,
            false => self.settlement.cancel().await,
        }
    }
}
