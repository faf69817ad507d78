//! What is in a function's parentheses.

use super::python::is_identifier;
use crate::task::{Parameter, Parameters};
use crate::value::repr;

/// What none can be named in.
const ANYTHING: &str = "*args: Any, **kwargs: Any";

/// The parameters as Python writes them.
pub fn of(parameters: &Parameters) -> String {
    if !parameters.named().iter().all(|p| is_identifier(&p.name)) {
        return ANYTHING.to_owned();
    }
    let (args, kwargs) = parameters.rest();
    let (by_name, by_place): (Vec<_>, Vec<_>) =
        parameters.named().iter().partition(|p| p.keyword_only);
    // In Python's signatures, what follows an optional parameter is optional.
    let optional = |p: &&Parameter| p.default.is_some() || p.unsure;
    let first = by_place.iter().position(optional).unwrap_or(by_place.len());
    let places = by_place.into_iter().enumerate();
    let mut out: Vec<String> = places.map(|(n, p)| one(p, n > first)).collect();
    match args {
        Some(name) => out.push(format!("*{name}: Any")),
        None if !by_name.is_empty() => out.push("*".to_owned()),
        None => {}
    }
    out.extend(by_name.into_iter().map(|p| one(p, false)));
    out.extend(kwargs.map(|name| format!("**{name}: Any")));
    out.join(", ")
}

/// `x: int = 1`; `...` where the task alone can say whether it is missing.
fn one(parameter: &Parameter, optional: bool) -> String {
    let name = &parameter.name;
    let default = parameter.default.as_ref().map(repr::value);
    let default = default.or_else(|| (optional || parameter.unsure).then(|| "...".to_owned()));
    match (&parameter.hint, default) {
        (Some(hint), Some(default)) => format!("{name}: {hint} = {default}"),
        (Some(hint), None) => format!("{name}: {hint}"),
        (None, Some(default)) => format!("{name}={default}"),
        (None, None) => name.clone(),
    }
}
