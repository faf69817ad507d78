//! A native peer of Python [Celery](https://docs.celeryq.dev): worker, client,
//! results and scheduler that share brokers, queues and result backends with
//! Python applications.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`client`] | [`App`]: configuration and connections; [`App::send`], [`AsyncResult`]: calls and their results |
//! | [`task`](mod@task) | how an `async fn` becomes a task, and its [`Context`] |
//! | [`worker`] | one message's life, from the queue to its result; `celery inspect` and `celery control`, answered |
//! | [`events`] | what monitors see |
//! | [`results`] | what is stored of a task, and where |
//! | [`broker`] | where messages wait: what a broker is to the others |
//! | `redis` | broker, results and schedule on Redis, in the layouts of kombu and Celery (feature `redis`) |
//! | [`message`] | protocol 2 |
//! | [`value`] | values, and how they are written |
//! | [`canvas`] | [`Signature`], [`chain()`], [`group()`], [`chord()`] |
//! | [`schedule`] | intervals, crontabs, the sun |
//! | [`beat`] | what sends periodic tasks |
//! | [`stubs`] | the tasks as a Python module |
//! | [`trace`] | traces that go on across languages |
//! | [`config`] | settings in Celery's own names |
//! | `log` | log lines as Celery writes them, or JSON (feature `log`) |
//! | [`clock`] | the logical time that workers share |
//! | [`error`] | what can go wrong |
//! | [`memory`] | broker and results in the process |
//! | [`testing`] | a worker in a test; what brokers and backends must do |
//! | [`shutdown`] | how a process is told to end |
//! | [`nodename`], [`pidfile`] | `%h`, `%n`, `%d`; a process's own file |
//! | `command` | a program with the options of `celery worker` (feature `command`) |
//!
//! # Words
//!
//! Most words are Celery's. These are not, or mean more here:
//!
//! | word | what is meant |
//! | --- | --- |
//! | *held* | taken from its queue by one consumer, and not settled yet |
//! | *room* | how many more messages a worker may take: its prefetch |
//! | *slot* | where a task runs; a worker has as many as its concurrency |
//! | *life* | all that becomes of a message, from its delivery to its end |
//! | *settle* | leave behind what an end asks for (result, followers, chord), and then acknowledge |
//! | *lease* | for how long others leave a worker's messages alone, unless it is renewed |
//! | *sure* | knowing by its lease that what is held is still one's own |
//! | *lost* | held no more, because the broker has given it to another |
//! | *dead letter* | a message that nobody can run, kept with the reason |
//! | *journal* | what has been sent by number, so that it is sent once |
//! | *notice* | a message that is no task: an event, a command, a reply |
//!
//! # Features
//!
//! What a feature names is missing without it, and said to be missing where it
//! is asked for. Those of the first group are on by default.
//!
//! | feature | what it brings |
//! | --- | --- |
//! | `compression` | zlib, bzip2, brotli, xz and zstd in messages and results |
//! | `log` | the module `log` |
//! | `metrics` | what a worker counts, for Prometheus |
//! | `msgpack`, `yaml` | these formats of messages and results; JSON is always there |
//! | `redis` | the module `redis`: Redis as broker and as result backend |
//! | `rusty` | tasks of rusty-celery, `#[celery::task]` |
//! | `solar` | schedules by the sun |
//! | `command` | the module `command`, with `/health` and `/metrics` |
//! | `otlp` | spans go out by OTLP, if the environment says where to |

pub mod beat;
pub mod broker;
pub mod canvas;
pub mod client;
pub mod clock;
#[cfg(feature = "command")]
pub mod command;
pub mod config;
mod durable;
pub mod error;
pub mod events;
mod failure;
mod fault;
mod glob;
#[cfg(feature = "log")]
pub mod log;
pub mod memory;
pub mod message;
pub mod nodename;
pub mod pidfile;
mod rate;
#[cfg(feature = "redis")]
pub mod redis;
mod resident;
pub mod results;
pub mod schedule;
pub mod shutdown;
mod stack;
pub mod stubs;
pub mod task;
pub mod testing;
pub mod trace;
pub mod value;
pub mod worker;

pub use canvas::{Signature, chain, chord, group};
#[doc = include_str!("task/attribute.md")]
pub use celeriac_macros::task;
pub use client::{App, AsyncResult, TypedResult};
pub use config::{Config, Settings};
pub use error::{Error, QueueNotFound};
pub use failure::Failure;
pub use shutdown::Shutdown;
pub use task::{Call, Context, TaskError};
pub use worker::Worker;

#[doc(hidden)]
pub mod __private {
    pub use crate::task::written::*;
}

/// Its Rust is compiled with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/python-and-rust.md")]
mod python_and_rust {}
