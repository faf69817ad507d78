//! How signatures are put together: chains, groups and chords, `|`, and
//! callbacks (`celery.canvas`, the classes' `__or__`, `link`, `link_error`).

use std::ops::BitOr;

use super::{Canvas, Signature};

/// Runs `tasks` one after the other, each with the result of the one before:
/// `chain([a, b, c])` is `a | b | c`.
///
/// ```
/// use celeriac::{Signature, chain};
/// let add = |n: i64| Signature::new("tasks.add").arg(n);
/// assert_eq!(chain([add(2).arg(2), add(4)]), add(2).arg(2) | add(4));
/// ```
pub fn chain<S: Into<Signature>>(tasks: impl IntoIterator<Item = S>) -> Signature {
    let tasks = tasks.into_iter().map(Into::into);
    tasks.fold(chain_of(Vec::new()), BitOr::bitor)
}

/// Runs `tasks` at once.
pub fn group<S: Into<Signature>>(tasks: impl IntoIterator<Item = S>) -> Signature {
    Signature {
        canvas: Canvas::Group(tasks.into_iter().map(Into::into).collect()),
        ..Signature::new("celery.group")
    }
}

/// Runs `header` at once, and then `body` with the list of their results.
pub fn chord<S: Into<Signature>>(
    header: impl IntoIterator<Item = S>,
    body: impl Into<Signature>,
) -> Signature {
    Signature {
        canvas: Canvas::Chord {
            header: header.into_iter().map(Into::into).collect(),
            body: Some(Box::new(body.into())),
        },
        ..Signature::new("celery.chord")
    }
}

/// A chain of exactly these steps.
pub(super) fn chain_of(tasks: Vec<Signature>) -> Signature {
    Signature {
        canvas: Canvas::Chain(tasks),
        ..Signature::new("celery.chain")
    }
}

impl BitOr for Signature {
    type Output = Self;

    /// `self`, and then `next` with its result. A group followed by anything
    /// becomes a chord; a chord's followers go into its body.
    fn bitor(mut self, next: Self) -> Self {
        match &mut self.canvas {
            Canvas::Chain(_) => chain_or(self, next),
            Canvas::Group(_) if next.is_empty_group() => self,
            Canvas::Group(tasks) => chord(std::mem::take(tasks), next),
            Canvas::Chord { .. } => chord_or(self, next),
            _ => task_or(self, next),
        }
    }
}

fn task_or(task: Signature, next: Signature) -> Signature {
    let mut steps = vec![task];
    match next.canvas {
        Canvas::Chain(_) => steps.extend(next.into_steps()),
        _ => steps.push(next.unrolled()),
    }
    chain_of(steps)
}

fn chord_or(mut chord: Signature, next: Signature) -> Signature {
    let next = next.unrolled();
    match next.canvas {
        Canvas::Chain(_) | Canvas::Group(_) => task_or(chord, next),
        _ => {
            chord.follow_body(next);
            chord
        }
    }
}

fn chain_or(chain: Signature, next: Signature) -> Signature {
    if next.is_empty_group() {
        return chain;
    }
    let next = next.unrolled();
    match &next.canvas {
        Canvas::Chain(_) => next.into_steps().into_iter().fold(chain, BitOr::bitor),
        Canvas::Group(_) => {
            let mut steps = chain.into_steps();
            match steps.last_mut() {
                None => return next,
                Some(chord) if chord.is_chord() => chord.follow_body(next),
                Some(_) => steps.push(next),
            }
            chain_of(steps)
        }
        _ => chain_then_task(chain, next),
    }
}

/// `next` is a task or a chord.
fn chain_then_task(mut chain: Signature, next: Signature) -> Signature {
    let Canvas::Chain(steps) = &mut chain.canvas else {
        return chain;
    };
    match steps.last_mut() {
        Some(last) if last.is_group() => {
            let group = std::mem::take(last);
            *last = group | next;
            merge_last_chords(steps);
            chain
        }
        Some(last) if last.is_chord() && !next.is_chord() => {
            last.follow_body(next);
            chain
        }
        _ => {
            let mut steps = chain.into_steps();
            steps.push(next);
            chain_of(steps)
        }
    }
}

/// Of two chords at the end, the second becomes part of the first's body.
fn merge_last_chords(steps: &mut Vec<Signature>) {
    if let [.., before, _] = steps.as_slice()
        && before.is_chord()
        && let (Some(last), Some(before)) = (steps.pop(), steps.last_mut())
    {
        before.follow_body(last);
    }
}

impl Signature {
    /// Sends `callback` with the result. For a chord, with that of its body;
    /// for a group, with nothing, after its first task alone.
    #[must_use]
    pub fn link(mut self, callback: impl Into<Signature>) -> Self {
        self.add_link(callback.into());
        self
    }

    /// Calls `errback` if it fails; for a group, if any of its tasks does.
    #[must_use]
    pub fn link_error(mut self, errback: impl Into<Signature>) -> Self {
        self.add_link_error(&errback.into(), false);
        self
    }

    pub(crate) fn add_link(&mut self, callback: Signature) {
        match &mut self.canvas {
            Canvas::Group(tasks) if !tasks.is_empty() => tasks[0].add_link(Signature {
                immutable: true,
                ..callback
            }),
            Canvas::Chord {
                body: Some(body), ..
            } => body.add_link(callback),
            _ => push_new(&mut self.options.link, callback),
        }
    }

    /// `on_header`: whether a chord's header calls it, too
    /// (`task_allow_error_cb_on_chord_header`).
    pub(crate) fn add_link_error(&mut self, errback: &Signature, on_header: bool) {
        match &mut self.canvas {
            Canvas::Group(tasks) => {
                for task in tasks {
                    task.add_link_error(errback, on_header);
                }
            }
            Canvas::Chord { header, body } => {
                let immutable = errback.clone().immutable();
                for task in header {
                    if on_header {
                        task.add_link_error(&immutable, on_header);
                    }
                    if task.is_chord() {
                        task.add_link_error(errback, on_header);
                    }
                }
                if let Some(body) = body {
                    body.add_link_error(errback, on_header);
                }
            }
            _ => push_new(&mut self.options.link_error, errback.clone()),
        }
    }

    pub(super) fn is_group(&self) -> bool {
        matches!(self.canvas, Canvas::Group(_))
    }

    pub(super) fn is_chord(&self) -> bool {
        matches!(self.canvas, Canvas::Chord { .. })
    }

    pub(super) fn is_empty_group(&self) -> bool {
        matches!(&self.canvas, Canvas::Group(tasks) if tasks.is_empty())
    }

    pub(super) fn is_empty_chain(&self) -> bool {
        matches!(&self.canvas, Canvas::Chain(tasks) if tasks.is_empty())
    }

    /// A group of one is that one. As `maybe_unroll_group`.
    pub(super) fn unrolled(mut self) -> Self {
        match &mut self.canvas {
            Canvas::Group(tasks) if tasks.len() == 1 => tasks.swap_remove(0),
            _ => self,
        }
    }

    /// A chain's steps, its callbacks on the last and its errbacks on each.
    /// As `unchain_tasks`. What is no chain is its own only step.
    pub(super) fn into_steps(self) -> Vec<Self> {
        let Canvas::Chain(mut steps) = self.canvas else {
            return vec![self];
        };
        if let Some(last) = steps.last_mut() {
            for callback in self.options.link.into_iter().flatten() {
                last.add_link(callback);
            }
        }
        for errback in self.options.link_error.iter().flatten() {
            for step in &mut steps {
                step.add_link_error(errback, false);
            }
        }
        steps
    }

    /// Has a chord's body followed by `next`.
    fn follow_body(&mut self, next: Self) {
        if let Canvas::Chord { body, .. } = &mut self.canvas {
            let whole = match body.take() {
                Some(body) => *body | next,
                None => next,
            };
            *body = Some(Box::new(whole));
        }
    }
}

/// Adds what is not there yet. As `append_to_list_option`.
pub(super) fn push_new(list: &mut Option<Vec<Signature>>, signature: Signature) {
    let list = list.get_or_insert_default();
    if !list.contains(&signature) {
        list.push(signature);
    }
}

/// `chain!(a, b, c)`: see [`chain`](crate::chain()).
#[macro_export]
macro_rules! chain {
    ($($task:expr),* $(,)?) => { $crate::chain::<$crate::Signature>([$($crate::Signature::from($task)),*]) };
}

/// `group!(a, b, c)`: see [`group`](crate::group()).
#[macro_export]
macro_rules! group {
    ($($task:expr),* $(,)?) => { $crate::group::<$crate::Signature>([$($crate::Signature::from($task)),*]) };
}

/// `chord!([a, b]; body)`: see [`chord`](crate::chord()).
#[macro_export]
macro_rules! chord {
    ([$($task:expr),* $(,)?]; $body:expr) => { $crate::chord::<$crate::Signature>([$($crate::Signature::from($task)),*], $body) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn add(n: i64) -> Signature {
        Signature::new("add").arg(n)
    }

    /// The composition alone, as text.
    fn shape(signature: &Signature) -> String {
        let list = |tasks: &[Signature]| {
            let shapes: Vec<String> = tasks.iter().map(shape).collect();
            shapes.join(" ")
        };
        match &signature.canvas {
            Canvas::Chain(tasks) => format!("({})", list(tasks)),
            Canvas::Group(tasks) => format!("[{}]", list(tasks)),
            Canvas::Chord { header, body } => {
                let body = body.as_deref().map(shape).unwrap_or_default();
                format!("{{{} -> {body}}}", list(header))
            }
            _ => signature
                .args
                .first()
                .map_or(String::new(), Value::to_string),
        }
    }

    /// Each right side is what Celery 5.7 makes of the same expression.
    #[test]
    fn composes_as_celery_does() {
        let two = || group([add(1), add(2)]);
        for (composed, expected) in [
            (add(1) | add(2) | add(3), "(1 2 3)"),
            (add(1) | two(), "(1 [1 2])"),
            (two() | add(3), "{1 2 -> 3}"),
            (two() | add(3) | add(4), "{1 2 -> (3 4)}"),
            (add(0) | two() | add(3), "(0 {1 2 -> 3})"),
            (add(0) | two() | add(3) | add(4), "(0 {1 2 -> (3 4)})"),
            (add(0) | two() | two(), "(0 [1 2] [1 2])"),
            (add(0) | group([add(1)]) | add(2), "(0 1 2)"),
            (two() | add(3) | two() | add(4), "({1 2 -> (3 {1 2 -> 4})})"),
            (two() | add(3) | two(), "({1 2 -> 3} [1 2])"),
            (two() | add(3) | (two() | add(4)), "{1 2 -> (3 {1 2 -> 4})}"),
            (chain([chain([add(1)]), add(2)]), "(1 2)"),
            (chain([two()]), "[1 2]"),
            (add(1) | group::<Signature>([]) | add(2), "(1 { -> 2})"),
        ] {
            assert_eq!(shape(&composed), expected);
        }
    }

    #[test]
    fn a_chains_links_go_to_its_steps() {
        let steps = (add(1) | add(2))
            .link(add(8))
            .link_error(add(9))
            .into_steps();
        assert_eq!(steps[0].options.link, None);
        assert_eq!(steps[1].options.link, Some(vec![add(8)]));
        assert!(
            steps
                .iter()
                .all(|step| step.options.link_error == Some(vec![add(9)]))
        );
    }

    #[test]
    fn the_dict_form_is_celerys() -> Result<(), serde_json::Error> {
        // `json.dumps(chord([add.s(1)], add.s(2)))`, and the same as freezing leaves it.
        let member = json!({"task": "add", "args": [1], "kwargs": {}, "options": {}, "subtask_type": null, "immutable": false});
        let body = json!({"task": "add", "args": [2], "kwargs": {}, "options": {}, "subtask_type": null, "immutable": false});
        let dict = |header: Value| json!({"task": "celery.chord", "args": [], "kwargs": {"kwargs": {}, "header": header, "body": body}, "options": {}, "subtask_type": "chord", "immutable": false});
        let written = dict(json!([member]));
        let group = json!({"task": "celery.group", "args": [], "kwargs": {"tasks": [member]}, "options": {"task_id": "g"}, "subtask_type": "group", "immutable": false});
        for read in [written.clone(), dict(group)] {
            let signature: Signature = serde_json::from_value(read)?;
            assert_eq!(serde_json::to_value(&signature)?, written);
        }
        let broken = json!({"task": "celery.chain", "kwargs": {}, "subtask_type": "chain"});
        assert!(serde_json::from_value::<Signature>(broken).is_err());
        Ok(())
    }
}
