//! A call that can be sent, stored and passed on (`celery.canvas.Signature`).

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Number, Value};

use super::Options;
use crate::stack::with_room;
use crate::value::{isoformat, json};

/// A task's name, its arguments and how it is sent; or several of them,
/// composed. Its serialized form is Celery's dict.
///
/// ```
/// use celeriac::Signature;
/// let add = Signature::new("tasks.add").arg(2).kwarg("y", 3).queue("math");
/// ```
#[derive(Debug, Default, PartialEq)]
pub struct Signature {
    /// The task's name.
    pub task: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments, without what [`canvas`](Self::canvas) holds.
    pub kwargs: Map<String, Value>,
    /// How it is sent.
    pub options: Options,
    /// What it is composed of. As `subtask_type`.
    pub canvas: Canvas,
    /// Whether it takes no arguments from the task before it.
    pub immutable: bool,
    /// What this version does not know.
    pub extra: Map<String, Value>,
    /// Why it cannot be sent: the first of its arguments and headers that JSON
    /// cannot hold.
    pub unfit: Option<String>,
}

impl Clone for Signature {
    fn clone(&self) -> Self {
        // Callbacks have callbacks.
        with_room(|| Self {
            task: self.task.clone(),
            args: self.args.clone(),
            kwargs: self.kwargs.clone(),
            options: self.options.clone(),
            canvas: self.canvas.clone(),
            immutable: self.immutable,
            extra: self.extra.clone(),
            unfit: self.unfit.clone(),
        })
    }
}

/// What a signature is composed of.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Canvas {
    /// Nothing: it calls one task.
    #[default]
    Task,
    /// One after the other, each with the result of the one before.
    Chain(Vec<Signature>),
    /// All at once.
    Group(Vec<Signature>),
    /// All of a header at once, and then a body with the list of their results.
    Chord {
        /// What runs at once.
        header: Vec<Signature>,
        /// What runs then. It can be given later, but must be when applied.
        body: Option<Box<Signature>>,
    },
    /// A task called for each of its items, in one message.
    Map,
    /// The same with each item as the call's arguments.
    Starmap,
    /// The same in several messages, so many items in each.
    Chunks,
}

impl Signature {
    /// A call of `task` without arguments.
    pub fn new(task: impl Into<String>) -> Self {
        Self {
            task: task.into(),
            ..Self::default()
        }
    }

    /// Adds a positional argument. If JSON cannot hold it, sending fails.
    #[must_use]
    pub fn arg(mut self, value: impl Serialize) -> Self {
        let place = self.args.len() + 1;
        if let Some(value) = self.fit(value, || format!("argument {place}")) {
            self.args.push(value);
        }
        self
    }

    /// Adds a keyword argument. If JSON cannot hold it, sending fails.
    #[must_use]
    pub fn kwarg(mut self, name: &str, value: impl Serialize) -> Self {
        if let Some(value) = self.fit(value, || format!("argument '{name}'")) {
            self.kwargs.insert(name.to_owned(), value);
        }
        self
    }

    /// Sends it to this queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.options.queue = Some(queue.into());
        self
    }

    /// Gives it this id.
    #[must_use]
    pub fn task_id(mut self, id: impl Into<String>) -> Self {
        self.options.task_id = Some(id.into());
        self
    }

    /// Lets it run no sooner than `countdown` after it is sent.
    #[must_use]
    pub fn countdown(mut self, countdown: Duration) -> Self {
        self.options.countdown = Some(countdown.as_secs_f64());
        self
    }

    /// Lets it run no sooner than this instant: a `SystemTime`, or a
    /// `chrono::DateTime<Utc>`. A countdown that it has, too, goes before.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use celeriac::Signature;
    /// let later = SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800);
    /// let call = Signature::new("tasks.add").eta(later);
    /// assert_eq!(call.options.eta.as_deref(), Some("2100-01-01T00:00:00+00:00"));
    /// ```
    #[must_use]
    pub fn eta(mut self, eta: impl Into<SystemTime>) -> Self {
        // A `SystemTime` may be beyond what a date can be.
        let since = eta.into().duration_since(SystemTime::UNIX_EPOCH);
        let since = since.unwrap_or_default().as_micros();
        let eta = i64::try_from(since)
            .ok()
            .and_then(DateTime::from_timestamp_micros);
        self.options.eta = Some(isoformat(&eta.unwrap_or(DateTime::<Utc>::MAX_UTC)));
        self
    }

    /// Makes it void if it has not begun `after` it was sent.
    #[must_use]
    pub fn expires(mut self, after: Duration) -> Self {
        self.options.expires = Some(after.as_secs_f64().into());
        self
    }

    /// Sets the message's priority, 0 (first on Redis) to 9.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.options.priority = Some(priority);
        self
    }

    /// Sets the hard limit on its run.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.options.time_limit = Number::from_f64(limit.as_secs_f64());
        self
    }

    /// Sets the soft limit on its run.
    #[must_use]
    pub fn soft_time_limit(mut self, limit: Duration) -> Self {
        self.options.soft_time_limit = Number::from_f64(limit.as_secs_f64());
        self
    }

    /// Asks for no result.
    #[must_use]
    pub fn ignore_result(mut self) -> Self {
        self.options.ignore_result = Some(true);
        self
    }

    /// Adds a header of the user's own to its message. If JSON cannot hold it,
    /// sending fails.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Serialize) -> Self {
        if let Some(value) = self.fit(value, || format!("header '{name}'")) {
            let headers = self.options.headers.get_or_insert_default();
            headers.insert(name.to_owned(), value);
        }
        self
    }

    /// Takes no arguments from the task before it. As `.si()`; for a group and
    /// a chord's header, each of the tasks.
    #[must_use]
    pub fn immutable(mut self) -> Self {
        match &mut self.canvas {
            Canvas::Group(tasks) | Canvas::Chord { header: tasks, .. } => {
                *tasks = std::mem::take(tasks)
                    .into_iter()
                    .map(Self::immutable)
                    .collect();
            }
            _ => self.immutable = true,
        }
        self
    }

    /// A value as messages carry it. If they cannot, the first reason is kept.
    pub(super) fn fit(
        &mut self,
        value: impl Serialize,
        what: impl FnOnce() -> String,
    ) -> Option<Value> {
        match json::to_value(&value) {
            Ok(value) => Some(value),
            Err(error) => {
                let reason = || format!("{} of {}: {error}", what(), self.task);
                let reason = self.unfit.take().unwrap_or_else(reason);
                self.unfit = Some(reason);
                None
            }
        }
    }

    /// Its id, if it has one yet.
    pub fn id(&self) -> Option<&str> {
        self.options.task_id.as_deref()
    }

    /// The same call with `args` before its own, unless it is immutable, and
    /// `over` laid over its options. As `clone(args, **over)`.
    #[must_use]
    pub(super) fn merged(mut self, args: &[Value], over: Options) -> Self {
        self.prepend(args);
        self.options = self.options.merged(over);
        self
    }

    /// Puts `args` before its own, unless it is immutable.
    pub(super) fn prepend(&mut self, args: &[Value]) {
        if !self.immutable {
            self.args.splice(0..0, args.iter().cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::canvas::{Plan, chain, chord};
    use crate::message::Body;
    use crate::{App, Settings};

    /// As deep as is read, on a thread of a test, whose stack is as large as
    /// those of tokio.
    #[test]
    fn callbacks_of_callbacks_take_no_room_away() -> Result<(), Box<dyn std::error::Error>> {
        let nested = |open: &str, close: &str, depth: usize| {
            let leaf = r#"{"task":"t"}"#;
            format!("{}{leaf}{}", open.repeat(depth), close.repeat(depth))
        };
        for call in [
            nested(r#"{"task":"t","options":{"link":["#, "]}}", 330),
            nested(r#"{"task":"t","options":{"link":"#, "}}", 490),
            nested(r#"{"task":"t","options":{"chord":"#, "}}", 490),
            nested(
                r#"{"task":"c","subtask_type":"chain","kwargs":{"tasks":[{"task":"t"},"#,
                "]}}",
                330,
            ),
            nested(
                r#"{"task":"g","subtask_type":"group","kwargs":{"tasks":[{"task":"t"},"#,
                "]}}",
                330,
            ),
            nested(
                r#"{"task":"d","subtask_type":"chord","kwargs":{"header":[{"task":"t"}],"body":"#,
                "}}",
                490,
            ),
        ] {
            let body = format!(r#"[[],{{}},{{"callbacks":[{call}]}}]"#);
            let body: Body = json::from_slice(body.as_bytes())?;
            let callbacks = body.clone().embed.callbacks.unwrap_or_default();
            for callback in callbacks {
                let (plan, _) = Plan::of(callback)?;
                assert!(!plan.calls.is_empty() && !json::to_vec(&plan.calls)?.is_empty());
            }
            assert!(!json::to_vec(&body)?.is_empty());
        }
        Ok(())
    }

    /// Refused before anything is sent: there is no broker here.
    #[tokio::test]
    async fn what_json_cannot_hold_is_not_sent() -> Result<(), crate::Error> {
        let app = App::new(Settings::default())?;
        let by_pair = BTreeMap::from([((1, 2), 3)]);
        let call = || Signature::new("t.add");
        for unfit in [
            call().arg(1).arg(&by_pair),
            call().kwarg("x", &by_pair),
            call().header("x", &by_pair),
            call().stamp("x", &by_pair),
        ] {
            for canvas in [
                unfit.clone(),
                call().link(unfit.clone()),
                chain([call(), call(), unfit.clone()]),
                chord([call()], unfit),
            ] {
                let error = app
                    .send(canvas)
                    .await
                    .map(drop)
                    .map_err(|error| error.to_string());
                let refused = error.is_err_and(|error| error.contains(" of t.add: key must be"));
                assert!(refused);
            }
        }
        Ok(())
    }
}
