//! What a program that sends tasks has (`celery.app`).
//!
//! - [`App`]: configuration and connections
//! - `sending`: a canvas goes out; `task_message`: as which messages; `sent`:
//!   the events that tell of it
//! - `routing`: which queue, and which exchange, it goes to; `queue_table`: the
//!   queues that the settings name
//! - [`AsyncResult`]: the handle of what was sent; [`TypedResult`]: one that
//!   knows its type
//! - [`Control`]: asks workers
//! - `parent`: the task that is running where something is sent
//! - `open`: which broker and which backend an address means

mod app;
mod async_result;
mod control;
mod open;
pub(crate) mod parent;
pub(crate) mod queue_table;
pub(crate) mod routing;
pub(crate) mod sending;
mod sent;
mod task_message;
mod typed_result;

pub use app::App;
pub use async_result::AsyncResult;
pub use control::Control;
pub(crate) use task_message::{Lineage, lay_over};
pub use typed_result::TypedResult;
