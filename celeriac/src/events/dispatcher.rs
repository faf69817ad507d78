//! Sends events (`celery/events/dispatcher.py`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::TaskEvent;
use super::event::Event;
use super::task::About;
use crate::broker::{Broker, Notice};
use crate::clock::Clock;
use crate::error::Error;
use crate::message::Request;
use crate::value::{Serializer, json};

/// Events in one message, at most.
const BATCH: usize = 100;
/// Batches that are kept while the broker is away, at most.
const BACKLOG: usize = 1000;
/// Pause before the broker is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Sends a worker's events. Cheap to clone. Those of tasks are gathered while
/// the ones before are under way, so that each task costs no round trip.
#[derive(Clone)]
pub struct Dispatcher(Arc<Inner>);

struct Inner {
    hostname: Arc<str>,
    exchange: String,
    clock: Clock,
    broker: Arc<dyn Broker>,
    /// Whether what becomes of tasks is told.
    tasks: AtomicBool,
    /// Events that have been told.
    told: Arc<AtomicU64>,
    buffer: Mutex<Buffer>,
    /// Tells the flusher that there is something in the buffer.
    filled: Notify,
}

/// Events that wait to be sent, in batches.
#[derive(Default)]
struct Buffer(VecDeque<Batch>);

/// The inside of a JSON list of events.
#[derive(Default)]
struct Batch {
    json: Vec<u8>,
    events: usize,
}

impl Buffer {
    /// Adds an event; the oldest ones go if there are too many.
    fn push(&mut self, event: &impl Serialize) {
        if self.0.back().is_none_or(|batch| batch.events >= BATCH) {
            self.0.push_back(Batch::default());
        }
        if let Some(batch) = self.0.back_mut() {
            batch.push(event);
        }
        if self.0.len() > BACKLOG {
            self.0.pop_front();
        }
    }

    /// Puts back what could not be sent, before what has come since.
    fn put_back(&mut self, batches: VecDeque<Batch>) {
        let since = std::mem::replace(&mut self.0, batches);
        self.0.extend(since);
        let surplus = self.0.len().saturating_sub(BACKLOG);
        self.0.drain(..surplus);
    }
}

impl Batch {
    fn push(&mut self, event: &impl Serialize) {
        // Texts and numbers only.
        if let Ok(event) = json::to_vec(event) {
            if self.events > 0 {
                self.json.push(b',');
            }
            self.json.extend_from_slice(&event);
            self.events += 1;
        }
    }

    fn body(&self) -> Vec<u8> {
        [b"[".as_slice(), &self.json, b"]"].concat()
    }
}

impl Dispatcher {
    /// Sends events of the worker `hostname`. `tasks`: those of tasks, too.
    pub fn new(
        broker: Arc<dyn Broker>,
        clock: Clock,
        hostname: Arc<str>,
        exchange: &str,
        tasks: bool,
    ) -> Self {
        Self(Arc::new(Inner {
            hostname,
            exchange: exchange.to_owned(),
            clock,
            broker,
            tasks: AtomicBool::new(tasks),
            told: Arc::default(),
            buffer: Mutex::default(),
            filled: Notify::new(),
        }))
    }

    /// Counts the events that it tells.
    pub(crate) fn told(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.told)
    }

    /// Whether what becomes of tasks is told.
    pub fn enabled(&self) -> bool {
        self.0.tasks.load(Ordering::Relaxed)
    }

    /// Begins or ceases to tell what becomes of tasks; whether it did before.
    pub fn enable(&self, tasks: bool) -> bool {
        self.0.tasks.swap(tasks, Ordering::Relaxed)
    }

    /// Tells what has become of a request, if anybody wants to know. Never
    /// waits.
    pub fn task(&self, request: &Request, event: &TaskEvent) {
        if self.enabled() {
            self.append(event.kind(), About::new(request, event));
        }
    }

    fn append(&self, kind: &str, fields: impl Serialize) {
        let inner = &*self.0;
        inner.told.fetch_add(1, Ordering::Relaxed);
        let mut buffer = inner.buffer();
        let event = Event::new(kind, &inner.hostname, inner.clock.forward(), fields);
        buffer.push(&event);
        drop(buffer);
        inner.filled.notify_one();
    }

    /// Sends an event of the worker's own, at once.
    pub async fn worker(&self, kind: &str, fields: impl Serialize) -> Result<(), Error> {
        let inner = &*self.0;
        inner.told.fetch_add(1, Ordering::Relaxed);
        let event = Event::new(kind, &inner.hostname, inner.clock.forward(), fields);
        let notice = self.notice(kind, json::to_vec(&event)?);
        inner.broker.broadcast(&[notice]).await?;
        Ok(())
    }

    /// Sends what is gathered, for ever. What cannot be sent is tried again.
    pub(crate) async fn flush_when_filled(self) {
        loop {
            self.0.filled.notified().await;
            while let Err(error) = self.flush().await {
                tracing::debug!(%error, "cannot send events; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Sends what is gathered.
    pub async fn flush(&self) -> Result<(), Error> {
        let batches = std::mem::take(&mut self.0.buffer().0);
        if batches.is_empty() {
            return Ok(());
        }
        let notice = |batch: &Batch| self.notice("task.multi", batch.body());
        let notices: Vec<Notice> = batches.iter().map(notice).collect();
        let sent = self.0.broker.broadcast(&notices).await;
        match &sent {
            Err(error) if error.passes() => self.0.buffer().put_back(batches),
            Err(error) => tracing::warn!(%error, "events are lost: the broker does not take them"),
            Ok(_) => {}
        }
        sent.map(drop)
    }

    fn notice(&self, kind: &str, body: Vec<u8>) -> Notice {
        let hostname = Value::from(&*self.0.hostname);
        Notice {
            exchange: self.0.exchange.clone(),
            routing_key: kind.replace('-', "."),
            headers: Map::from_iter([("hostname".to_owned(), hostname)]),
            serializer: Serializer::Json,
            body,
        }
    }
}

impl Inner {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(buffer: &Buffer) -> Vec<Vec<u64>> {
        let read = |batch: &Batch| serde_json::from_slice(&batch.body()).unwrap_or_default();
        buffer.0.iter().map(read).collect()
    }

    #[test]
    fn what_could_not_be_sent_goes_before_what_came_since() {
        let mut buffer = Buffer::default();
        (0..150).for_each(|event| buffer.push(&event));
        let unsent = std::mem::take(&mut buffer.0);
        buffer.push(&150);
        buffer.put_back(unsent);
        let lengths: Vec<usize> = bodies(&buffer).iter().map(Vec::len).collect();
        assert_eq!(lengths, [100, 50, 1]);
        assert_eq!(bodies(&buffer).concat(), (0..151).collect::<Vec<u64>>());
    }

    #[test]
    fn the_oldest_go_when_nobody_takes_them() {
        let mut buffer = Buffer::default();
        let events = (BACKLOG + 1) * BATCH;
        (0..events).for_each(|event| buffer.push(&event));
        let kept = bodies(&buffer).concat();
        assert_eq!(kept.len(), BACKLOG * BATCH);
        assert_eq!(kept.last(), Some(&(events as u64 - 1)));
    }
}
