//! What a failure leaves behind, and who fails with it.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::Settlement;
use super::bury;
use super::errback::Failed;
use crate::error::Error;
use crate::failure::Failure;
use crate::message::FailedRequest;
use crate::results::states;
use crate::worker::insist::Undone;
use crate::worker::outcome::Fate;

impl Settlement<'_> {
    /// Fails it, and all that depend on it, because of what cannot be left
    /// behind. If even that cannot be stored, the message is kept.
    pub(super) async fn fail_for_good(&self, error: Error) -> Result<(), Undone> {
        self.log_error(format_args!("cannot be settled: {error}"));
        let reason = error.to_string();
        let failure = Failure::from(error);
        let mut stored = true;
        if self.stores_errors() {
            let meta = failure.to_meta();
            let traceback = Some(failure.traceback());
            let done = self.store(states::FAILURE, meta, traceback).await;
            stored = self.or_log("store its failure", done)?;
        }
        self.fail_dependents(&failure, None).await?;
        // It fails only once.
        let _ = self.failure.set(failure);
        if stored {
            return self.end(self.acks_on_failure()).await;
        }
        let reason = format!("its result cannot be stored: {reason}");
        bury(self.shared, self.delivery, &reason).await
    }

    pub(super) async fn fail(&self, failure: Failure) -> Result<(), Undone> {
        let traceback = failure.traceback();
        self.fail_with(failure, Some(traceback)).await
    }

    /// Celery stores no traceback here: the task was not asked.
    pub(super) async fn time_out(&self, limit: f64) -> Result<Fate, Undone> {
        let class = "billiard.exceptions.TimeLimitExceeded";
        // A whole number is written without a fraction, as Python has it.
        let limit: Value = match limit.fract() {
            0.0 => (limit as i64).into(),
            _ => limit.into(),
        };
        let headers = self.request().headers();
        tracing::error!(
            "Hard time limit ({limit}s) exceeded for {}[{}]",
            headers.shown(),
            headers.id
        );
        self.record_failure(Failure::with_args(class, vec![limit]), None)
            .await?;
        if self.acks_late() && !self.acks_on_timeout() {
            return Ok(Fate::GoesBack);
        }
        self.end(true).await?;
        Ok(Fate::Settled)
    }

    /// Its child died: it runs again if it shall, or has failed.
    pub(super) async fn lose(&self, failure: Failure) -> Result<Fate, Undone> {
        if self.requeues_when_lost() {
            self.log_error(format_args!("goes back to its queue: {failure}"));
            return Ok(Fate::GoesBack);
        }
        self.log_error(format_args!("raised unexpected: {}", failure.repr()));
        self.fail_with(failure, None).await?;
        Ok(Fate::Settled)
    }

    pub(super) async fn fail_with(
        &self,
        failure: Failure,
        traceback: Option<String>,
    ) -> Result<(), Undone> {
        self.record_failure(failure, traceback).await?;
        self.end(self.acks_on_failure()).await
    }

    /// Stores it, and tells all that depend on it.
    pub(super) async fn record_failure(
        &self,
        failure: Failure,
        traceback: Option<String>,
    ) -> Result<(), Undone> {
        self.fail_for_others(&failure, traceback.as_deref()).await?;
        if let Some(traceback) = traceback {
            let (shown, traceback) = (failure.repr(), traceback.trim_end());
            self.log_error(format_args!("raised unexpected: {shown}\n{traceback}"));
        }
        // It fails only once.
        let _ = self.failure.set(failure);
        Ok(())
    }

    /// Fails it though it was never run, whether anybody asked for its result
    /// or not.
    pub(in crate::worker) async fn refuse(&self, failure: &Failure) -> Result<(), Undone> {
        let stored = self.store(states::FAILURE, failure.to_meta(), None).await;
        self.or_log("store its failure", stored)?;
        self.fail_dependents(failure, None).await
    }

    /// Stores a failure, and has all that depend on the task fail with it.
    pub(super) async fn fail_for_others(
        &self,
        failure: &Failure,
        traceback: Option<&str>,
    ) -> Result<(), Undone> {
        if self.stores_errors() {
            let traceback = traceback.map(str::to_owned);
            self.store(states::FAILURE, failure.to_meta(), traceback)
                .await?;
        }
        self.fail_dependents(failure, traceback).await
    }

    pub(super) async fn fail_dependents(
        &self,
        failure: &Failure,
        traceback: Option<&str>,
    ) -> Result<(), Undone> {
        if self.told.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let counted = self.count_failed(failure).await;
        self.or_log("tell its chord", counted)?;
        let embed = &self.request().body.embed;
        let chain = embed.chain.as_ref();
        if let Some(chain) = chain.filter(|_| !self.followed.load(Ordering::Relaxed)) {
            let state = states::FAILURE;
            let failed = Failed {
                state,
                failure,
                traceback,
            };
            let told = self.fail_chain(chain, &failed, self.stores_errors()).await;
            self.or_log("fail the rest of its chain", told)?;
        }
        if let Some(errbacks) = &embed.errbacks {
            let request = FailedRequest::from(self.request());
            let called = self
                .call_errbacks(&request, errbacks, failure, traceback)
                .await;
            self.or_log("call its errbacks", called)?;
        }
        Ok(())
    }

    /// Counts it as a failed member of its chord; if its failure is what cannot
    /// be counted, with the reason for that in its place.
    pub(super) async fn count_failed(&self, failure: &Failure) -> Result<(), Undone> {
        let count = async |meta: Value| self.count(self.member(), states::FAILURE, &meta).await;
        match count(failure.to_meta()).await {
            Err(Undone::Lasts(error)) => count(Failure::from(error).to_meta()).await,
            counted => counted,
        }
    }
}
