//! Logs in Celery's form, or as JSON.

mod file;
mod format;

use std::io::{self, IsTerminal};
use std::path::Path;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::trace;
use file::LogFile;
use format::CeleryFormat;

/// Celery's names of levels (`-l`).
pub const LEVELS: [&str; 6] = ["debug", "info", "warning", "error", "critical", "fatal"];

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

/// As [`init`], with `level` where `RUST_LOG` says nothing. It is one
/// of [`LEVELS`], in any case.
pub fn init_at(level: &str) {
    start(level, io::stderr, io::stderr().is_terminal());
}

/// As [`init_at`], into a file (`--logfile`) that is opened again when it is
/// moved away.
///
/// # Errors
/// When it cannot be opened.
pub fn init_to(level: &str, path: &Path) -> io::Result<()> {
    start(level, LogFile::open(path)?, false);
    Ok(())
}

/// Whether the environment asks for JSON.
pub fn is_json() -> bool {
    std::env::var("CELERIAC_LOG_FORMAT").is_ok_and(|format| format == "json")
}

fn start(level: &str, writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static, color: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| filter(level));
    let lines = fmt::layer().with_writer(writer).with_ansi(color);
    // What the lines leave out may still be in a trace.
    let subscriber = registry().with(trace::layer());
    // A second initialisation is refused, and that is all it means.
    let _ = if is_json() {
        let lines = lines.json().flatten_event(true).with_filter(filter);
        subscriber.with(lines).try_init()
    } else {
        let lines = lines.event_format(CeleryFormat).with_filter(filter);
        subscriber.with(lines).try_init()
    };
}

fn filter(level: &str) -> EnvFilter {
    // Libraries that say much at `info` while they work as intended.
    const QUIET: &str = "sqlx=warn,sea_orm_migration=warn,cached_path=warn,poem=warn";
    let level = match level.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "critical" | "fatal" => "error".to_owned(),
        level => level.to_owned(),
    };
    EnvFilter::new(format!("{level},{QUIET}"))
}
