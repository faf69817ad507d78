//! A line as Celery writes it (`worker_log_format`).

use std::fmt;
use std::sync::LazyLock;

use chrono::Local;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, time};
use tracing_subscriber::registry::LookupSpan;

use crate::worker::is_child;

/// The process, as Python's `multiprocessing` calls the one that consumes, and
/// much as it calls those that run tasks.
static PROCESS: LazyLock<String> = LazyLock::new(|| match is_child() {
    false => "MainProcess".to_owned(),
    true => format!("PoolWorker-{}", std::process::id()),
});

/// `[2026-01-02 03:04:05,678: INFO/MainProcess] message`, the time this
/// machine's; on a terminal in Celery's colors.
pub(super) struct CeleryFormat;

impl<S, N> FormatEvent<S, N> for CeleryFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        let color = color(level).filter(|_| writer.has_ansi_escapes());
        if let Some(color) = color {
            write!(writer, "\x1b[{color}m")?;
        }
        writer.write_char('[')?;
        time::FormatTime::format_time(&Clock, &mut writer)?;
        write!(writer, ": {}/{}] ", name(level), *PROCESS)?;
        context.format_fields(writer.by_ref(), event)?;
        if color.is_some() {
            writer.write_str("\x1b[0m")?;
        }
        writer.write_char('\n')
    }
}

/// `%(asctime)s` of Python's `logging`.
struct Clock;

impl time::FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", Local::now().format("%Y-%m-%d %H:%M:%S,%3f"))
    }
}

/// The level as Python names it.
fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

fn color(level: Level) -> Option<u8> {
    match level {
        Level::ERROR => Some(31),
        Level::WARN => Some(33),
        Level::INFO => None,
        Level::DEBUG | Level::TRACE => Some(34),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    use regex::Regex;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            written.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_celerys() -> Result<(), Box<dyn std::error::Error>> {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .event_format(CeleryFormat)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(queue = "a", "two\nlines");
        });
        let written = memory.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = String::from_utf8(written.clone())?;
        let time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}";
        let form = format!("^\\[{time}: WARNING/MainProcess\\] two\nlines queue=\"a\"\n$");
        assert!(Regex::new(&form)?.is_match(&line), "{line:?}");
        Ok(())
    }
}
