//! The worker itself: ping, stats, clock, hello, shutdown.

use std::sync::Arc;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::{Value, json};

use super::command::{Answer, Arguments, Refusal};
use crate::worker::Shared;
use crate::worker::requests::Stage;

pub(super) fn ping() -> Result<Answer, Refusal> {
    Answer::ok("pong")
}

pub(super) fn clock(shared: &Shared) -> Result<Answer, Refusal> {
    Answer::now(json!({"clock": shared.app.clock().value()}))
}

/// Another worker says that it is there, and what it knows to be revoked.
pub(super) fn hello(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    let from = arguments.text("from_node")?;
    if *from == *shared.nodename {
        return Answer::now(Value::Null);
    }
    tracing::info!("sync with {from}");
    // An older Celery sends when each was revoked, too.
    match arguments.get("revoked") {
        Some(Value::Object(revoked)) => shared.revoked.add(revoked.keys()),
        _ => shared.revoked.add(arguments.texts("revoked")),
    }
    Answer::now(json!({
        "revoked": shared.revoked.ids(),
        "clock": shared.app.clock().forward(),
    }))
}

/// Celery's does not answer this one, either.
pub(super) fn shutdown(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    let message = arguments.get("msg").and_then(Value::as_str);
    tracing::warn!("{}", message.unwrap_or("Got shutdown from remote"));
    shared.shutdown.begin();
    Ok(Answer::Never)
}

/// In the shape that Flower's page of a worker reads.
pub(super) fn stats(shared: &Arc<Shared>) -> Result<Answer, Refusal> {
    let mut stats = json!({
        "total": shared.requests.total(),
        "pid": std::process::id(),
        "clock": shared.app.clock().value().to_string(),
        "uptime": shared.started.elapsed().as_secs_f64().round() as u64,
        "pool": pool(shared),
        "broker": broker(shared),
        "prefetch_count": prefetch_count(shared),
        "rusage": rusage(),
    });
    if let (Some(autoscaler), Value::Object(stats)) = (&shared.autoscaler, &mut stats) {
        let load = shared.requests.reserved();
        stats.insert("autoscaler".to_owned(), autoscaler.info(&shared.pool, load));
    }
    Answer::now(stats)
}

/// What waits for its eta does not count against it; Celery adds it, too.
fn prefetch_count(shared: &Shared) -> usize {
    match shared.pool.prefetch_count() {
        0 => 0,
        count => count + shared.requests.in_stage(Stage::Scheduled).len(),
    }
}

/// A limit as the settings have it: whole unless it has a fraction. 0: none.
fn seconds(limit: Option<f64>) -> Value {
    match limit.unwrap_or(0.0) {
        whole if whole.fract() == 0.0 => (whole as u64).into(),
        limit => limit.into(),
    }
}

fn pool(shared: &Shared) -> Value {
    let settings = shared.app.settings();
    let mut processes = shared.children.pids();
    if processes.is_empty() {
        // Slots are no processes; all of them are in this one.
        processes.push(std::process::id());
    }
    let max_tasks = shared.children.max_tasks();
    json!({
        "implementation": "celeriac::worker::Pool",
        "max-concurrency": shared.pool.size(),
        "processes": processes,
        "max-tasks-per-child": max_tasks.map_or("N/A".into(), Value::from),
        "put-guarded-by-semaphore": true,
        "timeouts": [seconds(settings.task_soft_time_limit), seconds(settings.task_time_limit)],
        "writes": "N/A",
    })
}

/// As `kombu.Connection.info`, without the password.
fn broker(shared: &Shared) -> Value {
    let info = shared.app.broker().info();
    json!({
        "hostname": info.hostname,
        "userid": info.userid,
        "virtual_host": info.virtual_host,
        "port": info.port,
        "insist": false,
        "ssl": info.ssl,
        "transport": info.transport,
        "connect_timeout": 4,
        "transport_options": info.options,
        "login_method": null,
        "uri_prefix": null,
        "heartbeat": 0,
        "failover_strategy": "round-robin",
        "alternates": [],
        "credential_provider": null,
    })
}

/// What the process has used, under the names of `getrusage(2)`.
fn rusage() -> Value {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return "N/A".into();
    };
    json!({
        "utime": usage.user_time().num_microseconds() as f64 / 1e6,
        "stime": usage.system_time().num_microseconds() as f64 / 1e6,
        "maxrss": usage.max_rss(),
        "ixrss": usage.shared_integral(),
        "idrss": usage.unshared_data_integral(),
        "isrss": usage.unshared_stack_integral(),
        "minflt": usage.minor_page_faults(),
        "majflt": usage.major_page_faults(),
        "nswap": usage.full_swaps(),
        "inblock": usage.block_reads(),
        "oublock": usage.block_writes(),
        "msgsnd": usage.ipc_sends(),
        "msgrcv": usage.ipc_receives(),
        "nsignals": usage.signals(),
        "nvcsw": usage.voluntary_context_switches(),
        "nivcsw": usage.involuntary_context_switches(),
    })
}
