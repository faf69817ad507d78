//! What is computed about a call: the agent's share of the talk, the
//! customer's mood, and an embedding for finding similar calls.
//!
//! - [`Engine`] owns the libtorch models on a thread of their own and answers
//!   many small requests in batches.
//! - [`InsightsSettings`] names the models; they come from a directory or the
//!   hub ([`ModelSource`]).
//! - [`talk_ratio`] needs no model.
//! - [`analyse_and_record`] does all of it for one call and stores it once;
//!   [`task::process`] is the task that does so.

mod batch;
mod classifier;
mod encoder;
mod engine;
mod error;
mod jobs;
mod lora;
mod models;
mod polarity;
mod process;
mod round;
mod sentiment;
mod settings;
mod source;
mod talk_ratio;
pub mod task;
mod tokenizer;
mod weights;
mod windows;

pub use engine::{Analysis, Engine};
pub use error::EngineError;
pub use process::{ProcessError, ProcessedCall, analyse_and_record};
pub use settings::{DEFAULT_MODEL, InsightsSettings, LORA};
pub use source::ModelSource;
pub use talk_ratio::talk_ratio;
