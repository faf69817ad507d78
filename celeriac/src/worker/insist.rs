//! Doing what must be done before a message may be forgotten: as often as it
//! takes, unless no repetition can mend it.

use std::pin::pin;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::sleep;

use super::Shared;
use crate::config::ResultRetries;
use crate::error::Error;

/// Once a warm shutdown has begun, what still fails is tried for so long.
const GRACE: Duration = Duration::from_secs(5);
/// A cold shutdown leaves so long, that a server which is there is still told.
const COLD_GRACE: Duration = Duration::from_secs(3);

/// Why something that had to be done was not.
#[derive(Debug)]
pub(super) enum Undone {
    /// A shutdown came first. The message stays unacknowledged, and runs again.
    GaveUp,
    /// It would fail in the same way at every attempt.
    Lasts(Error),
}

/// Does something at the broker, however long that is away.
pub(super) async fn insist<T, F, Fut>(
    shared: &Shared,
    what: &str,
    operation: F,
) -> Result<T, Undone>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Error>>,
{
    let patiently = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times();
    persist(shared, what, patiently, operation).await
}

/// The same at the result backend, as patiently as the settings say.
pub(super) async fn insist_on_result<T, F, Fut>(
    shared: &Shared,
    what: &str,
    operation: F,
) -> Result<T, Undone>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Error>>,
{
    let patiently = ResultRetries::of(shared.app.settings()).pauses();
    persist(shared, what, patiently, operation).await
}

async fn persist<T, F, Fut>(
    shared: &Shared,
    what: &str,
    pauses: ExponentialBuilder,
    operation: F,
) -> Result<T, Undone>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Error>>,
{
    tokio::select! {
        done = attempts(shared, what, pauses, operation) => done,
        () = shared.forsaken.cancelled() => {
            tracing::error!("gave up: cannot {what}");
            Err(Undone::GaveUp)
        }
    }
}

async fn attempts<T, F, Fut>(
    shared: &Shared,
    what: &str,
    pauses: ExponentialBuilder,
    mut operation: F,
) -> Result<T, Undone>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Error>>,
{
    let mut pauses = pauses.build();
    // Begins to count with the first failure.
    let mut grace = pin!(async {
        shared.shutdown.warm().await;
        sleep(GRACE).await;
    });
    loop {
        let error = match operation().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let pause = pauses.next().filter(|_| error.passes());
        let Some(pause) = pause else {
            return Err(Undone::Lasts(error));
        };
        tracing::warn!(%error, ?pause, "cannot {what}; trying again");
        tokio::select! {
            () = sleep(pause) => {}
            () = &mut grace => {
                tracing::error!(%error, "gave up: cannot {what}");
                return Err(Undone::GaveUp);
            }
        }
    }
}

/// Tells all who insist when a shutdown leaves no more time, or none of it is
/// of use.
pub(super) async fn forsake(shared: &Shared) {
    let cold = async {
        shared.shutdown.cold().await;
        sleep(COLD_GRACE).await;
    };
    tokio::select! {
        () = cold => {}
        () = shared.presence.lost() => {}
    }
    shared.forsaken.cancel();
}
