//! Celery's settings, under Celery's names and with Celery's defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::forms::{
    FANOUT_PREFIX, above_zero, fanout_prefix, priority_steps, seconds, some_above_zero,
    some_seconds,
};
use super::{
    ExchangeType, QueueSetting, TaskAnnotations, TaskRoutes, UseSsl, forms, queues, remark,
};
use crate::rate::Rate;
use crate::schedule::BeatEntry;
use crate::value::{Compression, DeliveryMode, Serializer, serializer};

/// The settings that Celeriac honours. Each means what it means in
/// [Celery's configuration](https://docs.celeryq.dev/en/stable/userguide/configuration.html);
/// numbers are seconds where not said otherwise.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where messages go. Celery's own default is a RabbitMQ; ours is Redis.
    #[serde(deserialize_with = "forms::broker")]
    pub broker_url: String,
    /// How the broker is used.
    pub broker_transport_options: TransportOptions,
    /// Whether the connections to the broker are encrypted, as `rediss://` says.
    pub broker_use_ssl: UseSsl,
    /// How long opening a connection to the broker may take.
    #[serde(deserialize_with = "above_zero")]
    pub broker_connection_timeout: f64,
    /// Whether a lost broker is waited for; else the worker ends.
    pub broker_connection_retry: bool,
    /// Whether one that is not there at the start is, if this is not the same.
    pub broker_connection_retry_on_startup: Option<bool>,
    /// How often it is tried until the worker ends; without bound if not given
    /// or 0. Celery's default is 100.
    pub broker_connection_max_retries: Option<u32>,
    /// Where results go; none are kept without it.
    #[serde(deserialize_with = "forms::backend")]
    pub result_backend: Option<String>,
    /// Whether the connections to the results are encrypted, as `rediss://` says.
    pub redis_backend_use_ssl: UseSsl,
    /// How long opening a connection to the results may take.
    #[serde(deserialize_with = "some_above_zero")]
    pub redis_socket_connect_timeout: Option<f64>,
    /// How long an answer about results is waited for while nothing moves;
    /// 10 if not given, where Celery has 120.
    #[serde(deserialize_with = "some_above_zero")]
    pub redis_socket_timeout: Option<f64>,
    /// Lifetime of a result; 0 keeps it for ever.
    #[serde(deserialize_with = "seconds")]
    pub result_expires: f64,
    /// The same for the results of tasks that failed; as `result_expires` if not
    /// given.
    #[serde(deserialize_with = "some_seconds")]
    pub result_failure_expires: Option<f64>,
    /// How the result backend uses its Redis.
    pub result_backend_transport_options: ResultTransportOptions,
    /// How long a chord is remembered that has not ended, seconds; as long as a
    /// result, but a day at least, if not given; 0 for ever.
    #[serde(deserialize_with = "some_seconds")]
    pub result_chord_expires: Option<f64>,
    /// `false`: what the backend does not take for now is tried 20 times, a
    /// second between. Else without end, unless the next one says otherwise.
    pub result_backend_always_retry: Option<bool>,
    /// How often it is tried again at most.
    pub result_backend_max_retries: Option<f64>,
    /// The first pause between two attempts, milliseconds; 50 if not given.
    pub result_backend_base_sleep_between_retries_ms: Option<u64>,
    /// The longest one; 5000 if not given.
    pub result_backend_max_sleep_between_retries_ms: Option<u64>,
    /// How long the results of a chord's header may take to be gathered once
    /// all its members have ended.
    #[serde(deserialize_with = "seconds")]
    pub result_chord_join_timeout: f64,
    /// Whether results tell the task's name, arguments, worker and queue.
    pub result_extended: bool,
    /// The queue of tasks without a route.
    pub task_default_queue: String,
    /// The queues that a worker consumes if none are named; the default queue if empty.
    #[serde(deserialize_with = "queues::all")]
    pub task_queues: Vec<QueueSetting>,
    /// The exchange of queues that name none; the default queue's name if not
    /// given.
    pub task_default_exchange: Option<String>,
    /// Its type.
    pub task_default_exchange_type: ExchangeType,
    /// What queues that say nothing of it are bound by; the default queue's name
    /// if not given.
    pub task_default_routing_key: Option<String>,
    /// Whether a queue that `task_queues` lacks is made by naming it.
    pub task_create_missing_queues: bool,
    /// The type of such a queue's exchange; direct if not given.
    pub task_create_missing_queue_exchange_type: Option<ExchangeType>,
    /// Whether a broker is to keep messages over a restart of its own.
    pub task_default_delivery_mode: DeliveryMode,
    /// Which tasks go to which queues; [`App::with_router`](crate::App::with_router)
    /// goes before.
    pub task_routes: TaskRoutes,
    /// Options of tasks, by name.
    pub task_annotations: TaskAnnotations,
    /// Priority of messages that name none, 0 (first) to 9 on Redis.
    pub task_default_priority: Option<u8>,
    /// Whether what a task sends has the task's own priority.
    pub task_inherit_parent_priority: bool,
    /// Whether a chord's errbacks are called for each failure in its header.
    pub task_allow_error_cb_on_chord_header: bool,
    /// Whether messages are acknowledged after the task has run.
    pub task_acks_late: bool,
    /// Whether a late acknowledgement follows a failure or the hard limit, too.
    pub task_acks_on_failure_or_timeout: bool,
    /// Whether it follows a failure, if this is not the same.
    pub task_acks_on_failure: Option<bool>,
    /// Whether it follows the hard limit, if this is not the same. Else the
    /// message goes back to its queue.
    pub task_acks_on_timeout: Option<bool>,
    /// Whether a message whose child died goes back to its queue. For tasks
    /// with late acknowledgement.
    pub task_reject_on_worker_lost: bool,
    /// Whether a task is retried when its child process dies.
    pub task_retry_on_worker_lost: bool,
    /// Whether `STARTED` is stored when a task begins.
    pub task_track_started: bool,
    /// Whether results are dropped.
    pub task_ignore_result: bool,
    /// Whether errors are stored even then.
    pub task_store_errors_even_if_ignored: bool,
    /// Hard limit on a task's run.
    #[serde(deserialize_with = "some_seconds")]
    pub task_time_limit: Option<f64>,
    /// Soft limit on a task's run.
    #[serde(deserialize_with = "some_seconds")]
    pub task_soft_time_limit: Option<f64>,
    /// Whether a failed publish is tried again.
    pub task_publish_retry: bool,
    /// How often, and how fast.
    pub task_publish_retry_policy: PublishRetryPolicy,
    /// Serializers and content types that are read.
    pub accept_content: AcceptContent,
    /// The same for results; as `accept_content` if not given.
    pub result_accept_content: Option<AcceptContent>,
    /// What bodies are written in.
    pub task_serializer: Serializer,
    /// What results are written, and read, in.
    pub result_serializer: Serializer,
    /// How bodies are compressed.
    pub task_compression: Option<Compression>,
    /// How results are compressed; they are read however they are.
    pub result_compression: Option<Compression>,
    /// Slots: tasks that run at once. One for each core if not given.
    #[serde(deserialize_with = "forms::concurrency")]
    pub worker_concurrency: Option<usize>,
    /// Whether tasks run in this process or in children of it.
    pub worker_pool: WorkerPool,
    /// A child is replaced after so many runs; 0 is without bound.
    pub worker_max_tasks_per_child: Option<u64>,
    /// A child that has more memory than this after a run is replaced;
    /// resident, in KiB; 0 is without bound.
    pub worker_max_memory_per_child: Option<u64>,
    /// How long a child may take until it can run tasks. It is a program that
    /// starts anew, not a fork: Celery's default is 4.
    #[serde(deserialize_with = "seconds")]
    pub worker_proc_alive_timeout: f64,
    /// Messages reserved for each slot; 0 is without bound.
    pub worker_prefetch_multiplier: usize,
    /// Whether a message is taken only when a slot is free, as with a multiplier
    /// of 1 and late acknowledgement (`--disable-prefetch`).
    pub worker_disable_prefetch: bool,
    /// Whether a task that is delivered again is not run if it has succeeded
    /// before. For tasks with late acknowledgement.
    pub worker_deduplicate_successful_tasks: bool,
    /// Messages held for a later eta, at most; without bound if not given.
    pub worker_eta_task_limit: Option<usize>,
    /// Time that running tasks get at a cold shutdown.
    #[serde(deserialize_with = "seconds")]
    pub worker_soft_shutdown_timeout: f64,
    /// Whether the worker also consumes a queue of its own, `<nodename>.dq2`.
    pub worker_direct: bool,
    /// Whether the worker answers remote control.
    pub worker_enable_remote_control: bool,
    /// Whether the worker tells what becomes of its tasks (`-E`).
    pub worker_send_task_events: bool,
    /// Whether rate limits are ignored.
    pub worker_disable_rate_limits: bool,
    /// Whether `pool_restart` is answered.
    pub worker_pool_restarts: bool,
    /// The file that keeps revoked ids over a restart (`--statedb`), with `%h`,
    /// `%n` and `%d` of the nodename. JSON: Python's shelve cannot be read.
    pub worker_state_db: Option<String>,
    /// Where a worker's program answers `/health` and `/metrics`: `HOST:PORT`;
    /// nowhere if not given. Celeriac's own.
    pub worker_http: Option<String>,
    /// Whether an event tells of each task that is sent.
    pub task_send_sent_event: bool,
    /// Rate limit of tasks that have none of their own: `10/s`, `100/m`.
    pub task_default_rate_limit: Option<Rate>,
    /// Namespace of the mailbox that control commands go to.
    pub control_exchange: String,
    /// Replies to a control command that nobody collects live so long.
    #[serde(deserialize_with = "seconds")]
    pub control_queue_expires: f64,
    /// The exchange that events go to.
    pub event_exchange: String,
    /// Time zone of crontabs, as in the IANA database; see [`Self::zone`].
    pub timezone: Option<chrono_tz::Tz>,
    /// Whether UTC is the time zone if none is named.
    pub enable_utc: bool,
    /// The periodic tasks, by entry name.
    pub beat_schedule: BTreeMap<String, BeatEntry>,
    /// Whether beats share their state in files or in the broker.
    pub beat_scheduler: BeatScheduler,
    /// Where beat remembers when entries ran last, if in files.
    pub beat_schedule_filename: String,
    /// How long a shared schedule waits for a leader that says nothing.
    /// Celeriac's own.
    #[serde(deserialize_with = "seconds")]
    pub beat_lease: f64,
    /// Beat looks at its schedule at least this often.
    #[serde(deserialize_with = "seconds")]
    pub beat_max_loop_interval: f64,
    /// A crontab's run that was missed for longer than this, in seconds, is
    /// not made up for.
    #[serde(deserialize_with = "some_seconds")]
    pub beat_cron_starting_deadline: Option<f64>,
}

impl Settings {
    /// The time zone of crontabs: the one that is named, else UTC, or this
    /// machine's without `enable_utc`. As `app.timezone`.
    pub fn zone(&self) -> chrono_tz::Tz {
        let named = || std::env::var("TZ").ok();
        let local = || named().or_else(|| iana_time_zone::get_timezone().ok());
        let unnamed = || if self.enable_utc { None } else { local() };
        let unnamed = || unnamed()?.trim_start_matches(':').parse().ok();
        self.timezone.or_else(unnamed).unwrap_or(chrono_tz::UTC)
    }

    /// `beat_lease`, as long as an election needs at least.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_secs_f64(self.beat_lease.max(1.0))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            broker_url: "redis://127.0.0.1:6379/0".to_owned(),
            broker_transport_options: TransportOptions::default(),
            broker_use_ssl: UseSsl::default(),
            broker_connection_timeout: 4.0,
            broker_connection_retry: true,
            broker_connection_retry_on_startup: None,
            broker_connection_max_retries: None,
            result_backend: None,
            redis_backend_use_ssl: UseSsl::default(),
            redis_socket_connect_timeout: None,
            redis_socket_timeout: None,
            result_expires: 86_400.0,
            result_failure_expires: None,
            result_backend_transport_options: ResultTransportOptions::default(),
            result_chord_expires: None,
            result_backend_always_retry: None,
            result_backend_max_retries: None,
            result_backend_base_sleep_between_retries_ms: None,
            result_backend_max_sleep_between_retries_ms: None,
            result_chord_join_timeout: 3.0,
            result_extended: false,
            task_default_queue: "celery".to_owned(),
            task_queues: Vec::new(),
            task_default_exchange: None,
            task_default_exchange_type: ExchangeType::default(),
            task_default_routing_key: None,
            task_create_missing_queues: true,
            task_create_missing_queue_exchange_type: None,
            task_default_delivery_mode: DeliveryMode::default(),
            task_routes: TaskRoutes::default(),
            task_annotations: TaskAnnotations::default(),
            task_default_priority: None,
            task_inherit_parent_priority: false,
            task_allow_error_cb_on_chord_header: false,
            task_acks_late: false,
            task_acks_on_failure_or_timeout: true,
            task_acks_on_failure: None,
            task_acks_on_timeout: None,
            task_reject_on_worker_lost: false,
            task_retry_on_worker_lost: false,
            task_track_started: false,
            task_ignore_result: false,
            task_store_errors_even_if_ignored: false,
            task_time_limit: None,
            task_soft_time_limit: None,
            task_publish_retry: true,
            task_publish_retry_policy: PublishRetryPolicy::default(),
            accept_content: AcceptContent::default(),
            result_accept_content: None,
            task_serializer: Serializer::default(),
            result_serializer: Serializer::default(),
            task_compression: None,
            result_compression: None,
            worker_concurrency: None,
            worker_pool: WorkerPool::default(),
            worker_max_tasks_per_child: None,
            worker_max_memory_per_child: None,
            worker_proc_alive_timeout: 30.0,
            worker_prefetch_multiplier: 4,
            worker_disable_prefetch: false,
            worker_deduplicate_successful_tasks: false,
            worker_eta_task_limit: None,
            worker_soft_shutdown_timeout: 0.0,
            worker_direct: false,
            worker_enable_remote_control: true,
            worker_send_task_events: false,
            worker_disable_rate_limits: false,
            worker_pool_restarts: false,
            worker_state_db: None,
            worker_http: None,
            task_send_sent_event: false,
            task_default_rate_limit: None,
            control_exchange: "celery".to_owned(),
            control_queue_expires: 10.0,
            event_exchange: "celeryev".to_owned(),
            timezone: None,
            enable_utc: true,
            beat_schedule: BTreeMap::new(),
            beat_scheduler: BeatScheduler::default(),
            beat_lease: 5.0,
            beat_schedule_filename: "celerybeat-schedule.json".to_owned(),
            beat_max_loop_interval: 300.0,
            beat_cron_starting_deadline: None,
        }
    }
}

/// `broker_transport_options`, as kombu's Redis transport reads them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransportOptions {
    /// After this time an unacknowledged message that nobody refreshes is
    /// delivered again.
    #[serde(deserialize_with = "seconds")]
    pub visibility_timeout: f64,
    /// The priorities that have a list of their own, ascending.
    #[serde(deserialize_with = "priority_steps")]
    pub priority_steps: Vec<u8>,
    /// Separator between a queue's name and its priority.
    pub sep: String,
    /// Put before every key.
    pub global_keyprefix: String,
    /// In which order queues are read.
    pub queue_order_strategy: QueueOrder,
    /// What channels begin with; `{db}` in it is the database's number. In a
    /// file, `true` is kombu's own and `false` is nothing.
    #[serde(deserialize_with = "fanout_prefix")]
    pub fanout_prefix: String,
    /// Whether a channel's name ends with the routing key, so that it can be
    /// heard by a pattern.
    pub fanout_patterns: bool,
    /// The hash of what has been delivered and not acknowledged.
    pub unacked_key: String,
    /// The sorted set of its times of delivery.
    pub unacked_index_key: String,
    /// The lock of whoever restores it.
    pub unacked_mutex_key: String,
    /// How long an answer is waited for while nothing moves; 10 if not given.
    #[serde(deserialize_with = "some_above_zero")]
    pub socket_timeout: Option<f64>,
    /// How long opening a connection may take; `broker_connection_timeout` if
    /// not given.
    #[serde(deserialize_with = "some_above_zero")]
    pub socket_connect_timeout: Option<f64>,
    /// What connections are called in `CLIENT LIST`.
    pub client_name: Option<String>,
    /// How long the messages of a worker that died without a word stay with
    /// it. Celeriac's own; Python workers wait for `visibility_timeout`.
    #[serde(deserialize_with = "seconds")]
    pub worker_lease: f64,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            visibility_timeout: 3600.0,
            priority_steps: vec![0, 3, 6, 9],
            sep: "\u{6}\u{16}".to_owned(),
            global_keyprefix: String::new(),
            queue_order_strategy: QueueOrder::RoundRobin,
            fanout_prefix: FANOUT_PREFIX.to_owned(),
            fanout_patterns: true,
            unacked_key: "unacked".to_owned(),
            unacked_index_key: "unacked_index".to_owned(),
            unacked_mutex_key: "unacked_mutex".to_owned(),
            socket_timeout: None,
            socket_connect_timeout: None,
            client_name: None,
            worker_lease: 30.0,
        }
    }
}

/// `result_backend_transport_options`, as far as they name keys.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResultTransportOptions {
    /// Put before every key and channel of a result; a `_` follows it if it
    /// ends in none of `:`, `_`, `-` and `.`.
    pub global_keyprefix: String,
}

/// `queue_order_strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QueueOrder {
    /// Every queue has its turn.
    #[default]
    RoundRobin,
    /// Alphabetical: later queues wait until earlier ones are empty.
    Sorted,
    /// As given: later queues wait until earlier ones are empty.
    Priority,
}

/// `worker_pool`, by Celery's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
#[non_exhaustive]
pub enum WorkerPool {
    /// In this process: async tasks beside each other, functions that block on
    /// threads. Only tasks with the option `process` run in children.
    #[default]
    Threads,
    /// In children, but for tasks without the option `process`, if they say so.
    Prefork,
}

/// A name, or a class of Celery's as in `ALIASES` of `celery/concurrency`.
impl TryFrom<String> for WorkerPool {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let class = name.strip_prefix("celery.concurrency.");
        let class = class.and_then(|class| class.strip_suffix("TaskPool"));
        let module = class.and_then(|class| class.strip_suffix([':', '.']));
        match module.unwrap_or(&name) {
            "threads" | "thread" => Ok(Self::Threads),
            "prefork" | "processes" | "process" => Ok(Self::Prefork),
            "solo" | "eventlet" | "gevent" => {
                remark(
                    "`worker_pool` is `threads` here: tasks run beside each other in one \
                     process, as many as `worker_concurrency` says",
                );
                Ok(Self::Threads)
            }
            _ => Err(
                "`worker_pool` is `threads` or `prefork`: a pool of Python's own cannot be had here",
            ),
        }
    }
}

impl WorkerPool {
    /// As the banner shows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Prefork => "prefork",
        }
    }
}

/// `beat_scheduler`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
#[non_exhaustive]
pub enum BeatScheduler {
    /// Files of this machine's, `beat_schedule_filename` and what lies beside it.
    #[default]
    Persistent,
    /// The broker: any number of beats on any machines have one leader.
    Shared,
}

/// A name, or Celery's own class.
impl TryFrom<String> for BeatScheduler {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "persistent"
            | "celery.beat:PersistentScheduler"
            | "celery.beat.PersistentScheduler" => Ok(Self::Persistent),
            "shared" => Ok(Self::Shared),
            _ => Err(
                "`beat_scheduler` is `persistent` (a file) or `shared` (the broker): a scheduler \
                 of Python's own cannot be had here",
            ),
        }
    }
}

/// `accept_content`: names or content types.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "Vec<String>")]
pub struct AcceptContent(pub Vec<String>);

impl TryFrom<Vec<String>> for AcceptContent {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        match names.iter().find(|name| !serializer::is_known(name)) {
            Some(name) => Err(format!("no serializer is called {name:?}")),
            None => Ok(Self(names)),
        }
    }
}

impl Default for AcceptContent {
    fn default() -> Self {
        Self(vec!["json".to_owned()])
    }
}

/// `task_publish_retry_policy`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublishRetryPolicy {
    /// Attempts after the first; without end if Python's None, which is `inf`
    /// in TOML.
    #[serde(deserialize_with = "forms::retries")]
    pub max_retries: usize,
    /// Wait before the first of them.
    #[serde(deserialize_with = "seconds")]
    pub interval_start: f64,
    /// Added to the wait each time.
    #[serde(deserialize_with = "seconds")]
    pub interval_step: f64,
    /// The longest wait.
    #[serde(deserialize_with = "seconds")]
    pub interval_max: f64,
}

impl Default for PublishRetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            interval_start: 0.0,
            interval_step: 0.2,
            interval_max: 1.0,
        }
    }
}

impl Settings {
    /// The pauses before what could not be published is tried again: none if
    /// that is not to be.
    pub(crate) fn publish_pauses(&self) -> impl Iterator<Item = Duration> + Send + Sync + Unpin {
        let policy = self.task_publish_retry_policy;
        let retries = match self.task_publish_retry {
            true => policy.max_retries,
            false => 0,
        };
        policy.pauses().take(retries)
    }
}

impl PublishRetryPolicy {
    /// The pauses before the attempts, without end. As `retry_over_time` of
    /// kombu.
    pub(crate) fn pauses(self) -> impl Iterator<Item = Duration> + Send + Sync + Unpin {
        let longest = self.interval_start + self.interval_max;
        let pauses = std::iter::successors(Some(self.interval_start), move |pause| {
            let next = pause + self.interval_step;
            Some(if next <= longest { next } else { *pause })
        });
        pauses.map(move |pause| Duration::from_secs_f64(pause.min(self.interval_max)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `fxrange` of kombu 5.7 gives under `retry_over_time`.
    #[test]
    fn pauses_are_those_of_kombu() {
        let expected = [
            ((0.0, 0.2, 1.0), [0, 200, 400, 600, 800, 1000, 1000, 1000]),
            ((0.5, 0.2, 0.6), [500, 600, 600, 600, 600, 600, 600, 600]),
            ((0.1, 0.0, 1.0), [100; 8]),
            ((0.0, 0.3, 1.0), [0, 300, 600, 900, 900, 900, 900, 900]),
            ((3.0, 1.0, 2.0), [2000; 8]),
        ];
        for ((interval_start, interval_step, interval_max), pauses) in expected {
            let policy = PublishRetryPolicy {
                interval_start,
                interval_step,
                interval_max,
                ..PublishRetryPolicy::default()
            };
            let rounded = policy.pauses().map(|pause| pause.as_secs_f64() * 1e3);
            let rounded: Vec<u64> = rounded.map(|ms| ms.round() as u64).take(8).collect();
            assert_eq!(rounded, pauses, "{policy:?}");
        }
    }
}
