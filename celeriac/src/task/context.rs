//! What a running task knows and can do: Celery's `self` and `self.request`.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::canvas::Signature;
use crate::error::Error;
use crate::message::{Body, DecodeError, Envelope, Headers};
use crate::results::{AsyncResult, TaskMeta};

tokio::task_local! {
    static CURRENT: Context;
}

/// A message as the worker holds it: where it came from and what it says.
/// As `celery.worker.request.Request`.
#[derive(Clone, Debug)]
pub struct Request {
    /// The message.
    pub envelope: Envelope,
    /// Arguments and what follows.
    pub body: Body,
    /// The queue that it was fetched from.
    pub queue: Arc<str>,
    /// Nodename of the worker that runs it.
    pub hostname: Arc<str>,
    /// Not before.
    pub eta: Option<DateTime<Utc>>,
    /// Not after.
    pub expires: Option<DateTime<Utc>>,
}

impl Request {
    /// Reads everything that the worker must know before it decides.
    pub(crate) fn new(
        mut envelope: Envelope,
        accept: &[String],
        queue: Arc<str>,
        hostname: Arc<str>,
    ) -> Result<Self, DecodeError> {
        Ok(Self {
            body: envelope.decode_body(accept)?,
            eta: envelope.headers.eta()?,
            expires: envelope.headers.expires()?,
            envelope,
            queue,
            hostname,
        })
    }

    /// The message's headers.
    pub fn headers(&self) -> &Headers {
        &self.envelope.headers
    }
}

/// Values shared by all tasks of a worker, found by their type.
pub type States = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// The running task. Cheap to clone; see [`Context::current`].
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    app: App,
    request: Request,
    states: Arc<States>,
    /// Cancelled when the soft time limit strikes.
    soft_limit: CancellationToken,
    /// Whether the task looks after its soft limit itself.
    guarded: AtomicBool,
    /// Results of what the task has sent; Celery's trail.
    children: Mutex<Vec<Value>>,
}

impl Context {
    pub(crate) fn new(app: App, request: Request, states: Arc<States>) -> Self {
        Self(Arc::new(Inner {
            app,
            request,
            states,
            soft_limit: CancellationToken::new(),
            guarded: AtomicBool::new(false),
            children: Mutex::default(),
        }))
    }

    /// The context of the task that is running here. As `celery.current_task`.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Runs `future` with this context as the current one.
    pub(crate) async fn scope<F: Future>(&self, future: F) -> F::Output {
        CURRENT.scope(self.clone(), future).await
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

    /// The value of this type that the worker was given with
    /// [`Worker::state`](crate::Worker::state).
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let state = self.0.states.get(&TypeId::of::<T>())?;
        Arc::clone(state).downcast().ok()
    }

    /// Waits until the soft time limit strikes. A task that asks is not
    /// interrupted by it: it ends itself, before the hard limit does. As
    /// `except SoftTimeLimitExceeded`.
    pub async fn soft_time_limit(&self) {
        self.0.guarded.store(true, Ordering::Relaxed);
        self.0.soft_limit.cancelled().await;
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
        let meta = serde_json::to_value(meta)?;
        store.store(&TaskMeta::of(self, state, meta, None)).await
    }

    /// Sends a task as this one's child.
    pub async fn send(&self, signature: Signature) -> Result<AsyncResult, Error> {
        self.scope(self.app().send(signature)).await
    }

    pub(crate) fn add_child(&self, child: Value) {
        let mut children = self
            .0
            .children
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        children.push(child);
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
