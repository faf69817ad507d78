//! Queues, and what brings them their messages.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::value::DeliveryMode;

/// How an exchange hands out its messages, under kombu's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ExchangeType {
    /// Each to the queues that are bound by its very routing key.
    #[default]
    Direct,
    /// Each to everybody: the queue is a broadcast, as `kombu.common.Broadcast`.
    Fanout,
    /// Each to the queues whose bindings fit its routing key: `*` stands for a
    /// word, `#` for any number of them.
    Topic,
}

impl ExchangeType {
    /// kombu's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
        }
    }
}

/// A queue, and what brings it its messages (`kombu.Queue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: Arc<str>,
    /// The binding that senders go by who name the queue alone. One that lists
    /// its bindings has none of this kind, and they reach it as it is.
    pub main: Option<Binding>,
    /// What brings it messages, too.
    pub others: Vec<Binding>,
    /// That of messages that name none.
    pub delivery_mode: Option<DeliveryMode>,
}

impl Queue {
    /// One that is bound once.
    pub fn of(main: Binding) -> Self {
        Self {
            name: Arc::clone(&main.queue),
            main: Some(main),
            others: Vec::new(),
            delivery_mode: None,
        }
    }

    /// All that brings it messages.
    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.main.iter().chain(&self.others)
    }

    /// What its main exchange is.
    pub fn exchange_type(&self) -> ExchangeType {
        let main = self.main.as_ref();
        main.map_or(ExchangeType::Direct, |bound| bound.exchange_type)
    }
}

/// What brings a queue its messages, for those who send by exchange and routing
/// key (`kombu.Queue`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Binding {
    /// The queue's name.
    pub queue: Arc<str>,
    /// The exchange.
    pub exchange: Arc<str>,
    /// Whether the routing key is meant word for word (direct), or is a pattern
    /// with `*` for a word and `#` for any (topic).
    pub exchange_type: ExchangeType,
    /// The routing key that a message needs.
    pub routing_key: Arc<str>,
}

impl Binding {
    /// To the direct exchange of the queue's own name, as Celery binds a queue
    /// of which it knows nothing else.
    pub fn own(queue: &Arc<str>) -> Self {
        Self {
            queue: Arc::clone(queue),
            exchange: Arc::clone(queue),
            exchange_type: ExchangeType::Direct,
            routing_key: Arc::clone(queue),
        }
    }

    /// To the fanout exchange of a broadcast, of a queue that nobody else has.
    /// As `kombu.common.Broadcast`.
    pub fn broadcast(exchange: &str, routing_key: &str) -> Self {
        Self {
            queue: format!("bcast.{}", Uuid::new_v4()).into(),
            exchange: exchange.into(),
            exchange_type: ExchangeType::Fanout,
            routing_key: routing_key.into(),
        }
    }

    /// Whether it brings its queue what is sent with this routing key.
    pub fn fits(&self, routing_key: &str) -> bool {
        match self.exchange_type {
            ExchangeType::Direct => *self.routing_key == *routing_key,
            ExchangeType::Topic => topic_fits(&self.routing_key, routing_key),
            ExchangeType::Fanout => true,
        }
    }
}

/// Whether a topic's pattern fits a routing key: `*` stands for one word, `#`
/// for any number of them.
pub(crate) fn topic_fits(pattern: &str, routing_key: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let words: Vec<&str> = routing_key.split('.').collect();
    // From the first words that are fitted to all: which words may come next.
    let mut fitted = vec![false; words.len() + 1];
    fitted[0] = true;
    for wanted in pattern {
        let mut next = vec![false; words.len() + 1];
        let mut before = false;
        for (count, fits) in fitted.iter().enumerate() {
            before |= *fits;
            next[count] = match wanted {
                "#" => before,
                _ => {
                    let word = count.checked_sub(1).and_then(|last| words.get(last));
                    let fits_word = word.is_some_and(|word| wanted == "*" || wanted == *word);
                    fits_word && fitted.get(count - 1).copied().unwrap_or(false)
                }
            };
        }
        fitted = next;
    }
    fitted.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the RabbitMQ tutorial on topics has it.
    #[test]
    fn a_topic_fits_words() {
        let cases = [
            ("orders.*", "orders.new", true),
            ("orders.*", "orders", false),
            ("orders.*", "orders.new.urgent", false),
            ("orders.#", "orders", true),
            ("orders.#", "orders.new.urgent", true),
            ("#.urgent", "orders.new.urgent", true),
            ("#", "", true),
            ("*.new.#", "orders.new", true),
            ("*.new.#", "new", false),
            ("worker.#", "worker.heartbeat", true),
            ("a.#.b.*", "a.x.b.y.b.z", true),
        ];
        for (pattern, key, fits) in cases {
            assert_eq!(topic_fits(pattern, key), fits, "{pattern} {key}");
        }
    }
}
