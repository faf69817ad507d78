//! Tasks by the parts of their names.

use std::collections::BTreeMap;

use super::{python, signature};
use crate::task::Task;
use crate::value::repr;

/// What is at one part of the names.
#[derive(Default)]
pub struct Tree<'a> {
    task: Option<&'a Task>,
    below: BTreeMap<String, Tree<'a>>,
}

impl<'a> Tree<'a> {
    /// Puts a task where its dotted `path` leads.
    pub fn insert(&mut self, path: &str, task: &'a Task) {
        match path.split_once('.') {
            Some((part, rest)) => self.at(part).insert(rest, task),
            None => self.at(path).task = Some(task),
        }
    }

    fn at(&mut self, part: &str) -> &mut Self {
        self.below.entry(part.to_owned()).or_default()
    }

    /// Writes what is below.
    pub fn write(&self, depth: usize, out: &mut String) {
        let indent = "    ".repeat(depth);
        let mut first = true;
        for (part, tree) in &self.below {
            let mut name = python::identifier(part).into_owned();
            if let Some(task) = tree.task {
                out.push_str(gap(depth, std::mem::take(&mut first)));
                function(&name, task, &indent, out);
                // A task and a module of one name: Python has room for one.
                name.push('_');
            }
            if !tree.below.is_empty() {
                out.push_str(gap(depth, std::mem::take(&mut first)));
                out.push_str(&format!("{indent}class {name}:\n"));
                tree.write(depth + 1, out);
            }
        }
    }
}

fn gap(depth: usize, first: bool) -> &'static str {
    match (depth, first) {
        (0, _) => "\n\n",
        (_, true) => "",
        (_, false) => "\n",
    }
}

fn function(name: &str, task: &Task, indent: &str, out: &mut String) {
    let full = repr::quoted(task.name());
    let ignored = match task.options().ignore_result {
        Some(true) => ", ignore_result=True",
        _ => "",
    };
    let parameters = signature::of(task.parameters());
    let returns = task.returns().map(|hint| format!(" -> {hint}"));
    let returns = returns.unwrap_or_default();
    let inner = format!("{indent}    ");
    let says = repr::quoted(&format!("{} runs in Rust", task.name()));
    out.push_str(&format!(
        "{indent}@shared_task(name={full}{ignored})\n{indent}def {name}({parameters}){returns}:\n"
    ));
    if !task.doc().is_empty() {
        out.push_str(&python::docstring(task.doc(), &inner));
    }
    out.push_str(&format!("{inner}raise NotImplementedError({says})\n"));
}
