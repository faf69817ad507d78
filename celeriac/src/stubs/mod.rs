//! The tasks of a worker as a Python module, for those who call them: each is
//! a `shared_task` with the name, signature, type hints, defaults and
//! documentation that it has in Rust.
//!
//! ```python
//! from rust_tasks import insights
//! insights.process.delay(call={"id": 7})
//! ```
//!
//! What is dotted in a task's name becomes classes, so that one file has it
//! all. Of one module alone, its functions are written without them: that
//! file can take the place of the Python module that the tasks came from.
//!
//! - [`Worker::stubs`](crate::Worker::stubs): writes it
//! - `tree`: tasks by the parts of their names
//! - `signature`: what is in a function's parentheses
//! - `python`: texts and names as Python reads them

mod python;
mod signature;
mod tree;

use crate::task::Task;
use tree::Tree;

/// What every module begins with.
const HEAD: &str = r#""""Tasks that run in Rust.

Written by a Celeriac worker: to change it, change the tasks.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task
"#;

/// The module of these `tasks`, without those that Celery itself has.
pub(crate) fn module<'a>(tasks: impl Iterator<Item = &'a Task>, module: Option<&str>) -> String {
    let mut tree = Tree::default();
    for task in tasks.filter(|task| !task.name().starts_with("celery.")) {
        let inside = match module {
            Some(module) => within(task.name(), module),
            None => Some(task.name()),
        };
        if let Some(path) = inside {
            tree.insert(path, task);
        }
    }
    let mut out = HEAD.to_owned();
    tree.write(0, &mut out);
    out
}

/// `process` of `insights.process` within `insights`.
fn within<'a>(name: &'a str, module: &str) -> Option<&'a str> {
    name.strip_prefix(module)?.strip_prefix('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Args, Parameters, TaskError};

    fn tasks() -> Vec<Task> {
        async fn run(Args((x, _)): Args<(i64, f64)>) -> Result<Option<i64>, TaskError> {
            Ok(Some(x))
        }
        let new = |signature| Task::new(signature, run).ok();
        let class = new("a.class.del(x, y=1.5)").map(|t| t.documented("Says \"\"\"hi\"\"\" \\o/"));
        let both = new("a.b(from, y)");
        let below = new("a.b.c(x, *, y='it')").map(|task| task.documented("One.\n\nTwo."));
        let builtin = new("celery.none(x, y)");
        [class, both, below, builtin]
            .into_iter()
            .flatten()
            .collect()
    }

    fn body(text: &str) -> &str {
        text.strip_prefix(HEAD).unwrap_or(text)
    }

    #[test]
    fn names_become_classes() {
        let wanted = r#"

class a:
    @shared_task(name='a.b')
    def b(*args: Any, **kwargs: Any) -> int | None:
        raise NotImplementedError('a.b runs in Rust')

    class b_:
        @shared_task(name='a.b.c')
        def c(x: int, *, y: float = 'it') -> int | None:
            """One.

            Two.
            """
            raise NotImplementedError('a.b.c runs in Rust')

    class class_:
        @shared_task(name='a.class.del')
        def del_(x: int, y: float = 1.5) -> int | None:
            """Says \"\"\"hi\"\"\" \\o/"""
            raise NotImplementedError('a.class.del runs in Rust')
"#;
        assert_eq!(body(&module(tasks().iter(), None)), wanted);
    }

    #[test]
    fn a_module_alone_has_functions() {
        let text = module(tasks().iter(), Some("a.class"));
        let begins = "\n\n@shared_task(name='a.class.del')\ndef del_(x: int";
        assert!(body(&text).starts_with(begins), "{text}");
    }

    #[test]
    fn signatures_are_pythons() {
        let wrote = |parameters: &Parameters| signature::of(parameters);
        let parameters = Parameters::default()
            .required::<Vec<u8>>("data")
            .optional::<Option<String>>("label", "x")
            .var_args("rest")
            .required::<bool>("deep")
            .var_kwargs("more");
        let wanted =
            "data: list[int], label: str | None = 'x', *rest: Any, deep: bool, **more: Any";
        assert_eq!(wrote(&parameters), wanted);
        let middle = Parameters::default()
            .optional::<Option<u8>>("x", None)
            .required::<u8>("y");
        assert_eq!(wrote(&middle), "x: int | None = None, y: int = ...");
    }
}
