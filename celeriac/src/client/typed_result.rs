//! A handle that knows the type of its result.

use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::AsyncResult;
use crate::error::Error;

/// A task that has been sent, and returns a `T`: an [`AsyncResult`] whose
/// [`get`](Self::get) needs no type.
pub struct TypedResult<T> {
    result: AsyncResult,
    returned: PhantomData<fn() -> T>,
}

impl<T> TypedResult<T> {
    pub(crate) fn new(result: AsyncResult) -> Self {
        Self {
            result,
            returned: PhantomData,
        }
    }

    /// The handle of a result of any type.
    pub fn into_untyped(self) -> AsyncResult {
        self.result
    }
}

impl<T: DeserializeOwned> TypedResult<T> {
    /// Waits for its result. Errors as [`AsyncResult::get`].
    pub async fn get(&self, timeout: Duration) -> Result<T, Error> {
        self.result.get(timeout).await
    }
}

impl<T> Clone for TypedResult<T> {
    fn clone(&self) -> Self {
        Self::new(self.result.clone())
    }
}

impl<T> Deref for TypedResult<T> {
    type Target = AsyncResult;

    fn deref(&self) -> &AsyncResult {
        &self.result
    }
}
