//! `task_queues`: the queues that there are, and how they get their messages.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::remark;
use crate::broker::ExchangeType;
use crate::value::DeliveryMode;

/// An entry of `task_queues`: a name, or a table with what `kombu.Queue` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueSetting {
    /// The queue's name; a broadcast is known by it.
    pub name: String,
    /// The exchange that it is bound to; the default one if not given, and for
    /// a broadcast its name.
    pub exchange: Option<String>,
    /// The exchange's type.
    pub exchange_type: ExchangeType,
    /// What it is bound by; `task_default_routing_key` if not given.
    pub routing_key: Option<String>,
    /// What it is bound to instead, if that is several exchanges.
    pub bindings: Vec<BindingSetting>,
    /// That of messages which are sent to it and name none.
    pub delivery_mode: Option<DeliveryMode>,
}

/// One of several exchanges that a queue is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BindingSetting {
    /// The exchange.
    pub exchange: String,
    /// Its type.
    #[serde(default)]
    pub exchange_type: ExchangeType,
    /// The routing key.
    #[serde(default)]
    pub routing_key: String,
}

impl QueueSetting {
    /// A queue that is bound to a direct exchange of its own name by that name,
    /// as Celery binds one that `-Q` alone names.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            exchange: Some(name.to_owned()),
            routing_key: Some(name.to_owned()),
            ..Self::default()
        }
    }
}

/// What a table may say. `idle`: what brokers other than Redis heed.
macro_rules! table {
    (idle: $($idle:ident),* $(,)?) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            name: Option<String>,
            exchange: Option<String>,
            exchange_type: Option<ExchangeType>,
            #[serde(alias = "binding_key")]
            routing_key: Option<String>,
            #[serde(default)]
            bindings: Vec<BindingSetting>,
            delivery_mode: Option<DeliveryMode>,
            $($idle: Option<IgnoredAny>,)*
        }

        impl Table {
            fn idle(&self) -> Vec<&'static str> {
                let given = [$((stringify!($idle), self.$idle.is_some())),*];
                given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
            }
        }
    };
}

table!(
    idle: alias, durable, queue_durable, exchange_durable, auto_delete, queue_auto_delete,
    exchange_auto_delete, exclusive, no_ack, no_declare, queue_arguments, exchange_arguments,
    binding_arguments, consumer_arguments, expires, message_ttl, max_length, max_length_bytes,
    max_priority,
);

impl Table {
    /// The queue of this name.
    fn into_setting<E: Error>(self, name: String) -> Result<QueueSetting, E> {
        if self.exchange.is_some() && !self.bindings.is_empty() {
            return Err(E::custom(
                "in `task_queues`: a queue has an `exchange`, or several `bindings`",
            ));
        }
        let exchange_type = self.exchange_type.unwrap_or_default();
        let exchange = self.exchange.filter(|exchange| !exchange.is_empty());
        let exchange = match (exchange, exchange_type) {
            (None, ExchangeType::Fanout) => Some(name.clone()),
            (None, ExchangeType::Topic) => {
                return Err(E::custom(
                    "in `task_queues`: a topic queue needs an `exchange`: without one it is bound \
                     to the default exchange, whose type is `task_default_exchange_type`",
                ));
            }
            (exchange, _) => exchange,
        };
        Ok(QueueSetting {
            name,
            exchange,
            exchange_type,
            routing_key: self.routing_key.filter(|key| !key.is_empty()),
            bindings: self.bindings,
            delivery_mode: self.delivery_mode,
        })
    }
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
        Ok(QueueSetting::named(name))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<QueueSetting, A::Error> {
        let mut table = table(map)?;
        match table.name.take() {
            Some(name) => table.into_setting(name),
            None => Err(Error::custom("in `task_queues`: missing field `name`")),
        }
    }
}

fn table<'de, A: MapAccess<'de>>(map: A) -> Result<Table, A::Error> {
    let table = Table::deserialize(MapAccessDeserializer::new(map));
    let table = table.map_err(|error| Error::custom(format_args!("in `task_queues`: {error}")))?;
    for name in table.idle() {
        remark(format!("`{name}` means nothing on Redis"));
    }
    Ok(table)
}

/// All of `task_queues`: a list, or a table by the queues' names.
pub(super) fn all<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<QueueSetting>, D::Error> {
    deserializer.deserialize_any(All)
}

struct All;

impl<'de> Visitor<'de> for All {
    type Value = Vec<QueueSetting>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of queues, or a table of them by their names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut queues = Vec::new();
        while let Some(queue) = list.next_element()? {
            queues.push(queue);
        }
        Ok(queues)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut queues = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let Unnamed(mut queue) = map.next_value()?;
            queue.exchange = match (queue.exchange_type, queue.exchange) {
                (ExchangeType::Fanout, None) => Some(name.clone()),
                (_, exchange) => exchange,
            };
            queue.routing_key = queue.routing_key.or_else(|| Some(name.clone()));
            queues.push(QueueSetting { name, ..queue });
        }
        Ok(queues)
    }
}

/// A queue in a table of them, whose name is its key.
struct Unnamed(QueueSetting);

impl<'de> Deserialize<'de> for Unnamed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UnnamedForm)
    }
}

struct UnnamedForm;

impl<'de> Visitor<'de> for UnnamedForm {
    type Value = Unnamed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table that says how the queue is bound")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Unnamed, A::Error> {
        let table = table(map)?;
        if table.name.is_some() {
            let why = "in `task_queues`: the name of a queue in a table is its key";
            return Err(Error::custom(why));
        }
        let mut queue = table.into_setting::<A::Error>(String::new())?;
        // Its name is not known here.
        queue.exchange = queue.exchange.filter(|exchange| !exchange.is_empty());
        Ok(Unnamed(queue))
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

    /// Name, exchange, type and key.
    type Shown = (String, Option<String>, ExchangeType, Option<String>);

    fn shown(text: &str) -> Result<Vec<Shown>, String> {
        let show = |queue: QueueSetting| {
            (
                queue.name,
                queue.exchange,
                queue.exchange_type,
                queue.routing_key,
            )
        };
        Ok(read(text)?.into_iter().map(show).collect())
    }

    #[test]
    fn a_queue_is_a_name_or_a_table() -> Result<(), String> {
        let some = |text: &str| Some(text.to_owned());
        let (direct, fanout) = (ExchangeType::Direct, ExchangeType::Fanout);
        let listed = shown(
            "task_queues = ['a', { name = 'b' }, { name = 'c', exchange_type = 'fanout' }, \
             { name = 'd', exchange = 'x', routing_key = 'k.#', exchange_type = 'topic' }]",
        )?;
        let topic = ("d".to_owned(), some("x"), ExchangeType::Topic, some("k.#"));
        let expected = [
            ("a".to_owned(), some("a"), direct, some("a")),
            ("b".to_owned(), None, direct, None),
            ("c".to_owned(), some("c"), fanout, None),
            topic.clone(),
        ];
        assert_eq!(listed, expected);
        let by_name = shown(
            "[task_queues.b]\n[task_queues.c]\nexchange_type = 'fanout'\n\
             [task_queues.d]\nexchange = 'x'\nexchange_type = 'topic'\nbinding_key = 'k.#'\n",
        )?;
        let expected = [
            ("b".to_owned(), None, direct, some("b")),
            ("c".to_owned(), some("c"), fanout, some("c")),
            topic,
        ];
        assert_eq!(by_name, expected);
        Ok(())
    }

    #[test]
    fn what_a_queue_cannot_have_is_named() {
        let refused = |text: &str| read(text).err().unwrap_or_default();
        let unknown = refused("\n[[task_queues]]\nname = 'a'\nrouting = 'b'\n");
        assert!(
            unknown.starts_with("celeryconfig.toml:")
                && unknown.contains("in `task_queues`: unknown field `routing`"),
            "{unknown}"
        );
        let headers = refused("task_queues = [{ name = 'a', exchange_type = 'headers' }]");
        assert!(headers.contains("headers"), "{headers}");
        let nowhere = refused("task_queues = [{ name = 'a', exchange_type = 'topic' }]");
        assert!(nowhere.contains("needs an `exchange`"), "{nowhere}");
    }
}
