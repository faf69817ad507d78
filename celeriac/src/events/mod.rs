//! Events: what monitors such as Flower see of workers and tasks
//! (`celery/events`).
//!
//! - `event`: an event as it is written
//! - [`TaskEvent`]: what there is to tell about a task
//! - [`Dispatcher`]: sends them, those of tasks in batches

mod dispatcher;
mod event;
mod task;

pub use dispatcher::Dispatcher;
pub(crate) use event::{Event, Software};
pub use task::TaskEvent;
