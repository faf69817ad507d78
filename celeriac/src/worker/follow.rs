//! What is sent when a task has ended: callbacks, the rest of a chain, errbacks.

use serde_json::Value;

use crate::app::{child, lineage};
use crate::canvas::Signature;
use crate::message::{DecodeError, Embed};
use crate::task::Context;
use crate::transport::Outgoing;

/// Refuses a message whose canvas this worker cannot carry on with. Better
/// kept aside than run and its continuation lost.
pub(super) fn check(embed: &Embed) -> Result<(), DecodeError> {
    let refuse = |reason: &str| {
        Err(DecodeError::Header {
            header: "embed",
            reason: reason.to_owned(),
        })
    };
    if embed.chord.is_some() {
        return refuse("chords are not supported");
    }
    let lists = [&embed.callbacks, &embed.errbacks, &embed.chain];
    for value in lists.into_iter().flatten().flatten() {
        match value.get("subtask_type").and_then(Value::as_str) {
            None | Some("") => {}
            Some(kind) => return refuse(&format!("a {kind} is not supported here")),
        }
        if let Err(error) = signature(value) {
            return refuse(&format!("not a signature: {error}"));
        }
    }
    Ok(())
}

/// The messages that follow a success, with its result as first argument.
pub(super) fn after_success(context: &Context, result: &Value) -> Vec<Outgoing> {
    let embed = &context.body().embed;
    let mut next: Vec<Signature> = each(embed.callbacks.as_deref());
    // A chain's next task is its last: the rest travels with it.
    if let Some((first, rest)) = embed.chain.as_deref().and_then(<[Value]>::split_last)
        && let Ok(mut first) = signature(first)
    {
        first
            .options
            .extra
            .insert("chain".to_owned(), rest.to_vec().into());
        next.push(first);
    }
    let with_result = next
        .into_iter()
        .map(|next| next.with_partial(result.clone()));
    let sent = messages(context, with_result);
    for message in &sent {
        context.add_child(child(&message.envelope.headers.id));
    }
    sent
}

/// The messages that follow a failure, with the task's id as first argument.
pub(super) fn after_failure(context: &Context) -> Vec<Outgoing> {
    let errbacks = each(context.body().embed.errbacks.as_deref());
    let id = Value::from(context.id());
    messages(
        context,
        errbacks
            .into_iter()
            .map(|errback| errback.with_partial(id.clone())),
    )
}

fn each(signatures: Option<&[Value]>) -> Vec<Signature> {
    // `check` has read them all before.
    signatures
        .into_iter()
        .flatten()
        .flat_map(signature)
        .collect()
}

fn signature(value: &Value) -> Result<Signature, serde_json::Error> {
    serde_json::from_value(value.clone())
}

fn messages(context: &Context, signatures: impl Iterator<Item = Signature>) -> Vec<Outgoing> {
    let lineage = lineage(context);
    let message = |signature| context.app().message(signature, &lineage);
    signatures
        .filter_map(|signature| message(signature).ok())
        .collect()
}
