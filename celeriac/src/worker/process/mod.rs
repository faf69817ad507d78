//! Tasks in child processes, as Celery's prefork pool runs them: a hard time
//! limit, a signal or a crash in native code ends one child and not the worker.
//!
//! A child is this program started anew, with the same arguments. Its `main`
//! sets up the same worker; [`Worker::run`](super::Worker::run) sees that it is
//! a child and serves runs over its standard input, one end of a socket pair.
//! What a run leaves behind is settled by the worker, as for any other.
//!
//! - [`Children`]: the children there are, and those who wait for one
//! - [`Lease`]: a child that has been given one run
//! - [`Plan`]: which tasks run in children, and when these are replaced
//! - `birth`: how a child is started; `guard`: how it ends
//! - `group`: what its runs have started
//! - `child`: the other side, in the child
//! - `wire`: what both sides say to each other
//! - `lost`: what is said of a child that died

mod birth;
pub(super) mod child;
mod children;
mod group;
mod guard;
mod lease;
mod lost;
mod plan;
mod wire;

pub(crate) use children::Children;
pub(super) use lease::Lease;
pub(crate) use plan::Plan;
pub(super) use plan::bound;
