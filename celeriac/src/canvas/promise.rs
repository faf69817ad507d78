//! The results that a canvas will have, known by their ids before it runs
//! (`celery.result`: `AsyncResult`, `GroupResult` and their parents).

use serde_json::{Value, json};
use uuid::Uuid;

/// All results of one canvas. They name each other as parents and members,
/// and are found by [`Handle`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Promises(Vec<Promise>);

/// Names a result among its [`Promises`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle(usize);

#[derive(Clone, Debug)]
struct Promise {
    id: String,
    parent: Option<Handle>,
    /// A group's results.
    members: Option<Vec<Handle>>,
}

impl Promises {
    /// The result of a task.
    pub fn task(&mut self, id: &str) -> Handle {
        self.push(id, None)
    }

    /// The results of a group.
    pub fn group(&mut self, id: &str, members: Vec<Handle>) -> Handle {
        self.push(id, Some(members))
    }

    fn push(&mut self, id: &str, members: Option<Vec<Handle>>) -> Handle {
        self.0.push(Promise {
            id: id.to_owned(),
            parent: None,
            members,
        });
        Handle(self.0.len() - 1)
    }

    pub fn id(&self, handle: Handle) -> &str {
        &self.0[handle.0].id
    }

    pub fn parent(&self, handle: Handle) -> Option<Handle> {
        self.0[handle.0].parent
    }

    pub fn set_parent(&mut self, handle: Handle, parent: Option<Handle>) {
        self.0[handle.0].parent = parent;
    }

    /// A group's results; `None` for a task.
    pub fn members(&self, handle: Handle) -> Option<&[Handle]> {
        self.0[handle.0].members.as_deref()
    }

    /// The first of those that `handle` follows.
    pub fn oldest(&self, handle: Handle) -> Handle {
        std::iter::successors(Some(handle), |&handle| self.parent(handle))
            .last()
            .unwrap_or(handle)
    }

    /// As Celery's `as_tuple()`: `[[id, parent], members]`.
    pub fn tuple(&self, handle: Handle) -> Value {
        let promise = &self.0[handle.0];
        let parent = promise.parent.map(|parent| self.tuple(parent));
        let members = promise.members.as_ref().map(|members| {
            let tuples = members.iter().map(|&member| self.tuple(member));
            tuples.collect::<Vec<_>>()
        });
        json!([[promise.id, parent], members])
    }
}

/// A new id, for a task or a group.
pub(crate) fn new_id() -> String {
    Uuid::new_v4().to_string()
}
