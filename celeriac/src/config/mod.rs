//! Settings from `celeryconfig.toml` and the environment.
//!
//! The file's top level holds Celery's own lowercase settings; tables that an
//! application names are its own *sections*. The environment wins over the
//! file: `CELERY_BROKER_URL` for `broker_url`, `CELERIAC_API_PORT` for `port`
//! in the section `api`. A key that nobody knows, or a value of the wrong
//! type, is an error that names its place.

mod queues;
mod routes;
mod settings;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

pub use queues::{ExchangeType, QueueSetting};
pub use routes::{Route, TaskRoutes};
pub use settings::{
    AcceptContent, BeatScheduler, PublishRetryPolicy, QueueOrder, ResultTransportOptions, Settings,
    TransportOptions, WorkerPool,
};

/// The file that is read when none is named, if it exists.
pub const DEFAULT_FILE: &str = "celeryconfig.toml";

/// What is wrong with a configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key or value in the file is wrong.
    #[error("{path}:{line}: {message}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A value in the environment is wrong.
    #[error("environment variable {variable}: {message}")]
    Environment {
        /// The variable's name; its value may be secret.
        variable: String,
        /// What is wrong with it.
        message: String,
    },
}

/// A configuration file together with the environment it was read in.
#[derive(Clone)]
pub struct Config {
    path: PathBuf,
    text: String,
    environment: HashMap<String, String>,
    sections: Vec<String>,
    settings: Settings,
}

impl Config {
    /// Reads `path`, or [`DEFAULT_FILE`] if it exists, and the process's
    /// environment. `sections` names the tables that belong to the application.
    pub fn load(path: Option<&Path>, sections: &[&str]) -> Result<Self, ConfigError> {
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
        Self::parse(chosen, text, std::env::vars(), sections)
    }

    /// As [`load`](Self::load), from a text and an environment at hand.
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
        };
        config.settings = config.read_settings()?;
        Ok(config)
    }

    /// Celery's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// An application's section; its default if the file does not have it.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConfigError> {
        let mut document = self.document()?;
        let table = match document.get_mut().remove(name).map(Spanned::into_inner) {
            Some(DeValue::Table(table)) => table,
            Some(_) => return Err(self.at(0, format!("`{name}` must be a table"))),
            None => DeTable::new(),
        };
        self.read(table, &format!("CELERIAC_{}_", name.to_uppercase()))
    }

    fn read_settings(&self) -> Result<Settings, ConfigError> {
        let mut table = self.document()?.into_inner();
        for section in &self.sections {
            table.remove(section.as_str());
        }
        self.read(table, "CELERY_")
    }

    fn document(&self) -> Result<Spanned<DeTable<'_>>, ConfigError> {
        DeTable::parse(&self.text).map_err(|error| self.in_file(&error))
    }

    /// Deserializes `table` with the variables that begin with `prefix` laid over it.
    fn read<'a, T: DeserializeOwned>(
        &'a self,
        mut table: DeTable<'a>,
        prefix: &str,
    ) -> Result<T, ConfigError> {
        for (variable, text) in &self.environment {
            let Some(key) = variable.strip_prefix(prefix) else {
                continue;
            };
            if let Some((key, value)) = self.override_of::<T>(variable, key, text)? {
                // `remove` first: the key keeps its span otherwise.
                table.remove(key.as_str());
                table.insert(unplaced(key.into()), unplaced(value));
            }
        }
        deserialize(table).map_err(|error| self.in_file(&error))
    }

    /// One variable as a setting. `None` if no setting has its name: the
    /// environment is shared, and other programs have `CELERY_…` there too.
    fn override_of<'a, T: DeserializeOwned>(
        &self,
        variable: &str,
        key: &str,
        text: &'a str,
    ) -> Result<Option<(String, DeValue<'a>)>, ConfigError> {
        let key = key.to_lowercase();
        let mut refused = None;
        // `4` is a number unless the setting wants a text.
        let typed = DeValue::parse(text).ok().map(Spanned::into_inner);
        for value in typed.into_iter().chain([DeValue::String(text.into())]) {
            let table =
                DeTable::from_iter([(unplaced(key.clone().into()), unplaced(value.clone()))]);
            match deserialize::<T>(table) {
                Ok(_) => return Ok(Some((key, value))),
                Err(error) if error.message().starts_with("unknown field") => return Ok(None),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        let message = refused.map_or_else(String::new, |error| error.message().to_owned());
        Err(ConfigError::Environment {
            variable: variable.to_owned(),
            message,
        })
    }

    fn in_file(&self, error: &toml::de::Error) -> ConfigError {
        let offset = error.span().map_or(0, |span| span.start);
        self.at(offset, shorten(error.message()))
    }

    fn at(&self, offset: usize, message: String) -> ConfigError {
        let before = self.text.get(..offset).unwrap_or_default();
        ConfigError::File {
            path: self.path.clone(),
            line: before.matches('\n').count() + 1,
            message,
        }
    }
}

fn deserialize<T: DeserializeOwned>(table: DeTable<'_>) -> Result<T, toml::de::Error> {
    T::deserialize(Deserializer::from(unplaced(table)))
}

fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// serde lists every field there is; a reader wants the one that was meant.
fn shorten(message: &str) -> String {
    let message = message.trim();
    let Some((head, known)) = message.split_once(", expected one of ") else {
        return message.to_owned();
    };
    let wrong = head.split('`').nth(1).unwrap_or_default();
    let nearest = known
        .split('`')
        .filter(|word| !word.trim_matches([',', ' ']).is_empty())
        .max_by(|a, b| strsim::jaro_winkler(a, wrong).total_cmp(&strsim::jaro_winkler(b, wrong)));
    match nearest {
        Some(word) if strsim::jaro_winkler(word, wrong) > 0.8 => {
            format!("{head}; did you mean `{word}`?")
        }
        _ => head.to_owned(),
    }
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
            ill_typed.starts_with("celeryconfig.toml:2: invalid type"),
            "{ill_typed}"
        );
        for seconds in ["inf", "nan", "-1.0", "1e300"] {
            let text = format!("beat_max_loop_interval = {seconds}\n");
            assert!(error(&text, &[]).contains("must be a number of seconds"));
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
    fn an_unknown_key_in_a_section_names_its_line() -> Result<(), ConfigError> {
        let config = parse("[api]\nport = 1\nprot = 2\n", &[])?;
        let message = config.section::<Api>("api").err().map(|e| e.to_string());
        assert!(
            message.is_some_and(|m| m.starts_with("celeryconfig.toml:3: unknown field `prot`"))
        );
        Ok(())
    }
}
