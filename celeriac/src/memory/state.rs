//! What is in a broker of this process.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::broker::ExchangeType;
use crate::broker::{Binding, Content, DeadLetter, Delivery, Notice, Outgoing, Tag};
use crate::message::Message;

/// Everything, and who is to be told that something has come.
#[derive(Default)]
pub(super) struct Store {
    state: Mutex<State>,
    pub arrived: Notify,
}

#[derive(Default)]
pub(super) struct State {
    /// By their names, and by priority: 0 goes first.
    queues: HashMap<Arc<str>, BTreeMap<u8, VecDeque<Message>>>,
    bindings: Vec<Binding>,
    held: HashMap<Tag, Held>,
    /// The newest first.
    pub letters: Vec<Letter>,
    /// The last number of each journal.
    pub journals: HashMap<String, u64>,
    pub ears: Vec<Ear>,
    /// The nodenames of those who consume, by their numbers.
    pub living: BTreeMap<u64, String>,
    /// What the next consumer, or its next delivery, is called by.
    next: u64,
}

/// A message that a consumer has taken.
struct Held {
    consumer: u64,
    queue: Arc<str>,
    message: Message,
}

/// A dead letter, and its message.
pub(super) struct Letter {
    pub letter: DeadLetter,
    pub message: Message,
}

/// Who hears what is said in an exchange.
pub(super) struct Ear {
    pub exchange: String,
    pub routing_key: String,
    /// Whether it hears replies, which are for it alone.
    pub replies: bool,
    pub listener: UnboundedSender<Notice>,
}

impl Store {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A number that nobody had before.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Sends a message to the queues that are meant: none, if nothing is bound
    /// to its exchange.
    pub fn send(&mut self, outgoing: &Outgoing) {
        self.bind(&outgoing.declares);
        let address = &outgoing.message.delivery_info;
        let key = address.routing_key.as_deref().unwrap_or_default();
        let queues: Vec<Arc<str>> = match outgoing.exchange_type {
            ExchangeType::Direct => vec![outgoing.queue.as_str().into()],
            kind => {
                let fanout = kind == ExchangeType::Fanout;
                let mut bindings: Vec<&Binding> = self.bindings.iter().collect();
                bindings.retain(|binding| *binding.exchange == *address.exchange);
                bindings.retain(|binding| fanout || binding.fits(key));
                let mut queues: Vec<_> = bindings.iter().map(|it| Arc::clone(&it.queue)).collect();
                // Two bindings may fit: it gets the message once.
                queues.sort_unstable();
                queues.dedup();
                queues
            }
        };
        if queues.is_empty() {
            let id = &outgoing.message.headers.id;
            let exchange = &address.exchange;
            tracing::warn!(
                "message {id} goes nowhere: no queue is bound to exchange {exchange:?} for {key:?}"
            );
        }
        for queue in queues {
            self.put(queue, outgoing.message.clone(), false);
        }
    }

    /// Puts a message into a queue, at its end or where it is taken next.
    pub fn put(&mut self, queue: Arc<str>, message: Message, first: bool) {
        let priority = message.properties.priority.unwrap_or(0);
        let queue = self.queues.entry(queue).or_default();
        let lane = queue.entry(priority).or_default();
        match first {
            true => lane.push_front(message),
            false => lane.push_back(message),
        }
    }

    /// Makes these bindings.
    pub fn bind(&mut self, bindings: &[Binding]) {
        for binding in bindings {
            if !self.bindings.contains(binding) {
                self.bindings.push(binding.clone());
            }
        }
    }

    /// Takes back these bindings, and deletes their queues.
    pub fn unbind(&mut self, bindings: &[Binding]) {
        self.bindings.retain(|binding| !bindings.contains(binding));
        for binding in bindings {
            self.queues.remove(&binding.queue);
        }
    }

    /// Deletes what waits in a queue; how many messages.
    pub fn purge(&mut self, queue: &str) -> u64 {
        let lanes = self.queues.remove(queue).unwrap_or_default();
        lanes.values().map(|lane| lane.len() as u64).sum()
    }

    /// Gives messages to a consumer, `room` at most.
    pub fn take(&mut self, consumer: u64, queues: &[Arc<str>], room: usize) -> Vec<Delivery> {
        let mut taken = Vec::new();
        for queue in queues {
            while taken.len() < room
                && let Some(message) = self.pop(queue)
            {
                let tag: Tag = format!("{consumer}:{}", self.number()).into();
                let held = Held {
                    consumer,
                    queue: Arc::clone(queue),
                    message: message.clone(),
                };
                self.held.insert(Arc::clone(&tag), held);
                taken.push(Delivery {
                    tag,
                    queue: Arc::clone(queue),
                    content: Arc::new(message) as Arc<dyn Content>,
                });
            }
        }
        taken
    }

    fn pop(&mut self, queue: &str) -> Option<Message> {
        let lanes = self.queues.get_mut(queue)?;
        lanes.values_mut().find_map(VecDeque::pop_front)
    }

    /// Whether a delivery is held.
    pub fn holds(&self, tag: &Tag) -> bool {
        self.held.contains_key(tag)
    }

    /// How many deliveries a consumer holds.
    pub fn held(&self, consumer: u64) -> usize {
        let held = self.held.values();
        held.filter(|held| held.consumer == consumer).count()
    }

    /// Ends a delivery: its queue and its message, if it was held.
    pub fn release(&mut self, tag: &Tag) -> Option<(Arc<str>, Message)> {
        let held = self.held.remove(tag)?;
        Some((held.queue, held.message))
    }

    /// Puts the message of a delivery back, the next to be taken; `false` if it
    /// was not held.
    pub fn put_back(&mut self, tag: &Tag) -> bool {
        let Some((queue, mut message)) = self.release(tag) else {
            return false;
        };
        message.mark_redelivered();
        self.put(queue, message, true);
        true
    }

    /// Puts back what a consumer holds, or all of them; the oldest is the next.
    pub fn put_all_back(&mut self, consumer: Option<u64>) {
        let held = self.held.iter();
        let meant = held.filter(|(_, held)| consumer.is_none_or(|it| it == held.consumer));
        let mut tags: Vec<Tag> = meant.map(|(tag, _)| Arc::clone(tag)).collect();
        tags.sort_by_key(|tag| std::cmp::Reverse(number_of(tag)));
        for tag in tags {
            self.put_back(&tag);
        }
    }

    /// Tells those who hear; how many.
    pub fn say(&mut self, notice: &Notice, reply: bool) -> usize {
        self.ears.retain(|ear| !ear.listener.is_closed());
        let ears = self.ears.iter().filter(|ear| {
            let there = ear.replies == reply && ear.exchange == notice.exchange;
            there && ear.fits(&notice.routing_key)
        });
        ears.filter(|ear| ear.listener.send(notice.clone()).is_ok())
            .count()
    }
}

impl Ear {
    fn fits(&self, routing_key: &str) -> bool {
        match self.replies {
            true => self.routing_key == routing_key,
            // Without a key it hears all.
            false => {
                self.routing_key.is_empty()
                    || crate::broker::topic_fits(&self.routing_key, routing_key)
            }
        }
    }
}

/// The number in a tag, by which they are in order.
fn number_of(tag: &str) -> u64 {
    let number = tag.rsplit(':').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}
