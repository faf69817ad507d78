//! `task_queues`: the queues that there are, and how they get their messages.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

/// How an exchange hands out its messages, under kombu's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExchangeType {
    /// Each to one queue.
    #[default]
    Direct,
    /// Each to everybody: the queue is a broadcast, as `kombu.common.Broadcast`.
    Fanout,
    /// Each to the queues whose bindings fit its routing key. Not to be had in
    /// `task_queues`: what is bound so, others have bound.
    #[serde(skip_deserializing)]
    Topic,
}

/// An entry of `task_queues`: a name, or a table with one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueSetting {
    /// The queue's name; for a broadcast, that of its exchange.
    pub name: String,
    /// Whether one worker gets a message, or every worker.
    pub exchange_type: ExchangeType,
}

impl QueueSetting {
    /// Whether every worker gets its messages.
    pub fn is_broadcast(&self) -> bool {
        self.exchange_type == ExchangeType::Fanout
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    #[serde(default)]
    exchange_type: ExchangeType,
}

/// Not `untagged`, which would only say that neither form fits.
impl<'de> Deserialize<'de> for QueueSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form)
    }
}

struct Form;

impl<'de> Visitor<'de> for Form {
    type Value = QueueSetting;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a queue's name, or a table with its `name`")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<QueueSetting, E> {
        Ok(QueueSetting {
            name: name.to_owned(),
            exchange_type: ExchangeType::default(),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<QueueSetting, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map));
        let Table {
            name,
            exchange_type,
        } = table.map_err(|error| Error::custom(format_args!("in `task_queues`: {error}")))?;
        Ok(QueueSetting {
            name,
            exchange_type,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> Result<Vec<QueueSetting>, String> {
        let config = Config::parse("celeryconfig.toml", text.to_owned(), [], &[]);
        let config = config.map_err(|error| error.to_string())?;
        Ok(config.settings().task_queues.clone())
    }

    #[test]
    fn a_queue_is_a_name_or_a_table() -> Result<(), String> {
        let queues =
            read("task_queues = ['a', { name = 'b' }, { name = 'c', exchange_type = 'fanout' }]")?;
        let broadcast = |queue: &QueueSetting| (queue.name.clone(), queue.is_broadcast());
        let expected = [("a", false), ("b", false), ("c", true)];
        let expected = expected.map(|(name, is)| (name.to_owned(), is));
        assert_eq!(queues.iter().map(broadcast).collect::<Vec<_>>(), expected);
        Ok(())
    }

    #[test]
    fn what_a_queue_cannot_have_is_named() {
        let refused = |text: &str| read(text).err().unwrap_or_default();
        let unknown = refused("\n[[task_queues]]\nname = 'a'\nrouting_key = 'b'\n");
        assert!(
            unknown.starts_with("celeryconfig.toml:")
                && unknown.contains("in `task_queues`: unknown field `routing_key`"),
            "{unknown}"
        );
        let topic = refused("task_queues = [{ name = 'a', exchange_type = 'topic' }]");
        assert!(topic.contains("unknown variant `topic`"), "{topic}");
    }
}
