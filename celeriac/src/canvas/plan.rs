//! What sending a canvas takes, worked out before anything is sent: chord
//! sizes, saved groups, and one call for each message (`celery.canvas`, the
//! classes' `apply_async` and `run`).

use serde_json::Value;

use super::compose::push_new;
use super::freeze::{Place, Steps, flatten};
use super::promise::{Handle, Promises, new_id};
use super::{Canvas, Options, Signature};
use crate::stack::with_room;

/// All that has to happen for a canvas to run. Doing a part of it again does
/// no harm: every id is already chosen.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// How many results each header has, by the chord's group.
    pub chord_sizes: Vec<(String, u64)>,
    /// Headers whose results have groups among them, as result tuples.
    pub groups: Vec<(String, Value)>,
    /// The calls to send, each of one task, in order.
    pub calls: Vec<Signature>,
    /// The results of all of it.
    pub promises: Promises,
    /// Those that the sending task lists as its children.
    children: Vec<Handle>,
}

/// A canvas that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CanvasError {
    /// JSON cannot hold one of its arguments or headers.
    #[error("cannot write {0}")]
    Unfit(String),
    /// A chord's header would run, and its results go nowhere.
    #[error("a chord needs a body")]
    ChordWithoutBody,
    /// What is to follow is no signature.
    #[error("cannot read a step of the chain: {0}")]
    Unreadable(String),
    /// There is nothing to send, and no result either.
    #[error("an empty chain cannot be sent")]
    EmptyChain,
    /// The soft limit would strike after the hard one.
    #[error("soft_time_limit must be less than or equal to time_limit")]
    TimeLimits,
}

impl Plan {
    /// The plan that sends `signature`, and its result.
    pub fn of(signature: Signature) -> Result<(Self, Handle), CanvasError> {
        let mut plan = Self::default();
        let result = plan.add(signature)?;
        Ok((plan, result))
    }

    /// Adds what sends `signature`.
    pub fn add(&mut self, signature: Signature) -> Result<Handle, CanvasError> {
        let result = self.apply(signature, &[], Options::default())?;
        result.ok_or(CanvasError::EmptyChain)
    }

    /// The sending task's children, as result tuples.
    pub fn children(&self) -> impl Iterator<Item = Value> {
        let tuple = |&child: &Handle| self.promises.tuple(child);
        self.children.iter().map(tuple)
    }

    /// Adds what sends `signature` with `args` before its own and `over` laid
    /// over its options. As `signature.apply_async(args, **over)`. `None` for
    /// an empty chain, of which nothing is sent.
    pub fn apply(
        &mut self,
        signature: Signature,
        args: &[Value],
        over: Options,
    ) -> Result<Option<Handle>, CanvasError> {
        if let Some(reason) = signature.unfit {
            return Err(CanvasError::Unfit(reason));
        }
        with_room(|| self.apply_fit(signature, args, over))
    }

    fn apply_fit(
        &mut self,
        signature: Signature,
        args: &[Value],
        over: Options,
    ) -> Result<Option<Handle>, CanvasError> {
        match &signature.canvas {
            Canvas::Chain(_) => self.apply_chain(signature, args, over),
            Canvas::Group(_) => self.apply_group(signature, args, over).map(Some),
            Canvas::Chord { .. } => self.apply_chord(signature, args, over).map(Some),
            Canvas::Chunks => self.apply_group(chunked(signature), &[], over).map(Some),
            _ => Ok(Some(self.apply_task(signature, args, over))),
        }
    }

    fn apply_task(&mut self, signature: Signature, args: &[Value], over: Options) -> Handle {
        let mut call = signature.merged(args, over);
        let id = call.options.task_id.get_or_insert_with(new_id);
        let result = self.promises.task(id);
        self.add_child(result, &call.options);
        self.calls.push(call);
        result
    }

    fn add_child(&mut self, result: Handle, options: &Options) {
        if options.add_to_parent.unwrap_or(true) {
            self.children.push(result);
        }
    }

    fn apply_chain(
        &mut self,
        chain: Signature,
        args: &[Value],
        over: Options,
    ) -> Result<Option<Handle>, CanvasError> {
        let chain = chain.merged(args, Options::default());
        let options = chain.options.overwritten(over);
        let Canvas::Chain(tasks) = chain.canvas else {
            return Ok(None);
        };
        let to_first = options.for_first_step();
        let (mut steps, results) = self.promises.prepare(
            tasks,
            Steps {
                args: &chain.args,
                link_error: options.link_error.as_deref().unwrap_or_default(),
                unroll: true,
                place: Place {
                    task_id: options.task_id,
                    group_id: options.group_id,
                    group_index: options.group_index,
                    chord: options.chord,
                    root_id: options.root_id,
                    parent_id: None,
                },
            },
        );
        if let (Some(last), Some(links)) = (steps.first_mut(), options.link) {
            last.options.link.get_or_insert_default().extend(links);
        }
        let Some(first) = steps.pop() else {
            return Ok(None);
        };
        if steps.is_empty() {
            return self.apply(first, &[], to_first);
        }
        let mut rest = options.chain.unwrap_or_default();
        rest.follow(steps);
        let chain = Some(rest);
        self.apply(first, &[], Options { chain, ..to_first })?;
        Ok(results.first().copied())
    }

    fn apply_group(
        &mut self,
        group: Signature,
        args: &[Value],
        over: Options,
    ) -> Result<Handle, CanvasError> {
        let group = group.merged(args, Options::default());
        let mut options = group.options.merged(over);
        let id = options.task_id.take().unwrap_or_else(new_id);
        options.group_id = Some(id.clone());
        options.group_index = None;
        let add_to_parent = options.add_to_parent.replace(false);
        let Canvas::Group(tasks) = group.canvas else {
            return Ok(self.promises.group(&id, Vec::new()));
        };
        let members = self.apply_members(flatten(tasks), &id, &group.args, &options)?;
        let mut result = self.promises.group(&id, members.clone());
        // A group of one chain that ends in a group: that group's results.
        if let [only] = members.as_slice()
            && self.promises.members(*only).is_some()
        {
            result = *only;
        }
        self.add_child(
            result,
            &Options {
                add_to_parent,
                ..Options::default()
            },
        );
        Ok(result)
    }

    fn apply_members(
        &mut self,
        tasks: Vec<Signature>,
        id: &str,
        args: &[Value],
        options: &Options,
    ) -> Result<Vec<Handle>, CanvasError> {
        let (mut members, mut size, mut in_chord) = (Vec::new(), 0, false);
        for (index, mut task) in (0..).zip(tasks) {
            let place = Place {
                group_id: options.group_id.clone(),
                group_index: Some(index),
                root_id: options.root_id.clone(),
                ..Place::default()
            };
            members.push(self.promises.freeze(&mut task, place));
            size += task.chord_size();
            let chord = options.chord.clone().or_else(|| task.options.chord.clone());
            in_chord = chord.is_some();
            self.apply(
                task,
                args,
                Options {
                    chord,
                    ..options.clone()
                },
            )?;
        }
        if in_chord {
            self.chord_sizes.push((id.to_owned(), size));
        }
        Ok(members)
    }

    fn apply_chord(
        &mut self,
        chord: Signature,
        args: &[Value],
        over: Options,
    ) -> Result<Handle, CanvasError> {
        let chord = chord.merged(args, Options::default());
        let Canvas::Chord {
            header,
            body: Some(body),
        } = chord.canvas
        else {
            return Err(CanvasError::ChordWithoutBody);
        };
        let group_id = chord.options.task_id.clone().unwrap_or_else(new_id);
        let mut options = chord.options.overwritten(over.clone());
        let mut body = body_with(*body, &mut options, over);
        // Each of the header's messages carries the body, and so it goes first.
        let result = self.freeze_body(&mut body, &group_id, &mut options);
        let oldest = self.promises.oldest(result);
        let header = self.apply_header(header, body, &group_id, &chord.args, options)?;
        self.promises.set_parent(oldest, Some(header));
        Ok(result)
    }

    fn freeze_body(
        &mut self,
        body: &mut Signature,
        group_id: &str,
        options: &mut Options,
    ) -> Handle {
        // What replaces a task is a member of that task's group, or of none;
        // but for a chain, whose last step does not know of it.
        let replaces =
            options.replaced_task_nesting.is_some() && !matches!(body.canvas, Canvas::Chain(_));
        let place = Place {
            task_id: options.task_id.take().or_else(|| Some(new_id())),
            group_id: (!replaces).then(|| group_id.to_owned()),
            root_id: body.options.root_id.clone(),
            ..Place::default()
        };
        self.promises.freeze(body, place)
    }

    /// Adds the header, whose last task to end starts the body; or the body
    /// itself if there is no task to wait for. The header's result.
    fn apply_header(
        &mut self,
        header: Vec<Signature>,
        body: Signature,
        group_id: &str,
        args: &[Value],
        options: Options,
    ) -> Result<Handle, CanvasError> {
        let mut header = super::group(header).task_id(group_id);
        let place = Place {
            group_id: Some(group_id.to_owned()),
            chord: Some(Box::new(body.clone())),
            root_id: body.options.root_id.clone(),
            ..Place::default()
        };
        let (_, members) = self.promises.freeze_members(&mut header, place);
        if members.is_empty() {
            self.apply(body, &[Value::Array(Vec::new())], Options::default())?;
            return Ok(self.promises.group(group_id, members));
        }
        self.save_if_nested(group_id, &members);
        let options = Options {
            chain: None,
            chord: None,
            ..options
        };
        self.apply_group(header, args, options)
    }

    /// Results of groups in a header are put in their places when it is done:
    /// that takes the header's structure. As `RedisBackend.apply_chord`.
    fn save_if_nested(&mut self, group_id: &str, members: &[Handle]) {
        let is_group = |&member: &Handle| self.promises.members(member).is_some();
        if members.iter().any(is_group) {
            let header = self.promises.group(group_id, members.to_vec());
            let tuple = self.promises.tuple(header);
            self.groups.push((group_id.to_owned(), tuple));
        }
    }
}

/// A chord's body with what is said of the chord, which goes for its body as
/// well, but for its parent: that is the header's task which ends last.
fn body_with(body: Signature, options: &mut Options, over: Options) -> Signature {
    let mut body = body.merged(&[], for_body(over));
    add_callbacks(&mut body, options);
    body.options = body.options.overwritten(for_body(options.clone()));
    body.unroll_chords();
    body
}

/// The options of a chord that its body takes.
fn for_body(options: Options) -> Options {
    Options {
        parent_id: None,
        task_id: None,
        countdown: None,
        eta: None,
        link: None,
        link_error: None,
        ..options
    }
}

/// Moves a chord's callbacks and errbacks to its body. As `_add_body_callbacks`.
fn add_callbacks(body: &mut Signature, options: &mut Options) {
    for callback in options.link.take().into_iter().flatten() {
        body.add_link(callback);
    }
    for errback in options.link_error.take().into_iter().flatten() {
        if body.is_group() {
            body.link_group_error(&errback, true);
        } else {
            push_new(&mut body.options.link_error, errback);
        }
    }
}

/// A call of `chunks` as the group that it stands for.
fn chunked(chunks: Signature) -> Signature {
    let Signature {
        kwargs, options, ..
    } = chunks;
    let task = kwargs.get("task").cloned().unwrap_or_default();
    let size = kwargs.get("n").and_then(Value::as_u64).unwrap_or(1).max(1) as usize;
    let items = kwargs.get("it").and_then(Value::as_array);
    let parts = items.map_or(&[][..], Vec::as_slice).chunks(size);
    let part = |items: &[Value]| Signature {
        canvas: Canvas::Starmap,
        immutable: true,
        ..Signature::new("celery.starmap")
            .kwarg("task", &task)
            .kwarg("it", items)
    };
    Signature {
        options,
        ..super::group(parts.map(part).collect::<Vec<_>>())
    }
}

impl Signature {
    /// How many results it adds to the chord around it. As `_chord._descend`.
    fn chord_size(&self) -> u64 {
        match &self.canvas {
            Canvas::Group(tasks) => tasks.iter().map(Self::chord_size).sum(),
            Canvas::Chain(tasks) => {
                let sizes = tasks.iter().rev().map(Self::chord_size);
                sizes.into_iter().find(|&size| size > 0).unwrap_or(0)
            }
            Canvas::Chord { body, .. } => body.as_deref().map_or(0, Self::chord_size),
            _ => 1,
        }
    }

    /// Links an errback to each task of a group that is a chord's body; to the
    /// group itself where that has errbacks of its own, which take the place of
    /// its tasks' when it runs. As `_link_error_to_body_tasks`.
    fn link_group_error(&mut self, errback: &Self, runs_as_group: bool) {
        let has_own = self.options.link_error.is_some();
        match &mut self.canvas {
            Canvas::Group(_) if runs_as_group && has_own => {
                push_new(&mut self.options.link_error, errback.clone());
            }
            Canvas::Group(tasks) => {
                for task in tasks {
                    task.link_group_error(errback, false);
                }
            }
            Canvas::Chord {
                body: Some(body), ..
            } => body.link_group_error(errback, true),
            _ => self.add_link_error(errback, false),
        }
    }
}
