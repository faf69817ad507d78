//! What a run leaves behind: result, retry, followers; and then, only then,
//! the acknowledgement.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};

use super::Shared;
use super::errback::Failed;
use super::insist::{Undone, insist, insist_on_result};
use super::limits::Limits;
use super::outcome::{Outcome, Revocation, rejection};
use super::tuning::Tuning;
use crate::broker::{Delivery, Outgoing, Settled, Tag};
use crate::canvas::{Options, Promises, Signature};
use crate::client::lay_over;
use crate::client::sending::Sending;
use crate::error::Error;
use crate::message::{Body, Message};
use crate::results::{TaskMeta, states};
use crate::task::{Context, FailedRequest, Failure, Request, Retry, Task, replacement};
use crate::value::{isoformat, repr, saferepr};

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

    /// Fails it, and all that depend on it, because of what cannot be left
    /// behind. If even that cannot be stored, the message is kept.
    async fn fail_for_good(&self, error: Error) -> Result<(), Undone> {
        self.log_error(format_args!("cannot be settled: {error}"));
        let reason = error.to_string();
        let failure = Failure::from(error);
        let mut stored = true;
        if self.stores_errors() {
            let meta = failure.to_meta();
            let traceback = Some(failure.traceback());
            let done = self.store(states::FAILURE, meta, traceback).await;
            stored = self.or_log("store its failure", done)?;
        }
        self.fail_dependents(&failure, None).await?;
        // It fails only once.
        let _ = self.failure.set(failure);
        if stored {
            return self.end(self.acks_on_failure()).await;
        }
        let reason = format!("its result cannot be stored: {reason}");
        bury(self.shared, self.delivery, &reason).await
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

    async fn fail(&self, failure: Failure) -> Result<(), Undone> {
        let traceback = failure.traceback();
        self.fail_with(failure, Some(traceback)).await
    }

    /// Celery stores no traceback here: the task was not asked.
    async fn time_out(&self, limit: f64) -> Result<Fate, Undone> {
        let class = "billiard.exceptions.TimeLimitExceeded";
        // A whole number is written without a fraction, as Python has it.
        let limit: Value = match limit.fract() {
            0.0 => (limit as i64).into(),
            _ => limit.into(),
        };
        let headers = self.request().headers();
        tracing::error!(
            "Hard time limit ({limit}s) exceeded for {}[{}]",
            headers.shown(),
            headers.id
        );
        self.record_failure(Failure::with_args(class, vec![limit]), None)
            .await?;
        if self.acks_late() && !self.acks_on_timeout() {
            return Ok(Fate::GoesBack);
        }
        self.end(true).await?;
        Ok(Fate::Settled)
    }

    async fn ignore(&self) -> Result<(), Undone> {
        self.end(true).await?;
        self.log(format_args!("ignored"));
        Ok(())
    }

    /// Its child died: it runs again if it shall, or has failed.
    async fn lose(&self, failure: Failure) -> Result<Fate, Undone> {
        if self.requeues_when_lost() {
            self.log_error(format_args!("goes back to its queue: {failure}"));
            return Ok(Fate::GoesBack);
        }
        self.log_error(format_args!("raised unexpected: {}", failure.repr()));
        self.fail_with(failure, None).await?;
        Ok(Fate::Settled)
    }

    async fn fail_with(&self, failure: Failure, traceback: Option<String>) -> Result<(), Undone> {
        self.record_failure(failure, traceback).await?;
        self.end(self.acks_on_failure()).await
    }

    /// Stores it, and tells all that depend on it.
    async fn record_failure(
        &self,
        failure: Failure,
        traceback: Option<String>,
    ) -> Result<(), Undone> {
        self.fail_for_others(&failure, traceback.as_deref()).await?;
        if let Some(traceback) = traceback {
            let (shown, traceback) = (failure.repr(), traceback.trim_end());
            self.log_error(format_args!("raised unexpected: {shown}\n{traceback}"));
        }
        // It fails only once.
        let _ = self.failure.set(failure);
        Ok(())
    }

    /// Fails it though it was never run, whether anybody asked for its result
    /// or not.
    pub async fn refuse(&self, failure: &Failure) -> Result<(), Undone> {
        let stored = self.store(states::FAILURE, failure.to_meta(), None).await;
        self.or_log("store its failure", stored)?;
        self.fail_dependents(failure, None).await
    }

    /// Stores a failure, and has all that depend on the task fail with it.
    async fn fail_for_others(
        &self,
        failure: &Failure,
        traceback: Option<&str>,
    ) -> Result<(), Undone> {
        if self.stores_errors() {
            let traceback = traceback.map(str::to_owned);
            self.store(states::FAILURE, failure.to_meta(), traceback)
                .await?;
        }
        self.fail_dependents(failure, traceback).await
    }

    async fn fail_dependents(
        &self,
        failure: &Failure,
        traceback: Option<&str>,
    ) -> Result<(), Undone> {
        if self.told.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let counted = self.count_failed(failure).await;
        self.or_log("tell its chord", counted)?;
        let embed = &self.request().body.embed;
        let chain = embed.chain.as_ref();
        if let Some(chain) = chain.filter(|_| !self.followed.load(Ordering::Relaxed)) {
            let state = states::FAILURE;
            let failed = Failed {
                state,
                failure,
                traceback,
            };
            let told = self.fail_chain(chain, &failed, self.stores_errors()).await;
            self.or_log("fail the rest of its chain", told)?;
        }
        if let Some(errbacks) = &embed.errbacks {
            let request = FailedRequest::from(self.request());
            let called = self
                .call_errbacks(&request, errbacks, failure, traceback)
                .await;
            self.or_log("call its errbacks", called)?;
        }
        Ok(())
    }

    /// Counts it as a failed member of its chord; if its failure is what cannot
    /// be counted, with the reason for that in its place.
    async fn count_failed(&self, failure: &Failure) -> Result<(), Undone> {
        let count = async |meta: Value| self.count(self.member(), states::FAILURE, &meta).await;
        match count(failure.to_meta()).await {
            Err(Undone::Lasts(error)) => count(Failure::from(error).to_meta()).await,
            counted => counted,
        }
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

    /// Sends the same message again with one retry more, or gives up.
    async fn retry(&self, mut retry: Retry) -> Result<(), Undone> {
        let headers = self.request().headers();
        if !self.has_retries(retry.max_retries) {
            let failure = retry.exc.unwrap_or_else(|| self.max_retries_exceeded());
            return self.fail(failure).await;
        }
        let mut message = match self.with_new_arguments(&retry) {
            Ok(message) => message,
            Err(error) => return self.fail(Failure::from(Error::from(error))).await,
        };
        message.headers.retries += 1;
        let countdown = Some(self.countdown(&retry)).filter(|countdown| !countdown.is_zero());
        let eta = retry
            .eta
            .or(countdown.map(|countdown| Utc::now() + countdown));
        message.headers.eta = eta.map(|eta| isoformat(&eta));
        let options = std::mem::take(&mut retry.options);
        let (queue, expiration) = (options.queue.clone(), options.expiration());
        lay_over(&mut message, options);
        let expiration = expiration.or_else(|| message.headers.expiration());
        message.properties.expiration = expiration.map(Value::from);
        let ignores_result = self.ignores_result();
        message.headers.ignore_result.get_or_insert(ignores_result);
        message.headers.extra.remove("redelivered");
        message.delivery_info.redelivered = None;
        self.context.trace().replace(&mut message.headers.extra);
        let queue = match queue {
            Some(queue) => {
                let info = &mut message.delivery_info;
                (info.exchange, info.routing_key) = (String::new(), Some(queue.clone()));
                queue
            }
            None => self.request().queue.to_string(),
        };
        // Python sends the retry from within the task, which thus becomes its
        // own child, and its own parent if it has no other.
        let id = headers.id.clone();
        let mut promises = Promises::default();
        let itself = promises.task(&id);
        self.context.add_children([promises.tuple(itself)]);
        message.headers.parent_id.get_or_insert(id);
        let reason = self.retry_reason(&retry);
        if self.stores_errors() {
            let result = retry.exc.as_ref().map_or(Value::Null, Failure::to_meta);
            let traceback =
                format!("Traceback (most recent call last):\ncelery.exceptions.Retry: {reason}\n");
            self.store(states::RETRY, result, Some(traceback)).await?;
        }
        // To this worker alone, even if it came to all.
        let outgoing = Outgoing::direct(queue, message);
        self.submit(&Sending::message(outgoing)).await?;
        self.end(true).await?;
        self.log(format_args!("retry: {reason}"));
        Ok(())
    }

    /// The message with the arguments of its next run.
    fn with_new_arguments(&self, retry: &Retry) -> Result<Message, serde_json::Error> {
        let Request { message, body, .. } = self.request();
        let mut message = message.clone();
        let arguments = retry.arguments(self.task.parameters(), &body.args, &body.kwargs);
        if let Some((args, kwargs)) = arguments {
            message.headers.argsrepr = Some(saferepr::args(&args));
            message.headers.kwargsrepr = Some(saferepr::kwargs(&kwargs));
            let embed = body.embed.clone();
            message.rewrite(&Body {
                args,
                kwargs,
                embed,
            })?;
        }
        Ok(message)
    }

    /// How long a retry waits that names no time.
    fn countdown(&self, retry: &Retry) -> Duration {
        let delay = self.task.options().default_retry_delay;
        let delay = || Duration::try_from_secs_f64(delay).unwrap_or_default();
        retry.countdown.unwrap_or_else(delay)
    }

    /// `Retry in 5s: ValueError('not yet')`, as `celery.exceptions.Retry` says it.
    pub fn retry_reason(&self, retry: &Retry) -> String {
        let exc = retry.exc.as_ref();
        let cause = exc.map(|exc| format!(": {}", exc.repr()));
        let cause = cause.unwrap_or_default();
        match retry.eta {
            Some(eta) => format!("Retry at {}{cause}", isoformat(&eta).replace('T', " ")),
            None => format!("Retry in {}s{cause}", self.countdown(retry).as_secs_f64()),
        }
    }

    fn max_retries_exceeded(&self) -> Failure {
        let headers = self.request().headers();
        let text = format!(
            "Can't retry {}[{}] args:{} kwargs:{}",
            headers.task,
            headers.id,
            repr::args(&self.request().body.args),
            repr::kwargs(&self.request().body.kwargs),
        );
        Failure::new("celery.exceptions.MaxRetriesExceededError", text)
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

    /// Settles a late acknowledgement; an early one is long done.
    async fn end(&self, acknowledge: bool) -> Result<(), Undone> {
        match (self.acks_late(), acknowledge) {
            (false, _) => Ok(()),
            (true, true) => self.ack().await,
            (true, false) => {
                let reason = "failed, and task_acks_on_failure is off";
                Box::pin(bury(self.shared, self.delivery, reason)).await
            }
        }
    }

    fn ignores_result(&self) -> bool {
        let asked = self.request().headers().ignore_result;
        let settings = self.shared.app.settings();
        asked
            .or(self.task.options().ignore_result)
            .unwrap_or(settings.task_ignore_result)
    }

    fn stores_errors(&self) -> bool {
        !self.ignores_result() || self.shared.app.settings().task_store_errors_even_if_ignored
    }

    /// Tells that the task runs. It only informs: a fault stops nothing.
    pub async fn store_started(&self, pid: u32) {
        let Some(store) = self
            .shared
            .app
            .result_store()
            .filter(|_| !self.ignores_result())
        else {
            return;
        };
        let hostname = &*self.request().hostname;
        let process = json!({"pid": pid, "hostname": hostname});
        let meta = self.context.meta(states::STARTED, process, None);
        if let Err(error) = store.store(&meta).await {
            tracing::warn!(%error, "cannot store that {} has started", self.context.id());
        }
    }

    async fn store(
        &self,
        state: &str,
        result: Value,
        traceback: Option<String>,
    ) -> Result<(), Undone> {
        let meta = self.context.meta(state, result, traceback);
        store(self.shared, &meta).await
    }

    pub async fn ack(&self) -> Result<(), Undone> {
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

    fn log(&self, how: fmt::Arguments<'_>) {
        let headers = self.request().headers();
        tracing::info!("Task {}[{}] {how}", headers.shown(), headers.id);
    }

    fn log_error(&self, how: fmt::Arguments<'_>) {
        let headers = self.request().headers();
        tracing::error!("Task {}[{}] {how}", headers.shown(), headers.id);
    }
}

/// What becomes of a message whose run has ended.
#[must_use]
pub(super) enum Fate {
    /// Nothing is left of it.
    Settled,
    /// It goes back to its queue, but not before monitors have been told why:
    /// whoever takes it tells them of its next run.
    GoesBack,
}

/// Stores a result, if results are kept.
pub(super) async fn store(shared: &Shared, meta: &TaskMeta) -> Result<(), Undone> {
    match shared.app.result_store() {
        Some(store) => insist_on_result(shared, "store a result", || store.store(meta)).await,
        None => Ok(()),
    }
}

/// Puts a message back into its queue. One that cannot be put back stays
/// unacknowledged.
pub(super) async fn requeue(shared: &Shared, tag: &Tag) -> Result<(), Undone> {
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
pub(super) async fn bury(shared: &Shared, delivery: &Delivery, reason: &str) -> Result<(), Undone> {
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
