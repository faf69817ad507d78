//! Ingestion: transcripts come from a [`TranscriptSource`], page by page, and
//! become calls that wait in the queue of `insights.process`.
//!
//! - [`settings`]: the `[ingest]` section of the configuration
//! - [`source`]: what a source is; [`huggingface`], [`jsonl`] and [`sample`]
//!   are the three there are
//! - [`retry`]: which failures of a source are tried again, and when
//! - [`decode`]: from a row to a call, or to the reason why it is none
//! - [`sort`]: good rows from bad ones
//! - [`pages`]: the raw pages on disk
//! - [`ahead`]: pages fetched ahead of the one being stored
//! - [`handover`]: calls into the store, and from there into the queue
//! - [`run`]: one run, and why a crash in it loses and doubles nothing
//! - [`report`]: what a run tells
//! - [`task`]: a run as the task `ingest.run`

pub mod ahead;
pub mod decode;
pub mod handover;
pub mod huggingface;
pub mod jsonl;
pub mod pages;
pub mod report;
pub mod retry;
pub mod run;
pub mod sample;
pub mod settings;
pub mod sort;
pub mod source;
pub mod task;

pub use handover::{CallSender, SendError};
pub use report::{IngestError, Report};
pub use run::Ingestion;
pub use settings::{IngestSettings, SourceKind};
pub use source::{FetchError, RawPage, TranscriptSource};
