//! `ingest.run`, the task: one run of the worker's [`Ingestion`].
#![allow(missing_docs, non_local_definitions)] // how the macro writes its items

use async_trait::async_trait;
use celeriac::Signature;
use celeriac::task::Context;
use celery::error::TaskError;
use celery::task::TaskResult;
use store::NewCall;

use super::{CallSender, IngestError, Ingestion, Report, SendError};

/// The task that calls are sent to.
const PROCESS: &str = "insights.process";

/// Calls of an ingestion let those go first that somebody asks about.
const BULK: u8 = 6;

/// How often a run is tried again. The macro wants the number itself.
const RETRIES: u32 = 3;

/// Brings in up to `limit` rows; without it, as many as the settings say.
/// Faults that may pass are tried again later, from where the run stopped;
/// others are not. A source that stays away is left to the next run.
#[celery::task(
    name = "ingest.run",
    acks_late = true,
    max_retries = 3,
    min_retry_delay = 10,
    max_retry_delay = 300,
    retry_for_unexpected = false
)]
pub async fn run(limit: Option<u64>) -> TaskResult<Report> {
    let context = Context::current().ok_or_else(|| missing("a task context"))?;
    let ingestion = context
        .state::<Ingestion>()
        .ok_or_else(|| missing("the ingestion"))?;
    let last = context.headers().retries >= RETRIES;
    let queue = Queue {
        context,
        name: ingestion.settings().queue.clone(),
    };
    let (report, ended) = ingestion.attempt(limit, &queue).await;
    match ended {
        Ok(()) => Ok(report),
        Err(error) if error.is_outage() && (last || error.asks_too_much()) => {
            Ok(postponed(report, &error))
        }
        Err(error) => Err(error.into()),
    }
}

fn postponed(report: Report, error: &IngestError) -> Report {
    tracing::warn!(%error, "the source is away; the next run goes on where this one stopped");
    Report {
        postponed: Some(format!("come back later: {error}")),
        ..report
    }
}

impl From<IngestError> for TaskError {
    fn from(error: IngestError) -> Self {
        if error.is_transient() {
            Self::ExpectedError(error.to_string())
        } else {
            Self::UnexpectedError(error.to_string())
        }
    }
}

fn missing(what: &str) -> TaskError {
    TaskError::UnexpectedError(format!("the worker was started without {what}"))
}

/// The queue of `insights.process`.
struct Queue {
    context: Context,
    name: String,
}

#[async_trait]
impl CallSender for Queue {
    async fn send(&self, calls: &[NewCall]) -> Result<(), SendError> {
        let signatures = calls.iter().map(|call| {
            let mut signature = Signature::new(PROCESS)
                .kwarg("call", call)
                .queue(&self.name)
                .priority(BULK);
            // The store holds what comes of it; nobody waits for the result.
            signature.options.ignore_result = Some(true);
            signature
        });
        let sent = self.context.app().send_many(signatures).await;
        sent.map(drop).map_err(|error| SendError {
            text: error.to_string(),
            passes: error.passes(),
        })
    }
}
