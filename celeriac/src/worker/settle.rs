//! What a run leaves behind: result, retry, followers; and then, only then,
//! the acknowledgement.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Shared;
use super::errback::Failed;
use super::limits::Limits;
use super::outcome::rejection;
use super::tuning::Tuning;
use crate::canvas::{Options, Promises, Signature};
use crate::error::Error;
use crate::message::{Body, Envelope, expiration, isoformat, repr, saferepr};
use crate::results::{TaskMeta, states};
use crate::sending::Sending;
use crate::task::{Context, FailedRequest, Failure, Request, Retry, Task, replacement};
use crate::transport::{Delivery, Outgoing};

/// How a message's life can end. A child tells its worker of all but those
/// that only the worker can see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// The task returned a value.
    Success(Value),
    /// It failed.
    Failure(Failure),
    /// It ran longer than its hard limit, seconds.
    #[serde(skip)]
    TimeLimitExceeded(f64),
    /// The child process that ran it died.
    #[serde(skip)]
    WorkerLost(Failure),
    /// It is to be run again.
    Retry(Retry),
    /// Something else is to run in its place.
    Replace(Box<Signature>),
    /// The message is refused.
    Reject {
        /// Why.
        reason: String,
        /// Whether it goes back to its queue.
        requeue: bool,
    },
    /// Nothing is to be stored.
    Ignore,
    /// It was not run, and will not be.
    #[serde(skip)]
    Revoked(Revocation),
}

/// Why a task was not run, or not to its end. As the text of Celery's
/// `TaskRevokedError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// It has been revoked.
    Revoked,
    /// It came too late.
    Expired,
    /// It was ended while it ran.
    Terminated,
}

impl Revocation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Terminated => "terminated",
        }
    }
}

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
}

impl<'a> Settlement<'a> {
    pub fn new(
        shared: &'a Shared,
        delivery: &'a Delivery,
        task: &'a Task,
        request: Request,
    ) -> Self {
        Self {
            context: Context::new(shared.app.clone(), request, shared.registry()),
            shared,
            delivery,
            task,
            failure: OnceLock::new(),
            begun: AtomicBool::new(false),
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

    /// The message as it lay in its queue.
    pub fn message(&self) -> &'a [u8] {
        &self.delivery.payload
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
    pub async fn earlier_success(&self) -> Result<Option<TaskMeta>, GaveUp> {
        let app = &self.shared.app;
        let asked = app.settings().worker_deduplicate_successful_tasks;
        let Some(store) = app.result_store().filter(|_| asked && self.acks_late()) else {
            return Ok(None);
        };
        if !self.request().envelope.redelivered() {
            return Ok(None);
        }
        let get = || store.get(self.context.id());
        let meta = insist(self.shared, "read a result", get).await?;
        Ok(meta.filter(|meta| meta.status == states::SUCCESS))
    }

    /// Ends a task that has succeeded before. What follows it is sent unless
    /// its result lists that as sent.
    pub async fn succeed_again(&self, meta: TaskMeta) -> Result<(), GaveUp> {
        if meta.children.is_none_or(|children| children.is_empty())
            && let Err(error) = self.send_followers(&meta.result).await?
        {
            tracing::error!("cannot send what follows {}: {error}", self.context.id());
        }
        self.end(true).await?;
        self.log(format_args!("already completed successfully."));
        Ok(())
    }

    /// Leaves behind what the `outcome` of a run of so much time asks for.
    ///
    /// # Errors
    /// [`GaveUp`] leaves the message unacknowledged, to be run again.
    pub async fn settle(&self, outcome: Outcome, runtime: Duration) -> Result<Fate, GaveUp> {
        match outcome {
            Outcome::Success(value) => self.succeed(value, runtime).await?,
            Outcome::Failure(failure) => self.fail(failure).await?,
            Outcome::TimeLimitExceeded(limit) => return self.time_out(limit).await,
            Outcome::WorkerLost(failure) => return self.lose(failure).await,
            Outcome::Retry(retry) => self.retry(retry).await?,
            Outcome::Replace(signature) => self.replace(*signature).await?,
            Outcome::Reject { reason, requeue } => return self.reject(&reason, requeue).await,
            Outcome::Ignore => self.ignore().await?,
            Outcome::Revoked(reason) => self.revoke(reason).await?,
        }
        Ok(Fate::Settled)
    }

    async fn succeed(&self, value: Value, runtime: Duration) -> Result<(), GaveUp> {
        if let Err(error) = self.shared.app.settings().result_serializer.check(&value) {
            let class = "kombu.exceptions.EncodeError";
            return self.fail(Failure::new(class, error.to_string())).await;
        }
        // Sent before the result is stored, so that it lists them as children.
        if let Err(error) = self.send_followers(&value).await? {
            return self.fail(Failure::from(error)).await;
        }
        let shown = saferepr::value(&value);
        let member = self.member();
        let for_chord = member.as_ref().map(|_| value.clone());
        if !self.ignores_result() {
            self.store(states::SUCCESS, value, None).await?;
        }
        if let Some(value) = for_chord {
            self.count(member, states::SUCCESS, &value).await?;
        }
        self.end(true).await?;
        let runtime = runtime.as_secs_f64();
        self.log(format_args!("succeeded in {runtime}s: {shown}"));
        Ok(())
    }

    async fn fail(&self, failure: Failure) -> Result<(), GaveUp> {
        let traceback = failure.traceback();
        self.fail_with(failure, Some(traceback)).await
    }

    /// Celery stores no traceback here: the task was not asked.
    async fn time_out(&self, limit: f64) -> Result<Fate, GaveUp> {
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

    async fn ignore(&self) -> Result<(), GaveUp> {
        self.end(true).await?;
        self.log(format_args!("ignored"));
        Ok(())
    }

    /// Its child died: it runs again if it shall, or has failed.
    async fn lose(&self, failure: Failure) -> Result<Fate, GaveUp> {
        if self.requeues_when_lost() {
            self.log_error(format_args!("goes back to its queue: {failure}"));
            return Ok(Fate::GoesBack);
        }
        self.log_error(format_args!("raised unexpected: {}", failure.repr()));
        self.fail_with(failure, None).await?;
        Ok(Fate::Settled)
    }

    async fn fail_with(&self, failure: Failure, traceback: Option<String>) -> Result<(), GaveUp> {
        self.record_failure(failure, traceback).await?;
        self.end(self.acks_on_failure()).await
    }

    /// Stores it, and tells all that depend on it.
    async fn record_failure(
        &self,
        failure: Failure,
        traceback: Option<String>,
    ) -> Result<(), GaveUp> {
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
    pub async fn refuse(&self, failure: &Failure) -> Result<(), GaveUp> {
        self.store(states::FAILURE, failure.to_meta(), None).await?;
        self.fail_dependents(failure, None).await
    }

    /// Stores a failure, and has all that depend on the task fail with it.
    async fn fail_for_others(
        &self,
        failure: &Failure,
        traceback: Option<&str>,
    ) -> Result<(), GaveUp> {
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
    ) -> Result<(), GaveUp> {
        self.count(self.member(), states::FAILURE, &failure.to_meta())
            .await?;
        let embed = &self.request().body.embed;
        if let Some(chain) = &embed.chain {
            let state = states::FAILURE;
            let failed = Failed {
                state,
                failure,
                traceback,
            };
            self.fail_chain(chain, &failed, self.stores_errors())
                .await?;
        }
        if let Some(errbacks) = &embed.errbacks {
            let request = FailedRequest::from(self.request());
            self.call_errbacks(&request, errbacks, failure, traceback)
                .await?;
        }
        Ok(())
    }

    /// Sends a canvas that takes over this task's id and all that waits for it.
    async fn replace(&self, signature: Signature) -> Result<(), GaveUp> {
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
    async fn retry(&self, retry: Retry) -> Result<(), GaveUp> {
        let headers = self.request().headers();
        if !self.has_retries(retry.max_retries) {
            let failure = retry.exc.unwrap_or_else(|| self.max_retries_exceeded());
            return self.fail(failure).await;
        }
        let mut envelope = match self.with_new_arguments(&retry) {
            Ok(envelope) => envelope,
            Err(error) => return self.fail(Failure::from(Error::from(error))).await,
        };
        envelope.headers.retries += 1;
        let eta = retry
            .eta
            .unwrap_or_else(|| Utc::now() + self.countdown(&retry));
        envelope.headers.eta = Some(isoformat(&eta));
        envelope.properties.expiration = expiration(&envelope.headers).map(Value::from);
        let ignores_result = self.ignores_result();
        envelope.headers.ignore_result.get_or_insert(ignores_result);
        envelope.headers.extra.remove("redelivered");
        envelope.properties.delivery_info.redelivered = None;
        self.context.trace().replace(&mut envelope.headers.extra);
        envelope.properties.delivery_tag = Some(uuid::Uuid::new_v4().to_string().into());
        let queue = self.request().queue.to_string();
        // Python sends the retry from within the task, which thus becomes its
        // own child, and its own parent if it has no other.
        let id = headers.id.clone();
        let mut promises = Promises::default();
        let itself = promises.task(&id);
        self.context.add_children([promises.tuple(itself)]);
        envelope.headers.parent_id.get_or_insert(id);
        let reason = self.retry_reason(&retry);
        if self.stores_errors() {
            let result = retry.exc.as_ref().map_or(Value::Null, Failure::to_meta);
            let traceback =
                format!("Traceback (most recent call last):\ncelery.exceptions.Retry: {reason}\n");
            self.store(states::RETRY, result, Some(traceback)).await?;
        }
        // To this worker alone, even if it came to all.
        let message = Outgoing::direct(queue, envelope);
        self.submit(&Sending::message(message)).await?;
        self.end(true).await?;
        self.log(format_args!("retry: {reason}"));
        Ok(())
    }

    /// The message with the arguments of its next run.
    fn with_new_arguments(&self, retry: &Retry) -> Result<Envelope, serde_json::Error> {
        let Request { envelope, body, .. } = self.request();
        let mut envelope = envelope.clone();
        let arguments = retry.arguments(self.task.parameters(), &body.args, &body.kwargs);
        if let Some((args, kwargs)) = arguments {
            envelope.headers.argsrepr = Some(saferepr::args(&args));
            envelope.headers.kwargsrepr = Some(saferepr::kwargs(&kwargs));
            let embed = body.embed.clone();
            envelope.rewrite(&Body {
                args,
                kwargs,
                embed,
            })?;
        }
        Ok(envelope)
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

    async fn reject(&self, reason: &str, requeue: bool) -> Result<Fate, GaveUp> {
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

    async fn revoke(&self, reason: Revocation) -> Result<(), GaveUp> {
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
    pub async fn cancel(&self) -> Result<(), GaveUp> {
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
    async fn end(&self, acknowledge: bool) -> Result<(), GaveUp> {
        match (self.acks_late(), acknowledge) {
            (false, _) => Ok(()),
            (true, true) => self.ack().await,
            (true, false) => {
                let reason = "failed, and task_acks_on_failure is off";
                bury(self.shared, self.delivery, reason).await
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
        let meta = TaskMeta::of(&self.context, states::STARTED, process, None);
        if let Err(error) = store.store(&meta).await {
            tracing::warn!(%error, "cannot store that {} has started", self.context.id());
        }
    }

    async fn store(
        &self,
        state: &str,
        result: Value,
        traceback: Option<String>,
    ) -> Result<(), GaveUp> {
        let meta = TaskMeta::of(&self.context, state, result, traceback);
        store(self.shared, &meta).await
    }

    pub async fn ack(&self) -> Result<(), GaveUp> {
        let (transport, tag) = (self.shared.app.transport(), &self.delivery.tag);
        insist(self.shared, "acknowledge", || transport.ack(tag)).await
    }

    pub async fn requeue(&self) -> Result<(), GaveUp> {
        let (transport, tag) = (self.shared.app.transport(), &self.delivery.tag);
        insist(self.shared, "requeue", || transport.requeue(tag)).await
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

/// What had to be done could not be done before a cold shutdown. The message
/// stays unacknowledged, and runs again.
#[derive(Debug)]
pub(super) struct GaveUp;

/// Stores a result, if results are kept.
pub(super) async fn store(shared: &Shared, meta: &TaskMeta) -> Result<(), GaveUp> {
    match shared.app.result_store() {
        Some(store) => insist(shared, "store a result", || store.store(meta)).await,
        None => Ok(()),
    }
}

/// Keeps a message that nobody can run, and settles it.
pub(super) async fn bury(shared: &Shared, delivery: &Delivery, reason: &str) -> Result<(), GaveUp> {
    shared.metrics.dead_letters.inc();
    let transport = shared.app.transport();
    insist(shared, "dead-letter", || {
        transport.dead_letter(delivery, reason)
    })
    .await
}

/// Does what must be done before a message may be forgotten, as often as it
/// takes. Only a cold shutdown ends it.
pub(super) async fn insist<T, F, Fut>(
    shared: &Shared,
    what: &str,
    operation: F,
) -> Result<T, GaveUp>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Error>>,
{
    let patiently = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times();
    let persistent = operation
        .retry(patiently)
        .notify(|error, pause| tracing::warn!(%error, ?pause, "cannot {what}; trying again"));
    tokio::select! {
        // It retries without end: what it answers is a success.
        done = persistent => done.map_err(|_| GaveUp),
        () = after_cold(shared) => {
            tracing::error!("gave up: cannot {what}");
            Err(GaveUp)
        }
    }
}

/// A moment after a cold shutdown, so that a broker that is there is still told.
async fn after_cold(shared: &Shared) {
    shared.shutdown.cold().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
}
