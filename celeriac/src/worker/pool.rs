//! How many tasks run at once, and how many messages wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The worker's slots. They can grow and shrink while it works.
pub(crate) struct Pool {
    /// One permit for each task that may run at once.
    slots: Arc<Semaphore>,
    /// One permit for each message that may be reserved or running.
    prefetch: Arc<Semaphore>,
    /// Slots that there are, once those that are to go have gone.
    size: AtomicUsize,
    /// Slots that are to go as soon as nothing runs in them.
    leaving: AtomicUsize,
    /// Messages for each slot; 0 is without bound.
    multiplier: usize,
}

/// There are not so many slots to take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooSmall;

impl Pool {
    pub fn new(size: usize, multiplier: usize) -> Self {
        let prefetch = match multiplier {
            0 => Semaphore::MAX_PERMITS,
            multiplier => size.saturating_mul(multiplier),
        };
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            slots: semaphore(size),
            prefetch: semaphore(prefetch),
            size: AtomicUsize::new(size),
            leaving: AtomicUsize::new(0),
            multiplier,
        }
    }

    /// Tasks that may run at once.
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Messages that may be reserved or running; 0 is without bound.
    pub fn prefetch_count(&self) -> usize {
        self.size().saturating_mul(self.multiplier)
    }

    /// Waits for a slot.
    pub async fn slot(&self) -> Slot<'_> {
        match self.slots.acquire().await {
            Ok(permit) => Slot {
                permit: Some(permit),
                pool: self,
            },
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits for room for a message, and takes all there is.
    pub async fn room(&self) -> OwnedSemaphorePermit {
        let Ok(mut room) = Arc::clone(&self.prefetch).acquire_owned().await else {
            return std::future::pending().await;
        };
        let more = self.prefetch.available_permits().min(u32::MAX as usize) as u32;
        if let Ok(rest) = Arc::clone(&self.prefetch).try_acquire_many_owned(more) {
            room.merge(rest);
        }
        room
    }

    /// Adds `count` slots.
    pub fn grow(&self, count: usize) {
        let most = Semaphore::MAX_PERMITS / 8 / self.multiplier.max(1);
        let count = count.min(most.saturating_sub(self.size()));
        self.size.fetch_add(count, Ordering::Relaxed);
        let stay = (0..count).take_while(|_| count_down(&self.leaving)).count();
        self.slots.add_permits(count - stay);
        self.prefetch.add_permits(count * self.multiplier);
    }

    /// Takes `count` slots away, each when nothing runs in it. One is left.
    pub fn shrink(&self, count: usize) -> Result<(), TooSmall> {
        let smaller = |size: usize| size.checked_sub(count).filter(|&size| size > 0);
        self.size
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, smaller)
            .map_err(|_| TooSmall)?;
        let taken = self.slots.forget_permits(count);
        self.leaving.fetch_add(count - taken, Ordering::Relaxed);
        take(&self.prefetch, count * self.multiplier);
        Ok(())
    }
}

/// A place for a task to run in; free again when dropped.
pub(crate) struct Slot<'a> {
    permit: Option<SemaphorePermit<'a>>,
    pool: &'a Pool,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        // Before those who wait for a slot, not after them.
        if count_down(&self.pool.leaving)
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
        }
    }
}

/// Takes one off; `false` if there is none.
fn count_down(counter: &AtomicUsize) -> bool {
    let less = |count: usize| count.checked_sub(1);
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
        .is_ok()
}

/// Removes permits, those in use when they come back.
fn take(semaphore: &Arc<Semaphore>, count: usize) {
    for _ in 0..count - semaphore.forget_permits(count) {
        let semaphore = Arc::clone(semaphore);
        tokio::spawn(async move {
            if let Ok(permit) = semaphore.acquire().await {
                permit.forget();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slots_in_use_go_when_they_are_free() -> Result<(), TooSmall> {
        let pool = Pool::new(2, 4);
        let (one, _other) = (pool.slot().await, pool.slot().await);
        pool.shrink(1)?;
        assert_eq!((pool.size(), pool.prefetch_count()), (1, 4));
        assert_eq!(pool.shrink(1), Err(TooSmall));
        drop(one);
        assert_eq!(pool.slots.available_permits(), 0);
        pool.grow(2);
        assert_eq!(pool.slots.available_permits(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn a_slot_that_was_to_go_may_stay() -> Result<(), TooSmall> {
        let pool = Pool::new(2, 4);
        let slots = (pool.slot().await, pool.slot().await);
        pool.shrink(1)?;
        pool.grow(1);
        drop(slots);
        assert_eq!(pool.slots.available_permits(), 2);
        Ok(())
    }
}
