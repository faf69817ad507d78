//! Events: what monitors such as Flower see of workers and tasks
//! (`celery/events`).
//!
//! - `event`: an event as it is written
//! - [`TaskEvent`]: what there is to tell about a task
//! - [`Dispatcher`]: sends them, those of tasks in batches
//! - `heartbeat`: worker-online, -heartbeat and -offline
//! - `sent`: task-sent, which producers send

mod dispatcher;
mod event;
pub(crate) mod heartbeat;
mod sent;
mod task;

pub use dispatcher::Dispatcher;
pub(crate) use event::Software;
pub(crate) use sent::sent;
pub use task::TaskEvent;
