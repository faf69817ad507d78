//! Work to be done, as data: signatures, what they are composed into, and
//! what it takes to send them (`celery.canvas`).
//!
//! - [`Signature`]: a call, or several calls composed; [`Options`]: how it is sent
//! - [`chain`], [`group`], [`chord`] and `|`: composing
//! - `dict`: Celery's dict form
//! - `freeze`: ids for every part of a canvas
//! - [`LaterSteps`]: the steps of a chain that a message only passes on
//! - `plan`: the messages that a canvas begins with
//! - `stamp`: marks that travel with every part

mod compose;
mod dict;
mod freeze;
mod later;
mod options;
mod plan;
mod promise;
mod signature;
mod stamp;

pub use compose::{chain, chord, group};
pub(crate) use freeze::Place;
pub use later::LaterSteps;
pub use options::Options;
pub(crate) use options::check_limits;
pub use plan::CanvasError;
pub(crate) use plan::Plan;
pub(crate) use promise::{Handle, Promises, new_id};
pub use signature::{Canvas, Signature};
