//! The queues that the settings name, and what a queue is that they do not
//! (`celery.app.amqp.Queues`).

use std::borrow::Cow;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::broker::{Binding, Queue};
use crate::config::{BindingSetting, ExchangeType, QueueSetting, Settings};
use crate::error::QueueNotFound;

/// The queue of a setting.
fn named(setting: &QueueSetting, settings: &Settings) -> Queue {
    let queue: Arc<str> = setting.name.as_str().into();
    let key = setting.routing_key.as_deref();
    let key = key.unwrap_or_else(|| settings.default_routing_key());
    let (exchange, exchange_type) = match &setting.exchange {
        Some(exchange) => (exchange.as_str(), setting.exchange_type),
        None => settings.default_exchange(),
    };
    let other = |binding: &BindingSetting| Binding {
        queue: Arc::clone(&queue),
        exchange: binding.exchange.as_str().into(),
        exchange_type: binding.exchange_type,
        routing_key: binding.routing_key.as_str().into(),
    };
    let main = Binding {
        queue: Arc::clone(&queue),
        exchange: exchange.into(),
        exchange_type,
        routing_key: key.into(),
    };
    Queue {
        others: setting.bindings.iter().map(other).collect(),
        delivery_mode: setting.delivery_mode,
        main: Some(main).filter(|_| setting.bindings.is_empty()),
        name: queue,
    }
}

/// Every queue that the settings name, by its name.
#[derive(Clone, Debug)]
pub(crate) struct QueueTable {
    named: IndexMap<Arc<str>, Queue>,
    /// Whether there are others.
    create_missing: bool,
    /// The type of their exchanges.
    missing: ExchangeType,
}

impl QueueTable {
    /// The queues of `task_queues`, else the default one.
    pub fn of(settings: &Settings) -> Self {
        let default = QueueSetting {
            name: settings.task_default_queue.clone(),
            ..QueueSetting::default()
        };
        let queues = match settings.task_queues.as_slice() {
            [] => std::slice::from_ref(&default),
            queues => queues,
        };
        let queues = queues.iter().map(|queue| named(queue, settings));
        Self {
            named: queues
                .map(|queue| (Arc::clone(&queue.name), queue))
                .collect(),
            create_missing: settings.task_create_missing_queues,
            missing: settings
                .task_create_missing_queue_exchange_type
                .unwrap_or_default(),
        }
    }

    /// Those that are named.
    pub fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.named.values()
    }

    /// One that is named.
    pub fn get(&self, name: &str) -> Option<&Queue> {
        self.named.get(name)
    }

    /// The queue of this name. One that nobody has named is bound to an exchange
    /// of its own.
    ///
    /// # Errors
    /// [`QueueNotFound`] for such a one where all are to be named.
    pub fn find(&self, name: &str) -> Result<Cow<'_, Queue>, QueueNotFound> {
        match self.get(name) {
            Some(queue) => Ok(Cow::Borrowed(queue)),
            None if self.create_missing => Ok(Cow::Owned(self.missing(name))),
            None => Err(QueueNotFound(name.to_owned())),
        }
    }

    /// A queue that nobody has named.
    pub fn missing(&self, name: &str) -> Queue {
        Queue::of(Binding {
            exchange_type: self.missing,
            ..Binding::own(&name.into())
        })
    }

    /// Whether this exchange is known for one that all hear.
    pub fn is_fanout(&self, exchange: &str) -> bool {
        let mut bindings = self.queues().flat_map(Queue::bindings);
        bindings.any(|bound| {
            bound.exchange_type == ExchangeType::Fanout && *bound.exchange == *exchange
        })
    }
}

impl Settings {
    /// The exchange of queues that name none, and its type.
    pub(crate) fn default_exchange(&self) -> (&str, ExchangeType) {
        let named = self.task_default_exchange.as_deref();
        let exchange = named.filter(|name| !name.is_empty());
        (
            exchange.unwrap_or(&self.task_default_queue),
            self.task_default_exchange_type,
        )
    }

    /// What queues are bound by that say nothing of it.
    pub(crate) fn default_routing_key(&self) -> &str {
        let named = self.task_default_routing_key.as_deref();
        let key = named.filter(|key| !key.is_empty());
        key.unwrap_or(&self.task_default_queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each binding's queue, exchange and key.
    fn bound(queue: &Queue) -> Vec<String> {
        let shown =
            |bound: &Binding| format!("{} {} {}", bound.queue, bound.exchange, bound.routing_key);
        queue.bindings().map(shown).collect()
    }

    /// As `app.amqp.queues` of Celery 5.7 shows them.
    #[test]
    fn what_is_not_said_of_a_queue_is_the_defaults() -> Result<(), QueueNotFound> {
        let mut settings = Settings {
            task_default_exchange: Some("x".to_owned()),
            task_default_exchange_type: ExchangeType::Topic,
            ..Settings::default()
        };
        let table = QueueTable::of(&settings);
        let usual = table.find("celery")?;
        assert_eq!(bound(&usual), ["celery x celery"]);
        assert_eq!(usual.exchange_type(), ExchangeType::Topic);
        let other = table.find("other")?;
        assert_eq!(bound(&other), ["other other other"]);
        assert_eq!(other.exchange_type(), ExchangeType::Direct);

        settings.task_default_routing_key = Some("k".to_owned());
        settings.task_create_missing_queues = false;
        settings.task_queues = vec![
            QueueSetting::named("a"),
            QueueSetting {
                name: "b".to_owned(),
                ..QueueSetting::default()
            },
        ];
        let table = QueueTable::of(&settings);
        assert_eq!(bound(&*table.find("a")?), ["a a a"]);
        assert_eq!(bound(&*table.find("b")?), ["b x k"]);
        let missing = table.find("c").map_err(|missing| missing.to_string());
        assert_eq!(
            missing.err().as_deref(),
            Some("Queue 'c' missing from task_queues")
        );
        Ok(())
    }
}
