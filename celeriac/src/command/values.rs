//! What some options take.

use std::str::FromStr;

use clap::ValueEnum;

use crate::config::WorkerPool;
use crate::nodename::{UnknownKey, default_nodename, host_format};

/// `-O`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "both are the same here")]
pub enum Optimization {
    Default,
    Fair,
}

/// `-P`, by Celery's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pool {
    /// In this process: async tasks beside each other, functions that block on
    /// threads; tasks with the option `process` in children.
    #[value(aliases = ["solo", "eventlet", "gevent"])]
    Threads,
    /// In child processes.
    #[value(aliases = ["processes", "process"])]
    Prefork,
}

impl From<Pool> for WorkerPool {
    fn from(pool: Pool) -> Self {
        match pool {
            Pool::Threads => Self::Threads,
            Pool::Prefork => Self::Prefork,
        }
    }
}

/// `-c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// So many.
    Slots(usize),
    /// One for each core that there is for this process.
    Auto,
    /// As the settings say; `0` for Celery.
    Configured,
}

impl FromStr for Concurrency {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(0) => Ok(Self::Configured),
            Ok(slots) => Ok(Self::Slots(slots)),
            Err(_) if text == "auto" => Ok(Self::Auto),
            Err(_) => Err("must be a non-negative integer or 'auto'"),
        }
    }
}

/// `--autoscale`: two numbers in any order, or the larger alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Autoscale {
    /// The most slots.
    pub max: usize,
    /// The fewest.
    pub min: usize,
}

impl FromStr for Autoscale {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Result<Vec<usize>, _> = text.split(',').map(str::parse).collect();
        let (a, b) = match numbers.as_deref() {
            Ok(&[max]) => (max, 0),
            Ok(&[a, b]) => (a, b),
            _ => return Err("expected one integer or two with a comma between"),
        };
        Ok(Self {
            max: a.max(b),
            min: a.min(b),
        })
    }
}

/// No value: the option is refused.
#[derive(Clone, Copy, Debug)]
pub enum Refused {}

pub(super) fn no_beat(_: &str) -> Result<Refused, &'static str> {
    Err("a worker has no beat in it: run a beat of its own")
}

pub(super) fn no_detach(_: &str) -> Result<Refused, &'static str> {
    Err("a worker stays in the foreground: systemd or a container puts it into the background")
}

pub(super) fn no_include(_: &str) -> Result<Refused, &'static str> {
    Err("a program has its tasks in it, and loads no modules: Worker::task registers them")
}

pub(super) fn no_settings(_: &str) -> Result<Refused, &'static str> {
    Err(
        "settings are in the configuration's file, or in the environment: CELERY_WORKER_CONCURRENCY=2",
    )
}

/// A switch in the environment, in click's words.
pub(super) fn switch(text: &str) -> Result<bool, &'static str> {
    match text.trim().to_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
        _ => Err("must be true or false"),
    }
}

/// `-n`, expanded.
pub(super) fn nodename(text: &str) -> Result<String, UnknownKey> {
    host_format(&default_nodename(Some(text)))
}

pub(super) fn seconds(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(seconds) if (0.0..=f64::from(u32::MAX)).contains(&seconds) => Ok(seconds),
        _ => Err("must be a number of seconds, 0 to 4294967295"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_come_in_any_order() {
        let bounds = |max, min| Ok(Autoscale { max, min });
        assert_eq!("3,10".parse(), bounds(10, 3));
        assert_eq!("10,3".parse(), bounds(10, 3));
        assert_eq!("10".parse(), bounds(10, 0));
        assert!("1,2,3".parse::<Autoscale>().is_err() && "x".parse::<Autoscale>().is_err());
    }

    #[test]
    fn concurrency_is_a_number_or_auto() {
        assert_eq!("4".parse(), Ok(Concurrency::Slots(4)));
        assert_eq!("auto".parse(), Ok(Concurrency::Auto));
        assert_eq!("0".parse(), Ok(Concurrency::Configured));
        assert!("-1".parse::<Concurrency>().is_err());
    }
}
