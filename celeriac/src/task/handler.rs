//! Async functions as tasks: each argument says how it is extracted.

use std::cell::OnceCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::Value;

use super::given::encoded;
use super::{Arguments, Context, Failure, TaskError};
use crate::value::json::{self, Entries, Reader};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A task's body with its types erased.
pub(super) type Body = Arc<dyn Fn(Invocation) -> BoxFuture<Result<Value, TaskError>> + Send + Sync>;

/// One call of a task: where extractors take from.
#[derive(Clone)]
pub struct Invocation {
    /// The running task.
    pub context: Context,
    /// Its arguments, bound to the signature.
    pub arguments: Arguments,
}

/// A type that a task's function can ask for.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a task",
    note = "take `Args<(A, B)>` for the task's arguments, `State<T>` for shared state, or `Context`"
)]
pub trait Extract: Sized {
    /// Whether a function that takes it knows its request. As `bind=True`.
    const BOUND: bool = false;

    /// The Rust names of the arguments' types, as a tuple's, if it has them.
    fn types() -> Option<&'static str> {
        None
    }

    /// Takes the value from a call.
    fn extract(invocation: &Invocation) -> Result<Self, TaskError>;
}

/// The task's arguments: a tuple in the signature's order (followed by a list
/// if it has `*args` and a map if it has `**kwargs`), or a struct by name.
#[derive(Clone, Debug)]
pub struct Args<T>(pub T);

/// Shared state, by type.
#[derive(Clone, Debug)]
pub struct State<T>(pub Arc<T>);

impl Extract for Context {
    const BOUND: bool = true;

    fn extract(invocation: &Invocation) -> Result<Self, TaskError> {
        Ok(invocation.context.clone())
    }
}

impl Extract for Arguments {
    fn extract(invocation: &Invocation) -> Result<Self, TaskError> {
        Ok(invocation.arguments.clone())
    }
}

impl<T: Send + Sync + 'static> Extract for State<T> {
    fn extract(invocation: &Invocation) -> Result<Self, TaskError> {
        let state = invocation.context.state();
        state.map(Self).ok_or_else(|| {
            let name = std::any::type_name::<T>();
            Failure::new(
                "RuntimeError",
                format!("the worker has no state of type {name}"),
            )
            .into()
        })
    }
}

impl<T: DeserializeOwned> Extract for Args<T> {
    fn types() -> Option<&'static str> {
        Some(std::any::type_name::<T>())
    }

    fn extract(invocation: &Invocation) -> Result<Self, TaskError> {
        let value = T::deserialize(Bound {
            arguments: &invocation.arguments,
            places: &OnceCell::new(),
        });
        value
            .map(Self)
            .map_err(|error| Failure::new("TypeError", error.to_string()).into())
    }
}

impl Invocation {
    /// One of the arguments that have a name.
    pub fn argument<T: DeserializeOwned>(&self, name: &str) -> Result<T, TaskError> {
        read(name, self.arguments.named.get(name).unwrap_or(&Value::Null))
    }

    /// What `*args` took, by its `name`.
    pub fn args<T: DeserializeOwned>(&self, name: &str) -> Result<T, TaskError> {
        let args = self.arguments.args.clone().unwrap_or_default();
        read(name, &Value::Array(args))
    }

    /// What `**kwargs` took, by its `name`.
    pub fn kwargs<T: DeserializeOwned>(&self, name: &str) -> Result<T, TaskError> {
        let kwargs = self.arguments.kwargs.clone().unwrap_or_default();
        read(name, &Value::Object(kwargs))
    }
}

fn read<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T, TaskError> {
    json::from_value(value)
        .map_err(|error| Failure::new("TypeError", format!("argument '{name}': {error}")).into())
}

/// Arguments as serde sees them: by name for a struct, by place for a tuple.
struct Bound<'a> {
    arguments: &'a Arguments,
    /// Those by place, once somebody asks.
    places: &'a OnceCell<Value>,
}

impl<'a> Bound<'a> {
    fn by_place(&self) -> Reader<'a> {
        let Arguments {
            named,
            args,
            kwargs,
        } = self.arguments;
        let rest = args.clone().map(Value::Array).into_iter();
        let rest = rest.chain(kwargs.clone().map(Value::Object));
        let all = || named.values().cloned().chain(rest).collect();
        Reader(self.places.get_or_init(all))
    }
}

impl<'de> Deserializer<'de> for Bound<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.by_place().deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        Entries::of(&self.arguments.named).deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct newtype_struct seq tuple tuple_struct enum identifier
        ignored_any
    }
}

/// An async function that can be a task: its arguments are [`Extract`], its
/// result is `Result<impl Serialize, TaskError>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a task",
    note = "a task is an `async fn` of up to five extractors that returns `Result<impl Serialize, TaskError>`"
)]
pub trait Handler<A>: Clone + Send + Sync + 'static {
    /// Whether it knows its request. As `bind=True`.
    const BOUND: bool;

    /// The Rust names of its arguments' types, as a tuple's, and of its result's.
    fn types() -> (Option<&'static str>, &'static str);

    /// Runs the function once.
    fn call(self, invocation: Invocation) -> impl Future<Output = Result<Value, TaskError>> + Send;
}

pub(super) fn body<H: Handler<A>, A: 'static>(handler: H) -> Body {
    Arc::new(move |invocation| Box::pin(handler.clone().call(invocation)))
}

macro_rules! handler {
    ($($argument:ident),*) => {
        impl<F, Fut, R, $($argument),*> Handler<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<R, TaskError>> + Send,
            R: Serialize,
            $($argument: Extract + Send,)*
        {
            const BOUND: bool = false $(|| $argument::BOUND)*;

            fn types() -> (Option<&'static str>, &'static str) {
                let arguments: [Option<&'static str>; _] = [$($argument::types()),*];
                (arguments.into_iter().flatten().next(), std::any::type_name::<R>())
            }

            async fn call(self, invocation: Invocation) -> Result<Value, TaskError> {
                let future = {
                    // A function without arguments takes nothing from the call.
                    let _ = &invocation;
                    self($($argument::extract(&invocation)?),*)
                };
                encoded(&future.await?)
            }
        }
    };
}

handler!();
handler!(A);
handler!(A, B);
handler!(A, B, C);
handler!(A, B, C, D);
handler!(A, B, C, D, E);
