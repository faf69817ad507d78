//! The tasks of the call-analytics service: `ingest.run` brings transcripts
//! in, `insights.process` computes what is stored about each.

pub mod call;
pub mod ingest;
pub mod insights;
