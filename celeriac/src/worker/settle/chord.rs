//! A chord's member has ended: counting it, and what follows when it was the
//! last (`celery/backends/redis.py`, `on_chord_part_return`).

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::Settlement;
use crate::canvas::{Options, Signature, new_id};
use crate::client::AsyncResult;
use crate::error::Error;
use crate::results::chord::{ChordPart, ChordProgress, StoredPart};
use crate::results::states;
use crate::task::Failure;
use crate::worker::insist::{Undone, insist_on_result};

const COUNT: &str = "count a chord's member";
/// A chord that another worker is about to end is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A claim that is held is renewed so often; it lasts four times as long.
const KEEP: Duration = Duration::from_secs(15);

/// A member of a chord's header.
pub(super) struct Member<'a> {
    pub task_id: &'a str,
    pub group_id: &'a str,
    pub index: Option<u64>,
    /// The chord's body.
    pub body: &'a Signature,
}

impl<'a> Member<'a> {
    /// The member that a signature not yet sent is, if it is one.
    pub(in crate::worker) fn of(signature: &'a Signature) -> Option<Self> {
        let options = &signature.options;
        Some(Self {
            task_id: options.task_id.as_deref()?,
            group_id: options.group_id.as_deref()?,
            index: options.group_index,
            body: options.chord.as_deref()?,
        })
    }
}

/// Why a chord's body does not run: for the sake of one of its members, mostly.
fn chord_error(text: String, cause: Option<Failure>) -> Box<Failure> {
    Box::new(Failure {
        cause: cause.map(Box::new),
        ..Failure::new("celery.exceptions.ChordError", text)
    })
}

impl Settlement<'_> {
    /// This task as a member of a chord's header, if it is one.
    pub(super) fn member(&self) -> Option<Member<'_>> {
        let headers = self.request().headers();
        Some(Member {
            task_id: &headers.id,
            group_id: headers.group.as_deref()?,
            index: headers.group_index,
            body: self.request().body.embed.chord.as_ref()?,
        })
    }

    /// Counts a member's end. The last one sends the body, or fails it.
    pub(super) async fn count(
        &self,
        member: Option<Member<'_>>,
        state: &str,
        result: &Value,
    ) -> Result<(), Undone> {
        self.count_after(member, state, result, &[]).await
    }

    /// The same for a member that failed because a chord in its place did,
    /// whose `errbacks` know of it already.
    pub(super) async fn count_after(
        &self,
        member: Option<Member<'_>>,
        state: &str,
        result: &Value,
        errbacks: &[Signature],
    ) -> Result<(), Undone> {
        let (Some(member), Ok(store)) = (member, self.shared().app.chords()) else {
            return Ok(());
        };
        let token = new_id();
        let part = ChordPart {
            group_id: member.group_id,
            index: member.index,
            task_id: member.task_id,
            state,
            result,
            token: &token,
        };
        let count = || store.chord_part(&part);
        loop {
            let done = match insist_on_result(self.shared(), COUNT, count).await? {
                ChordProgress::Waiting => true,
                ChordProgress::Complete => self.complete(&member, &token, errbacks).await?,
                ChordProgress::Claimed => false,
            };
            if done {
                return Ok(());
            }
            // Whoever is to run the body may die before it is sent: this message
            // stays until it is. A shutdown leaves it to the next worker.
            tokio::select! {
                () = sleep(LOOK_AGAIN) => {}
                () = self.shared().shutdown.warm() => return Err(Undone::GaveUp),
            }
        }
    }

    /// Runs or fails the body of a chord all of whose members have ended;
    /// `false` if another worker is about to.
    async fn complete(
        &self,
        &Member { group_id, body, .. }: &Member<'_>,
        token: &str,
        errbacks: &[Signature],
    ) -> Result<bool, Undone> {
        let shared = self.shared();
        let Ok(store) = shared.app.chords() else {
            return Ok(true);
        };
        let failure = match self.header_results(group_id).await? {
            Err(failure) => failure,
            Ok(results) => {
                let hold = || store.hold_chord(group_id, token);
                if !insist_on_result(shared, "hold a chord", hold).await? {
                    tracing::warn!("Chord {group_id}: another worker runs its body");
                    return Ok(false);
                }
                let sent = tokio::select! {
                    biased;
                    sent = self.send_body(body, results) => sent?,
                    // Sending may take as long as the broker is away.
                    () = self.keep(group_id, token) => return Ok(false),
                };
                let finish = || store.finish_chord(group_id, token);
                insist_on_result(shared, "finish a chord", finish).await?;
                let Err(error) = sent else {
                    return Ok(true);
                };
                chord_error(format!("Callback error: {error}"), None)
            }
        };
        tracing::error!("Chord '{group_id}' raised: {}", failure.repr());
        self.fail_body(body, &failure, errbacks).await?;
        let fail = || store.fail_chord(group_id);
        insist_on_result(shared, "fail a chord", fail).await?;
        Ok(true)
    }

    /// Keeps a claim while its body is being sent; returns if it is lost.
    async fn keep(&self, group_id: &str, token: &str) {
        let Ok(store) = self.shared().app.chords() else {
            return std::future::pending().await;
        };
        loop {
            sleep(KEEP).await;
            if let Ok(false) = store.hold_chord(group_id, token).await {
                tracing::warn!("Chord {group_id}: another worker runs its body");
                return;
            }
        }
    }

    async fn send_body(
        &self,
        body: &Signature,
        results: Value,
    ) -> Result<Result<(), Error>, Undone> {
        self.send_as_parent(|plan| {
            plan.apply(body.clone(), &[results], Options::default())?;
            Ok(())
        })
        .await
    }

    /// The list of a header's results, or the first failure among them.
    async fn header_results(&self, group_id: &str) -> Result<Result<Value, Box<Failure>>, Undone> {
        let app = &self.shared().app;
        let read = || async {
            if let Ok(groups) = app.groups()
                && let Some(tuple) = groups.restore_group(group_id).await?
            {
                return self.join(&tuple).await;
            }
            Ok(values(app.chords()?.chord_parts(group_id).await?))
        };
        insist_on_result(self.shared(), "read a chord's results", read).await
    }

    /// The results of a header with groups in it, in their places.
    async fn join(&self, tuple: &Value) -> Result<Result<Value, Box<Failure>>, Error> {
        let app = &self.shared().app;
        let seconds = app.settings().result_chord_join_timeout;
        let timeout = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let Some(header) = AsyncResult::from_tuple(app, tuple) else {
            let text = "Join error: the saved group cannot be read".to_owned();
            return Ok(Err(chord_error(text, None)));
        };
        let cause = match header.value(timeout).await {
            Ok(results) => return Ok(Ok(results)),
            Err(Error::TaskFailed(failed)) => failed.failure,
            Err(Error::Timeout(_)) => {
                let class = "celery.exceptions.TimeoutError";
                Failure::new(class, "The operation timed out.")
            }
            Err(error) => return Err(error),
        };
        let text = format!("Join error: {}", cause.repr());
        Ok(Err(chord_error(text, Some(cause))))
    }
}

fn values(parts: Vec<StoredPart>) -> Result<Value, Box<Failure>> {
    let value = |part: StoredPart| {
        if !states::is_failure(&part.state) {
            return Ok(part.result);
        }
        let cause = Failure::from_meta(&part.result);
        let text = format!("Dependency {} raised {}", part.task_id, cause.repr());
        Err(chord_error(text, Some(cause)))
    };
    parts.into_iter().map(value).collect()
}
