//! Redis: broker, result backend and the schedule that beats share.
//!
//! - [`RedisBroker`]: kombu's layout of queues and exchanges
//! - [`RedisResults`]: Celery's layout of results
//! - [`RedisSchedule`]: what beats share, and which of them leads
//! - `link`: the connections of all three
//! - `wire`: a message as it lies in a queue
//! - `batcher`: what many ask at the same time, asked in one round trip

mod batcher;
mod broker;
pub(crate) mod link;
mod results;
mod schedule;
mod wire;

pub use broker::RedisBroker;
#[doc(hidden)]
pub use broker::decode_notice;
pub use results::RedisResults;
pub use schedule::RedisSchedule;
#[doc(hidden)]
pub use wire::{decode as decode_message, encode as encode_message};
