//! Structured logs on standard error.

use std::io::IsTerminal;

use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::trace;

/// Starts logging for a binary: `RUST_LOG` filters (default `info`), and
/// `CELERIAC_LOG_FORMAT=json` writes one JSON object a line.
///
/// Traces are exported from here on, if the environment says so: see
/// [`trace`].
///
/// Calling it twice does nothing the second time.
pub fn init() {
    init_at("info");
}

/// As [`init`], with `level` where `RUST_LOG` says nothing. Levels have
/// Celery's names, in any case: `WARNING`, `CRITICAL`.
pub fn init_at(level: &str) {
    let level = match level.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "critical" | "fatal" => "error".to_owned(),
        level => level.to_owned(),
    };
    // Libraries that say much at `info` while they work as intended.
    const QUIET: &str = "sqlx=warn,sea_orm_migration=warn,cached_path=warn";
    let quiet = || EnvFilter::new(format!("{level},{QUIET}"));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| quiet());
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // What the lines leave out may still be in a trace.
    let subscriber = registry().with(trace::layer());
    let json = std::env::var("CELERIAC_LOG_FORMAT").is_ok_and(|format| format == "json");
    // A second initialisation is refused, and that is all it means.
    let _ = if json {
        let lines = lines.json().flatten_event(true).with_filter(filter);
        subscriber.with(lines).try_init()
    } else {
        let lines = lines.compact().with_filter(filter);
        subscriber.with(lines).try_init()
    };
}
