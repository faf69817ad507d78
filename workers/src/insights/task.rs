//! `insights.process` as the worker knows it.

// What `#[celery::task]` writes has no documentation and puts its impls into a
// constant; a module is the narrowest place to allow it.
#![allow(missing_docs, non_local_definitions)]

use std::sync::Arc;

use celeriac::task::Context;
use celery::{error::TaskError, task::TaskResult};
use store::Store;

use super::{
    engine::Engine,
    process::{ProcessError, ProcessedCall, analyse_and_record},
};
use crate::call::{CallDefaults, CallInput};

/// Computes and stores the insights into one call.
///
/// The worker must have been given an [`Engine`], a [`Store`] and
/// [`CallDefaults`] as states.
#[celery::task(
    name = "insights.process",
    acks_late = true,
    max_retries = 5,
    min_retry_delay = 1,
    max_retry_delay = 60,
    retry_for_unexpected = false
)]
pub async fn process(call: CallInput) -> TaskResult<ProcessedCall> {
    let (engine, store, defaults) = (
        state::<Engine>()?,
        state::<Store>()?,
        state::<CallDefaults>()?,
    );
    let call = call.complete(&defaults).map_err(ProcessError::from)?;
    Ok(analyse_and_record(&engine, &store, &call).await?)
}

/// What the worker was given of this type.
fn state<T: Send + Sync + 'static>() -> Result<Arc<T>, TaskError> {
    let missing = || {
        format!(
            "RuntimeError: the worker has no {}",
            std::any::type_name::<T>()
        )
    };
    Context::current()
        .and_then(|context| context.state())
        .ok_or_else(|| TaskError::UnexpectedError(missing()))
}
