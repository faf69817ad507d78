//! What USR1 has a worker log (`celery/apps/worker.py`, `install_cry_handler`).

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use super::Monitor;

/// Logs at every USR1 what the worker is at, and goes on: where Celery prints
/// the stacks of its threads.
pub(crate) fn cry_on_usr1(monitor: Monitor) -> io::Result<()> {
    let mut told = signal(SignalKind::user_defined1())?;
    tokio::spawn(async move {
        while told.recv().await.is_some() {
            tracing::warn!("{}", monitor.report());
        }
    });
    Ok(())
}
