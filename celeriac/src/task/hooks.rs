//! What happens round each run of a task, beside the task's own work.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use serde_json::Value;

use super::{Context, Failure, Retry, TaskError};
use crate::results::states;

/// What is told of each run of a task: of one task, by [`Task::hooks`], or of
/// all of a worker, by [`Worker::hooks`]. As the methods of these names of
/// `celery.app.task.Task`, and as the signals `task_prerun` and `task_postrun`.
///
/// They run in the worker, also where the task runs in a child process. What
/// comes after a run comes once all that the run leaves behind is written: its
/// result, its callbacks, its acknowledgement. A hook that panics is logged,
/// and harms nothing else.
///
/// ```
/// use celeriac::task::{Context, Ended, Hooks, async_trait};
///
/// struct Durations;
///
/// #[async_trait]
/// impl Hooks for Durations {
///     async fn after_return(&self, context: &Context, ended: &Ended<'_>) {
///         println!("{} has ended: {}", context.id(), ended.state());
///     }
/// }
/// ```
///
/// [`Task::hooks`]: super::Task::hooks
/// [`Worker::hooks`]: crate::Worker::hooks
#[async_trait]
pub trait Hooks: Send + Sync + 'static {
    /// Before the task's function is called.
    ///
    /// # Errors
    /// The run ends with it, as if the function had returned it.
    async fn before_start(&self, context: &Context) -> Result<(), TaskError> {
        let _ = context;
        Ok(())
    }

    /// It has returned this.
    async fn on_success(&self, context: &Context, result: &Value) {
        let _ = (context, result);
    }

    /// It has failed for good.
    async fn on_failure(&self, context: &Context, failure: &Failure) {
        let _ = (context, failure);
    }

    /// It will run again.
    async fn on_retry(&self, context: &Context, retry: &Retry) {
        let _ = (context, retry);
    }

    /// It has succeeded or failed, after the hook for that. As in Celery, it is
    /// not told of a retry, nor of what is ignored, rejected, replaced or revoked.
    async fn after_return(&self, context: &Context, ended: &Ended<'_>) {
        let _ = (context, ended);
    }
}

/// How a run has ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ended<'a> {
    /// With this result.
    Success(&'a Value),
    /// With this failure.
    Failure(&'a Failure),
}

impl Ended<'_> {
    /// Its state, as results have it: `SUCCESS` or `FAILURE`.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Success(_) => states::SUCCESS,
            Self::Failure(_) => states::FAILURE,
        }
    }
}

/// The hooks of a task, those of its worker first.
#[derive(Clone, Default)]
pub(crate) struct AllHooks(Vec<Arc<dyn Hooks>>);

impl AllHooks {
    pub fn add(&mut self, hooks: Arc<dyn Hooks>) {
        self.0.push(hooks);
    }

    /// Puts others before them.
    pub fn follow(&mut self, others: &Self) {
        self.0.splice(0..0, others.0.iter().cloned());
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Calls each `before_start`, until one of them ends the run.
    pub async fn before_start(&self, context: &Context) -> Result<(), TaskError> {
        for hooks in &self.0 {
            let started = AssertUnwindSafe(hooks.before_start(context)).catch_unwind();
            match started.await {
                Ok(started) => started?,
                Err(panic) => {
                    let text = format!("before_start panicked: {}", said(&*panic));
                    return Err(Failure::new("RuntimeError", text).into());
                }
            }
        }
        Ok(())
    }

    /// Tells each of them how a run has ended.
    pub async fn ended(&self, context: &Context, ended: Ended<'_>) {
        for hooks in &self.0 {
            let told = async {
                match ended {
                    Ended::Success(result) => hooks.on_success(context, result).await,
                    Ended::Failure(failure) => hooks.on_failure(context, failure).await,
                }
                hooks.after_return(context, &ended).await;
            };
            tell(context, told).await;
        }
    }

    /// Tells each of them that it will run again.
    pub async fn retried(&self, context: &Context, retry: &Retry) {
        for hooks in &self.0 {
            tell(context, hooks.on_retry(context, retry)).await;
        }
    }
}

async fn tell(context: &Context, told: impl Future<Output = ()>) {
    if let Err(panic) = AssertUnwindSafe(told).catch_unwind().await {
        let (task, reason) = (context.headers().shown(), said(&*panic));
        tracing::error!("a hook of {task}[{}] panicked: {reason}", context.id());
    }
}

/// What somebody said who panicked.
pub(crate) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::task::{Registry, Request};
    use crate::{App, Settings};

    /// Panics as soon as it is told anything.
    struct Panicking;

    #[async_trait]
    impl Hooks for Panicking {
        async fn before_start(&self, _: &Context) -> Result<(), TaskError> {
            std::panic::resume_unwind(Box::new("not today"))
        }

        async fn on_success(&self, _: &Context, _: &Value) {
            std::panic::resume_unwind(Box::new("nor later"))
        }
    }

    #[derive(Default)]
    struct Told(Mutex<Vec<&'static str>>);

    #[async_trait]
    impl Hooks for Arc<Told> {
        async fn after_return(&self, _: &Context, ended: &Ended<'_>) {
            let told = self.0.lock();
            told.unwrap_or_else(|told| told.into_inner())
                .push(ended.state());
        }
    }

    #[tokio::test]
    async fn a_hook_that_panics_harms_no_other() -> Result<(), Box<dyn std::error::Error>> {
        let (told, mut all) = (Arc::new(Told::default()), AllHooks::default());
        all.add(Arc::new(Arc::clone(&told)));
        let mut outer = AllHooks::default();
        outer.add(Arc::new(Panicking));
        all.follow(&outer);
        let (here, nowhere) = ("here".into(), "nowhere".into());
        let request = Request::refused(Default::default(), &[], nowhere, here);
        let registry = Registry {
            tasks: Arc::default(),
            states: Arc::default(),
        };
        let context = Context::new(App::new(Settings::default())?, request, registry);
        let started = all.before_start(&context).await;
        let text = "RuntimeError: before_start panicked: not today";
        assert!(matches!(started, Err(TaskError::Failure(failure)) if failure.to_string() == text));
        all.ended(&context, Ended::Success(&Value::Null)).await;
        let told = told.0.lock().map(|told| told.clone());
        assert_eq!(told.unwrap_or_default(), ["SUCCESS"]);
        Ok(())
    }
}
