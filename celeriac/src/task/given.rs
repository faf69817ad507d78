//! Which Rust values can be given to a task.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Failure, TaskError};
use crate::canvas::Signature;
use crate::value::json;

/// A value that can be given where a task takes a `T`: a `T`, a reference to
/// one, and what stands for one on the wire.
#[diagnostic::on_unimplemented(
    message = "the task takes a `{T}` here, not a `{Self}`",
    label = "not a `{T}`"
)]
pub trait Fits<T: ?Sized>: Serialize {}

impl<T: Serialize> Fits<T> for T {}
impl<T: Serialize> Fits<T> for &T {}
impl<T: Serialize> Fits<Option<T>> for T {}
impl Fits<String> for &str {}
impl Fits<Option<String>> for &str {}

/// What a task that takes anything can be given.
macro_rules! any_value {
    ($($type:ty),*) => { $(impl Fits<Value> for $type {})* };
}

any_value!(&str, String, bool, i64, f64, Map<String, Value>, Vec<Value>);

/// A tuple that can be given to the task `D`: its arguments in order, or the
/// last of the required ones, whose first then come from the task before it.
#[diagnostic::on_unimplemented(
    message = "the task `{D}` cannot be given `{Self}`",
    note = "its arguments are given as a tuple, one alone as `(x,)`"
)]
pub trait Given<D> {
    /// The required arguments that are not in it, which are the first.
    type Missing;

    /// The signature with them as its arguments.
    fn fill(self, signature: Signature) -> Signature;
}

/// What a task returned, as messages and results carry it.
///
/// # Errors
/// `kombu.exceptions.EncodeError` if they cannot.
pub(super) fn encoded<T: Serialize + ?Sized>(returned: &T) -> Result<Value, TaskError> {
    json::to_value(returned)
        .map_err(|error| Failure::new("kombu.exceptions.EncodeError", error.to_string()).into())
}
