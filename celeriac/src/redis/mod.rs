//! Redis: broker, result backend and the schedule that beats share.
//!
//! - [`RedisBroker`]: kombu's layout of queues and exchanges
//! - [`RedisResults`]: Celery's layout of results
//! - [`RedisSchedule`]: what beats share, and which of them leads
//! - `link`: the connections of all three
//! - `batcher`: what many ask at the same time, asked in one round trip

mod batcher;
mod broker;
pub(crate) mod link;
mod results;
mod schedule;

pub use broker::RedisBroker;
#[doc(hidden)]
pub use broker::decode_notice;
pub use results::RedisResults;
pub use schedule::RedisSchedule;
