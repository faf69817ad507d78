//! Remote control (`celery/worker/control.py`, `celery/app/control.py`): what
//! `celery inspect`, `celery control` and Flower ask of a worker, and what
//! workers ask of each other.
//!
//! - `mailbox`: hears commands and answers them, whatever the slots are doing
//! - `command`: a command, its arguments and its answer
//! - one module for each family of commands: `ping` and `stats` in `worker`,
//!   `active` and the like in `tasks`, `conf` and `report` in `settings`,
//!   `revoke`, `limits`, `events`, `pool`, `queues`, `memory`

pub(super) mod command;
mod events;
mod limits;
mod mailbox;
mod matcher;
mod memory;
mod pool;
mod queues;
mod revoke;
mod settings;
mod tasks;
mod worker;

pub use command::{Command, ReplyTo};
pub(crate) use mailbox::listen;
pub(crate) use memory::Samples;

use command::{Answer, Arguments, Refusal};
use std::sync::Arc;

use crate::worker::Shared;

/// Carries out a command. Its effects have taken place when this returns;
/// the answer may still have to be waited for.
fn carry_out(shared: &Arc<Shared>, method: &str, arguments: &Arguments) -> Result<Answer, Refusal> {
    match method {
        "ping" => worker::ping(),
        "stats" => worker::stats(shared),
        "clock" => worker::clock(shared),
        "hello" => worker::hello(shared, arguments),
        "shutdown" => worker::shutdown(shared, arguments),
        "report" => settings::report(shared),
        "conf" | "dump_conf" => settings::conf(shared, arguments),
        "active" | "dump_active" => tasks::active(shared, arguments),
        "reserved" | "dump_reserved" => tasks::reserved(shared),
        "scheduled" | "dump_schedule" => tasks::scheduled(shared),
        "query_task" => tasks::query_task(shared, arguments),
        "registered" | "dump_tasks" => tasks::registered(shared, arguments),
        "revoke" => revoke::revoke(shared, arguments),
        "terminate" => revoke::terminate(shared, arguments),
        "revoke_by_stamped_headers" => revoke::by_stamped_headers(shared, arguments),
        "revoked" | "dump_revoked" => revoke::revoked(shared),
        "rate_limit" => limits::rate_limit(shared, arguments),
        "time_limit" => limits::time_limit(shared, arguments),
        "enable_events" => events::enable(shared),
        "disable_events" => events::disable(shared),
        "heartbeat" => events::heartbeat(shared),
        "election" => crate::worker::election::election(shared, arguments),
        "pool_grow" => pool::grow(shared, arguments),
        "pool_shrink" => pool::shrink(shared, arguments),
        "pool_restart" => pool::restart(shared),
        "autoscale" => pool::autoscale(shared, arguments),
        "add_consumer" => queues::add_consumer(shared, arguments),
        "cancel_consumer" => queues::cancel_consumer(shared, arguments),
        "active_queues" => queues::active_queues(shared),
        "memsample" => memory::memsample(shared),
        "memdump" => memory::memdump(shared, arguments),
        "objgraph" => memory::objgraph(),
        _ => Err(Refusal::python("KeyError", method)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::client::App;
    use crate::config::Settings;
    use crate::error::Error;
    use crate::shutdown::Shutdown;
    use crate::worker::Worker;

    const METHODS: [&str; 38] = [
        "ping",
        "stats",
        "clock",
        "hello",
        "shutdown",
        "report",
        "conf",
        "active",
        "reserved",
        "scheduled",
        "query_task",
        "registered",
        "revoke",
        "terminate",
        "revoke_by_stamped_headers",
        "rate_limit",
        "time_limit",
        "enable_events",
        "disable_events",
        "heartbeat",
        "election",
        "pool_grow",
        "pool_shrink",
        "pool_restart",
        "autoscale",
        "add_consumer",
        "cancel_consumer",
        "active_queues",
        "revoked",
        "memsample",
        "memdump",
        "objgraph",
        "dump_conf",
        "dump_active",
        "dump_reserved",
        "dump_schedule",
        "dump_tasks",
        "no_such_command",
    ];
    const NAMES: [&str; 22] = [
        "task_id",
        "terminate",
        "signal",
        "ids",
        "headers",
        "task_name",
        "rate_limit",
        "soft",
        "hard",
        "n",
        "max",
        "min",
        "queue",
        "exchange",
        "samples",
        "taskinfoitems",
        "builtins",
        "with_defaults",
        "from_node",
        "revoked",
        "modules",
        "topic",
    ];

    fn any_argument() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[0-9]{0,25}/?[smh]?".prop_map(Value::from),
            proptest::collection::vec(any::<String>(), 0..4).prop_map(Value::from),
            Just(json!({"a": ["b"], "c": {"d": -1e300}})),
        ]
    }

    fn shared() -> Result<Arc<Shared>, Error> {
        let app = App::new(Settings {
            broker_url: "redis://127.0.0.1:1/0".to_owned(),
            ..Settings::default()
        })?;
        Ok(Arc::new(Worker::new(app).share(0, Shutdown::new())?))
    }

    proptest! {
        #[test]
        fn any_arguments_are_taken_or_refused(
            method in proptest::sample::select(&METHODS[..]),
            arguments in proptest::collection::vec(
                (proptest::sample::select(&NAMES[..]), any_argument()), 0..6),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return Ok(()) };
            let _entered = runtime.enter();
            let Ok(shared) = shared() else { return Ok(()) };
            let arguments = arguments.into_iter().map(|(name, value)| (name.to_owned(), value));
            let arguments = Arguments::new(method, arguments.collect());
            // A refusal is an answer, too.
            let _ = carry_out(&shared, method, &arguments);
        }
    }
}
