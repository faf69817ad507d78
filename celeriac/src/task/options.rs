//! Options of a task, as attributes of a Python task class.

use super::Rate;

/// What a task's registration may say; what it leaves out, the settings say.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskOptions {
    /// Acknowledge after the run (`task_acks_late`).
    pub acks_late: Option<bool>,
    /// Acknowledge late even after a failure (`task_acks_on_failure`).
    pub acks_on_failure: Option<bool>,
    /// Acknowledge late even after the hard limit; else the message goes back
    /// (`task_acks_on_timeout`).
    pub acks_on_timeout: Option<bool>,
    /// Run in a child process (`worker_pool`).
    pub process: Option<bool>,
    /// Put the message back if the child dies (`task_reject_on_worker_lost`).
    /// With `acks_late`.
    pub reject_on_worker_lost: Option<bool>,
    /// Retry if the child dies, `max_retries` times
    /// (`task_retry_on_worker_lost`). Goes before `reject_on_worker_lost`.
    pub retry_on_worker_lost: Option<bool>,
    /// Store no result (`task_ignore_result`).
    pub ignore_result: Option<bool>,
    /// Tell that it has begun (`task_track_started`).
    pub track_started: Option<bool>,
    /// Hard limit, seconds (`task_time_limit`).
    pub time_limit: Option<f64>,
    /// Soft limit, seconds (`task_soft_time_limit`).
    pub soft_time_limit: Option<f64>,
    /// Starts at most, on each worker; `10/s`, `100/m` (`task_default_rate_limit`).
    pub rate_limit: Option<Rate>,
    /// Retries at most; `None` is without bound.
    pub max_retries: Option<u32>,
    /// Seconds before a retry that names no time of its own.
    pub default_retry_delay: f64,
    /// Python's classes of the failures that the worker tries again by itself:
    /// `ValueError`, `myapp.errors.Busy`. A base class stands for all of its own.
    pub autoretry_for: Vec<String>,
    /// Those among them that it does not.
    pub dont_autoretry_for: Vec<String>,
    /// Seconds before the first of these retries, doubled for each further
    /// one; 0 for `default_retry_delay` before each.
    pub retry_backoff: f64,
    /// Seconds beyond which the pause does not grow.
    pub retry_backoff_max: f64,
    /// Whether the pause is drawn between 0 and what it would be.
    pub retry_jitter: bool,
}

impl Default for TaskOptions {
    /// Celery's defaults: 3 retries, 3 minutes apart.
    fn default() -> Self {
        Self {
            acks_late: None,
            acks_on_failure: None,
            acks_on_timeout: None,
            process: None,
            reject_on_worker_lost: None,
            retry_on_worker_lost: None,
            ignore_result: None,
            track_started: None,
            time_limit: None,
            soft_time_limit: None,
            rate_limit: None,
            max_retries: Some(3),
            default_retry_delay: 180.0,
            autoretry_for: Vec::new(),
            dont_autoretry_for: Vec::new(),
            retry_backoff: 0.0,
            retry_backoff_max: 600.0,
            retry_jitter: true,
        }
    }
}
