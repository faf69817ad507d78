//! What is in a function's parentheses.

use super::python::is_identifier;
use crate::message::repr;
use crate::task::{Parameter, Parameters};

/// What none can be named in.
const ANYTHING: &str = "*args: Any, **kwargs: Any";

/// The parameters as Python writes them.
pub fn of(parameters: &Parameters) -> String {
    if !parameters.named().iter().all(|p| is_identifier(&p.name)) {
        return ANYTHING.to_owned();
    }
    let (args, kwargs) = parameters.rest();
    let write = |parameter| one(parameter, parameters.is_lenient());
    let (by_name, by_place): (Vec<_>, Vec<_>) =
        parameters.named().iter().partition(|p| p.keyword_only);
    let mut out: Vec<String> = by_place.into_iter().map(write).collect();
    match args {
        Some(name) => out.push(format!("*{name}: Any")),
        None if !by_name.is_empty() => out.push("*".to_owned()),
        None => {}
    }
    out.extend(by_name.into_iter().map(write));
    out.extend(kwargs.map(|name| format!("**{name}: Any")));
    out.join(", ")
}

fn one(parameter: &Parameter, lenient: bool) -> String {
    let name = &parameter.name;
    let default = parameter.default.as_ref().map(repr::value);
    // It may or may not have to be given: the task will say.
    let default = default.or_else(|| lenient.then(|| "...".to_owned()));
    let hint = parameter.hint.as_ref().map(ToString::to_string);
    let hint = hint.or_else(|| lenient.then(|| "Any".to_owned()));
    match (hint, default) {
        (Some(hint), Some(default)) => format!("{name}: {hint} = {default}"),
        (Some(hint), None) => format!("{name}: {hint}"),
        (None, Some(default)) => format!("{name}={default}"),
        (None, None) => name.clone(),
    }
}
