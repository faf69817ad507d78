//! Options of tasks, from the configuration (`celery/app/annotations.py`).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor, value};
use serde::{Deserialize, Deserializer, Serialize};

use crate::rate::Rate;

/// `task_annotations`: maps of options by the name of a task, `*` for all. In
/// each map that is the first to have it, the task's name counts and then `*`,
/// which wins, as with Celery.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct TaskAnnotations(Vec<BTreeMap<String, Annotation>>);

/// What the configuration says of a task's options; what it leaves out, the
/// task says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Annotation {
    /// Starts at most, on each worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<Rate>,
    /// Hard limit, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<f64>,
    /// Soft limit, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_time_limit: Option<f64>,
    /// Retries at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
    /// Seconds before a retry that names no time of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_retry_delay: Option<f64>,
    /// Acknowledge after the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acks_late: Option<bool>,
    /// Acknowledge late even after a failure or the hard limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acks_on_failure_or_timeout: Option<bool>,
    /// Put the message back if the child dies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reject_on_worker_lost: Option<bool>,
    /// Store no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_result: Option<bool>,
    /// Tell that it has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_started: Option<bool>,
    /// Where its calls go that do not say it themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The priority of its calls that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
}

impl TaskAnnotations {
    /// Those of a task, each winning over the ones before.
    pub(crate) fn of(&self, task: &str) -> impl DoubleEndedIterator<Item = &Annotation> + use<'_> {
        let first = |name: &str| self.0.iter().find_map(|map| map.get(name));
        [first(task), first("*")].into_iter().flatten()
    }

    /// Where the calls of a task go.
    pub(crate) fn queue(&self, task: &str) -> Option<&String> {
        self.of(task)
            .rev()
            .find_map(|annotation| annotation.queue.as_ref())
    }

    /// The priority of the calls of a task.
    pub(crate) fn priority(&self, task: &str) -> Option<u8> {
        self.of(task)
            .rev()
            .find_map(|annotation| annotation.priority)
    }
}

/// One map, or a list of them.
impl<'de> Deserialize<'de> for TaskAnnotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Maps;

        impl<'de> Visitor<'de> for Maps {
            type Value = TaskAnnotations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of options by the names of tasks, or a list of such tables")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let map = Deserialize::deserialize(value::MapAccessDeserializer::new(map))?;
                Ok(TaskAnnotations(vec![map]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                let maps = Deserialize::deserialize(value::SeqAccessDeserializer::new(seq))?;
                Ok(TaskAnnotations(maps))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(TaskAnnotations::default())
            }
        }

        deserializer.deserialize_any(Maps)
    }
}
