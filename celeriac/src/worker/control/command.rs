//! A command, its arguments and its answer.

use std::borrow::Cow;

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::task::Failure;
use crate::value::lenient::{name, text, texts};
use crate::value::typed;

/// A message to the mailbox (`kombu/pidbox.py`).
#[derive(Debug, Deserialize)]
pub struct Command {
    /// What is to be done: `ping`, `revoke`.
    #[serde(deserialize_with = "name")]
    pub method: String,
    /// What it is to be done with.
    #[serde(default)]
    pub arguments: Option<Map<String, Value>>,
    /// Nodenames; all nodes if not given.
    #[serde(default, deserialize_with = "texts")]
    pub destination: Option<Vec<String>>,
    /// Instead of a destination: nodes whose names match this...
    #[serde(default, deserialize_with = "text")]
    pub pattern: Option<String>,
    /// ...by `glob` or `pcre`.
    #[serde(default, deserialize_with = "text")]
    pub matcher: Option<String>,
    /// What the asker knows the answer by.
    #[serde(default)]
    pub ticket: Value,
    /// Where it is to be answered.
    #[serde(default)]
    pub reply_to: Option<ReplyTo>,
}

/// Where the answer goes.
#[derive(Debug, Deserialize)]
pub struct ReplyTo {
    /// The exchange of the asker's reply queue.
    #[serde(deserialize_with = "name")]
    pub exchange: String,
    /// And what that queue is bound by.
    #[serde(deserialize_with = "name")]
    pub routing_key: String,
}

/// What a command answers.
pub(in crate::worker) enum Answer {
    /// This.
    Now(Value),
    /// What is known when something else is done.
    Later(BoxFuture<'static, Value>),
    /// Nothing at all.
    Never,
}

impl Answer {
    pub fn ok(text: impl Into<Value>) -> Result<Self, Refusal> {
        Ok(Self::Now(json!({"ok": text.into()})))
    }

    pub fn now(value: impl Into<Value>) -> Result<Self, Refusal> {
        Ok(Self::Now(value.into()))
    }
}

/// Why a command is not carried out.
#[derive(Debug)]
pub(in crate::worker) struct Refusal {
    pub text: String,
    /// Whether Python would raise it; it is logged then.
    pub raised: bool,
}

impl Refusal {
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            raised: false,
        }
    }

    /// The `repr` of an exception that Python would raise.
    pub fn python(class: &str, message: &str) -> Self {
        Self {
            text: Failure::new(class, message).repr(),
            raised: true,
        }
    }
}

/// A command's keyword arguments.
pub(in crate::worker) struct Arguments {
    method: String,
    values: Map<String, Value>,
}

impl Arguments {
    pub fn new(method: &str, values: Map<String, Value>) -> Self {
        Self {
            method: method.to_owned(),
            values,
        }
    }

    /// An argument, unless it is not given or `None`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// An argument that has no default.
    pub fn required(&self, name: &str) -> Result<&Value, Refusal> {
        self.values.get(name).ok_or_else(|| {
            let text = format!(
                "{}() missing 1 required positional argument: '{name}'",
                self.method
            );
            Refusal::python("TypeError", &text)
        })
    }

    /// A text that has no default.
    pub fn text(&self, name: &str) -> Result<Cow<'_, str>, Refusal> {
        let value = self.required(name)?;
        text_of(value)
            .ok_or_else(|| Refusal::python("TypeError", &format!("{name} must be a string")))
    }

    /// A number that may be written as a text.
    pub fn number(&self, name: &str) -> Result<Option<f64>, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = || text_of(value)?.trim().parse().ok();
        let number = value.as_f64().or_else(text);
        number
            .map(Some)
            .ok_or_else(|| Refusal::python("ValueError", &format!("{name} must be a number")))
    }

    /// A count, if it is given.
    pub fn count(&self, name: &str) -> Result<Option<usize>, Refusal> {
        let number = self.number(name)?;
        if number.is_some_and(|number| number < 0.0) {
            let text = format!("{name} must not be negative");
            return Err(Refusal::python("ValueError", &text));
        }
        Ok(number.map(|number| number as usize))
    }

    /// Whether it says yes; as a text, in one of many ways.
    pub fn flag(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::String(text)) => {
                matches!(text.to_lowercase().as_str(), "yes" | "true" | "on" | "1")
            }
            _ => false,
        }
    }

    /// A text or a list of them.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let text = |value: &Value| text_of(value).map(Cow::into_owned);
        match self.get(name) {
            Some(Value::Array(values)) => values.iter().filter_map(text).collect(),
            Some(value) => text(value).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

/// A text, or the text of a typed value: an id may be a UUID.
pub(super) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    value
        .as_str()
        .map(Cow::Borrowed)
        .or_else(|| typed::text(value))
}
