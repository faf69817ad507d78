//! What a task has failed with: an exception as Python names it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::value::repr;

/// A task's exception, by the name of the Python class it stands for, so that
/// `AsyncResult.get()` raises that class in Python.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The class's name: `ValueError`.
    pub exc_type: String,
    /// The module that has it: `builtins`.
    pub exc_module: String,
    /// The exception's `args`.
    pub exc_message: Vec<Value>,
    /// The chain of causes, as text.
    #[serde(default)]
    pub traceback: Option<String>,
    /// The exception that this one comes from. As `__cause__`.
    #[serde(default)]
    pub cause: Option<Box<Failure>>,
}

impl Failure {
    /// An exception with one text. `class` is a builtin's name or a dotted
    /// path: `"ValueError"`, `"myapp.errors.NotFound"`.
    pub fn new(class: &str, message: impl Into<Value>) -> Self {
        Self::with_args(class, vec![message.into()])
    }

    /// An exception with these `args`.
    pub fn with_args(class: &str, args: Vec<Value>) -> Self {
        let (module, name) = class.rsplit_once('.').unwrap_or(("builtins", class));
        Self {
            exc_type: name.to_owned(),
            exc_module: module.to_owned(),
            exc_message: args,
            traceback: None,
            cause: None,
        }
    }

    /// Reads `ValueError: what happened`, the way Python prints an exception.
    /// Any other text is a `RuntimeError`.
    pub fn from_text(text: &str) -> Self {
        let class = text
            .split_once(": ")
            .filter(|(class, _)| names_an_exception(class));
        match class {
            Some((class, message)) => Self::new(class, message),
            None => Self::new("RuntimeError", text),
        }
    }

    /// The exception in a stored result. Python stores a plain text where it
    /// has to, too.
    pub(crate) fn from_meta(result: &Value) -> Self {
        let text = |name| result.get(name).and_then(Value::as_str);
        let args = match result.get("exc_message") {
            Some(Value::Array(args)) => args.clone(),
            Some(other) => vec![other.clone()],
            None => vec![result.clone()],
        };
        Self {
            exc_type: text("exc_type").unwrap_or("Exception").to_owned(),
            exc_module: text("exc_module").unwrap_or("builtins").to_owned(),
            exc_message: args,
            traceback: None,
            cause: None,
        }
    }

    /// As results store it.
    pub(crate) fn to_meta(&self) -> Value {
        serde_json::json!({
            "exc_type": self.exc_type,
            "exc_message": self.exc_message,
            "exc_module": self.exc_module,
        })
    }

    /// What Python would print after `raise`, causes first.
    pub fn traceback(&self) -> String {
        let before = self.cause.as_ref().map_or_else(String::new, |cause| {
            let between = "The above exception was the direct cause of the following exception:";
            format!("{cause}\n\n{between}\n\n")
        });
        let causes = self.traceback.as_deref().unwrap_or_default();
        format!("{before}Traceback (most recent call last):\n{causes}{self}\n")
    }

    /// As Python's `repr`: `ValueError('what happened')`.
    pub fn repr(&self) -> String {
        if let ("celery.exceptions.Reject", [reason, requeue]) =
            (self.class().as_str(), self.exc_message.as_slice())
        {
            let [reason, requeue] = [reason, requeue].map(repr::text);
            return format!("reject requeue={requeue}: {reason}");
        }
        let args = repr::args(&self.exc_message);
        let args = args
            .strip_suffix(",)")
            .map_or(args.clone(), |one| format!("{one})"));
        format!("{}{args}", self.exc_type)
    }

    /// As Python's `str`: what happened.
    pub fn message(&self) -> String {
        let class = self.class();
        match (class.as_str(), self.exc_message.as_slice()) {
            // These classes have a `__str__` of their own.
            (
                "billiard.exceptions.TimeLimitExceeded"
                | "billiard.exceptions.SoftTimeLimitExceeded",
                args,
            ) => format!("{}{}", self.exc_type, repr::args(args)),
            ("KeyError" | "celery.exceptions.NotRegistered", [one]) => repr::value(one),
            (_, []) => String::new(),
            (_, [one]) => repr::text(one),
            (_, many) => repr::args(many),
        }
    }

    /// The path that [`new`](Self::new) takes.
    pub fn class(&self) -> String {
        match self.exc_module.as_str() {
            "builtins" => self.exc_type.clone(),
            module => format!("{module}.{}", self.exc_type),
        }
    }
}

fn names_an_exception(class: &str) -> bool {
    let name = class.rsplit('.').next().unwrap_or_default();
    let suffix = ["Error", "Exception", "Warning", "Interrupt", "Exit"];
    class
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '.' | '_'))
        && name.starts_with(char::is_uppercase)
        && suffix.iter().any(|suffix| name.ends_with(suffix))
}

impl fmt::Display for Failure {
    /// As the last line of a Python traceback: `ValueError: what happened`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.class())?;
        match self.message().as_str() {
            "" => Ok(()),
            message => write!(f, ": {message}"),
        }
    }
}

/// The awaited task did not succeed: what a client that waits is told.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{state}: {failure}")]
pub struct TaskFailed {
    /// `FAILURE` or `REVOKED`.
    pub state: String,
    /// The exception, by its Python name.
    pub failure: Failure,
    /// As the worker wrote it.
    pub traceback: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_python_would_print_names_its_class() {
        let failure = Failure::from_text("ValueError: no agent");
        assert_eq!(
            (failure.exc_type.as_str(), failure.exc_module.as_str()),
            ("ValueError", "builtins")
        );
        assert_eq!(failure.repr(), "ValueError('no agent')");
        assert_eq!(
            Failure::from_text("a.b.NotFoundError: x").class(),
            "a.b.NotFoundError"
        );
        let failure =
            Failure::with_args("celery.exceptions.Reject", vec!["x".into(), false.into()]);
        assert_eq!(failure.repr(), "reject requeue=False: x");
        assert_eq!(
            failure.to_string(),
            "celery.exceptions.Reject: ('x', False)"
        );
        assert_eq!(Failure::new("KeyError", "x").to_string(), "KeyError: 'x'");
        assert_eq!(
            Failure::from_text("disk: full").to_string(),
            "RuntimeError: disk: full"
        );
    }
}
