//! How a message's life has ended, and what monitors are told of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::settle::Settlement;
use crate::canvas::Signature;
use crate::events::TaskEvent;
use crate::results::states;
use crate::task::{Failure, Retry};
use crate::value::saferepr;

/// How a message's life can end. A child tells its worker of all but those
/// that only the worker can see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    Retry(Box<Retry>),
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
#[non_exhaustive]
pub enum Revocation {
    /// It has been revoked.
    Revoked,
    /// It came too late.
    Expired,
    /// It was ended while it ran.
    Terminated,
}

impl Revocation {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Terminated => "terminated",
        }
    }
}

/// Everything that is told of `outcome`, in order, if it does not end as a
/// failure. `signum`: of what ended it.
pub(super) fn news(
    settlement: &Settlement<'_>,
    outcome: &Outcome,
    runtime: Duration,
    signum: Option<i32>,
) -> Vec<TaskEvent> {
    match outcome {
        Outcome::Success(value) => vec![TaskEvent::Succeeded {
            result: saferepr::value(value),
            runtime: runtime.as_secs_f64(),
        }],
        Outcome::Retry(retry) => vec![retried(settlement, retry)],
        Outcome::Reject { reason, requeue } => rejected(settlement, reason, *requeue),
        Outcome::Failure(_)
        | Outcome::TimeLimitExceeded(_)
        | Outcome::Ignore
        | Outcome::Replace(_) => Vec::new(),
        Outcome::WorkerLost(_) => {
            let again = settlement.requeues_when_lost();
            let rejected = again.then_some(TaskEvent::Rejected { requeue: true });
            rejected.into_iter().collect()
        }
        Outcome::Revoked(reason) => vec![TaskEvent::Revoked {
            terminated: *reason == Revocation::Terminated,
            signum,
            expired: *reason == Revocation::Expired,
        }],
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

/// How a message's life has ended.
#[derive(Clone, Copy)]
pub(super) enum Ending {
    Succeeded,
    Failed,
    Retried,
    Rejected,
    Revoked,
    Ignored,
}

impl Ending {
    /// Its state, as Celery's tracer has it.
    pub fn state(self) -> &'static str {
        match self {
            Self::Succeeded => states::SUCCESS,
            Self::Failed => states::FAILURE,
            Self::Retried => states::RETRY,
            Self::Rejected => "REJECTED",
            Self::Revoked => states::REVOKED,
            Self::Ignored => "IGNORED",
        }
    }
}

/// If nothing that it leaves behind fails.
impl From<&Outcome> for Ending {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success(_) => Self::Succeeded,
            Outcome::Failure(_) | Outcome::TimeLimitExceeded(_) | Outcome::WorkerLost(_) => {
                Self::Failed
            }
            Outcome::Retry(_) => Self::Retried,
            Outcome::Reject { .. } => Self::Rejected,
            Outcome::Revoked(_) => Self::Revoked,
            // As Celery's own state of a task that something replaces.
            Outcome::Ignore | Outcome::Replace(_) => Self::Ignored,
        }
    }
}

/// Everything that is told of a failure, in order; `timed_out`: it was the
/// hard time limit's.
pub(super) fn failed(
    settlement: &Settlement<'_>,
    failure: &Failure,
    timed_out: bool,
) -> Vec<TaskEvent> {
    let acknowledged = match timed_out {
        true => settlement.acks_on_timeout(),
        false => settlement.acks_on_failure(),
    };
    let refused = settlement.acks_late() && !acknowledged;
    let refused = refused.then_some(TaskEvent::Rejected { requeue: timed_out });
    let failed = TaskEvent::Failed {
        exception: failure.repr(),
        traceback: Some(failure.traceback()),
    };
    refused.into_iter().chain([failed]).collect()
}

fn retried(settlement: &Settlement<'_>, retry: &Retry) -> TaskEvent {
    let exc = retry.exc.as_ref();
    let reason = settlement.retry_reason(retry);
    TaskEvent::Retried {
        exception: exc.map_or("None".to_owned(), Failure::repr),
        traceback: format!(
            "Traceback (most recent call last):\ncelery.exceptions.Retry: {reason}\n"
        ),
    }
}

fn rejected(settlement: &Settlement<'_>, reason: &str, requeue: bool) -> Vec<TaskEvent> {
    let failed = (!requeue).then(|| {
        let failure = rejection(reason);
        TaskEvent::Failed {
            exception: failure.repr(),
            traceback: Some(failure.traceback()),
        }
    });
    // What was acknowledged early is not there to be refused.
    let refused = settlement.acks_late();
    let refused = refused.then_some(TaskEvent::Rejected { requeue });
    failed.into_iter().chain(refused).collect()
}

/// What a task has failed with whose message is refused for good.
pub(super) fn rejection(reason: &str) -> Failure {
    let args = vec![reason.into(), false.into()];
    Failure::with_args("celery.exceptions.Reject", args)
}
