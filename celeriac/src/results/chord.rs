//! Chords: how the members of a header are counted, by all workers together,
//! and which worker runs the body.

use async_trait::async_trait;
use serde_json::Value;

use crate::error::Error;

/// A member of a chord's header that has ended.
#[derive(Clone, Debug)]
pub struct ChordPart<'a> {
    /// The chord's group.
    pub group_id: &'a str,
    /// The member's place in it.
    pub index: Option<u64>,
    /// The member's id.
    pub task_id: &'a str,
    /// How it ended.
    pub state: &'a str,
    /// Its result or exception, as results store it.
    pub result: &'a Value,
    /// Names this attempt to count it, so that a repetition is recognised.
    pub token: &'a str,
}

/// What a member's end means for its chord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChordProgress {
    /// Others are missing, or another worker has seen to the body.
    Waiting,
    /// All are there, and it is this worker that runs the body.
    Complete,
    /// All are there, and another worker is about to run the body. If it dies
    /// first, whoever asks again takes its place.
    Claimed,
}

/// A member's end, as it was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPart {
    /// The member's id.
    pub task_id: String,
    /// How it ended.
    pub state: String,
    /// Its result or exception.
    pub result: Value,
}

/// A backend that counts chords. As `Backend.on_chord_part_return` and what it
/// rests on.
#[async_trait]
pub trait ChordStore: Send + Sync {
    /// Says how many results the header of this group has.
    async fn set_chord_size(&self, group_id: &str, size: u64) -> Result<(), Error>;

    /// Has the chord wait for one more, this task. Said twice, it counts once.
    async fn add_to_chord(&self, group_id: &str, task_id: &str) -> Result<(), Error>;

    /// Counts a member. One that is delivered twice counts once; of workers
    /// that complete the chord at the same time, one is told so.
    async fn chord_part(&self, part: &ChordPart<'_>) -> Result<ChordProgress, Error>;

    /// How the members ended, in the header's order.
    async fn chord_parts(&self, group_id: &str) -> Result<Vec<StoredPart>, Error>;

    /// Whether it is still this worker that runs the body; it has a minute.
    async fn hold_chord(&self, group_id: &str, token: &str) -> Result<bool, Error>;

    /// Forgets a chord whose body has been sent.
    async fn finish_chord(&self, group_id: &str, token: &str) -> Result<(), Error>;

    /// Forgets the size of a chord that failed, so that it fails once.
    async fn fail_chord(&self, group_id: &str) -> Result<(), Error>;
}
