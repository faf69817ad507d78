//! Taking messages from a broker of this process.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use super::state::{Letter, Store};
use crate::broker::ExchangeType;
use crate::broker::{Binding, Consumer, DeadLetter, Delivery, Queue, Settled, Tag};
use crate::error::Error;

/// Takes messages for one worker. It gives back what it holds when it is dropped,
/// as a connection that is closed.
pub(super) struct MemoryConsumer {
    store: Arc<Store>,
    number: u64,
    consumed: Mutex<Consumed>,
}

#[derive(Default)]
struct Consumed {
    queues: Arc<[Arc<str>]>,
    /// Those of them that are its own.
    broadcasts: Vec<Binding>,
}

impl MemoryConsumer {
    pub fn new(store: &Arc<Store>, nodename: &str) -> Self {
        let mut state = store.state();
        let number = state.number();
        state.living.insert(number, nodename.to_owned());
        Self {
            store: Arc::clone(store),
            number,
            consumed: Mutex::default(),
        }
    }

    fn consumed(&self) -> std::sync::MutexGuard<'_, Consumed> {
        self.consumed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled(&self, was_held: bool) -> Settled {
        match was_held {
            true => Settled::Done,
            false => Settled::Lost,
        }
    }

    fn end(&self) {
        let broadcasts = std::mem::take(&mut *self.consumed()).broadcasts;
        let mut state = self.store.state();
        state.put_all_back(Some(self.number));
        state.unbind(&broadcasts);
        state.living.remove(&self.number);
        drop(state);
        self.store.arrived.notify_waiters();
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn subscribe(&self, queues: &[Queue]) -> Result<(), Error> {
        let fanout = |queue: &&Queue| queue.exchange_type() == ExchangeType::Fanout;
        let own = queues.iter().filter(fanout);
        let own: Vec<Binding> = own.filter_map(|queue| queue.main.clone()).collect();
        let names = queues.iter().map(|queue| Arc::clone(&queue.name)).collect();
        let mut consumed = self.consumed();
        let mut state = self.store.state();
        let before = std::mem::take(&mut consumed.broadcasts).into_iter();
        let gone: Vec<Binding> = before
            .filter(|broadcast| !own.contains(broadcast))
            .collect();
        state.unbind(&gone);
        for queue in queues {
            let bindings: Vec<Binding> = queue.bindings().cloned().collect();
            state.bind(&bindings);
        }
        *consumed = Consumed {
            queues: names,
            broadcasts: own,
        };
        Ok(())
    }

    async fn next(&self, room: usize, patience: Duration) -> Result<Vec<Delivery>, Error> {
        let deadline = Instant::now() + patience;
        loop {
            let mut arrived = pin!(self.store.arrived.notified());
            // Before it looks, so that nothing comes unnoticed in between.
            arrived.as_mut().enable();
            let queues = Arc::clone(&self.consumed().queues);
            let taken = self.store.state().take(self.number, &queues, room);
            if !taken.is_empty() || timeout_at(deadline, arrived).await.is_err() {
                return Ok(taken);
            }
        }
    }

    async fn ack(&self, tag: &Tag) -> Result<Settled, Error> {
        let released = self.store.state().release(tag);
        Ok(self.settled(released.is_some()))
    }

    async fn requeue(&self, tag: &Tag) -> Result<Settled, Error> {
        let back = self.store.state().put_back(tag);
        self.store.arrived.notify_waiters();
        Ok(self.settled(back))
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<Settled, Error> {
        let mut state = self.store.state();
        let released = state.release(&delivery.tag);
        if let Some((_, message)) = &released {
            let letter = DeadLetter::new(delivery, reason).naming(Some(message));
            let message = message.clone();
            state.letters.insert(0, Letter { letter, message });
        }
        Ok(self.settled(released.is_some()))
    }

    fn held(&self) -> usize {
        self.store.state().held(self.number)
    }

    fn begin(&self, tag: &Tag) -> Option<bool> {
        Some(self.store.state().holds(tag))
    }

    async fn leave(&self) -> Result<(), Error> {
        self.end();
        Ok(())
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        self.end();
    }
}
