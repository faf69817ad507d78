//! A client's handle on what it has sent (`celery.result`: `AsyncResult`, and
//! `GroupResult` for a group).

use std::time::Duration;

use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{App, Control};
use crate::canvas::{Handle, Promises};
use crate::error::Error;
use crate::failure::Failure;
use crate::failure::TaskFailed;
use crate::results::{TaskMeta, states};
use crate::value::json;
use crate::value::lenient::as_text;

/// Members of a group that are waited for at the same time.
const TOGETHER: usize = 64;

/// A task or a canvas that has been sent.
#[derive(Clone)]
pub struct AsyncResult {
    app: App,
    id: String,
    parent: Option<Box<AsyncResult>>,
    members: Option<Vec<AsyncResult>>,
}

impl AsyncResult {
    pub(crate) fn new(app: App, id: String) -> Self {
        Self {
            app,
            id,
            parent: None,
            members: None,
        }
    }

    /// The handle of what a canvas promised.
    pub(crate) fn promised(app: &App, promises: &Promises, result: Handle) -> Self {
        let handle = |&result: &Handle| Self::promised(app, promises, result);
        Self {
            app: app.clone(),
            id: promises.id(result).to_owned(),
            parent: promises.parent(result).as_ref().map(handle).map(Box::new),
            members: promises
                .members(result)
                .map(|members| members.iter().map(handle).collect()),
        }
    }

    /// The handle that a result tuple stands for: a bare id, or
    /// `[[id, parent], members]`. As `result_from_tuple`.
    pub fn from_tuple(app: &App, tuple: &Value) -> Option<Self> {
        let Value::Array(tuple) = tuple else {
            return as_text(tuple.clone()).map(|id| Self::new(app.clone(), id));
        };
        let [own, members] = tuple.as_slice() else {
            return None;
        };
        let (id, parent) = match own.as_array().map(Vec::as_slice) {
            Some([id, parent]) => (id, Self::from_tuple(app, parent)),
            _ => (own, None),
        };
        let handles = |members: &Vec<Value>| {
            let handles = members.iter().map(|member| Self::from_tuple(app, member));
            handles.collect::<Option<Vec<_>>>()
        };
        Some(Self {
            app: app.clone(),
            id: as_text(id.clone())?,
            parent: parent.map(Box::new),
            members: members.as_array().map(handles).unwrap_or_default(),
        })
    }

    /// As Celery's `as_tuple()`; [`from_tuple`](Self::from_tuple) reads it.
    pub fn as_tuple(&self) -> Value {
        let parent = self.parent().map(Self::as_tuple);
        let tuples = |members: &[Self]| members.iter().map(Self::as_tuple).collect::<Vec<_>>();
        json!([[self.id, parent], self.members().map(tuples)])
    }

    /// The id of the task, or of the group.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What runs before it.
    pub fn parent(&self) -> Option<&Self> {
        self.parent.as_deref()
    }

    /// A group's results, in its order; `None` for a task.
    pub fn members(&self) -> Option<&[Self]> {
        self.members.as_deref()
    }

    /// Its state; `PENDING` if nothing is known of it.
    pub async fn state(&self) -> Result<String, Error> {
        let meta = self.meta().await?;
        Ok(meta.map_or_else(|| states::PENDING.to_owned(), |meta| meta.status))
    }

    /// All that is stored of it.
    pub async fn meta(&self) -> Result<Option<TaskMeta>, Error> {
        self.app.lookup()?.get(&self.id).await
    }

    /// What the task has sent while it ran, and after.
    pub async fn children(&self) -> Result<Vec<Self>, Error> {
        let children = self.meta().await?.and_then(|meta| meta.children);
        let handle = |tuple: &Value| Self::from_tuple(&self.app, tuple);
        Ok(children.iter().flatten().filter_map(handle).collect())
    }

    /// Waits for its result; for a group, for the list of all results.
    ///
    /// # Errors
    /// [`Error::TaskFailed`] if it failed, [`Error::Timeout`] if it has not
    /// ended in time; it goes on then.
    pub async fn get<T: DeserializeOwned>(&self, timeout: Duration) -> Result<T, Error> {
        Ok(json::from_value(&self.value(timeout).await?)?)
    }

    /// Waits for the result as it is stored.
    pub(crate) async fn value(&self, timeout: Duration) -> Result<Value, Error> {
        if let Some(members) = &self.members {
            let deadline = Instant::now() + timeout;
            // Boxed: a group's members may be groups.
            let value = |member: Self| Box::pin(async move { member.value(until(deadline)).await });
            let values = stream::iter(members.clone()).map(value).buffered(TOGETHER);
            return Ok(Value::Array(values.try_collect().await?));
        }
        let meta = self.app.results()?.wait(&self.id, timeout).await?;
        if meta.status == states::SUCCESS {
            return Ok(meta.result);
        }
        Err(Box::new(TaskFailed {
            failure: Failure::from_meta(&meta.result),
            traceback: meta.traceback,
            state: meta.status,
        })
        .into())
    }

    /// A group's results as they come, each with its place. As
    /// `ResultSet.iterate`. A task is a group of its own.
    pub fn iter<T: DeserializeOwned>(
        &self,
        timeout: Duration,
    ) -> impl Stream<Item = (usize, Result<T, Error>)> + use<T> {
        let deadline = Instant::now() + timeout;
        let members = self.members.clone().unwrap_or_else(|| vec![self.clone()]);
        let together = members.len().max(1);
        let get = move |(place, member): (usize, Self)| async move {
            (place, member.get(until(deadline)).await)
        };
        stream::iter(members.into_iter().enumerate())
            .map(get)
            .buffer_unordered(together)
    }

    /// Tells all workers not to run it, nor any member of a group; one that
    /// runs already goes on.
    pub async fn revoke(&self) -> Result<(), Error> {
        self.tell_workers_to_revoke(false).await
    }

    /// The same, and ends it where it runs.
    pub async fn terminate(&self) -> Result<(), Error> {
        self.tell_workers_to_revoke(true).await
    }

    async fn tell_workers_to_revoke(&self, terminate: bool) -> Result<(), Error> {
        let ids = self.task_ids();
        let arguments = json!({"task_id": ids, "terminate": terminate, "signal": "SIGTERM"});
        Control::new(&self.app).cast("revoke", arguments).await
    }

    /// Its id; a group's members' ids.
    fn task_ids(&self) -> Vec<&str> {
        match &self.members {
            Some(members) => members.iter().flat_map(Self::task_ids).collect(),
            None => vec![&self.id],
        }
    }

    /// Removes its result, and for a group its members' results.
    pub async fn forget(&self) -> Result<(), Error> {
        let store = self.app.lookup()?;
        for member in self.members.iter().flatten() {
            Box::pin(member.forget()).await?;
        }
        store.forget(&self.id).await
    }

    /// Keeps a group's results so that
    /// [`App::group_result`](crate::App::group_result) finds them. As
    /// `GroupResult.save`.
    pub async fn save(&self) -> Result<(), Error> {
        let store = self.app.groups()?;
        store.save_group(&self.id, &self.as_tuple()).await
    }
}

fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
