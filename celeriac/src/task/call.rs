//! A signature that knows, when it is compiled, what it takes and returns.

use std::marker::PhantomData;
use std::ops::BitOr;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::{Define, Fits, Given};
use crate::canvas::Signature;
use crate::client::{App, TypedResult};
use crate::error::Error;

/// A call of a task that returns a `T` and still wants the arguments
/// `Missing`: what `add::s((2,))` makes. With `|` it goes where what is before
/// it returns what it wants; anything else takes it as a [`Signature`].
pub struct Call<Missing, T> {
    signature: Signature,
    types: PhantomData<fn(Missing) -> T>,
}

/// In the place of missing arguments: wants none, and takes none. As `.si()`.
pub enum Immutable {}

/// What has all its arguments.
#[diagnostic::on_unimplemented(
    message = "the call lacks arguments: `{Self}`",
    note = "what is given are the last of the required arguments; the others come from the task before it in a chain"
)]
pub trait Complete {}

impl Complete for () {}
impl Complete for Immutable {}

/// Missing arguments that a result of the type `T` completes.
#[diagnostic::on_unimplemented(
    message = "a call that lacks `{Self}` cannot follow a task that returns `{T}`",
    note = "a chain puts the result of one task before the arguments of the next; `si` makes a call that takes none"
)]
pub trait After<T> {}

impl<T: Fits<P>, P> After<T> for (P,) {}
impl<T> After<T> for Immutable {}

impl<M, T> Call<M, T> {
    fn new(signature: Signature) -> Self {
        Self {
            signature,
            types: PhantomData,
        }
    }

    /// A call of the task `D`.
    pub fn of<D: Define<Output = T>, G: Given<D, Missing = M>>(arguments: G) -> Self {
        Self::new(arguments.fill(Signature::new(D::name())))
    }

    /// The same call, which takes nothing from the one before it.
    #[must_use]
    pub fn immutable(self) -> Call<Immutable, T>
    where
        M: Complete,
    {
        Call::new(self.signature.immutable())
    }
}

impl<M: Complete, T> Call<M, T> {
    /// Sends it. As `.delay()`; errors as [`App::send`].
    pub async fn delay(self, app: &App) -> Result<TypedResult<T>, Error> {
        Ok(TypedResult::new(app.send(self).await?))
    }
}

/// What a signature can be told, a call can be told.
macro_rules! told {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        impl<M, T> Call<M, T> {
            $(
                #[doc = concat!("As [`Signature::", stringify!($name), "`].")]
                #[must_use]
                pub fn $name(self, $($argument: $type),*) -> Self {
                    Self::new(self.signature.$name($($argument),*))
                }
            )*
        }
    };
}

told! {
    kwarg(name: &str, value: impl Serialize);
    queue(queue: impl Into<String>);
    task_id(id: impl Into<String>);
    countdown(countdown: Duration);
    eta(eta: impl Into<SystemTime>);
    expires(after: Duration);
    priority(priority: u8);
    time_limit(limit: Duration);
    soft_time_limit(limit: Duration);
    ignore_result();
    header(name: &str, value: impl Serialize);
    link(callback: impl Into<Signature>);
    link_error(errback: impl Into<Signature>);
}

impl<M, T> From<Call<M, T>> for Signature {
    fn from(call: Call<M, T>) -> Self {
        call.signature
    }
}

impl<M, T> Clone for Call<M, T> {
    fn clone(&self) -> Self {
        Self::new(self.signature.clone())
    }
}

impl<M, T, N: After<T>, U> BitOr<Call<N, U>> for Call<M, T> {
    type Output = Call<M, U>;

    /// `self`, and then `next` with its result.
    fn bitor(self, next: Call<N, U>) -> Call<M, U> {
        Call::new(self.signature | next.signature)
    }
}

impl<M, T> BitOr<Signature> for Call<M, T> {
    type Output = Signature;

    fn bitor(self, next: Signature) -> Signature {
        self.signature | next
    }
}

impl<M, T> BitOr<Call<M, T>> for Signature {
    type Output = Signature;

    fn bitor(self, next: Call<M, T>) -> Signature {
        self | next.signature
    }
}
