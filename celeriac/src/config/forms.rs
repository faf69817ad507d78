//! Settings whose value has more forms than one, as Celery takes them.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::schemes::{CACHE_MEMORY, MEMORY, REDIS, fits};

/// The most seconds that a setting may be: more than a century, and less than
/// what any clock here overflows at.
const LONGEST: f64 = u32::MAX as f64;

/// What channels begin with in kombu, unless told otherwise.
pub(super) const FANOUT_PREFIX: &str = "/{db}.";

const EXPECTED: &str = "must be a number of seconds, 0 to 4294967295";

/// Seconds: a number, the text of one, or the parts of a `timedelta`.
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = deserializer.deserialize_any(Number)?;
    match (0.0..=LONGEST).contains(&value) {
        true => Ok(value),
        false => Err(D::Error::custom(EXPECTED)),
    }
}

/// As [`seconds`], of a setting that need not be given.
pub(super) fn some_seconds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    seconds(deserializer).map(Some)
}

/// How often: a whole number, or `inf`.
pub(super) fn retries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let value = deserializer.deserialize_any(Number)?;
    match value >= 0.0 && (value.fract() == 0.0 || value.is_infinite()) {
        // What is more than fits is without end, too.
        true => Ok(value as usize),
        false => Err(D::Error::custom(
            "must be a whole number, or `inf`: without end",
        )),
    }
}

/// kombu's `fanout_prefix`: a text, or whether there is kombu's own.
pub(super) fn fanout_prefix<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<String, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Form {
        Whether(bool),
        Text(String),
    }
    let form = Form::deserialize(deserializer);
    match form.map_err(|_| D::Error::custom("must be `true`, `false` or a text"))? {
        Form::Whether(true) => Ok(FANOUT_PREFIX.to_owned()),
        Form::Whether(false) => Ok(String::new()),
        Form::Text(text) => Ok(text),
    }
}

/// Seconds of a time-out: one of 0 would be none.
pub(super) fn above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match seconds(deserializer)? {
        0.0 => Err(D::Error::custom("must be above 0")),
        value => Ok(value),
    }
}

/// The same of one that need not be given.
pub(super) fn some_above_zero<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    above_zero(deserializer).map(Some)
}

/// A number, or `auto` or 0: one for each core.
pub(super) fn concurrency<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<usize>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Form {
        Slots(usize),
        Word(String),
    }
    let refuse = || D::Error::custom("must be a whole number, or `auto`: one for each core");
    match Form::deserialize(deserializer).map_err(|_| refuse())? {
        Form::Slots(0) => Ok(None),
        Form::Slots(slots) => Ok(Some(slots)),
        Form::Word(word) if word == "auto" => Ok(None),
        Form::Word(word) => word.parse().map(Some).map_err(|_| refuse()),
    }
}

/// `broker_url`: a URL, or a list of one.
pub(super) fn broker<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let url = deserializer.deserialize_any(Url)?;
    let opens = [REDIS, MEMORY].iter().any(|schemes| fits(&url, schemes));
    match opens {
        true => Ok(url),
        false => Err(D::Error::custom(format_args!(
            "the broker must be a Redis (redis://, rediss:// or redis+socket://) or, for tests, \
             memory://, not {}",
            scheme(&url)
        ))),
    }
}

/// `result_backend`: a URL, or a name of Celery's.
pub(super) fn backend<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let url = deserializer.deserialize_any(Url)?;
    match url.as_str() {
        "" | "disabled" | "disabled://" => Ok(None),
        "redis" => Ok(Some("redis://127.0.0.1:6379/0".to_owned())),
        _ if fits(&url, REDIS) || fits(&url, CACHE_MEMORY) => Ok(Some(url)),
        _ => Err(D::Error::custom(format_args!(
            "Celeriac keeps results in Redis (redis://, rediss:// or redis+socket://) or, for \
             tests, in cache+memory://, not in {}",
            scheme(&url)
        ))),
    }
}

/// `priority_steps`: kombu, too, needs one at least.
pub(super) fn priority_steps<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<u8>, D::Error> {
    let steps = Vec::deserialize(deserializer)?;
    match steps.is_empty() {
        true => Err(D::Error::custom("must have one priority at least")),
        false => Ok(steps),
    }
}

/// What may be shown of a URL: a name has no secret in it, but what is no URL
/// at all may be one.
fn scheme(url: &str) -> String {
    let is_name = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-_.".contains(c);
        text.len() < 24 && text.chars().all(plain)
    };
    match url
        .split_once("://")
        .map_or((url, ""), |(scheme, _)| (scheme, "://"))
    {
        (name, tail) if is_name(name) => format!("{name}{tail}"),
        _ => "something else".to_owned(),
    }
}

/// Of which a broker has one.
struct Url;

impl<'de> Visitor<'de> for Url {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL")
    }

    fn visit_str<E: Error>(self, url: &str) -> Result<String, E> {
        Ok(url.to_owned())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut urls: A) -> Result<String, A::Error> {
        let url = urls.next_element()?;
        match (url, urls.next_element::<String>()?) {
            (Some(url), None) => Ok(url),
            _ => Err(A::Error::custom(
                "a list of servers, for failover, is not supported: name one",
            )),
        }
    }
}

/// Any number, as Python has them.
struct Number;

impl<'de> Visitor<'de> for Number {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        let wrong = || E::invalid_type(serde::de::Unexpected::Str(text), &self);
        text.trim().parse().map_err(|_| wrong())
    }

    fn visit_map<A: MapAccess<'de>>(self, parts: A) -> Result<f64, A::Error> {
        TimeDelta::deserialize(MapAccessDeserializer::new(parts)).map(|parts| parts.seconds())
    }
}

/// The arguments of Python's `timedelta`.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TimeDelta {
    weeks: f64,
    days: f64,
    hours: f64,
    minutes: f64,
    seconds: f64,
    milliseconds: f64,
    microseconds: f64,
}

impl TimeDelta {
    fn seconds(&self) -> f64 {
        let days = self.weeks * 7.0 + self.days;
        let minutes = (days * 24.0 + self.hours) * 60.0 + self.minutes;
        minutes * 60.0 + self.seconds + self.milliseconds / 1e3 + self.microseconds / 1e6
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Settings, WorkerPool};

    fn read(text: &str) -> Result<Settings, String> {
        let config = Config::parse("celeryconfig.toml", text.to_owned(), [], &[]);
        config
            .map(|config| config.settings().clone())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn celerys_other_forms_are_taken() -> Result<(), String> {
        let settings = read(
            "worker_concurrency = 'auto'
             worker_pool = 'celery.concurrency.prefork:TaskPool'
             beat_scheduler = 'celery.beat.PersistentScheduler'
             accept_content = 'json'
             task_default_priority = '5'
             task_acks_late = 1
             result_backend = 'disabled'
             beat_cron_starting_deadline = 7.5
             result_expires = { days = 1, minutes = 1 }
             task_time_limit = '300'
             broker_url = ['redis://one']
             task_publish_retry_policy = { max_retries = inf, errback = 'log' }",
        )?;
        assert_eq!(settings.worker_concurrency, None);
        assert_eq!(settings.worker_pool, WorkerPool::Prefork);
        assert_eq!(settings.accept_content.0, ["json"]);
        assert_eq!(settings.task_default_priority, Some(5));
        assert!(settings.task_acks_late);
        assert_eq!(settings.result_backend, None);
        assert_eq!(settings.beat_cron_starting_deadline, Some(7.5));
        assert_eq!(settings.result_expires, 86_460.0);
        assert_eq!(settings.task_time_limit, Some(300.0));
        assert_eq!(settings.broker_url, "redis://one");
        assert_eq!(settings.task_publish_retry_policy.max_retries, usize::MAX);
        Ok(())
    }

    #[test]
    fn what_python_alone_has_is_refused_in_words() {
        let told = |text: &str, said: &str| {
            let error = read(text).err().unwrap_or_default();
            assert!(error.contains(said), "{error}");
        };
        told("worker_pool = 'custom'", "`threads` or `prefork`");
        told(
            "beat_scheduler = 'redbeat.RedBeatScheduler'",
            "`persistent` (a file) or `shared`",
        );
        for (backend, shown) in [
            ("django-db", "django-db"),
            ("db+sqlite:///a", "db+sqlite://"),
        ] {
            let said = format!("cache+memory://, not in {shown}");
            told(&format!("result_backend = '{backend}'"), &said);
        }
        told("broker_url = 'amqp://me:s3cret@host'", "not amqp://");
        told("broker_url = ['redis://a', 'redis://b']", "name one");
        told("worker_concurrency = 'many'", "or `auto`");
        told("task_time_limit = -1", "must be a number of seconds");
        told(
            "result_expires = { fortnights = 1 }",
            "unknown field `fortnights`",
        );
    }
}
