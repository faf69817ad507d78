//! How a function becomes a task.
//!
//! - [`Task`]: a registered task: name, parameters, options, body
//! - [`Handler`]: which `async fn`s can be one, and the extractors they take
//! - [`Context`]: what a running task knows and can do
//! - `define`: what `#[celeriac::task]` writes; `given`: what it can be given
//! - `hint`: types as Python names them; `probe`: what a struct's fields take
//! - `exceptions`, `autoretry`: which failures are tried again
//! - `replace`: a canvas in the place of a running task
//! - [`Call`]: a signature that knows what its task takes and returns
//! - [`Hooks`], [`Layer`]: what happens round each run
//! - [`TaskError`], [`Failure`]: how a run ends other than by a result
//! - `rusty`: the bridge that runs `#[celery::task]` functions (feature `rusty`)

mod annotated;
mod autoretry;
mod call;
mod context;
mod define;
mod error;
mod exceptions;
mod given;
mod handler;
pub(crate) mod hint;
mod hooks;
mod layer;
mod options;
mod parameters;
#[cfg(feature = "rusty")]
mod probe;
mod replace;
mod retry;
#[cfg(feature = "rusty")]
pub mod rusty;

use std::sync::Arc;

pub use crate::failure::Failure;
pub use crate::message::{FailedRequest, Request};
pub use crate::rate::{Rate, RateError};
#[doc(no_inline)]
pub use async_trait::async_trait;
pub use call::{After, Call, Complete, Immutable};
pub(crate) use context::Registry;
pub use context::{Context, States, Tasks};
pub(crate) use define::Define;
pub use error::TaskError;
pub(crate) use given::{Fits, Given};
pub use handler::{Args, Extract, Handler, Invocation, State};
pub(crate) use hooks::{AllHooks, said};
pub use hooks::{Ended, Hooks};
pub use layer::{Layer, Next};
pub use options::TaskOptions;
pub(crate) use parameters::Parameter;
pub use parameters::{Arguments, Parameters, SignatureError};
pub(crate) use replace::replacement;
pub use retry::Retry;
#[doc(no_inline)]
pub use serde_json::Value;

use crate::canvas::Signature;
use handler::Body;
use hint::Hint;

/// What the attribute's code calls. Not for anybody else: it changes as that does.
pub(crate) mod written {
    pub use super::define::{Define, Returned, blocking, returned};
    pub use super::given::{Fits, Given};
}

/// A task that a worker can run. As `celery.app.task.Task`.
#[derive(Clone)]
pub struct Task {
    name: Arc<str>,
    parameters: Parameters,
    options: TaskOptions,
    body: Body,
    hooks: AllHooks,
    /// Whether the function takes its [`Context`]. As `bind=True`.
    bound: bool,
    /// What it is for, in its author's words.
    doc: Arc<str>,
    /// What Python may know of its result's type.
    returns: Option<Hint>,
}

impl Task {
    /// A task from its signature, written as in Python, and an async function:
    ///
    /// ```
    /// use celeriac::task::{Args, Task, TaskError};
    ///
    /// async fn add(Args((x, y)): Args<(i64, i64)>) -> Result<i64, TaskError> {
    ///     Ok(x + y)
    /// }
    /// let task = Task::new("tasks.add(x, y=1)", add)?;
    /// assert_eq!(task.name(), "tasks.add");
    /// # Ok::<(), celeriac::task::SignatureError>(())
    /// ```
    ///
    /// The signature gives names, defaults, `*args` and `**kwargs`, so that
    /// arguments bind, and fail to bind, exactly as in Python. A name without
    /// parentheses takes whatever comes.
    pub fn new<H, A>(signature: &str, handler: H) -> Result<Self, SignatureError>
    where
        H: Handler<A>,
        A: 'static,
    {
        let (name, parameters) = Parameters::parse(signature)?;
        let bound = H::BOUND;
        let (arguments, result) = H::types();
        let parameters = match arguments {
            Some(tuple) => parameters.typed(tuple),
            None => parameters,
        };
        let task = Self::from_parts(name, parameters, handler::body(handler));
        Ok(Self {
            bound,
            returns: Some(Hint::of(result)),
            ..task
        })
    }

    /// The task of a function with `#[celeriac::task]`, which is `add::task()`.
    pub fn of<D: Define>() -> Self {
        let body = Arc::new(|invocation| Box::pin(D::run(invocation)) as _);
        Self {
            bound: D::BOUND,
            doc: D::DOC.into(),
            returns: Some(Hint::of(std::any::type_name::<D::Output>())),
            ..Self::from_parts(D::name(), D::parameters(), body).with(D::options())
        }
    }

    /// What stands for a task that is not registered, for what has to fail with
    /// it. It is never run.
    pub(crate) fn unregistered(name: &str) -> Self {
        let body = Arc::new(|_| Box::pin(async { Err(TaskError::Ignore) }) as _);
        Self::from_parts(name.to_owned(), Parameters::default(), body)
    }

    fn from_parts(name: String, parameters: Parameters, body: Body) -> Self {
        Self {
            name: name.into(),
            parameters,
            options: TaskOptions::default(),
            body,
            hooks: AllHooks::default(),
            bound: false,
            doc: Arc::default(),
            returns: None,
        }
    }

    /// The same task with other options.
    #[must_use]
    pub fn with(mut self, options: TaskOptions) -> Self {
        self.options = options;
        self
    }

    /// The same task with these hooks, after those that it has.
    #[must_use]
    pub fn hooks(mut self, hooks: impl Hooks) -> Self {
        self.hooks.add(Arc::new(hooks));
        self
    }

    /// The same task within this layer, and what it has within that.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.put_within(Arc::new(layer));
        self
    }

    fn put_within(&mut self, layer: Arc<dyn Layer>) {
        let inner = Arc::clone(&self.body);
        self.body = Arc::new(move |call| {
            let (layer, next) = (Arc::clone(&layer), Next(Arc::clone(&inner)));
            Box::pin(async move { layer.call(call, next).await })
        });
    }

    /// Puts its worker's hooks before its own, and its worker's layers round it,
    /// the innermost first.
    pub(crate) fn wrap(&mut self, hooks: &AllHooks, layers: &[Arc<dyn Layer>]) {
        self.hooks.follow(hooks);
        for layer in layers {
            self.put_within(Arc::clone(layer));
        }
    }

    /// What is told of its runs.
    pub(crate) fn all_hooks(&self) -> &AllHooks {
        &self.hooks
    }

    /// The name that messages call it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its options.
    pub fn options(&self) -> &TaskOptions {
        &self.options
    }

    /// The same task with a documentation for Python's stub of it.
    #[must_use]
    pub fn documented(mut self, doc: &str) -> Self {
        self.doc = doc.into();
        self
    }

    /// What it is for, in its author's words; empty if there are none.
    pub fn doc(&self) -> &str {
        &self.doc
    }

    /// What Python may know of its result's type.
    pub(crate) fn returns(&self) -> Option<&Hint> {
        self.returns.as_ref()
    }

    /// What it takes.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Whether `errback` calls it, when a task fails, with request, exception
    /// and traceback, rather than with an id: it takes more than one argument,
    /// beyond those it has already. As `Backend._errback_arity_greater`.
    pub(crate) fn is_new_style_errback(&self, errback: &Signature) -> bool {
        if self.bound {
            return false;
        }
        let (given, named) = match errback.immutable {
            true => (0, None),
            false => (errback.args.len(), Some(&errback.kwargs)),
        };
        self.parameters.takes_more_than_one(given, named)
    }

    /// Binds the message's arguments and runs the task's body once.
    pub(crate) async fn run(&self, context: Context) -> Result<serde_json::Value, TaskError> {
        let body = context.body();
        let function = self.name.rsplit('.').next().unwrap_or_default();
        let arguments = self
            .parameters
            .bind(function, &body.args, &body.kwargs)
            .map_err(|message| Failure::new("TypeError", message))?;
        (self.body)(Invocation { context, arguments }).await
    }
}
