//! What a running task knows and can do: Celery's `self` and `self.request`.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backon::Retryable;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Failure, Retry, Task, TaskError};
use crate::canvas::{Plan, Signature, check_limits, new_id};
use crate::client::parent::{self, Parent};
use crate::client::{App, AsyncResult, Lineage};
use crate::error::Error;
use crate::message::{Body, Headers, Request};
use crate::results::TaskMeta;
use crate::trace::{RunSpan, TraceContext};
use crate::value::json;

tokio::task_local! {
    static CURRENT: Context;
}

/// Values shared by all tasks of a worker, found by their type.
pub type States = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// The tasks of a worker, by their names.
pub type Tasks = HashMap<String, Task>;

/// What a running task finds in its worker.
#[derive(Clone)]
pub(crate) struct Registry {
    pub tasks: Arc<Tasks>,
    pub states: Arc<States>,
}

/// The running task. Cheap to clone; see [`Context::current`].
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    app: App,
    request: Request,
    registry: Registry,
    /// Cancelled when the soft time limit strikes.
    soft_limit: CancellationToken,
    /// Whether the task looks after its soft limit itself.
    guarded: AtomicBool,
    /// Results of what the task has sent; Celery's trail.
    children: Mutex<Vec<Value>>,
    /// What this run alone has been given.
    states: Mutex<States>,
    /// Its run, as a trace shows it.
    span: RunSpan,
}

impl Context {
    pub(crate) fn new(app: App, request: Request, registry: Registry) -> Self {
        Self::within(Default::default(), app, request, registry)
    }

    /// The same worker with another request: for what runs in this task's place.
    pub(crate) fn with_request(&self, request: Request) -> Self {
        let (app, registry) = (self.app().clone(), self.0.registry.clone());
        Self::within(self.0.span.clone(), app, request, registry)
    }

    fn within(span: RunSpan, app: App, request: Request, registry: Registry) -> Self {
        Self(Arc::new(Inner {
            app,
            request,
            registry,
            soft_limit: CancellationToken::new(),
            guarded: AtomicBool::new(false),
            children: Mutex::default(),
            states: Mutex::default(),
            span,
        }))
    }

    /// The context of the task that is running here. As `celery.current_task`.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Runs `future` with this context as the current one.
    pub(crate) async fn scope<F: Future>(&self, future: F) -> F::Output {
        parent::scope(self.clone(), CURRENT.scope(self.clone(), future)).await
    }

    /// Runs a function that blocks with this context as the current one.
    pub(crate) fn scope_blocking<R>(&self, run: impl FnOnce() -> R) -> R {
        let span = &self.0.span;
        span.scope_blocking(|| {
            parent::scope_blocking(self.clone(), || CURRENT.sync_scope(self.clone(), run))
        })
    }

    /// The run's span.
    pub(crate) fn span(&self) -> &RunSpan {
        &self.0.span
    }

    /// What the messages that this task sends say of its trace.
    pub(crate) fn trace(&self) -> TraceContext {
        let received = || TraceContext::of(&self.headers().extra);
        self.0.span.trace_context().unwrap_or_else(received)
    }

    /// The application that the worker serves.
    pub fn app(&self) -> &App {
        &self.0.app
    }

    /// The request.
    pub fn request(&self) -> &Request {
        &self.0.request
    }

    /// The message's headers.
    pub fn headers(&self) -> &Headers {
        self.0.request.headers()
    }

    /// The message's body.
    pub fn body(&self) -> &Body {
        &self.0.request.body
    }

    /// The task's id.
    pub fn id(&self) -> &str {
        &self.headers().id
    }

    /// The value of this type that this run was given with
    /// [`insert`](Self::insert), else the one that the worker was given with
    /// [`Worker::state`](crate::Worker::state).
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let id = TypeId::of::<T>();
        let own = self.states().get(&id).cloned();
        let state = own.or_else(|| self.0.registry.states.get(&id).cloned())?;
        state.downcast().ok()
    }

    /// Gives this run a value, found by its type, before the worker's own.
    pub fn insert<T: Any + Send + Sync>(&self, state: Arc<T>) {
        self.states().insert(TypeId::of::<T>(), state);
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.0.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task of this worker. As `app.tasks[name]`.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.0.registry.tasks.get(name)
    }

    /// Waits until the soft time limit strikes. A task that asks is not
    /// interrupted by it: it ends itself, before the hard limit does. As
    /// `except SoftTimeLimitExceeded`.
    pub async fn soft_time_limit(&self) {
        self.0.guarded.store(true, Ordering::Relaxed);
        self.0.soft_limit.cancelled().await;
    }

    /// Whether the soft time limit has struck: for a task that blocks, which
    /// asks between its steps. A task that asks is not interrupted by it.
    pub fn soft_time_limit_exceeded(&self) -> bool {
        self.0.guarded.store(true, Ordering::Relaxed);
        self.0.soft_limit.is_cancelled()
    }

    /// Tells the task that its soft limit has struck; whether it listens.
    pub(crate) fn strike_soft_limit(&self) -> bool {
        self.0.soft_limit.cancel();
        self.0.guarded.load(Ordering::Relaxed)
    }

    /// Stores a state of the task's own with `meta` as its result. As
    /// `Task.update_state`.
    pub async fn update_state(&self, state: &str, meta: impl Serialize) -> Result<(), Error> {
        let store = self.app().result_store().ok_or(Error::NoResultBackend)?;
        let meta = json::to_value(&meta)?;
        store.store(&self.meta(state, meta, None)).await
    }

    /// Ends this run and has the task run again:
    /// `return context.retry(Retry::after(delay))`.
    pub fn retry<T>(&self, retry: Retry) -> Result<T, TaskError> {
        Err(retry.into())
    }

    /// Ends this run and has `signature` run in the task's place, with its id,
    /// its callbacks and all that waits for it:
    /// `return context.replace(signature)`. As `Task.replace`.
    pub fn replace<T>(&self, signature: impl Into<Signature>) -> Result<T, TaskError> {
        Err(TaskError::Replace(Box::new(signature.into())))
    }

    /// Sends a task that the chord whose member this one is also waits for. As
    /// `Task.add_to_chord`.
    ///
    /// # Errors
    /// A `ValueError` if this task is no member of a chord.
    pub async fn add_to_chord(
        &self,
        signature: impl Into<Signature>,
    ) -> Result<AsyncResult, TaskError> {
        let mut signature = signature.into();
        let headers = self.headers();
        let (Some(group_id), Some(chord)) = (&headers.group, &self.body().embed.chord) else {
            let text = "Current task is not member of any chord";
            return Err(Failure::new("ValueError", text).into());
        };
        let options = &mut signature.options;
        options.group_id = Some(group_id.clone());
        options.group_index = headers.group_index;
        options.chord = Some(Box::new(chord.clone()));
        options.root_id = headers.root_id.clone();
        let id = options.task_id.get_or_insert_with(new_id);
        let results = self.app().chords()?;
        (|| results.add_to_chord(group_id, id))
            .retry(self.app().settings().publish_pauses())
            .when(Error::passes)
            .await?;
        Ok(self.send(signature).await?)
    }

    /// Sends a task or a canvas as this task's child.
    pub async fn send(&self, signature: impl Into<Signature>) -> Result<AsyncResult, Error> {
        self.scope(self.app().send(signature)).await
    }

    /// Has this task's result list `children`, given as result tuples.
    pub(crate) fn add_children(&self, children: impl IntoIterator<Item = Value>) {
        let mut known = self
            .0
            .children
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.extend(children);
    }

    /// Whether nobody else has it: nothing of the run goes on.
    pub(crate) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// What a result backend keeps of this run.
    pub(crate) fn meta(&self, status: &str, result: Value, traceback: Option<String>) -> TaskMeta {
        let extended = self.app().settings().result_extended;
        let of_request = TaskMeta::of_request(self.request(), extended, status, result, traceback);
        TaskMeta {
            children: Some(self.children()),
            ..of_request
        }
    }

    /// What the task has sent, as Celery's result tuples.
    pub(crate) fn children(&self) -> Vec<Value> {
        let children = self
            .0
            .children
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        children.clone()
    }
}

impl Parent for Context {
    fn complete(&self, plan: &mut Plan) -> Result<(), Error> {
        for call in &mut plan.calls {
            let Some(task) = self.task(&call.task) else {
                continue;
            };
            let (known, options) = (task.options(), &mut call.options);
            let ignored = known.ignore_result;
            let ignored = ignored.unwrap_or(self.app().settings().task_ignore_result);
            options.ignore_result.get_or_insert(ignored);
            check_limits(known.soft_time_limit, known.time_limit)?;
        }
        Ok(())
    }

    fn lineage(&self) -> Lineage {
        let headers = self.headers();
        Lineage {
            root_id: headers.root_id.clone().or_else(|| Some(headers.id.clone())),
            parent_id: Some(headers.id.clone()),
            trace: self.trace(),
        }
    }

    fn add(&self, children: Vec<Value>) {
        self.add_children(children);
    }
}
