//! A task's parameters, written and bound as in Python.

use std::any::type_name;

use serde_json::{Map, Value};

use super::Fits;
use super::hint::{self, Hint};
#[cfg(feature = "rusty")]
use super::probe;
use crate::value::json;

/// A signature that cannot be read; a mistake in the program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid task signature {signature:?}: {reason}")]
pub struct SignatureError {
    signature: String,
    reason: String,
}

/// One named parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    pub name: String,
    /// `None`: the argument is required.
    pub default: Option<Value>,
    pub keyword_only: bool,
    /// What Python may know of its type.
    pub hint: Option<Hint>,
    /// Whether nobody but the task knows if it may be left out.
    pub unsure: bool,
}

/// What a task takes: `(x, y=1, *args, flag=False, **kwargs)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    named: Vec<Parameter>,
    /// The name of `*args`.
    var_args: Option<String>,
    /// The name of `**kwargs`.
    var_kwargs: Option<String>,
    /// Whether a star has been read: what follows goes by name alone.
    keyword_only: bool,
    /// Why it cannot be called: a default that no message could carry.
    unfit: Option<String>,
}

/// A call's arguments after binding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arguments {
    /// The named parameters, in the signature's order.
    pub named: Map<String, Value>,
    /// What `*args` took, if the signature has it.
    pub args: Option<Vec<Value>>,
    /// What `**kwargs` took, if the signature has it.
    pub kwargs: Option<Map<String, Value>>,
}

impl Parameters {
    /// Reads `pkg.task(x, y=1)` into the name and what is in parentheses.
    pub fn parse(signature: &str) -> Result<(String, Self), SignatureError> {
        let wrong = |reason: &str| SignatureError {
            signature: signature.to_owned(),
            reason: reason.to_owned(),
        };
        let Some((name, rest)) = signature.split_once('(') else {
            return Ok((signature.to_owned(), Self::anything()));
        };
        let list = rest
            .strip_suffix(')')
            .ok_or_else(|| wrong("no closing parenthesis"))?;
        let mut parameters = Self::default();
        for item in split(list) {
            parameters.push(item).map_err(|reason| wrong(&reason))?;
        }
        Ok((name.trim().to_owned(), parameters))
    }

    /// `(*args, **kwargs)`.
    pub fn anything() -> Self {
        Self {
            var_args: Some("args".to_owned()),
            var_kwargs: Some("kwargs".to_owned()),
            ..Self::default()
        }
    }

    /// The fields of a struct that `#[celery::task]` has made.
    #[cfg(feature = "rusty")]
    pub(crate) fn of_struct<T: serde::de::DeserializeOwned>(names: &[&str]) -> Self {
        Self {
            named: probe::parameters::<T>(names),
            ..Self::default()
        }
    }

    fn push(&mut self, item: &str) -> Result<(), String> {
        if let Some(name) = item.strip_prefix("**") {
            self.var_kwargs = Some(name.to_owned());
        } else if let Some(name) = item.strip_prefix('*') {
            self.keyword_only = true;
            self.var_args = (!name.is_empty()).then(|| name.to_owned());
        } else {
            let (name, default) = match item.split_once('=') {
                Some((name, default)) => (name, Some(literal(default)?)),
                None => (item, None),
            };
            self.named.push(Parameter {
                name: name.trim().to_owned(),
                default,
                keyword_only: self.keyword_only,
                hint: None,
                unsure: false,
            });
        }
        Ok(())
    }

    /// The same with a parameter that must be given.
    #[must_use]
    pub fn required<T: ?Sized>(self, name: &str) -> Self {
        self.with(name, None, type_name::<T>())
    }

    /// The same with one that need not be given.
    #[must_use]
    pub fn optional<T: ?Sized>(self, name: &str, default: impl Fits<T>) -> Self {
        let default = json::to_value(&default);
        match default {
            Ok(default) => self.with(name, Some(default), type_name::<T>()),
            Err(error) => Self {
                unfit: Some(format!("the default of '{name}': {error}")),
                ..self
            },
        }
    }

    /// The same with `*args`; what follows goes by name alone.
    #[must_use]
    pub fn var_args(mut self, name: &str) -> Self {
        self.keyword_only = true;
        self.var_args = Some(name.to_owned());
        self
    }

    /// The same with `**kwargs`.
    #[must_use]
    pub fn var_kwargs(mut self, name: &str) -> Self {
        self.var_kwargs = Some(name.to_owned());
        self
    }

    fn with(mut self, name: &str, default: Option<Value>, rust: &str) -> Self {
        self.named.push(Parameter {
            name: name.to_owned(),
            default,
            keyword_only: self.keyword_only,
            hint: Some(Hint::of(rust)),
            unsure: false,
        });
        self
    }

    /// The same whose types are those of a tuple, given by its Rust name.
    pub(crate) fn typed(mut self, tuple: &str) -> Self {
        for (parameter, rust) in self.named.iter_mut().zip(hint::members(tuple)) {
            parameter.hint = Some(Hint::of(rust));
        }
        self
    }

    /// The named ones, in order.
    pub(crate) fn named(&self) -> &[Parameter] {
        &self.named
    }

    /// The names of `*args` and `**kwargs`, if there are.
    pub(crate) fn rest(&self) -> (Option<&str>, Option<&str>) {
        (self.var_args.as_deref(), self.var_kwargs.as_deref())
    }

    /// Binds a call's arguments. The error is the text of the `TypeError` that
    /// Python would raise from calling `function`.
    pub fn bind(
        &self,
        function: &str,
        args: &[Value],
        kwargs: &Map<String, Value>,
    ) -> Result<Arguments, String> {
        if let Some(reason) = &self.unfit {
            return Err(format!("{function}(): {reason}"));
        }
        let mut bound = Arguments {
            kwargs: self.var_kwargs.as_ref().map(|_| Map::new()),
            ..Arguments::default()
        };
        let positional = self.named.iter().filter(|p| !p.keyword_only).count();
        if args.len() > positional && self.var_args.is_none() {
            return Err(self.too_many(function, positional, args.len()));
        }
        for (parameter, value) in self.named.iter().zip(args).take(positional) {
            bound.named.insert(parameter.name.clone(), value.clone());
        }
        bound.args = self
            .var_args
            .as_ref()
            .map(|_| args.iter().skip(positional).cloned().collect());
        self.bind_keywords(function, kwargs, &mut bound)?;
        self.fill_defaults(function, &mut bound)?;
        Ok(bound)
    }

    /// The names of those that can be given by place, in order.
    pub(crate) fn positional(&self) -> impl Iterator<Item = &str> {
        let by_place = self.named.iter().filter(|p| !p.keyword_only);
        by_place.map(|p| p.name.as_str())
    }

    /// Whether more than one positional argument can still be given, after
    /// `given` ones and those in `named`. As `arity_greater(partial(…), 1)`.
    pub(crate) fn takes_more_than_one(
        &self,
        given: usize,
        named: Option<&Map<String, Value>>,
    ) -> bool {
        let is_named = |name: &str| named.is_some_and(|named| named.contains_key(name));
        let open = self.positional().skip(given).filter(|name| !is_named(name));
        self.var_args.is_some() || open.count() > 1
    }

    fn bind_keywords(
        &self,
        function: &str,
        kwargs: &Map<String, Value>,
        bound: &mut Arguments,
    ) -> Result<(), String> {
        for (key, value) in kwargs {
            if bound.named.contains_key(key) {
                return Err(format!(
                    "{function}() got multiple values for argument '{key}'"
                ));
            } else if self.named.iter().any(|p| p.name == *key) {
                bound.named.insert(key.clone(), value.clone());
            } else if let Some(rest) = &mut bound.kwargs {
                rest.insert(key.clone(), value.clone());
            } else {
                return Err(format!(
                    "{function}() got an unexpected keyword argument '{key}'"
                ));
            }
        }
        Ok(())
    }

    fn fill_defaults(&self, function: &str, bound: &mut Arguments) -> Result<(), String> {
        let given = std::mem::take(&mut bound.named);
        let (mut positional, mut keyword) = (Vec::new(), Vec::new());
        for parameter in &self.named {
            match given.get(&parameter.name).or(parameter.default.as_ref()) {
                Some(value) => {
                    bound.named.insert(parameter.name.clone(), value.clone());
                }
                None if parameter.unsure => {}
                None if parameter.keyword_only => keyword.push(parameter.name.as_str()),
                None => positional.push(parameter.name.as_str()),
            }
        }
        match (positional.is_empty(), keyword.is_empty()) {
            (false, _) => Err(missing(function, "positional", &positional)),
            (true, false) => Err(missing(function, "keyword-only", &keyword)),
            (true, true) => Ok(()),
        }
    }

    fn too_many(&self, function: &str, positional: usize, given: usize) -> String {
        let required = self
            .named
            .iter()
            .filter(|p| !p.keyword_only && p.default.is_none())
            .count();
        let takes = if required == positional {
            positional.to_string()
        } else {
            format!("from {required} to {positional}")
        };
        let plural = if positional == 1 { "" } else { "s" };
        let verb = if given == 1 { "was" } else { "were" };
        format!("{function}() takes {takes} positional argument{plural} but {given} {verb} given")
    }
}

fn missing(function: &str, kind: &str, names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let list = match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first, second] => format!("{first} and {second}"),
        [head @ .., last] => format!("{}, and {last}", head.join(", ")),
    };
    let plural = if names.len() == 1 { "" } else { "s" };
    format!(
        "{function}() missing {} required {kind} argument{plural}: {list}",
        names.len()
    )
}

/// Splits at commas outside brackets and quotes.
fn split(list: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut quoted) = (0_i32, false);
    list.split(move |c: char| {
        match c {
            '"' | '\'' => quoted = !quoted,
            '[' | '{' | '(' if !quoted => depth += 1,
            ']' | '}' | ')' if !quoted => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0 && !quoted
    })
    .map(str::trim)
    .filter(|item| !item.is_empty())
}

/// A default value: Python's `None`, `True`, `False` and quotes, or JSON.
fn literal(text: &str) -> Result<Value, String> {
    match text.trim() {
        "None" => Ok(Value::Null),
        "True" => Ok(true.into()),
        "False" => Ok(false.into()),
        text => serde_json::from_str(&text.replace('\'', "\""))
            .map_err(|_| format!("cannot read the default {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bind(signature: &str, args: Value, kwargs: Value) -> Result<Arguments, String> {
        let (_, parameters) = Parameters::parse(signature).map_err(|e| e.to_string())?;
        let args = args.as_array().cloned().unwrap_or_default();
        let kwargs = kwargs.as_object().cloned().unwrap_or_default();
        parameters.bind("add", &args, &kwargs)
    }

    #[test]
    fn binds_as_python_does() -> Result<(), String> {
        let bound = bind("t.add(x, y, z=None)", json!([1]), json!({"y": 2}))?;
        assert_eq!(
            Value::Object(bound.named),
            json!({"x": 1, "y": 2, "z": null})
        );
        let bound = bind(
            "add(a, *args, n='x, y', **kw)",
            json!([1, 2, 3]),
            json!({"q": 4}),
        )?;
        assert_eq!(bound.args, Some(vec![json!(2), json!(3)]));
        assert_eq!(Value::Object(bound.named), json!({"a": 1, "n": "x, y"}));
        assert_eq!(bound.kwargs.map(Value::Object), Some(json!({"q": 4})));
        Ok(())
    }

    /// The texts are CPython 3.11's.
    #[test]
    fn refuses_in_pythons_words() {
        let refusal = |args, kwargs| bind("add(x, y)", args, kwargs).err().unwrap_or_default();
        assert_eq!(
            refusal(json!([1]), json!({})),
            "add() missing 1 required positional argument: 'y'"
        );
        assert_eq!(
            refusal(json!([]), json!({})),
            "add() missing 2 required positional arguments: 'x' and 'y'"
        );
        assert_eq!(
            refusal(json!([1, 2, 3]), json!({})),
            "add() takes 2 positional arguments but 3 were given"
        );
        assert_eq!(
            refusal(json!([1]), json!({"x": 1})),
            "add() got multiple values for argument 'x'"
        );
        assert!(bind("add(x, *, y)", json!([1, 2]), json!({})).is_err());
        assert_eq!(
            refusal(json!([1, 2]), json!({"w": 1})),
            "add() got an unexpected keyword argument 'w'"
        );
    }
}
