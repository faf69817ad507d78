//! A canvas in the place of a running task (`celery.app.task.Task.replace`).

use super::Failure;
use crate::canvas::{Canvas, LaterSteps, Options, Place, Promises, Signature};
use crate::error::Error;
use crate::message::{Body, Headers};

/// What is sent in the place of the task with these headers and this body: it
/// takes over id, group, chord, callbacks and the rest of the chain.
/// `errbacks_on_header`: `task_allow_error_cb_on_chord_header`.
pub(crate) fn replacement(
    signature: Signature,
    headers: &Headers,
    body: &Body,
    errbacks_on_header: bool,
) -> Result<Signature, Failure> {
    check(&signature)?;
    let mut signature = with_single_result(signature);
    take_callbacks(&mut signature, body, errbacks_on_header);
    take_place(&mut signature, headers, body);
    // The chain's steps lie there with the next one last.
    let mut steps = body.embed.chain.iter().flat_map(LaterSteps::iter).rev();
    steps.try_fold(signature, |before, step| {
        let step = step.map_err(Error::from)?.into_owned();
        Ok(before | replaced(step, headers))
    })
}

/// Links what the task would have called.
fn take_callbacks(signature: &mut Signature, body: &Body, errbacks_on_header: bool) {
    for callback in body.embed.callbacks.iter().flatten() {
        signature.add_link(callback.clone());
    }
    for errback in body.embed.errbacks.iter().flatten() {
        signature.add_link_error(errback, errbacks_on_header);
    }
    move_links_to_last_step(signature);
}

/// Gives it the task's id, and its place in group and chord.
fn take_place(signature: &mut Signature, headers: &Headers, body: &Body) {
    let place = Place {
        task_id: Some(headers.id.clone()),
        ..Place::default()
    };
    Promises::default().freeze(signature, place);
    if let Canvas::Chain(steps) = &mut signature.canvas {
        let whole = std::mem::take(steps).into_iter();
        steps.extend(whole.map(|step| replaced(step, headers)));
    }
    signature.options = Options {
        chord: body.embed.chord.clone().map(Box::new),
        group_id: headers.group.clone(),
        group_index: headers.group_index,
        root_id: headers.root_id.clone(),
        replaced_task_nesting: Some(headers.replaced_task_nesting + 1),
        ..std::mem::take(&mut signature.options)
    };
}

/// Says of a step how many tasks have been replaced on the way to it.
fn replaced(mut step: Signature, headers: &Headers) -> Signature {
    step.options.replaced_task_nesting = Some(headers.replaced_task_nesting + 1);
    step
}

fn check(signature: &Signature) -> Result<(), Failure> {
    let improper = |text| Failure::new("celery.exceptions.ImproperlyConfigured", text);
    if signature.options.chord.is_some() {
        let text = "A signature replacing a task must not be part of a chord";
        return Err(improper(text));
    }
    if matches!(&signature.canvas, Canvas::Chain(steps) if steps.is_empty()) {
        return Err(improper("Cannot replace with an empty chain"));
    }
    Ok(())
}

/// A group has no result of its own that could stand for the task's: a body
/// that hands on the list of its results has.
fn with_single_result(signature: Signature) -> Signature {
    let accumulate = || Signature::new("celery.accumulate").kwarg("index", 0);
    match signature.canvas {
        Canvas::Group(_) => signature | accumulate(),
        Canvas::Chain(mut steps) if ends_in_group(&steps) => {
            let last = steps.pop().map(|group| group | accumulate());
            steps.extend(last);
            Signature {
                canvas: Canvas::Chain(steps),
                ..signature
            }
        }
        _ => signature,
    }
}

/// More steps may be added to a chain, and its callbacks come before them.
fn move_links_to_last_step(signature: &mut Signature) {
    if let Canvas::Chain(steps) = &mut signature.canvas
        && let (Some(last), Some(links)) = (steps.last_mut(), signature.options.link.take())
    {
        last.options.link.get_or_insert_default().extend(links);
    }
}

fn ends_in_group(steps: &[Signature]) -> bool {
    let last = steps.last().map(|step| &step.canvas);
    matches!(last, Some(Canvas::Group(_)))
}
