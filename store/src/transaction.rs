//! Transactions: one writer at a time, never for long, and again after a lost race.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures::future::BoxFuture;
use sea_orm::{DatabaseTransaction, DbBackend};

use crate::{Store, StoreError};

/// The longest that one attempt at a transaction may take, waits for locks included.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How often a transaction that lost a race for a lock is tried again.
const RETRIES: usize = 5;
/// The pause before the first retry; each further one is twice as long, give or take.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// What a transaction does with its input. A plain function rather than a closure that borrows:
/// the compiler cannot yet tell that the future of a borrowing one may move between threads.
type Work<I, T> =
    for<'t> fn(&'t DatabaseTransaction, &'t I) -> BoxFuture<'t, Result<T, StoreError>>;

impl Store {
    /// Runs `work` on `input` in a transaction and commits it if `work` succeeds. `work` may run
    /// several times, so it must do nothing that the rollback does not undo.
    pub(crate) async fn write<I, T>(&self, input: &I, work: Work<I, T>) -> Result<T, StoreError>
    where
        I: Sync + ?Sized,
    {
        let attempt = || async {
            tokio::time::timeout(TIME_LIMIT, self.write_once(input, work))
                .await
                .unwrap_or(Err(StoreError::TimedOut(TIME_LIMIT)))
        };
        attempt
            .retry(backoff())
            .when(StoreError::is_conflict)
            .notify(|error, pause| tracing::debug!(%error, ?pause, "transaction is tried again"))
            .await
    }

    async fn write_once<I, T>(&self, input: &I, work: Work<I, T>) -> Result<T, StoreError>
    where
        I: Sync + ?Sized,
    {
        // SQLite has one writer. This process's own wait here in turn, which is fair and cheap;
        // SQLite's own waiting is polling, and starves some while it favours others.
        let _turn = match self.db.get_database_backend() {
            DbBackend::Sqlite => Some(self.writing.lock().await),
            _ => None,
        };
        let transaction = migration::begin(&self.db).await?;
        let done = work(&transaction, input).await?;
        transaction.commit().await?;
        Ok(done)
    }
}

fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_times(RETRIES)
        .with_jitter()
}
