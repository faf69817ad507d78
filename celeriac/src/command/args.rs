//! The options of a worker.

use std::ffi::OsStr;
use std::time::Duration;

use clap::builder::Resettable;
use clap::{Arg, ArgAction, Args};

use super::values::{
    Autoscale, Concurrency, Optimization, Pool, Refused, no_beat, no_detach, no_include,
    no_settings, nodename, seconds, switch,
};
use crate::Worker;
use crate::config::Settings;
use crate::log::LEVELS;

/// The options of `celery worker`. What is given here goes before the
/// environment, which goes before the configuration's file.
///
/// What is given twice holds as it is given last. An option that is no setting
/// has the variable that it has with Celery: `CELERY_WORKER_QUEUES`.
#[derive(Clone, Debug, Args)]
#[command(args_override_self = true, mut_args = unless_empty)]
pub struct WorkerArgs {
    /// Where messages come from [default: broker_url]
    #[arg(short, long, value_name = "URL")]
    pub broker: Option<String>,
    /// Where results go [default: result_backend]
    #[arg(long, visible_alias = "backend", value_name = "URL")]
    pub result_backend: Option<String>,

    /// The nodename, celery@%h if not given; %h is the host, %n its first part,
    /// %d its domain
    #[arg(short = 'n', long, value_name = "NAME@HOST", value_parser = nodename, env = "CELERY_WORKER_HOSTNAME", help_heading = WORKER)]
    pub hostname: Option<String>,
    /// How much is logged; RUST_LOG wins over it
    #[arg(
        short,
        long,
        env = "CELERY_WORKER_LOGLEVEL",
        value_parser = LEVELS,
        ignore_case = true,
        default_value = "info",
        help_heading = WORKER
    )]
    pub loglevel: String,
    /// Log into this file, with %h, %n, %d of the nodename [default: stderr]
    #[arg(short = 'f', long, value_name = "FILE", env = "CELERY_WORKER_LOGFILE", help_heading = WORKER)]
    pub logfile: Option<String>,
    /// Write the process's id here, and refuse to run while the process there
    /// lives; %h, %n, %d of the nodename
    #[arg(long, value_name = "FILE", env = "CELERY_WORKER_PIDFILE", help_heading = WORKER)]
    pub pidfile: Option<String>,
    /// Keep revoked ids in this file over a restart; %h, %n, %d of the nodename
    /// [default: worker_state_db]
    #[arg(short = 'S', long, value_name = "FILE", env = "CELERY_WORKER_STATEDB", help_heading = WORKER)]
    pub statedb: Option<String>,
    /// Taken for Celery's sake: both are the same here. All slots share one
    /// queue, and a task goes to the first that is free
    #[arg(short = 'O', long, value_enum, default_value = "default", env = "CELERY_WORKER_OPTIMIZATION", help_heading = WORKER)]
    pub optimization: Optimization,
    /// Messages reserved for each slot; 0 is without bound
    /// [default: worker_prefetch_multiplier]
    #[arg(long, value_name = "N", help_heading = WORKER)]
    pub prefetch_multiplier: Option<usize>,
    /// Reserve no message before a slot is free for it: a prefetch multiplier
    /// of 1
    #[arg(long, env = "CELERY_WORKER_DISABLE_PREFETCH", value_parser = switch, help_heading = WORKER)]
    pub disable_prefetch: bool,
    /// Answer /health and /metrics at this address [default: worker_http]
    #[arg(long, value_name = "HOST:PORT", help_heading = WORKER)]
    pub http: Option<String>,
    /// Print no banner
    #[arg(short, long, help_heading = WORKER)]
    pub quiet: bool,

    /// Tasks that run at once; auto is one for each core, by the container's
    /// CPU quota [default: worker_concurrency, else auto]
    #[arg(short, long, value_name = "N", help_heading = POOL)]
    pub concurrency: Option<Concurrency>,
    /// The most and the fewest tasks that run at once, as the load demands
    #[arg(long, value_name = "MAX,MIN", env = "CELERY_WORKER_AUTOSCALE", help_heading = POOL)]
    pub autoscale: Option<Autoscale>,
    /// Where tasks run: in this process, or each in a child process of its own
    /// [default: worker_pool]
    #[arg(short = 'P', long, value_enum, ignore_case = true, help_heading = POOL)]
    pub pool: Option<Pool>,
    /// Replace a child process after so many tasks; 0 is never
    /// [default: worker_max_tasks_per_child]
    #[arg(long, value_name = "N", help_heading = POOL)]
    pub max_tasks_per_child: Option<u64>,
    /// Replace a child process that takes more memory than this after a task;
    /// 0 is never [default: worker_max_memory_per_child]
    #[arg(long, value_name = "KIB", help_heading = POOL)]
    pub max_memory_per_child: Option<u64>,
    /// Tell monitors what becomes of tasks [default: worker_send_task_events]
    #[arg(short = 'E', long, visible_alias = "events", env = "CELERY_WORKER_TASK_EVENTS", value_parser = switch, help_heading = POOL)]
    pub task_events: bool,
    /// End a task that runs for longer [default: task_time_limit]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, env = "CELERY_WORKER_TIME_LIMIT", help_heading = POOL)]
    pub time_limit: Option<f64>,
    /// Tell a task that runs for longer to end [default: task_soft_time_limit]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, env = "CELERY_WORKER_SOFT_TIME_LIMIT", help_heading = POOL)]
    pub soft_time_limit: Option<f64>,

    /// The queues to consume, with commas between [default: task_queues]
    #[arg(short = 'Q', long, value_delimiter = ',', num_args = 1, action = ArgAction::Set, env = "CELERY_WORKER_QUEUES", help_heading = QUEUES)]
    pub queues: Vec<String>,
    /// The queues of these not to consume
    #[arg(short = 'X', long, value_delimiter = ',', num_args = 1, action = ArgAction::Set, value_name = "QUEUES", env = "CELERY_WORKER_EXCLUDE_QUEUES", help_heading = QUEUES)]
    pub exclude_queues: Vec<String>,
    /// Delete what waits in the queues before the start. There is no way back
    #[arg(long, visible_alias = "discard", env = "CELERY_WORKER_PURGE", value_parser = switch, help_heading = QUEUES)]
    pub purge: bool,

    /// Do not watch other workers
    #[arg(long, env = "CELERY_WORKER_WITHOUT_GOSSIP", value_parser = switch, help_heading = FEATURES)]
    pub without_gossip: bool,
    /// Do not ask other workers at start what they know to be revoked
    #[arg(long, env = "CELERY_WORKER_WITHOUT_MINGLE", value_parser = switch, help_heading = FEATURES)]
    pub without_mingle: bool,
    /// Send no heartbeats
    #[arg(long, env = "CELERY_WORKER_WITHOUT_HEARTBEAT", value_parser = switch, help_heading = FEATURES)]
    pub without_heartbeat: bool,
    /// Seconds between two heartbeats; 0 is 2
    #[arg(long, env = "CELERY_WORKER_HEARTBEAT_INTERVAL", value_name = "SECONDS", help_heading = FEATURES)]
    pub heartbeat_interval: Option<u32>,

    #[expect(missing_docs, reason = "an option that is only there to be refused")]
    #[arg(short = 'B', long, hide = true, num_args = 0, default_missing_value = "", value_parser = no_beat)]
    pub beat: Option<Refused>,
    #[expect(missing_docs, reason = "an option that is only there to be refused")]
    #[arg(short = 'D', long, hide = true, num_args = 0, default_missing_value = "", value_parser = no_detach)]
    pub detach: Option<Refused>,
    #[expect(missing_docs, reason = "an option that is only there to be refused")]
    #[arg(short = 'I', long, hide = true, value_parser = no_include)]
    pub include: Option<Refused>,
    #[expect(missing_docs, reason = "arguments that are only there to be refused")]
    #[arg(last = true, hide = true, value_parser = no_settings)]
    pub settings: Vec<Refused>,
}

const WORKER: &str = "Worker options";
const POOL: &str = "Pool options";
const QUEUES: &str = "Queue options";
const FEATURES: &str = "Features";

/// An empty variable is none, as for click.
fn unless_empty(arg: Arg) -> Arg {
    let empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    match arg.get_env().is_some_and(empty) {
        true => arg.env(Resettable::Reset),
        false => arg,
    }
}

impl WorkerArgs {
    /// Lays what is given over the settings; to be done before the
    /// [`App`](crate::App) is made.
    pub fn apply(&self, settings: &mut Settings) {
        let lay = |given: &Option<String>, setting: &mut Option<String>| {
            if given.is_some() {
                setting.clone_from(given);
            }
        };
        lay(&self.result_backend, &mut settings.result_backend);
        lay(&self.statedb, &mut settings.worker_state_db);
        lay(&self.http, &mut settings.worker_http);
        if let Some(broker) = &self.broker {
            settings.broker_url.clone_from(broker);
        }
        match self.concurrency {
            Some(Concurrency::Slots(slots)) => settings.worker_concurrency = Some(slots),
            Some(Concurrency::Auto) => settings.worker_concurrency = None,
            Some(Concurrency::Configured) | None => {}
        }
        if let Some(pool) = self.pool {
            settings.worker_pool = pool.into();
        }
        let (tasks, memory) = (self.max_tasks_per_child, self.max_memory_per_child);
        settings.worker_max_tasks_per_child = tasks.or(settings.worker_max_tasks_per_child);
        settings.worker_max_memory_per_child = memory.or(settings.worker_max_memory_per_child);
        let alone = self.disable_prefetch.then_some(1);
        if let Some(multiplier) = alone.or(self.prefetch_multiplier) {
            settings.worker_prefetch_multiplier = multiplier;
        }
        settings.worker_send_task_events |= self.task_events;
        settings.task_time_limit = self.time_limit.or(settings.task_time_limit);
        settings.task_soft_time_limit = self.soft_time_limit.or(settings.task_soft_time_limit);
    }

    /// Sets up the worker with what is no setting.
    #[must_use]
    pub fn set_up(&self, mut worker: Worker) -> Worker {
        if let Some(nodename) = &self.hostname {
            worker = worker.nodename(nodename);
        }
        if !self.queues.is_empty() {
            worker = worker.queues(&self.queues);
        }
        if let Some(Autoscale { max, min }) = self.autoscale {
            worker = worker.autoscale(max, min);
        }
        if self.without_gossip {
            worker = worker.without_gossip();
        }
        if self.without_mingle {
            worker = worker.without_mingle();
        }
        if let Some(seconds) = self.heartbeat_interval.filter(|&seconds| seconds > 0) {
            worker = worker.heartbeat_interval(Duration::from_secs(seconds.into()));
        }
        if self.without_heartbeat {
            worker = worker.without_heartbeat();
        }
        worker.exclude_queues(&self.exclude_queues)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        worker: WorkerArgs,
    }

    fn parse(arguments: &[&str]) -> Result<WorkerArgs, clap::Error> {
        let program = std::iter::once("worker");
        let cli = Cli::try_parse_from(program.chain(arguments.iter().copied()))?;
        Ok(cli.worker)
    }

    #[test]
    fn settings_stay_where_nothing_is_given() -> Result<(), Box<dyn std::error::Error>> {
        let settings = Settings {
            worker_concurrency: Some(3),
            result_backend: Some("redis://".to_owned()),
            worker_send_task_events: true,
            ..Settings::default()
        };
        for arguments in [&[][..], &["-c", "0"]] {
            let mut changed = settings.clone();
            parse(arguments)?.apply(&mut changed);
            let json = |settings| serde_json::to_string(settings);
            assert_eq!(json(&changed)?, json(&settings)?);
        }
        Ok(())
    }

    #[test]
    fn options_go_before_settings() -> Result<(), Box<dyn std::error::Error>> {
        let mut settings = Settings {
            worker_concurrency: Some(3),
            ..Settings::default()
        };
        let given = [
            "-E",
            "--time-limit",
            "1.5",
            "--backend=redis://b",
            "-S%n.db",
        ];
        parse(&given)?.apply(&mut settings);
        parse(&["-c", "auto"])?.apply(&mut settings);
        assert!(settings.worker_send_task_events);
        assert_eq!(settings.task_time_limit, Some(1.5));
        assert_eq!(settings.result_backend.as_deref(), Some("redis://b"));
        assert_eq!(settings.worker_state_db.as_deref(), Some("%n.db"));
        assert_eq!(settings.worker_concurrency, None);
        Ok(())
    }

    #[test]
    fn what_is_given_last_holds() -> Result<(), clap::Error> {
        let args = parse(&["-Q", "a,b", "-c", "1", "-Q", "c,d", "-c", "2"])?;
        assert_eq!(args.queues, ["c", "d"]);
        assert_eq!(args.concurrency, Some(Concurrency::Slots(2)));
        Ok(())
    }

    #[derive(Parser)]
    struct WithCommands {
        #[command(flatten)]
        worker: WorkerArgs,
        #[command(subcommand)]
        command: Option<Commands>,
    }

    #[derive(clap::Subcommand)]
    enum Commands {
        Worker(Box<WorkerArgs>),
    }

    #[test]
    fn a_program_may_have_commands_beside_the_options() -> Result<(), clap::Error> {
        <WithCommands as clap::CommandFactory>::command().debug_assert();
        let cli = WithCommands::try_parse_from(["workers", "worker", "-Q", "a"])?;
        assert!(cli.worker.queues.is_empty());
        assert!(matches!(cli.command, Some(Commands::Worker(args)) if args.queues == ["a"]));
        Ok(())
    }

    #[test]
    fn what_is_not_there_says_what_to_do() {
        let refusal = |options: &[&str]| parse(options).err().map(|error| error.to_string());
        let says = |options: &[&str], advice: &str| {
            let said = refusal(options);
            assert!(
                said.as_ref().is_some_and(|said| said.contains(advice)),
                "{said:?}"
            );
        };
        says(&["-B"], "run a beat of its own");
        says(&["-D"], "systemd");
        says(&["-I", "module"], "Worker::task");
        says(&["--", "worker.concurrency=2"], "CELERY_WORKER_CONCURRENCY");
    }
}
