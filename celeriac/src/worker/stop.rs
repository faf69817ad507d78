//! How a request's life is told to end.

use std::sync::atomic::{AtomicI32, Ordering};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Tells a request's life to end.
#[derive(Default)]
pub(super) struct Stop {
    /// 0, [`REVOKED`], or a signal's number.
    state: AtomicI32,
    news: Notify,
    soft: CancellationToken,
}

/// It is not to run; what runs may go on.
pub(super) const REVOKED: i32 = -1;

impl Stop {
    /// Tells it: [`REVOKED`], or the number of a signal that ends it even if it runs.
    pub fn tell(&self, state: i32) {
        // A signal is more than a revocation, and none is taken back.
        self.state.fetch_max(state.max(0), Ordering::Relaxed);
        let _ = self
            .state
            .compare_exchange(0, REVOKED, Ordering::Relaxed, Ordering::Relaxed);
        self.news.notify_waiters();
    }

    /// Tells it that its soft limit is here.
    pub fn soften(&self) {
        self.soft.cancel();
    }

    /// Waits until its soft limit is here, by somebody's word.
    pub async fn softened(&self) {
        self.soft.cancelled().await;
    }

    /// Whether its soft limit is here, by somebody's word.
    pub fn is_soft(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Whether it has been told anything.
    pub fn is_told(&self) -> bool {
        self.state.load(Ordering::Relaxed) != 0
    }

    /// The signal that it has been told, if it has.
    pub fn signal(&self) -> Option<i32> {
        Some(self.state.load(Ordering::Relaxed)).filter(|&state| state > 0)
    }

    /// Waits until it has been told so much; what it was told.
    pub async fn until(&self, reached: impl Fn(i32) -> bool) -> i32 {
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            // From here on nothing that is told is missed.
            news.as_mut().enable();
            let state = self.state.load(Ordering::Relaxed);
            if reached(state) {
                return state;
            }
            news.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_is_more_than_a_revocation() {
        let stop = Stop::default();
        stop.tell(REVOKED);
        assert_eq!(stop.until(|state| state != 0).await, REVOKED);
        stop.tell(9);
        stop.tell(REVOKED);
        assert_eq!(stop.until(|state| state > 0).await, 9);
    }
}
