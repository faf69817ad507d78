//! The queues that a worker consumes, which can change while it works.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::broker::Binding;
use crate::broker::ExchangeType;
use crate::broker::Queue;
use crate::client::queue_table::QueueTable;

/// The names of queues, in the order in which they were named.
pub(crate) type Names = Arc<[Arc<str>]>;

/// The exchange of queues that one worker alone consumes.
const DIRECT_EXCHANGE: &str = "C.dq2";

/// The queue of `worker_direct`: `celery.utils.nodenames.worker_direct`.
pub(super) fn direct(nodename: &str) -> Binding {
    Binding {
        queue: format!("{nodename}.dq2").into(),
        exchange: DIRECT_EXCHANGE.into(),
        exchange_type: ExchangeType::Direct,
        routing_key: nodename.into(),
    }
}

/// The broadcasts that `task_queues` names, by their names there, each with the
/// queue that this worker has for it.
#[derive(Clone)]
pub(crate) struct Broadcasts(Vec<(Arc<str>, Binding)>);

impl Broadcasts {
    pub fn of(table: &QueueTable) -> Self {
        let named = table.queues().filter_map(|queue| queue.main.as_ref());
        let named = named.filter(|bound| bound.exchange_type == ExchangeType::Fanout);
        let broadcast = |bound: &Binding| {
            let broadcast = Binding::broadcast(&bound.exchange, &bound.routing_key);
            (Arc::clone(&bound.queue), broadcast)
        };
        Self(named.map(broadcast).collect())
    }

    /// The queue that is consumed under this name: a broadcast's own, or the
    /// one of that very name.
    pub fn queue(&self, name: &str) -> Arc<str> {
        let mut broadcasts = self.0.iter();
        let found = broadcasts.find(|(known, _)| **known == *name);
        found.map_or_else(
            || name.into(),
            |(_, broadcast)| Arc::clone(&broadcast.queue),
        )
    }

    /// The broadcast that fills this queue, if one does.
    pub fn filling(&self, queue: &str) -> Option<&Binding> {
        let mut broadcasts = self.0.iter().map(|(_, broadcast)| broadcast);
        broadcasts.find(|broadcast| *broadcast.queue == *queue)
    }

    /// The name that `task_queues` has for it.
    pub fn alias(&self, broadcast: &Binding) -> Option<&Arc<str>> {
        let mut named = self.0.iter();
        let found = named.find(|(_, known)| known.queue == broadcast.queue);
        found.map(|(name, _)| name)
    }
}

/// The queues that are consumed.
pub(crate) struct Queues {
    names: watch::Sender<Names>,
    /// What brings messages to those that the settings do not name.
    bindings: Mutex<HashMap<Arc<str>, Binding>>,
    pub broadcasts: Broadcasts,
    table: QueueTable,
}

impl Queues {
    /// Those of these names; a broadcast's is its exchange's.
    pub fn new(names: &[Arc<str>], broadcasts: Broadcasts, table: QueueTable) -> Self {
        let names = names.iter().map(|name| broadcasts.queue(name)).collect();
        Self {
            names: watch::Sender::new(names),
            bindings: Mutex::default(),
            broadcasts,
            table,
        }
    }

    /// Those of now.
    pub fn names(&self) -> Names {
        self.names.borrow().clone()
    }

    /// Tells when they change.
    pub fn watch(&self) -> watch::Receiver<Names> {
        self.names.subscribe()
    }

    /// A queue, with what brings it its messages.
    pub fn get(&self, name: &Arc<str>) -> Queue {
        if let Some(broadcast) = self.broadcasts.filling(name) {
            return Queue::of(broadcast.clone());
        }
        let bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.table.get(name), bindings.get(name)) {
            (Some(named), _) => named.clone(),
            (None, Some(added)) => Queue::of(added.clone()),
            (None, None) => self.table.missing(name),
        }
    }

    /// Consumes one more, if it is not consumed already. A queue that is known
    /// keeps its binding.
    pub fn add(&self, binding: Binding) -> bool {
        let queue = self.broadcasts.queue(&binding.queue);
        if !self.names.borrow().contains(&queue) {
            let mut bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
            bindings.entry(Arc::clone(&queue)).or_insert(binding);
        }
        self.names.send_if_modified(|names| {
            let new = !names.contains(&queue);
            if new {
                *names = names.iter().cloned().chain([queue]).collect();
            }
            new
        })
    }

    /// Consumes one less.
    pub fn cancel(&self, name: &str) {
        let queue = self.broadcasts.queue(name);
        self.names.send_if_modified(|names| {
            let rest: Names = names
                .iter()
                .filter(|name| **name != queue)
                .cloned()
                .collect();
            let changed = rest.len() != names.len();
            *names = rest;
            changed
        });
    }
}
