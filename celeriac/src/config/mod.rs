//! Settings from `celeryconfig.toml` and the environment.
//!
//! The file's top level holds Celery's own lowercase settings; tables that an
//! application names are its own *sections*. The environment wins over the
//! file: `CELERY_BROKER_URL` for `broker_url`, `CELERIAC_API_PORT` for `port`
//! in the section `api`. A key that nobody knows, or a value of the wrong
//! type, is an error that names its place.

mod annotations;
mod fields;
mod forms;
mod known;
mod literal;
mod old;
mod place;
mod queues;
mod reading;
mod remarks;
mod result_retries;
mod routes;
pub(crate) mod schemes;
mod settings;
mod ssl;
mod text;
mod variables;
mod wording;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use place::{File, Place};
use reading::{Names, Owner, Reading};

pub use crate::broker::ExchangeType;
pub use crate::error::ConfigError;
pub use annotations::{Annotation, TaskAnnotations};
pub use queues::{BindingSetting, QueueSetting};
pub(crate) use remarks::remark;
pub(crate) use result_retries::ResultRetries;
pub use routes::{Route, TaskRoutes};
pub use settings::{
    AcceptContent, BeatScheduler, PublishRetryPolicy, QueueOrder, ResultTransportOptions, Settings,
    TransportOptions, WorkerPool,
};
pub use ssl::{CertReqs, SslOptions, UseSsl};
pub(crate) use variables::CHILD;

/// The file that is read when none is named, if it exists.
pub const DEFAULT_FILE: &str = "celeryconfig.toml";

/// Begins the variables of an application's sections.
const SECTIONS: &str = "CELERIAC_";

/// A configuration file together with the environment it was read in.
#[derive(Clone)]
pub struct Config {
    path: PathBuf,
    text: String,
    environment: BTreeMap<String, String>,
    sections: Vec<String>,
    settings: Settings,
    warnings: Vec<String>,
}

impl Config {
    /// Reads `path`, or [`DEFAULT_FILE`] if it exists, and the process's
    /// environment. `sections` names the tables that belong to the application.
    /// The [`warnings`](Self::warnings) go to the log, but not a child's: its
    /// worker has given them.
    ///
    /// # Errors
    /// As [`ConfigError`] says.
    pub fn load(path: Option<&Path>, sections: &[&str]) -> Result<Self, ConfigError> {
        // An empty variable is none, here as well.
        let path = path.filter(|path| !path.as_os_str().is_empty());
        let chosen = path.unwrap_or(Path::new(DEFAULT_FILE)).to_owned();
        let text = match std::fs::read_to_string(&chosen) {
            Ok(text) => text,
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                String::new()
            }
            Err(source) => {
                return Err(ConfigError::Read {
                    path: chosen,
                    source,
                });
            }
        };
        let config = Self::parse(chosen, text, environment()?, sections)?;
        if std::env::var_os(variables::CHILD).is_none() {
            for warning in &config.warnings {
                tracing::warn!("{warning}");
            }
        }
        Ok(config)
    }

    /// As [`load`](Self::load), from a text and an environment at hand; nothing
    /// is logged.
    ///
    /// # Errors
    /// As [`ConfigError`] says.
    pub fn parse(
        path: impl Into<PathBuf>,
        text: String,
        environment: impl IntoIterator<Item = (String, String)>,
        sections: &[&str],
    ) -> Result<Self, ConfigError> {
        let mut config = Self {
            path: path.into(),
            text,
            environment: environment.into_iter().collect(),
            sections: sections.iter().map(|&name| name.to_owned()).collect(),
            settings: Settings::default(),
            warnings: Vec::new(),
        };
        (config.settings, config.warnings) = config.read_settings()?;
        Ok(config)
    }

    /// Celery's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is accepted and means nothing here, and what may have been meant
    /// otherwise, each with its place and the reason.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// An application's section; its default if the file does not have it.
    ///
    /// # Errors
    /// As [`ConfigError`] says.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConfigError> {
        let mut document = self.document()?;
        let table = match document.get_mut().remove(name).map(Spanned::into_inner) {
            Some(DeValue::Table(table)) => table,
            Some(_) => return Err(self.place(0).error(format!("`{name}` must be a table"))),
            None => DeTable::new(),
        };
        let prefix = format!("{SECTIONS}{}_", name.to_uppercase());
        self.reading(&prefix, Owner::Application).read(table)
    }

    fn read_settings(&self) -> Result<(Settings, Vec<String>), ConfigError> {
        let mut table = self.document()?.into_inner();
        for section in &self.sections {
            table.remove(section.as_str());
        }
        let mut warnings = self.unread(&table);
        let mut reading = self.reading("CELERY_", Owner::Celery);
        let settings = reading.read(table)?;
        warnings.append(&mut reading.warnings);
        Ok((settings, warnings))
    }

    /// Variables that Celery's programs read, and these do not.
    fn unread(&self, table: &DeTable<'_>) -> Vec<String> {
        let said = |variable: &str| {
            let text = self.environment.get(variable)?;
            Some(text).filter(|text| !text.is_empty())
        };
        let not_read = variables::NOT_READ
            .iter()
            .filter(|(name, _)| said(name).is_some());
        let not_read = not_read.map(|(name, why)| format!("environment variable {name}: {why}"));
        let commands = variables::COMMANDS.iter().filter_map(|(name, setting)| {
            let own = format!("CELERY_{name}");
            let meant = !table.contains_key(*setting) && said(&own).is_none();
            (meant && said(name).is_some()).then(|| {
                format!("environment variable {name}: it is not read here; did you mean {own}?")
            })
        });
        let ours = self.environment.keys().filter_map(|name| {
            let meant = self.section_meant(name)?;
            Some(format!(
                "environment variable {name}: no section has this name; did you mean {meant}?"
            ))
        });
        // Names are in capitals: one that would be a setting's if it were.
        let settings = Names::of::<Settings>(Owner::Celery);
        let others = self.environment.keys();
        let others = others.filter(|name| !name.starts_with("CELERY_"));
        let small = others.filter_map(|name| {
            let meant = name.to_uppercase();
            let key = meant.strip_prefix("CELERY_")?.to_lowercase();
            settings.all().any(|setting| setting == key).then(|| {
                format!("environment variable {name}: it is not read here; did you mean {meant}?")
            })
        });
        not_read.chain(commands).chain(ours).chain(small).collect()
    }

    /// The variable that is meant by one whose section is not there, but nearly.
    fn section_meant(&self, variable: &str) -> Option<String> {
        let (word, key) = variable.strip_prefix(SECTIONS)?.split_once('_')?;
        let word = word.to_lowercase();
        let sections = self.sections.iter().map(String::as_str);
        let meant = wording::nearest(&word, sections, wording::NEAR)?;
        (meant != word).then(|| format!("{SECTIONS}{}_{key}", meant.to_uppercase()))
    }

    fn reading(&self, prefix: &str, owner: Owner) -> Reading<'_> {
        let variables = self.environment.iter();
        Reading {
            file: self.file(),
            owner,
            variables: variables
                .filter_map(|said| reading::variable(said, prefix))
                .collect(),
            warnings: Vec::new(),
        }
    }

    fn document(&self) -> Result<Spanned<DeTable<'_>>, ConfigError> {
        DeTable::parse(&self.text).map_err(|error| {
            let place = self.place(0).at(error.span());
            place.error(wording::plain(error.message()))
        })
    }

    fn file(&self) -> File<'_> {
        File {
            path: &self.path,
            text: &self.text,
        }
    }

    fn place(&self, offset: usize) -> Place<'_> {
        Place::Offset(self.file(), offset)
    }
}

/// The process's environment. Only what may be a setting must be a text.
fn environment() -> Result<Vec<(String, String)>, ConfigError> {
    let mut environment = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else {
            continue;
        };
        match value.into_string() {
            Ok(value) => environment.push((name, value)),
            Err(_) if name.starts_with("CELERY_") || name.starts_with("CELERIAC_") => {
                return Err(Place::Variable(&name).error("it is no UTF-8"));
            }
            Err(_) => {}
        }
    }
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment = environment
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Config::parse("celeryconfig.toml", text.to_owned(), environment, &["api"])
    }

    fn error(text: &str, environment: &[(&str, &str)]) -> String {
        parse(text, environment)
            .err()
            .map_or_else(String::new, |e| e.to_string())
    }

    #[derive(serde::Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Api {
        port: u16,
    }

    #[test]
    fn environment_wins_over_the_file() -> Result<(), ConfigError> {
        let config = parse(
            "worker_concurrency = 2\n[api]\nport = 1\n",
            &[
                ("CELERY_WORKER_CONCURRENCY", "7"),
                ("CELERY_TASK_DEFAULT_QUEUE", "123"),
                ("CELERY_NOT_OURS", "x"),
                ("CELERIAC_API_PORT", "9"),
            ],
        )?;
        assert_eq!(config.settings().worker_concurrency, Some(7));
        assert_eq!(config.settings().task_default_queue, "123");
        assert_eq!(config.section::<Api>("api")?.port, 9);
        Ok(())
    }

    #[test]
    fn a_wrong_key_or_value_names_its_line() {
        assert_eq!(
            error("\n\ntask_ack_late = true\n", &[]),
            "celeryconfig.toml:3: unknown field `task_ack_late`; did you mean `task_acks_late`?"
        );
        let ill_typed = error(
            "broker_url = 'redis://'\nworker_concurrency = 'many'\n",
            &[],
        );
        assert!(
            ill_typed.starts_with("celeryconfig.toml:2: must be a whole number"),
            "{ill_typed}"
        );
        for seconds in ["inf", "nan", "-1.0", "1e300"] {
            let text = format!("beat_max_loop_interval = {seconds}\n");
            assert!(error(&text, &[]).contains("must be a number of seconds"));
        }
        for (options, expected) in [
            (
                "priority_steps = [0, 300]",
                "expected a whole number, 0 to 255",
            ),
            ("priority_steps = []", "must have one priority at least"),
        ] {
            let said = error(&format!("[broker_transport_options]\n{options}\n"), &[]);
            assert_eq!(
                said.rsplit_once(": ").map(|(_, said)| said),
                Some(expected),
                "{said}"
            );
        }
        assert!(error("a = [\n", &[]).starts_with("celeryconfig.toml:"));
    }

    #[test]
    fn a_wrong_variable_is_named_without_its_value() {
        let message = error("", &[("CELERY_WORKER_CONCURRENCY", "s3cret")]);
        assert!(
            message.starts_with("environment variable CELERY_WORKER_CONCURRENCY: "),
            "{message}"
        );
    }

    #[test]
    fn the_file_and_the_environment_say_the_same_of_what_celery_knows() -> Result<(), ConfigError> {
        let warnings = |text: &str, environment: &[(&str, &str)]| {
            parse(text, environment).map(|config| config.warnings().to_vec())
        };
        let why = "`broker_heartbeat` means nothing here: it is AMQP's";
        assert_eq!(
            warnings("\nbroker_heartbeat = 10\n", &[])?,
            [format!("celeryconfig.toml:2: {why}")]
        );
        assert_eq!(
            warnings("", &[("CELERY_BROKER_HEARTBEAT", "10")])?,
            [format!(
                "environment variable CELERY_BROKER_HEARTBEAT: {why}"
            )]
        );
        assert!(
            warnings(
                "broker_heartbeat = 120\n",
                &[("CELERY_BROKER_HEARTBEAT", "120")]
            )?
            .is_empty()
        );
        let refused = error("task_always_eager = true\n", &[]);
        assert!(refused.starts_with("celeryconfig.toml:1: `task_always_eager` cannot be had here"));
        let refused = error("", &[("CELERY_TASK_ALWAYS_EAGER", "yes")]);
        assert!(
            refused.starts_with("environment variable CELERY_TASK_ALWAYS_EAGER: "),
            "{refused}"
        );
        assert!(warnings("", &[("CELERY_TASK_ALWAYS_EAGER", "False")])?.is_empty());
        Ok(())
    }

    #[test]
    fn options_are_told_apart_by_their_names() -> Result<(), ConfigError> {
        let config = parse(
            "[broker_transport_options]\nvisibility_timeout = 9\nsocket_keepalive = true\n",
            &[],
        )?;
        assert_eq!(
            config
                .settings()
                .broker_transport_options
                .visibility_timeout,
            9.0
        );
        assert!(config.warnings().join("").starts_with(
            "celeryconfig.toml:3: `broker_transport_options.socket_keepalive` means nothing here"
        ));
        let told = |text: &str, said: &str| {
            let error = error(text, &[]);
            assert!(error.contains(said), "{error}");
        };
        told(
            "[broker_transport_options]\n\nvisibilty_timeout = 9\n",
            "toml:3: in `broker_transport_options`: unknown field `visibilty_timeout`; did you mean `visibility_timeout`?",
        );
        told(
            "broker_transport_options = { master_name = 'a' }",
            "no Sentinel",
        );
        let error = error(
            "",
            &[(
                "CELERY_BROKER_TRANSPORT_OPTIONS",
                "{'visibilty_timeout': 9}",
            )],
        );
        assert!(
            error.contains("did you mean `visibility_timeout`?"),
            "{error}"
        );
        Ok(())
    }

    #[test]
    fn a_variable_is_read_as_people_write_it() -> Result<(), ConfigError> {
        let config = parse(
            "broker_url = 'redis://file'\ntask_time_limit = 5\n",
            &[
                ("CELERY_BROKER_URL", ""),
                ("CELERY_TIMEZONE", ""),
                ("CELERY_WORKER_CONCURRENCY", "\"8\""),
                ("CELERY_TASK_ACKS_LATE", "True"),
                ("CELERY_RESULT_EXTENDED", "1"),
                ("CELERY_TASK_TIME_LIMIT", "None"),
                ("CELERY_RESULT_EXPIRES", "None"),
                ("CELERY_TASK_QUEUES", "a, b"),
                ("CELERY_TASK_ROUTES", "{'a.*': {'queue': 'a'}}"),
                (
                    "CELERY_BROKER_TRANSPORT_OPTIONS",
                    r#"{"visibility_timeout": 60}"#,
                ),
                ("CELERIAC_API_PORT", ""),
            ],
        )?;
        let settings = config.settings();
        assert_eq!(settings.broker_url, "redis://file");
        assert_eq!(settings.worker_concurrency, Some(8));
        assert!(settings.task_acks_late && settings.result_extended);
        assert_eq!(settings.task_time_limit, None);
        assert_eq!(settings.result_expires, 0.0);
        assert_eq!(settings.task_queues.len(), 2);
        assert!(settings.task_routes.lookup("a.b").is_some());
        assert_eq!(settings.broker_transport_options.visibility_timeout, 60.0);
        assert_eq!(config.section::<Api>("api")?.port, 0);
        assert_eq!(
            error("", &[("CELERY_TASK_TIME_LIMIT", "30 * 60")]),
            "environment variable CELERY_TASK_TIME_LIMIT: expected a number, found a text"
        );
        Ok(())
    }

    #[test]
    fn an_old_name_is_told_its_new_one() {
        let told = |text: &str, environment: &[(&str, &str)], new: &str| {
            let error = error(text, environment);
            assert!(
                error.contains(&format!("is called `{new}` here")),
                "{error}"
            );
        };
        told("BROKER_URL = 'redis://'", &[], "broker_url");
        told("CELERY_TASK_SERIALIZER = 'json'", &[], "task_serializer");
        told("CELERYD_CONCURRENCY = 2", &[], "worker_concurrency");
        told("CELERY_BROKER_URL = 'redis://'", &[], "broker_url");
        told(
            "",
            &[("CELERY_ALWAYS_EAGER", "True")],
            "CELERY_TASK_ALWAYS_EAGER",
        );
    }

    #[test]
    fn a_variable_that_is_nearly_a_setting_is_told() -> Result<(), ConfigError> {
        let config = parse(
            "",
            &[
                ("CELERY_WORKER_CONCURENCY", "2"),
                ("CELERY_WORKER_STATEDB", "a"),
                ("CELERY_APP", "a"),
                ("CELERY_BROKER_TRANSPORT_OPTIONS_VISIBILITY_TIMEOUT", "5"),
                ("celery_worker_concurrency", "2"),
                ("CELERIAC_APPI_PORT", "1"),
                ("CELERIAC_VAR", "a"),
            ],
        )?;
        assert_eq!(
            config.warnings(),
            [
                "environment variable CELERIAC_APPI_PORT: no section has this name; did you mean CELERIAC_API_PORT?",
                "environment variable celery_worker_concurrency: it is not read here; did you mean CELERY_WORKER_CONCURRENCY?",
                "environment variable CELERY_BROKER_TRANSPORT_OPTIONS_VISIBILITY_TIMEOUT: no setting has this name; did you mean CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT?",
                "environment variable CELERY_WORKER_CONCURENCY: no setting has this name; did you mean CELERY_WORKER_CONCURRENCY?",
            ]
        );
        let ours = parse("", &[("CELERIAC_API_PROT", "1")])?.section::<Api>("api");
        let ours = ours
            .err()
            .map_or_else(String::new, |error| error.to_string());
        assert_eq!(
            ours,
            "environment variable CELERIAC_API_PROT: unknown field `prot`; did you mean `port`?"
        );
        Ok(())
    }

    #[test]
    fn an_unknown_key_in_a_section_names_its_line() -> Result<(), ConfigError> {
        let config = parse("[api]\nport = 1\nprot = 2\n", &[])?;
        let message = config.section::<Api>("api").err().map(|e| e.to_string());
        assert!(
            message.is_some_and(|m| m.starts_with("celeryconfig.toml:3: unknown field `prot`"))
        );
        Ok(())
    }
}
