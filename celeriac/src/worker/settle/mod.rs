//! What a run leaves behind: result, retry, followers; and then, only then,
//! the acknowledgement.
//!
//! - [`Settlement`]: a request, and what each way to end leaves behind
//! - `failing`, `retry`: the two that leave most
//! - `follow`, `errback`, `chord`: who goes on, or fails, with it
//! - `store`: what the result backend is told; `delivery`: what becomes of the
//!   message; `acks`: when it is acknowledged

mod acks;
mod chord;
mod delivery;
mod errback;
mod failing;
mod follow;
mod retry;
mod store;

pub(super) use delivery::{bury, requeue};

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::Shared;
use super::insist::{Undone, insist_on_result};
use super::limits::Limits;
use super::outcome::{Fate, Outcome, Revocation, rejection};
use super::tuning::Tuning;
use crate::broker::Delivery;
use crate::canvas::{Options, Signature};
use crate::failure::Failure;
use crate::message::Request;
use crate::results::{TaskMeta, states};
use crate::task::{Context, Task, replacement};
use crate::value::saferepr;

/// A request and all that settling it needs.
pub(super) struct Settlement<'a> {
    shared: &'a Shared,
    delivery: &'a Delivery,
    task: &'a Task,
    context: Context,
    /// What it failed with, whatever the run's outcome was.
    failure: OnceLock<Failure>,
    /// Whether its run has begun.
    begun: AtomicBool,
    /// Whether what follows a success has been sent.
    followed: AtomicBool,
    /// Whether those who depend on it know that it has failed.
    told: AtomicBool,
}

impl<'a> Settlement<'a> {
    pub fn new(
        shared: &'a Shared,
        delivery: &'a Delivery,
        task: &'a Task,
        context: Context,
    ) -> Self {
        Self {
            context,
            shared,
            delivery,
            task,
            failure: OnceLock::new(),
            begun: AtomicBool::new(false),
            followed: AtomicBool::new(false),
            told: AtomicBool::new(false),
        }
    }

    /// Says that its run begins.
    pub fn begin(&self) {
        self.context.span().begin(self.request());
        self.begun.store(true, Ordering::Relaxed);
    }

    /// What it has sent, as result tuples; `None` if it has not run.
    pub fn children(&self) -> Option<Vec<Value>> {
        let begun = self.begun.load(Ordering::Relaxed);
        begun.then(|| self.context.children())
    }

    /// What it has failed with, if it has: a run may end well and its
    /// followers be impossible to send.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.get()
    }

    pub fn shared(&self) -> &'a Shared {
        self.shared
    }

    pub fn task(&self) -> &'a Task {
        self.task
    }

    pub fn context(&self) -> &Context {
        &self.context
    }

    pub fn request(&self) -> &Request {
        self.context.request()
    }

    pub fn limits(&self) -> Limits {
        let tuning = self.shared.tunings.of(self.task.name());
        Limits::of(&self.context, self.task, tuning.and_then(Tuning::time))
    }

    /// What an earlier delivery has stored, if it was a success and
    /// `worker_deduplicate_successful_tasks` asks for it: such a task must not
    /// run again.
    pub async fn earlier_success(&self) -> Result<Option<TaskMeta>, Undone> {
        let app = &self.shared.app;
        let asked = app.settings().worker_deduplicate_successful_tasks;
        if !asked || !self.acks_late() {
            return Ok(None);
        }
        let Ok(store) = app.lookup() else {
            return Ok(None);
        };
        if !self.request().message.redelivered() {
            return Ok(None);
        }
        let get = || store.get(self.context.id());
        let read = insist_on_result(self.shared, "read a result", get);
        let meta = match Box::pin(read).await {
            Err(Undone::Lasts(error)) => {
                let id = self.context.id();
                tracing::warn!(%error, "cannot tell whether {id} has succeeded before; it runs");
                None
            }
            read => read?,
        };
        Ok(meta.filter(|meta| meta.status == states::SUCCESS))
    }

    /// Ends a task that has succeeded before. What follows it is sent unless
    /// its result lists that as sent.
    pub async fn succeed_again(&self, meta: TaskMeta) -> Result<(), Undone> {
        if meta.children.is_none_or(|children| children.is_empty()) {
            let sent = match self.send_followers(&meta.result).await {
                Ok(planned) => planned.map_err(Undone::Lasts),
                Err(undone) => Err(undone),
            };
            self.or_log("send what follows", sent)?;
        }
        self.end(true).await?;
        self.log(format_args!("already completed successfully."));
        Ok(())
    }

    /// Leaves behind what the `outcome` of a run of so much time asks for. What
    /// cannot be left behind, however often it is tried, fails the task.
    ///
    /// # Errors
    /// [`Undone`] leaves the message unacknowledged, to be run again.
    pub async fn settle(&self, outcome: Outcome, runtime: Duration) -> Result<Fate, Undone> {
        match self.leave_behind(outcome, runtime).await {
            Err(Undone::Lasts(error)) => {
                Box::pin(self.fail_for_good(error)).await?;
                Ok(Fate::Settled)
            }
            left => left,
        }
    }

    /// Whether it is done; what cannot be done is logged, and not tried again.
    fn or_log(&self, what: &str, done: Result<(), Undone>) -> Result<bool, Undone> {
        match done {
            Err(Undone::Lasts(error)) => {
                self.log_error(format_args!("cannot {what}: {error}"));
                Ok(false)
            }
            done => done.map(|()| true),
        }
    }

    async fn leave_behind(&self, outcome: Outcome, runtime: Duration) -> Result<Fate, Undone> {
        match outcome {
            Outcome::Success(value) => self.succeed(value, runtime).await?,
            // Every run takes the memory of the largest way to settle it; what
            // happens seldom takes its own when it happens.
            other => return Box::pin(self.leave_otherwise(other)).await,
        }
        Ok(Fate::Settled)
    }

    async fn leave_otherwise(&self, outcome: Outcome) -> Result<Fate, Undone> {
        match outcome {
            Outcome::Success(value) => self.succeed(value, Duration::ZERO).await?,
            Outcome::Failure(failure) => self.fail(failure).await?,
            Outcome::TimeLimitExceeded(limit) => return self.time_out(limit).await,
            Outcome::WorkerLost(failure) => return self.lose(failure).await,
            Outcome::Retry(retry) => self.retry(*retry).await?,
            Outcome::Replace(signature) => self.replace(*signature).await?,
            Outcome::Reject { reason, requeue } => return self.reject(&reason, requeue).await,
            Outcome::Ignore => self.ignore().await?,
            Outcome::Revoked(reason) => self.revoke(reason).await?,
        }
        Ok(Fate::Settled)
    }

    async fn succeed(&self, value: Value, runtime: Duration) -> Result<(), Undone> {
        if let Err(error) = self.shared.app.settings().result_serializer.check(&value) {
            let class = "kombu.exceptions.EncodeError";
            return Box::pin(self.fail(Failure::new(class, error.to_string()))).await;
        }
        // Sent before the result is stored, so that it lists them as children.
        if let Err(error) = self.send_followers(&value).await? {
            return Box::pin(self.fail(Failure::from(error))).await;
        }
        self.followed.store(true, Ordering::Relaxed);
        let shown = saferepr::value(&value);
        let member = self.member();
        let for_chord = member.as_ref().map(|_| value.clone());
        if !self.ignores_result() {
            self.store(states::SUCCESS, value, None).await?;
        }
        if let Some(value) = for_chord {
            Box::pin(self.count(member, states::SUCCESS, &value)).await?;
        }
        self.end(true).await?;
        let runtime = runtime.as_secs_f64();
        self.log(format_args!("succeeded in {runtime}s: {shown}"));
        Ok(())
    }

    async fn ignore(&self) -> Result<(), Undone> {
        self.end(true).await?;
        self.log(format_args!("ignored"));
        Ok(())
    }

    /// Sends a canvas that takes over this task's id and all that waits for it.
    async fn replace(&self, signature: Signature) -> Result<(), Undone> {
        let request = self.request();
        let on_header = self
            .shared
            .app
            .settings()
            .task_allow_error_cb_on_chord_header;
        let replaced = replacement(signature, request.headers(), &request.body, on_header);
        let signature = match replaced {
            Ok(signature) => signature,
            Err(failure) => return self.fail(failure).await,
        };
        let sent = self.send_as_parent(|plan| {
            plan.apply(signature, &[], Options::default())?;
            Ok(())
        });
        if let Err(error) = sent.await? {
            return self.fail(Failure::from(error)).await;
        }
        self.end(true).await?;
        self.log(format_args!("ignored"));
        Ok(())
    }

    async fn reject(&self, reason: &str, requeue: bool) -> Result<Fate, Undone> {
        if !requeue {
            // It never runs again: nobody is to wait for it.
            self.fail_for_others(&rejection(reason), None).await?;
        }
        let headers = self.request().headers();
        let python = if requeue { "True" } else { "False" };
        tracing::warn!(
            "Task {}[{}] reject requeue={python}: {reason}",
            headers.shown(),
            headers.id
        );
        // What was acknowledged early is gone: as in Celery, nothing is left to refuse.
        match (self.acks_late(), requeue) {
            (true, true) => return Ok(Fate::GoesBack),
            (true, false) => bury(self.shared, self.delivery, reason).await?,
            (false, _) => {}
        }
        Ok(Fate::Settled)
    }

    async fn revoke(&self, reason: Revocation) -> Result<(), Undone> {
        let failure = Failure::new("celery.exceptions.TaskRevokedError", reason.as_str());
        let exception = failure.to_meta();
        if self.stores_errors() {
            self.store(states::REVOKED, exception.clone(), None).await?;
        }
        self.count(self.member(), states::REVOKED, &exception)
            .await?;
        self.ack().await
    }

    /// Stores of a run that was cut off what Celery does: `RETRY`, though
    /// nobody runs it again.
    pub async fn cancel(&self) -> Result<(), Undone> {
        // The arguments that Python's exception gives itself.
        let args = vec![
            "Retry(Retry(...), None, None)".into(),
            Value::Null,
            Value::Null,
        ];
        let failure = Failure::with_args("celery.exceptions.Retry", args);
        match self.ignores_result() {
            true => Ok(()),
            false => self.store(states::RETRY, failure.to_meta(), None).await,
        }
    }

    fn log(&self, how: fmt::Arguments<'_>) {
        let headers = self.request().headers();
        tracing::info!("Task {}[{}] {how}", headers.shown(), headers.id);
    }

    fn log_error(&self, how: fmt::Arguments<'_>) {
        let headers = self.request().headers();
        tracing::error!("Task {}[{}] {how}", headers.shown(), headers.id);
    }
}
