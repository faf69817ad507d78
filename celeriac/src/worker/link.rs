//! Whether the broker answers, and whether the consumer gets on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A fetch ends sooner than this, whatever happens: it has a deadline of its
/// own, and its answers have one.
const PATIENCE: Duration = Duration::from_secs(60);

/// The consumer's link to the broker.
pub(super) struct Link {
    /// Whether it got messages, or the answer that there are none, last time.
    fetched: AtomicBool,
    /// Whether it could renew its lease last time.
    tended: AtomicBool,
    began: Instant,
    /// Since when a broker that answers refuses to work, as `fetching`.
    refused: AtomicU64,
    /// When the fetch under way was begun, in milliseconds since `began` and
    /// one more; 0 if there is none.
    fetching: AtomicU64,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            fetched: AtomicBool::new(false),
            tended: AtomicBool::new(true),
            began: Instant::now(),
            refused: AtomicU64::new(0),
            fetching: AtomicU64::new(0),
        }
    }
}

impl Link {
    /// The broker has answered the consumer, or has not.
    pub fn set_fetched(&self, fetched: bool) {
        self.fetched.store(fetched, Ordering::Relaxed);
        if fetched {
            self.set_refused(false);
        }
    }

    /// The broker is there and refuses, or it is away: for that one nobody can
    /// do anything here.
    pub fn set_refused(&self, refused: bool) {
        let since = self.refused.load(Ordering::Relaxed);
        let since = match (refused, since) {
            (false, _) => 0,
            (true, 0) => self.now() + 1,
            (true, since) => since,
        };
        self.refused.store(since, Ordering::Relaxed);
    }

    /// It has renewed the lease, or has not: heard of even while the consumer
    /// waits for a slot.
    pub fn set_tended(&self, tended: bool) {
        self.tended.store(tended, Ordering::Relaxed);
    }

    /// Whether it has answered last time.
    pub fn is_up(&self) -> bool {
        self.fetched.load(Ordering::Relaxed) && self.tended.load(Ordering::Relaxed)
    }

    /// A fetch is under way until what this returns is dropped.
    pub fn fetching(&self) -> Fetching<'_> {
        self.fetching.store(self.now() + 1, Ordering::Relaxed);
        Fetching(self)
    }

    /// Whether a fetch is under way that should long have ended, or the broker
    /// has refused for as long.
    pub fn is_stuck(&self) -> bool {
        self.is_stuck_after(PATIENCE)
    }

    fn is_stuck_after(&self, patience: Duration) -> bool {
        [&self.fetching, &self.refused].iter().any(|since| {
            let since = since.load(Ordering::Relaxed);
            since > 0 && u128::from(self.now() + 1 - since) > patience.as_millis()
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

/// A fetch that is under way.
pub(super) struct Fetching<'a>(&'a Link);

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.0.fetching.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_that_does_not_end_is_noticed() {
        let link = Link::default();
        assert!(!link.is_stuck());
        let fetching = link.fetching();
        std::thread::sleep(Duration::from_millis(5));
        assert!(link.is_stuck_after(Duration::from_millis(1)));
        assert!(!link.is_stuck());
        drop(fetching);
        assert!(!link.is_stuck_after(Duration::ZERO));
    }

    #[test]
    fn a_broker_that_refuses_for_long_is_noticed() {
        let link = Link::default();
        link.set_refused(true);
        std::thread::sleep(Duration::from_millis(5));
        link.set_refused(true);
        assert!(link.is_stuck_after(Duration::from_millis(1)));
        assert!(!link.is_stuck());
        link.set_fetched(true);
        assert!(!link.is_stuck_after(Duration::ZERO));
    }
}
