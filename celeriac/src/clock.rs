//! The logical clock that workers share (`kombu/clocks.py`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lamport's clock: counts what is sent, and runs ahead of whatever is
/// received, so that what follows from something has a later time than it.
/// Cheap to clone; clones are one clock.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    /// Its time.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The time of something that happens here, now.
    pub fn forward(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Something has been received that happened at `other`.
    pub fn adjust(&self, other: u64) -> u64 {
        let later = |value: u64| value.max(other) + 1;
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| {
                Some(later(value))
            });
        // It never refuses, so both arms hold the value before.
        before.map_or_else(later, later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_is_later() {
        let clock = Clock::default();
        assert_eq!(clock.forward(), 1);
        assert_eq!(clock.adjust(10), 11);
        assert_eq!(clock.adjust(3), 12);
        assert_eq!(clock.value(), 12);
    }
}
