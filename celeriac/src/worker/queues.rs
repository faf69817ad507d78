//! The queues that a worker consumes, which can change while it works.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::config::Settings;
use crate::transport::{Binding, Broadcast};

/// The names of queues, in the order in which they were named.
pub(crate) type Names = Arc<[Arc<str>]>;

/// The broadcasts that `task_queues` names, each with the queue that this
/// worker has for it.
#[derive(Clone)]
pub(crate) struct Broadcasts(Vec<Broadcast>);

impl Broadcasts {
    pub fn of(settings: &Settings) -> Self {
        let named = settings.task_queues.iter();
        let named = named.filter(|queue| queue.is_broadcast());
        let broadcast = |name| Broadcast::new(name, settings.default_routing_key());
        Self(named.map(|queue| broadcast(&queue.name)).collect())
    }

    /// The queue that is consumed under this name: a broadcast's own, or the
    /// one of that very name.
    pub fn queue(&self, name: &str) -> Arc<str> {
        let mut broadcasts = self.0.iter();
        let found = broadcasts.find(|broadcast| *broadcast.exchange == *name);
        found.map_or_else(|| name.into(), |broadcast| Arc::clone(&broadcast.queue))
    }

    /// The broadcast that fills this queue, if one does.
    pub fn filling(&self, queue: &str) -> Option<&Broadcast> {
        self.0.iter().find(|broadcast| *broadcast.queue == *queue)
    }

    /// The queues that are no broadcast's, and the broadcasts of the others.
    pub fn part(&self, queues: &[Arc<str>]) -> (Vec<Arc<str>>, Vec<Broadcast>) {
        let plain = |queue: &&Arc<str>| self.filling(queue).is_none();
        let broadcasts = queues.iter().filter_map(|queue| self.filling(queue));
        (
            queues.iter().filter(plain).cloned().collect(),
            broadcasts.cloned().collect(),
        )
    }
}

/// The queues that are consumed.
pub(crate) struct Queues {
    names: watch::Sender<Names>,
    /// Of those that have been added; the others have their own.
    bindings: Mutex<HashMap<Arc<str>, Binding>>,
    pub broadcasts: Broadcasts,
}

impl Queues {
    /// Those of these names; a broadcast's is its exchange's.
    pub fn new(names: &[Arc<str>], broadcasts: Broadcasts) -> Self {
        let names = names.iter().map(|name| broadcasts.queue(name)).collect();
        Self {
            names: watch::Sender::new(names),
            bindings: Mutex::default(),
            broadcasts,
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

    /// What brings a queue its messages.
    pub fn binding(&self, queue: &Arc<str>) -> Binding {
        let bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        let added = bindings.get(queue).cloned();
        added.unwrap_or_else(|| Binding::own(queue))
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
