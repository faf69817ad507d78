//! Variables that are no settings of a name that looks like one.

/// That a process is a child of a worker's, and where it finds it.
pub(crate) const CHILD: &str = "CELERIAC_CHILD";

/// Those of Celeriac's scripts that look like a section's.
pub(super) const OURS: &[&str] = &["CELERIAC_API_URL"];

/// What the options of Celery's commands are called in the environment, after
/// `CELERY_`: click makes their names. Those that are settings, too, are not here.
const OPTIONS: &[&str] = &[
    "beat_detach",
    "beat_hostname",
    "beat_logfile",
    "beat_loglevel",
    "beat_max_interval",
    "beat_pidfile",
    "worker_autoscale",
    "worker_beat",
    "worker_detach",
    "worker_exclude_queues",
    "worker_executable",
    "worker_heartbeat_interval",
    "worker_hostname",
    "worker_include",
    "worker_logfile",
    "worker_loglevel",
    "worker_optimization",
    "worker_pidfile",
    "worker_purge",
    "worker_queues",
    "worker_revoke_expires",
    "worker_revokes_max",
    "worker_schedule",
    "worker_schedule_filename",
    "worker_scheduler",
    "worker_soft_time_limit",
    "worker_statedb",
    "worker_successful_expires",
    "worker_successful_max",
    "worker_task_events",
    "worker_time_limit",
    "worker_without_gossip",
    "worker_without_heartbeat",
    "worker_without_mingle",
    "worker_workdir",
];

/// Whether `CELERY_` and this is a variable of Celery's commands.
pub(super) fn is_option(name: &str) -> bool {
    OPTIONS.contains(&name)
}

/// What Celery reads elsewhere, and what is to be said of it here.
pub(super) const NOT_READ: &[(&str, &str)] = &[
    (
        "CELERY_CONFIG_MODULE",
        "no Python module is read: write the settings into celeryconfig.toml",
    ),
    (
        "CELERY_CUSTOM_WORKER_POOL",
        "it names a Python class: `worker_pool` is threads or prefork",
    ),
];

/// What the command `celery` takes in place of a setting's own variable.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    ("BROKER_URL", "broker_url"),
    ("RESULT_BACKEND", "result_backend"),
];
