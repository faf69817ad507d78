//! What a worker's program prints when it starts (`celery.apps.worker`).

use std::fmt::Write;
use std::sync::Arc;

use chrono::Local;
use nix::sys::utsname::uname;
use tracing::level_filters::LevelFilter;

use super::Worker;
use crate::error::hide_password;

impl Worker {
    /// Who it is and how it is set up, as `celery worker` shows it: broker and
    /// backend without their passwords, the queues, and at `INFO` the tasks; at
    /// `DEBUG` those that every worker has, too.
    pub fn banner(&self, level: LevelFilter) -> String {
        let mut text = format!(
            "\n{} v{} (celeriac)\n\n{} {}\n\n{}\n[queues]\n{}\n",
            self.nodename,
            env!("CARGO_PKG_VERSION"),
            platform(),
            Local::now().format("%Y-%m-%d %H:%M:%S"),
            self.configured(),
            self.queues_shown(),
        );
        if level >= LevelFilter::INFO {
            text.push_str("[tasks]\n");
            let builtins = level >= LevelFilter::DEBUG;
            let shown = |name: &&str| builtins || !name.starts_with("celery.");
            for task in self.registered().into_iter().filter(shown) {
                // Memory does not fail.
                let _ = writeln!(text, "  . {task}");
            }
        }
        text
    }

    fn configured(&self) -> String {
        let settings = self.app.settings();
        let results = settings.result_backend.as_deref();
        let results = results.map_or("disabled://".to_owned(), hide_password);
        let concurrency = match self.autoscale {
            Some((max, min)) => format!("{{min={min}, max={max}}}"),
            None => self.concurrency.to_string(),
        };
        let events = match self.task_events {
            true => "ON",
            false => "OFF (enable -E to monitor tasks in this worker)",
        };
        format!(
            "[config]\n\
             .> app:         {}\n\
             .> transport:   {}\n\
             .> results:     {results}\n\
             .> concurrency: {concurrency} ({})\n\
             .> task events: {events}\n",
            program(),
            self.app.broker_address(),
            self.plan.pool.name(),
        )
    }

    fn queues_shown(&self) -> String {
        let Ok(queues) = self.consumed() else {
            // The worker will not start, and says why.
            return String::new();
        };
        let mut names = queues.names().to_vec();
        names.sort_unstable();
        let line = |name: &Arc<str>| {
            let queue = queues.get(name);
            let (exchange, kind, key) = match (queues.broadcasts.filling(name), &queue.main) {
                (Some(heard), _) => (&*heard.exchange, "fanout", &*heard.routing_key),
                (None, Some(bound)) => {
                    let kind = bound.exchange_type.name();
                    (&*bound.exchange, kind, &*bound.routing_key)
                }
                (None, None) => ("", "direct", ""),
            };
            format!(".> {name:<16} exchange={exchange}({kind}) key={key}\n")
        };
        names.iter().map(line).collect()
    }
}

fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// As Python's `platform.platform()`, without its libc.
fn platform() -> String {
    let Ok(system) = uname() else {
        return std::env::consts::OS.to_owned();
    };
    let parts = [system.sysname(), system.release(), system.machine()];
    parts.map(|part| part.to_string_lossy()).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::App;
    use crate::config::Settings;
    use crate::error::Error;

    // Addresses are opened in a runtime, though nobody connects.
    #[tokio::test]
    async fn no_password_is_shown() -> Result<(), Error> {
        let app = App::new(Settings {
            broker_url: "redis://me:secret@host/0".to_owned(),
            result_backend: Some("redis://:secret@host/1".to_owned()),
            ..Settings::default()
        })?;
        let banner = Worker::new(app).banner(LevelFilter::WARN);
        assert!(banner.contains(".> transport:   redis://me:**@host/0\n"));
        assert!(banner.contains(".> results:     redis://:**@host/1\n"));
        assert!(!banner.contains("secret") && !banner.contains("[tasks]"));
        Ok(())
    }

    #[tokio::test]
    async fn builtins_are_shown_at_debug() -> Result<(), Error> {
        let worker = Worker::new(App::new(Settings::default())?);
        let shown = |level| worker.banner(level).contains("  . celery.chord\n");
        assert!(shown(LevelFilter::DEBUG) && !shown(LevelFilter::INFO));
        Ok(())
    }
}
