//! The queues that a worker consumes, which can change while it works.

use std::sync::Arc;

use tokio::sync::watch;

/// The names of queues, in the order in which they were named.
pub(crate) type Names = Arc<[Arc<str>]>;

/// The queues that are consumed.
pub(crate) struct Queues(watch::Sender<Names>);

impl Queues {
    pub fn new(names: Vec<Arc<str>>) -> Self {
        Self(watch::Sender::new(names.into()))
    }

    /// Those of now.
    pub fn names(&self) -> Names {
        self.0.borrow().clone()
    }

    /// Tells when they change.
    pub fn watch(&self) -> watch::Receiver<Names> {
        self.0.subscribe()
    }

    /// Consumes one more, if it is not consumed already.
    pub fn add(&self, queue: &str) -> bool {
        self.0.send_if_modified(|names| {
            let new = !names.iter().any(|name| **name == *queue);
            if new {
                *names = names.iter().cloned().chain([queue.into()]).collect();
            }
            new
        })
    }

    /// Consumes one less.
    pub fn cancel(&self, queue: &str) {
        self.0.send_if_modified(|names| {
            let rest: Names = names
                .iter()
                .filter(|name| ***name != *queue)
                .cloned()
                .collect();
            let changed = rest.len() != names.len();
            *names = rest;
            changed
        });
    }
}
