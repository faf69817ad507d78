//! pool_grow, pool_shrink, pool_restart, autoscale.

use super::command::{Answer, Arguments, Refusal};
use crate::worker::Shared;

pub(super) fn grow(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    unless_autoscaled(shared, "pool_grow")?;
    shared.pool.grow(arguments.count("n")?.unwrap_or(1));
    shared.children.fit();
    Answer::ok("pool will grow")
}

pub(super) fn shrink(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    unless_autoscaled(shared, "pool_shrink")?;
    let count = arguments.count("n")?.unwrap_or(1);
    shared
        .pool
        .shrink(count)
        .map_err(|_| Refusal::python("ValueError", "Can't shrink pool. All processes busy!"))?;
    shared.children.fit();
    Answer::ok("pool will shrink")
}

fn unless_autoscaled(shared: &Shared, method: &str) -> Result<(), Refusal> {
    match shared.autoscaler {
        None => Ok(()),
        Some(_) => Err(Refusal::new(format!(
            "{method} is not supported with autoscale. Adjust autoscale range instead."
        ))),
    }
}

/// Replaces the child processes; there are no modules to load again.
pub(super) fn restart(shared: &Shared) -> Result<Answer, Refusal> {
    if shared.app.settings().worker_pool_restarts {
        shared.children.restart();
        return Answer::ok("reload started");
    }
    Err(Refusal::python("ValueError", "Pool restarts not enabled"))
}

pub(super) fn autoscale(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    let Some(autoscaler) = &shared.autoscaler else {
        return Err(Refusal::python("ValueError", "Autoscale not enabled"));
    };
    let (max, min) = (arguments.count("max")?, arguments.count("min")?);
    let (max, min) = autoscaler.update(&shared.pool, max, min);
    Answer::ok(format!("autoscale now max={max} min={min}"))
}
