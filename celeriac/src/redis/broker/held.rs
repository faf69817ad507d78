//! What a worker holds, and how it knows.
//!
//! A message is at every instant in one place: in its queue, in `unacked`, or
//! settled. What is in `unacked` is *held*, under a tag that names the worker,
//! the fetch and the message's place in it, and never comes again.
//!
//! - **From when.** A worker holds a message from the script that moves it into
//!   `unacked`. That script obeys one *fetcher* of the worker at a time, the one
//!   that `celeriac.fetcher:<worker>` names. A fetcher that is given up is
//!   replaced there first, and only then what it took and nobody knows is put
//!   back; a fetch of its that arrives later takes nothing.
//! - **For how long.** Until it is settled, as long as the worker has a *lease*,
//!   the key `celeriac.lease:<worker>`. Others put back what it holds if that
//!   key is missing, and never while it is there: one script looks and puts
//!   back. They look twice, at a Redis that takes writes: after an outage the
//!   living renew first. They then close `celeriac.fetcher:<worker>`. Without a
//!   lease a message also goes back when nobody has renewed its time of delivery
//!   for the visibility timeout, which is how Python workers do it.
//! - **Who knows.** Redis knows. A worker is *sure* for as long as its lease,
//!   counted from before it was renewed, cannot have ended. Each renewal says
//!   which of the worker's tags are not in `unacked` any more; those that it has
//!   not begun it does not begin. A worker that is not sure begins nothing.
//! - **Until when.** Acknowledging, putting back and burying all begin by taking
//!   the tag out of `unacked`, and do nothing if it is not there. So each may be
//!   tried again, and what was given to others is not settled in their place.
//!
//! A message runs twice only if its worker died while it ran, or was away for
//! longer than its lease while it ran.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use crate::broker::Tag;

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It waits: for its time, its turn, a slot.
    Waiting,
    /// Its run has begun.
    Begun,
    /// It is being settled.
    Settling,
    /// It has been given to another worker.
    Taken,
    /// The broker has lost it: it exists only here, and nobody is asked for it.
    Orphaned,
}

/// The deliveries that are not settled.
#[derive(Default)]
pub(super) struct Held(Mutex<HashMap<Tag, Stage>>);

/// How many of the deliveries that were given to others had not begun, and how
/// many run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    pub waiting: usize,
    pub running: usize,
}

impl Held {
    fn stages(&self) -> MutexGuard<'_, HashMap<Tag, Stage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, tags: impl IntoIterator<Item = Tag>) {
        let waiting = tags.into_iter().map(|tag| (tag, Stage::Waiting));
        self.stages().extend(waiting);
    }

    pub fn knows(&self, tag: &str) -> bool {
        self.stages().contains_key(tag)
    }

    /// Those that the broker should have.
    pub fn tags(&self) -> Vec<Tag> {
        let stages = self.stages();
        let gone = [Stage::Taken, Stage::Orphaned];
        let held = stages.iter().filter(|&(_, stage)| !gone.contains(stage));
        held.map(|(tag, _)| Tag::clone(tag)).collect()
    }

    /// Begins one; `false` if it is not held any more.
    pub fn begin(&self, tag: &Tag) -> bool {
        let mut stages = self.stages();
        match stages.get_mut(tag) {
            Some(stage @ Stage::Waiting) => {
                *stage = Stage::Begun;
                true
            }
            Some(Stage::Begun | Stage::Settling | Stage::Orphaned) => true,
            Some(Stage::Taken) => {
                stages.remove(tag);
                false
            }
            None => false,
        }
    }

    /// It is about to be settled: the broker may know it no more.
    pub fn settle(&self, tag: &Tag) {
        if let Some(stage) = self.stages().get_mut(tag)
            && *stage != Stage::Taken
        {
            *stage = Stage::Settling;
        }
    }

    /// It is settled; whether it was held until then, as far as is known.
    pub fn remove(&self, tag: &Tag) -> bool {
        let stage = self.stages().remove(tag);
        stage.is_none_or(|stage| stage != Stage::Taken)
    }

    pub fn clear(&self) {
        self.stages().clear();
    }

    /// Notes that the broker has lost these.
    pub fn orphan(&self, tags: &[Tag]) {
        let mut stages = self.stages();
        for tag in tags {
            if let Some(stage) = stages.get_mut(tag) {
                *stage = Stage::Orphaned;
            }
        }
    }

    /// Notes those of `tags` that others have been given.
    pub fn give_up(&self, tags: &[Tag]) -> Losses {
        let (mut stages, mut losses) = (self.stages(), Losses::default());
        for tag in tags {
            let Some(stage) = stages.get_mut(tag) else {
                continue;
            };
            match stage {
                Stage::Waiting => losses.waiting += 1,
                Stage::Begun => losses.running += 1,
                Stage::Settling | Stage::Taken | Stage::Orphaned => continue,
            }
            *stage = Stage::Taken;
        }
        losses
    }
}

/// For how long this worker may be sure of what it holds.
pub(super) struct Sureness {
    /// On [`now`]'s clock, milliseconds.
    until: AtomicU64,
    /// How often there was a doubt that the next renewal must answer.
    doubts: AtomicU64,
    renewed: watch::Sender<()>,
}

impl Default for Sureness {
    fn default() -> Self {
        Self {
            until: AtomicU64::new(0),
            doubts: AtomicU64::new(0),
            renewed: watch::Sender::new(()),
        }
    }
}

impl Sureness {
    pub fn is_there(&self) -> bool {
        now() < self.until()
    }

    pub fn until(&self) -> u64 {
        self.until.load(Ordering::Acquire)
    }

    /// Nothing is sure before a renewal that begins after this.
    pub fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
        self.until.store(0, Ordering::Release);
    }

    /// What a renewal that begins now has to show at its end.
    pub fn doubts(&self) -> u64 {
        self.doubts.load(Ordering::Acquire)
    }

    /// A renewal has asked for all that is held, and is good until then.
    pub fn renew(&self, until: u64, doubts: u64) {
        self.until.store(until, Ordering::Release);
        if self.doubts() != doubts {
            self.until.store(0, Ordering::Release);
        }
        self.renewed.send_replace(());
    }

    /// Waits until it is there.
    pub async fn wait(&self) {
        let mut renewed = self.renewed.subscribe();
        while !self.is_there() {
            if renewed.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Milliseconds on a clock that nobody sets, and that goes on while the process
/// is stopped or the machine sleeps.
pub(super) fn now() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
    // Never fails for a clock that there is.
    let now = clock_gettime(CLOCK).map_or(Duration::MAX, Duration::from);
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    #[cfg(test)]
    let now = now.saturating_add(PASSED.get());
    now
}

#[cfg(test)]
thread_local! {
    static PASSED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Lets time pass on that clock, milliseconds.
#[cfg(test)]
pub(super) fn pass(milliseconds: u64) {
    PASSED.set(PASSED.get() + milliseconds);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(tags: &[&str]) -> Held {
        let held = Held::default();
        held.add(tags.iter().map(|&tag| Tag::from(tag)));
        held
    }

    #[test]
    fn what_others_have_been_given_is_not_begun_and_counted_once() {
        let held = held(&["waits", "runs", "ends", "stays"]);
        let tags = ["waits", "runs", "ends", "unknown"].map(Tag::from);
        let [waits, runs, ends, _] = &tags;
        assert!(held.begin(runs) && held.begin(ends));
        held.settle(ends);
        let losses = Losses {
            waiting: 1,
            running: 1,
        };
        assert_eq!(held.give_up(&tags), losses);
        assert_eq!(held.give_up(&tags), Losses::default());
        assert!(!held.begin(waits) && !held.knows("waits"));
        assert!(held.begin(&"stays".into()));
    }

    #[test]
    fn a_renewal_does_not_answer_a_doubt_that_came_after_it_began() {
        let sureness = Sureness::default();
        assert!(!sureness.is_there());
        let (doubts, later) = (sureness.doubts(), now() + 60_000);
        sureness.renew(later, doubts);
        assert!(sureness.is_there());
        let doubts = sureness.doubts();
        sureness.doubt();
        sureness.renew(later, doubts);
        assert!(!sureness.is_there());
        sureness.renew(now(), sureness.doubts());
        assert!(!sureness.is_there(), "it has ended");
    }
}
