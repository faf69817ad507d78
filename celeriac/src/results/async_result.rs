//! A client's handle on a task (`celery.result.AsyncResult`).

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{TaskMeta, states};
use crate::app::App;
use crate::error::Error;
use crate::task::Failure;

/// The awaited task did not succeed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{state}: {failure}")]
pub struct TaskFailed {
    /// `FAILURE` or `REVOKED`.
    pub state: String,
    /// The exception, by its Python name.
    pub failure: Failure,
    /// As the worker wrote it.
    pub traceback: Option<String>,
}

/// A task that has been sent.
#[derive(Clone)]
pub struct AsyncResult {
    app: App,
    id: String,
}

impl AsyncResult {
    pub(crate) fn new(app: App, id: String) -> Self {
        Self { app, id }
    }

    /// The task's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its state; `PENDING` if nothing is known of it.
    pub async fn state(&self) -> Result<String, Error> {
        let meta = self.meta().await?;
        Ok(meta.map_or_else(|| states::PENDING.to_owned(), |meta| meta.status))
    }

    /// All that is stored of it.
    pub async fn meta(&self) -> Result<Option<TaskMeta>, Error> {
        self.app
            .result_store()
            .ok_or(Error::NoResultBackend)?
            .get(&self.id)
            .await
    }

    /// Waits for its result.
    ///
    /// # Errors
    /// [`Error::TaskFailed`] if it failed, [`Error::Timeout`] if it has not
    /// ended in time; it goes on then.
    pub async fn get<T: DeserializeOwned>(&self, timeout: Duration) -> Result<T, Error> {
        let store = self.app.result_store().ok_or(Error::NoResultBackend)?;
        let meta = store.wait(&self.id, timeout).await?;
        if meta.status == states::SUCCESS {
            return Ok(serde_json::from_value(meta.result)?);
        }
        Err(Box::new(TaskFailed {
            failure: failure(&meta.result),
            traceback: meta.traceback,
            state: meta.status,
        })
        .into())
    }

    /// Removes its result.
    pub async fn forget(&self) -> Result<(), Error> {
        self.app
            .result_store()
            .ok_or(Error::NoResultBackend)?
            .forget(&self.id)
            .await
    }
}

/// A stored exception. Python stores a plain text where it has to, too.
fn failure(result: &Value) -> Failure {
    let text = |name| result.get(name).and_then(Value::as_str);
    let args = match result.get("exc_message") {
        Some(Value::Array(args)) => args.clone(),
        Some(other) => vec![other.clone()],
        None => vec![result.clone()],
    };
    Failure {
        exc_type: text("exc_type").unwrap_or("Exception").to_owned(),
        exc_module: text("exc_module").unwrap_or("builtins").to_owned(),
        exc_message: args,
        traceback: None,
    }
}
