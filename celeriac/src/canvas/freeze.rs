//! Giving every part of a canvas its id, so that its results are known before
//! it runs (`celery.canvas`, the classes' `freeze` and `prepare_steps`).
//!
//! A chain takes three passes: its steps in one row, groups joined with what
//! follows them, and the ids from the last step to the first.

use serde_json::Value;

use super::compose::{chord, push_new};
use super::promise::{Handle, Promises, new_id};
use super::{Canvas, Options, Signature};
use crate::stack::with_room;

/// Where a signature stands in the canvas around it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// Its id, if it has none yet.
    pub task_id: Option<String>,
    pub group_id: Option<String>,
    pub group_index: Option<u64>,
    /// The chord body that waits for it.
    pub chord: Option<Box<Signature>>,
    pub root_id: Option<String>,
    pub parent_id: Option<String>,
}

/// How the steps of a chain are made ready.
#[derive(Default)]
pub(super) struct Steps<'a> {
    /// For the first of them.
    pub args: &'a [Value],
    /// For each of them.
    pub link_error: &'a [Signature],
    /// Whether it is sent next: then what follows a chord leaves its body, so
    /// that the header's messages do not carry the rest of the chain.
    pub unroll: bool,
    /// For the last of them.
    pub place: Place,
}

/// A chain's steps made ready, and their results; the last step first.
pub(super) type Prepared = (Vec<Signature>, Vec<Handle>);

impl Promises {
    /// Gives `signature` and all that it is composed of their ids. What has one
    /// keeps it.
    pub fn freeze(&mut self, signature: &mut Signature, place: Place) -> Handle {
        with_room(|| match &mut signature.canvas {
            Canvas::Chain(_) => self.freeze_chain(signature, place),
            Canvas::Group(_) => self.freeze_group(signature, place),
            Canvas::Chord { .. } => self.freeze_chord(signature, place),
            _ => self.freeze_task(&mut signature.options, place),
        })
    }

    fn freeze_task(&mut self, options: &mut Options, place: Place) -> Handle {
        let id = options
            .task_id
            .get_or_insert_with(|| place.task_id.unwrap_or_else(new_id));
        let handle = self.task(id);
        replace_if_some(&mut options.root_id, place.root_id);
        replace_if_some(&mut options.parent_id, place.parent_id);
        replace_if_some(&mut options.chord, place.chord);
        replace_if_some(&mut options.group_index, place.group_index);
        options.group_id = options.group_id.take().or(place.group_id);
        handle
    }

    fn freeze_chain(&mut self, chain: &mut Signature, place: Place) -> Handle {
        let Canvas::Chain(tasks) = &mut chain.canvas else {
            return self.freeze_task(&mut chain.options, place);
        };
        let (mut steps, results) = self.prepare(
            std::mem::take(tasks),
            Steps {
                // Handed on to the first step here, and not again when it is sent.
                args: &std::mem::take(&mut chain.args),
                place: place.clone(),
                ..Steps::default()
            },
        );
        steps.reverse();
        *tasks = steps;
        match results.first() {
            Some(&last) => {
                chain.options.task_id = Some(self.id(last).to_owned());
                last
            }
            None => self.freeze_task(&mut chain.options, place),
        }
    }

    fn freeze_group(&mut self, group: &mut Signature, place: Place) -> Handle {
        let (id, members) = self.freeze_members(group, place);
        self.group(&id, members)
    }

    /// The group's id and its members' results. Groups in it become part of it.
    pub(super) fn freeze_members(
        &mut self,
        group: &mut Signature,
        place: Place,
    ) -> (String, Vec<Handle>) {
        let options = &mut group.options;
        let id = options.task_id.get_or_insert_with(new_id).clone();
        replace_if_some(&mut options.group_id, place.group_id.clone());
        replace_if_some(&mut options.chord, place.chord.clone());
        replace_if_some(&mut options.group_index, place.group_index);
        options.root_id = options.root_id.take().or(place.root_id);
        options.parent_id = options.parent_id.take().or(place.parent_id);
        let place = Place {
            task_id: None,
            root_id: options.root_id.clone(),
            parent_id: options.parent_id.clone(),
            ..place
        };
        let Canvas::Group(tasks) = &mut group.canvas else {
            return (id, Vec::new());
        };
        *tasks = flatten(std::mem::take(tasks));
        let members = (0..).zip(tasks).map(|(index, task)| {
            let group_index = Some(index);
            self.freeze(
                task,
                Place {
                    group_index,
                    ..place.clone()
                },
            )
        });
        (id, members.collect())
    }

    /// The body's result, whose first ancestor is the header's. The header's
    /// tasks learn of the body only when they are sent.
    fn freeze_chord(&mut self, signature: &mut Signature, place: Place) -> Handle {
        let Canvas::Chord { header, body } = &mut signature.canvas else {
            return self.freeze_task(&mut signature.options, place);
        };
        let mut group = super::group(std::mem::take(header));
        group.options.task_id = signature.options.task_id.take();
        let at_header = Place {
            root_id: place.root_id.clone(),
            parent_id: place.parent_id.clone(),
            ..Place::default()
        };
        let header_result = self.freeze_group(&mut group, at_header);
        signature.options.task_id = group.options.task_id;
        if let Canvas::Group(tasks) = group.canvas {
            *header = tasks;
        }
        let Some(body) = body else {
            return header_result;
        };
        let at_body = Place {
            parent_id: None,
            ..place
        };
        let result = self.freeze(body, at_body);
        let oldest = self.oldest(result);
        self.set_parent(oldest, Some(header_result));
        result
    }

    /// Makes a chain's steps ready to be sent: chains in it become part of it,
    /// a group that something follows becomes a chord, and each step gets its
    /// ids, its result that of the step before as its parent.
    pub(super) fn prepare(&mut self, tasks: Vec<Signature>, how: Steps) -> Prepared {
        let mut steps = one_after_another(tasks, how.unroll);
        if let Some(first) = steps.first_mut() {
            first.take_arguments(how.args);
        }
        let within = Place {
            root_id: how.place.root_id.clone(),
            ..Place::default()
        };
        let mut place = how.place;
        let (mut ready, mut results) = (Vec::new(), Vec::new());
        let mut later: Option<Handle> = None;
        for step in joined(steps).into_iter().rev() {
            let place = std::mem::replace(&mut place, within.clone());
            let (task, result) = self.freeze_step(step, place, how.link_error);
            if let Some(later) = later {
                self.set_parent(later, Some(result));
            }
            // What comes before a chord comes before its header.
            let chord = task.is_chord();
            later = Some(if chord { self.oldest(result) } else { result });
            ready.push(task);
            results.push(result);
        }
        (ready, results)
    }

    /// Gives a step its ids. What is said of the place goes for the step as it
    /// was written, and not for the chords that it is the body of.
    fn freeze_step(
        &mut self,
        step: Step,
        place: Place,
        errbacks: &[Signature],
    ) -> (Signature, Handle) {
        let within = Place {
            root_id: place.root_id.clone(),
            ..Place::default()
        };
        let Step { mut task, headers } = step;
        let mut result = self.freeze(&mut task, place);
        task.link_step_errors(errbacks);
        for header in headers {
            task = chord(header, task);
            result = self.freeze(&mut task, within.clone());
            task.link_step_errors(errbacks);
        }
        (task, result)
    }
}

/// A step of a chain, and the groups right before it, the nearest first: each
/// becomes the header of a chord whose body is all that follows it here.
struct Step {
    task: Signature,
    headers: Vec<Vec<Signature>>,
}

/// The steps, each group with the one that follows it.
fn joined(steps: Vec<Signature>) -> Vec<Step> {
    let mut joined: Vec<Step> = Vec::with_capacity(steps.len());
    for task in steps.into_iter().rev() {
        match joined.last_mut() {
            Some(next) if task.is_group() => next.headers.push(into_members(task)),
            _ => joined.push(Step {
                task,
                headers: Vec::new(),
            }),
        }
    }
    joined.reverse();
    joined
}

/// The tasks, groups and chords that run one after another, with chains, and
/// with `unroll` the chains in chords' bodies, taken apart. Empty groups are
/// left out; if there is nothing else one stays, whose result is an empty list.
fn one_after_another(tasks: Vec<Signature>, unroll: bool) -> Vec<Signature> {
    let mut steps = Vec::with_capacity(tasks.len());
    let mut nothing = None;
    let mut pending: Vec<Signature> = tasks.into_iter().rev().collect();
    while let Some(task) = pending.pop() {
        let task = task.unrolled();
        if task.is_empty_group() {
            nothing = Some(task);
        } else if unroll && task.has_chain_as_body() {
            pending.extend(task.unroll_body().into_iter().rev());
        } else if let Canvas::Chain(tasks) = task.canvas {
            pending.extend(tasks.into_iter().rev());
        } else {
            steps.push(task);
        }
    }
    if steps.is_empty() {
        steps.extend(nothing);
    }
    steps
}

fn replace_if_some<T>(old: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *old = new;
    }
}

fn into_members(group: Signature) -> Vec<Signature> {
    match group.canvas {
        Canvas::Group(tasks) => tasks,
        _ => Vec::new(),
    }
}

/// The tasks with those of groups in place of the groups, in order. (Celery
/// turns the order of a group in a chord's header around.) A chain without
/// steps has no result and is left out.
pub(super) fn flatten(tasks: Vec<Signature>) -> Vec<Signature> {
    let mut flat = Vec::with_capacity(tasks.len());
    for task in tasks {
        if task.is_group() {
            flat.extend(flatten(into_members(task)));
        } else if !task.is_empty_chain() {
            flat.push(task);
        }
    }
    flat
}

impl Signature {
    /// Whether it is a chord whose body is a chain that begins with a task.
    fn has_chain_as_body(&self) -> bool {
        let Canvas::Chord {
            body: Some(body), ..
        } = &self.canvas
        else {
            return false;
        };
        match &body.canvas {
            Canvas::Chain(steps) => steps.first().is_some_and(|first| !first.is_group()),
            _ => false,
        }
    }

    /// The chord with the first step of its body, and then the other steps.
    fn unroll_body(mut self) -> Vec<Self> {
        let Canvas::Chord { body, .. } = &mut self.canvas else {
            return vec![self];
        };
        let Some(chain) = body.take() else {
            return vec![self];
        };
        let options = chain.options.for_first_step();
        let mut steps = chain.into_steps().into_iter();
        *body = steps
            .next()
            .map(|first| Box::new(first.merged(&[], options)));
        std::iter::once(self).chain(steps).collect()
    }

    /// Splits the bodies of chords in a chain.
    pub(super) fn unroll_chords(&mut self) {
        if let Canvas::Chain(tasks) = &mut self.canvas {
            let whole = std::mem::take(tasks).into_iter();
            tasks.extend(whole.flat_map(Self::with_bodies_split));
        }
    }

    fn with_bodies_split(mut self) -> Vec<Self> {
        self.unroll_chords();
        if !self.has_chain_as_body() {
            return vec![self];
        }
        let parts = self.unroll_body().into_iter();
        parts.flat_map(Self::with_bodies_split).collect()
    }

    /// Takes the arguments of the chain that it is the first step of.
    fn take_arguments(&mut self, args: &[Value]) {
        match &mut self.canvas {
            Canvas::Group(tasks) => {
                for task in tasks {
                    task.take_arguments(args);
                }
            }
            _ => self.prepend(args),
        }
    }

    /// As a chain's own errbacks on one of its steps.
    fn link_step_errors(&mut self, errbacks: &[Self]) {
        for errback in errbacks {
            self.add_link_error(errback, false);
            if let Canvas::Chord {
                body: Some(body), ..
            } = &mut self.canvas
            {
                push_new(&mut body.options.link_error, errback.clone());
            }
        }
    }
}

impl Options {
    /// What a chain hands on to its first step: all but what it uses itself.
    pub(super) fn for_first_step(&self) -> Self {
        Self {
            chord: None,
            group_id: None,
            group_index: None,
            link: None,
            link_error: None,
            parent_id: None,
            root_id: None,
            task_id: None,
            ..self.clone()
        }
    }
}
