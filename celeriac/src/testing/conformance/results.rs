//! How results are kept, waited for and counted.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Broken, Rule};
use crate::error::Error;
use crate::results::chord::{ChordPart, ChordProgress};
use crate::results::{ChordStore, GroupStore, Lookup, ResultStore, TaskMeta, states};

/// What is there is found within this.
const SOON: Duration = Duration::from_secs(5);
/// What does not come is not waited for longer.
const MOMENT: Duration = Duration::from_millis(50);

/// Tries a result backend by every rule. Nobody else uses it.
///
/// # Errors
/// [`Broken`]: the first rule that it breaks.
pub async fn results(store: &dyn ResultStore) -> Result<(), Broken> {
    waited_for(store).await?;
    if let Some(lookup) = store.lookup() {
        found(store, lookup).await?;
    }
    if let Some(chords) = store.chords() {
        counted(chords).await?;
        late(chords).await?;
        claimed(chords).await?;
    }
    match store.groups() {
        Some(groups) => kept(groups).await,
        None => Ok(()),
    }
}

fn meta(task_id: &str, status: &str, result: Value) -> TaskMeta {
    TaskMeta {
        task_id: task_id.to_owned(),
        status: status.to_owned(),
        result,
        ..TaskMeta::default()
    }
}

async fn waited_for(store: &dyn ResultStore) -> Result<(), Broken> {
    let rule = Rule("who waits for a result is told when the task has ended");
    let later = async {
        for (status, result) in [
            (states::STARTED, Value::Null),
            (states::SUCCESS, json!([1, "é"])),
        ] {
            sleep(MOMENT).await;
            store.store(&meta("waited", status, result)).await?;
        }
        Ok::<_, Error>(())
    };
    let (told, stored) = tokio::join!(store.wait("waited", SOON), later);
    rule.done(stored)?;
    let told = rule.done(told)?;
    rule.same("told", &told.result, &json!([1, "é"]))?;
    let again = rule.done(store.wait("waited", SOON).await)?;
    rule.same("told again", &again.status.as_str(), &states::SUCCESS)?;
    let never = store.wait("never", MOMENT).await;
    rule.holds(
        "it does not end in time",
        matches!(never, Err(Error::Timeout(_))),
    )
}

async fn found(store: &dyn ResultStore, lookup: &dyn Lookup) -> Result<(), Broken> {
    let rule = Rule("a success stays, whatever is stored later");
    let state = async |id: &str| {
        let found = rule.done(lookup.get(id).await)?;
        Ok::<_, Broken>(found.map(|meta| meta.status))
    };
    rule.same("before", &state("found").await?, &None)?;
    let said = [
        states::STARTED,
        states::FAILURE,
        states::RETRY,
        states::SUCCESS,
        states::FAILURE,
    ];
    for status in said {
        let failed = json!({"exc_type": "E", "exc_message": [], "exc_module": "m"});
        rule.done(store.store(&meta("found", status, failed)).await)?;
    }
    rule.same(
        "kept",
        &state("found").await?.as_deref(),
        &Some(states::SUCCESS),
    )?;
    let rule = Rule("what is forgotten is gone");
    rule.done(lookup.forget("found").await)?;
    rule.done(lookup.forget("found").await)?;
    rule.same("after", &state("found").await?, &None)
}

/// A member that has ended.
fn part<'a>(group_id: &'a str, task_id: &'a str, index: u64, token: &'a str) -> ChordPart<'a> {
    ChordPart {
        group_id,
        index: Some(index),
        task_id,
        state: states::SUCCESS,
        result: &Value::Bool(true),
        token,
    }
}

async fn counted(chords: &dyn ChordStore) -> Result<(), Broken> {
    let rule = Rule("a chord is complete when all its members have ended, each counted once");
    rule.done(chords.set_chord_size("counted", 2).await)?;
    for added in ["c", "c"] {
        rule.done(chords.add_to_chord("counted", added).await)?;
    }
    let members = [
        ("b", 1, false),
        ("b", 1, false),
        ("a", 0, false),
        ("c", 2, true),
    ];
    for (id, index, last) in members {
        let progress = rule.done(chords.chord_part(&part("counted", id, index, "w")).await)?;
        let wanted = match last {
            true => ChordProgress::Complete,
            false => ChordProgress::Waiting,
        };
        rule.same(id, &progress, &wanted)?;
    }
    let parts = rule.done(chords.chord_parts("counted").await)?;
    let ids: Vec<&str> = parts.iter().map(|part| &*part.task_id).collect();
    rule.same("in order", &ids, &vec!["a", "b", "c"])
}

async fn late(chords: &dyn ChordStore) -> Result<(), Broken> {
    let rule = Rule("a member that ends before the size is told counts");
    let early = rule.done(chords.chord_part(&part("late", "a", 0, "w")).await)?;
    rule.same("the first", &early, &ChordProgress::Waiting)?;
    rule.done(chords.set_chord_size("late", 2).await)?;
    let last = rule.done(chords.chord_part(&part("late", "b", 1, "w")).await)?;
    rule.same("the last", &last, &ChordProgress::Complete)
}

async fn claimed(chords: &dyn ChordStore) -> Result<(), Broken> {
    let rule = Rule("one worker alone runs the body of a chord, and once");
    rule.done(chords.set_chord_size("claimed", 1).await)?;
    let count =
        async |token: &str| rule.done(chords.chord_part(&part("claimed", "a", 0, token)).await);
    rule.same("the first", &count("one").await?, &ChordProgress::Complete)?;
    rule.same("again", &count("one").await?, &ChordProgress::Complete)?;
    rule.same("another", &count("two").await?, &ChordProgress::Claimed)?;
    rule.holds(
        "it is not held",
        rule.done(chords.hold_chord("claimed", "one").await)?,
    )?;
    let other = rule.done(chords.hold_chord("claimed", "two").await)?;
    rule.holds("another holds it, too", !other)?;
    rule.done(chords.finish_chord("claimed", "one").await)?;
    rule.same(
        "when it is done",
        &count("two").await?,
        &ChordProgress::Waiting,
    )?;
    let rule = Rule("a chord that has failed does not fail again");
    rule.done(chords.set_chord_size("failed", 1).await)?;
    let failed = part("failed", "a", 0, "one");
    rule.done(chords.chord_part(&failed).await)?;
    rule.done(chords.fail_chord("failed").await)?;
    let again = rule.done(chords.chord_part(&failed).await)?;
    rule.same("again", &again, &ChordProgress::Waiting)
}

async fn kept(groups: &dyn GroupStore) -> Result<(), Broken> {
    let rule = Rule("the results of a group are kept by its id until they are forgotten");
    let tuple = json!([["g", null], [[["a", null], null]]]);
    rule.done(groups.save_group("g", &tuple).await)?;
    rule.same(
        "kept",
        &rule.done(groups.restore_group("g").await)?,
        &Some(tuple),
    )?;
    rule.done(groups.forget_group("g").await)?;
    rule.same("after", &rule.done(groups.restore_group("g").await)?, &None)
}
