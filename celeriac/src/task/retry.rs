//! Running again (`celery.app.task.Task.retry`).

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Failure, Parameters};
use crate::canvas::Options;

/// A wish to run again. As `Task.retry`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Not before.
    pub eta: Option<DateTime<Utc>>,
    /// So long after this run, if there is no `eta`; the task's
    /// `default_retry_delay` if not given.
    pub countdown: Option<Duration>,
    /// Overrides the task's.
    pub max_retries: Option<u32>,
    /// Raised when there are no retries left; `MaxRetriesExceededError` if not given.
    pub exc: Option<Failure>,
    /// Other positional arguments.
    pub args: Option<Vec<Value>>,
    /// Other keyword arguments.
    pub kwargs: Option<Map<String, Value>>,
    /// Options of `apply_async` that take the place of those it was sent with:
    /// `queue`, `priority`, `expires`, limits, `shadow`, `ignore_result`,
    /// headers and properties. As `Task.retry(**options)`.
    pub options: Options,
}

impl Retry {
    /// Again after `countdown`.
    pub fn after(countdown: Duration) -> Self {
        Self {
            countdown: Some(countdown),
            ..Self::default()
        }
    }

    /// For this reason, which is also raised when no retries are left.
    #[must_use]
    pub fn because(mut self, exc: Failure) -> Self {
        self.exc = Some(exc);
        self
    }

    /// With these positional arguments. Keyword arguments stay, but for those
    /// whose places are taken.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = Value>) -> Self {
        self.args = Some(args.into_iter().collect());
        self
    }

    /// With these keyword arguments. Positional arguments stay, but for those
    /// that are named.
    #[must_use]
    pub fn kwargs(mut self, kwargs: Map<String, Value>) -> Self {
        self.kwargs = Some(kwargs);
        self
    }

    /// Sent in another way: to another queue, say, or with another priority.
    ///
    /// ```
    /// use std::time::Duration;
    /// use celeriac::{canvas::Options, task::Retry};
    /// let options = Options { queue: Some("slow".to_owned()), ..Options::default() };
    /// let retry = Retry::after(Duration::from_secs(60)).options(options);
    /// # assert_eq!(retry.options.queue.as_deref(), Some("slow"));
    /// ```
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The arguments of the next run, of a task that takes `parameters` and was
    /// called with `args` and `kwargs`; `None` if they stay what they are.
    pub(crate) fn arguments(
        &self,
        parameters: &Parameters,
        args: &[Value],
        kwargs: &Map<String, Value>,
    ) -> Option<(Vec<Value>, Map<String, Value>)> {
        match (self.args.clone(), self.kwargs.clone()) {
            (None, None) => None,
            (Some(args), Some(kwargs)) => Some((args, kwargs)),
            (Some(args), None) => {
                let taken: Vec<&str> = parameters.positional().take(args.len()).collect();
                let mut kwargs = kwargs.clone();
                kwargs.retain(|name, _| !taken.contains(&name.as_str()));
                Some((args, kwargs))
            }
            (None, Some(mut kwargs)) => {
                let mut args = args.to_vec();
                for (value, name) in args.iter_mut().zip(parameters.positional()) {
                    if let Some(named) = kwargs.remove(name) {
                        *value = named;
                    }
                }
                Some((args, kwargs))
            }
        }
    }
}
