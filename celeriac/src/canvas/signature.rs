//! A call that can be sent, stored and passed on (`celery.canvas.Signature`).

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use uuid::Uuid;

use crate::message::{Body, Embed, Headers, repr};

/// A task's name, its arguments and how it is sent. Its serialized form is
/// Celery's dict.
///
/// ```
/// use celeriac::Signature;
/// let add = Signature::new("tasks.add").arg(2).kwarg("y", 3).queue("math");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// The task's name.
    pub task: String,
    /// Positional arguments.
    #[serde(default)]
    pub args: Vec<Value>,
    /// Keyword arguments.
    #[serde(default)]
    pub kwargs: Map<String, Value>,
    /// How it is sent.
    #[serde(default)]
    pub options: Options,
    /// `chain`, `group`, `chord` and their like; `None` for a plain task.
    #[serde(default)]
    pub subtask_type: Option<String>,
    /// Whether it takes no arguments from the task before it.
    #[serde(default)]
    pub immutable: bool,
    /// What this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The options of `apply_async`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// The task's id; a new one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The queue; the task's route if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// 0 to 9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Seconds from sending until it may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countdown: Option<f64>,
    /// Seconds from sending, or an instant, after which it may not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Value>,
    /// Hard limit, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<Number>,
    /// Soft limit, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_time_limit: Option<Number>,
    /// Whether no result is wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_result: bool,
    /// Callbacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Vec<Value>>,
    /// Errbacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_error: Option<Vec<Value>>,
    /// What this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Who sends: the ids that a child inherits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lineage {
    pub root_id: Option<String>,
    pub parent_id: Option<String>,
}

impl Signature {
    /// A call of `task` without arguments.
    pub fn new(task: impl Into<String>) -> Self {
        Self {
            task: task.into(),
            ..Self::default()
        }
    }

    /// Adds a positional argument. A value that JSON cannot hold becomes `null`.
    #[must_use]
    pub fn arg(mut self, value: impl Serialize) -> Self {
        self.args.push(json(value));
        self
    }

    /// Adds a keyword argument. A value that JSON cannot hold becomes `null`.
    #[must_use]
    pub fn kwarg(mut self, name: &str, value: impl Serialize) -> Self {
        self.kwargs.insert(name.to_owned(), json(value));
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

    /// Calls `callback` with the result.
    #[must_use]
    pub fn link(mut self, callback: &Signature) -> Self {
        self.options
            .link
            .get_or_insert_default()
            .push(json(callback));
        self
    }

    /// The same call with `value` before its other arguments, unless it is
    /// immutable. As `clone((value,))`.
    #[must_use]
    pub(crate) fn with_partial(mut self, value: Value) -> Self {
        if !self.immutable {
            self.args.insert(0, value);
        }
        self
    }

    /// Headers and body of its message, as `app.amqp.as_task_v2` makes them.
    pub(crate) fn into_message(self, lineage: &Lineage, origin: &str) -> (Headers, Body) {
        let now = Utc::now();
        let at = |seconds: f64| {
            let then = now.checked_add_signed(duration(seconds));
            then.unwrap_or(DateTime::<Utc>::MAX_UTC).to_rfc3339()
        };
        let options = self.options;
        let id = options
            .task_id
            .unwrap_or_else(|| Uuid::new_v4().to_string());
        let headers = Headers {
            lang: Some("rust".to_owned()),
            argsrepr: Some(repr::args(&self.args)),
            kwargsrepr: Some(repr::kwargs(&self.kwargs)),
            eta: options.countdown.map(at),
            expires: options.expires.and_then(|expires| match expires {
                Value::String(instant) => Some(instant),
                seconds => seconds.as_f64().map(at),
            }),
            timelimit: (options.time_limit, options.soft_time_limit),
            root_id: lineage.root_id.clone().or_else(|| Some(id.clone())),
            parent_id: lineage.parent_id.clone(),
            origin: Some(origin.to_owned()),
            ignore_result: options.ignore_result,
            task: self.task,
            id,
            stamps: Some(Map::new()),
            ..Headers::default()
        };
        let chain = options
            .extra
            .get("chain")
            .and_then(Value::as_array)
            .cloned();
        let body = Body {
            args: self.args,
            kwargs: self.kwargs,
            embed: Embed {
                callbacks: options.link,
                errbacks: options.link_error,
                chain,
                ..Embed::default()
            },
        };
        (headers, body)
    }
}

fn json(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn duration(seconds: f64) -> chrono::Duration {
    // Microseconds, as Python's timedelta.
    chrono::Duration::microseconds((seconds * 1e6) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dict_form_is_celerys() -> Result<(), serde_json::Error> {
        // `json.dumps(app.signature("t.add", (1,), {"y": 2}, options={"queue": "q"}))`
        let dict = r#"{"task": "t.add", "args": [1], "kwargs": {"y": 2}, "options": {"queue": "q"}, "subtask_type": null, "immutable": false}"#;
        let signature: Signature = serde_json::from_str(dict)?;
        assert_eq!(
            signature,
            Signature::new("t.add").arg(1).kwarg("y", 2).queue("q")
        );
        assert_eq!(
            serde_json::to_value(&signature)?,
            serde_json::from_str::<Value>(dict)?
        );
        Ok(())
    }
    #[test]
    fn a_senseless_countdown_is_no_panic() {
        let mut signature = Signature::new("t.add");
        signature.options.countdown = Some(1e300);
        let (headers, _) = signature.into_message(&Lineage::default(), "here");
        assert!(headers.eta.is_some());
    }
}
