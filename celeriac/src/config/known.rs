//! What Celery and kombu know and Celeriac does not do: `known.toml` says, for
//! each, whether it is accepted or refused, and why.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use toml::Value;

/// Names that are treated alike, for one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// Why they mean nothing here; they are accepted.
    idle: Option<String>,
    /// Why they cannot be had.
    refused: Option<String>,
    /// Celery's default of each; an empty text is None.
    names: BTreeMap<String, Value>,
    /// What else is accepted in silence.
    #[serde(default)]
    also: BTreeMap<String, Value>,
}

/// What becomes of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    /// It is what Celeriac does.
    Silent,
    /// It means nothing here, for this reason.
    Idle(&'a str),
    /// It is an error, for this reason.
    Refused(&'a str),
}

impl Group {
    /// What becomes of `name` with a value that may be read as any of these.
    pub fn judge(&self, name: &str, values: &[Value]) -> Verdict<'_> {
        let accepted = || self.names.get(name).into_iter().chain(self.also.get(name));
        let mut same = values
            .iter()
            .map(|value| accepted().any(|a| same(a, value)));
        if same.any(|same| same) {
            return Verdict::Silent;
        }
        match (&self.idle, &self.refused) {
            (_, Some(why)) => Verdict::Refused(why),
            (why, None) => Verdict::Idle(why.as_deref().unwrap_or_default()),
        }
    }
}

/// Whether both say the same, to Python: `1` is `1.0` and true, and what is
/// empty is None.
fn same(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Boolean(flag) => Some(f64::from(u8::from(*flag))),
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    let is_empty = |value: &Value| match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Table(table) => table.is_empty(),
        _ => false,
    };
    a == b || (is_empty(a) && is_empty(b)) || number(a).is_some_and(|a| number(b) == Some(a))
}

/// The whole list.
#[derive(Debug, Default, Deserialize)]
struct Known {
    /// New names by those of Celery 3 that follow no rule.
    old: BTreeMap<String, String>,
    /// `settings`, and the options of each setting that is a table of them.
    #[serde(flatten)]
    tables: BTreeMap<String, Vec<Group>>,
}

/// The key of Celery's settings themselves.
pub(super) const SETTINGS: &str = "settings";

/// A test reads it, so that it is never the default.
static KNOWN: LazyLock<Known> =
    LazyLock::new(|| toml::from_str(include_str!("known.toml")).unwrap_or_default());

fn groups(table: &str) -> &'static [Group] {
    KNOWN.tables.get(table).map_or(&[], Vec::as_slice)
}

/// The settings that are tables of options.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    let tables = KNOWN.tables.keys().map(String::as_str);
    tables.filter(|&table| table != SETTINGS)
}

/// What is known of `name` in a table.
pub(super) fn group(table: &str, name: &str) -> Option<&'static Group> {
    let mut groups = groups(table).iter();
    groups.find(|group| group.names.contains_key(name))
}

/// All that is known of a table.
pub(super) fn names(table: &str) -> impl Iterator<Item = &'static str> {
    let groups = groups(table).iter();
    groups.flat_map(|group| group.names.keys().map(String::as_str))
}

/// The new name that follows no rule.
pub(super) fn renamed(old: &str) -> Option<&'static str> {
    KNOWN.old.get(old).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() -> Result<(), toml::de::Error> {
        let known: Known = toml::from_str(include_str!("known.toml"))?;
        let groups = known.tables.values().flatten();
        for group in groups {
            assert!(group.idle.is_some() != group.refused.is_some(), "{group:?}");
        }
        Ok(())
    }

    #[test]
    fn celerys_default_is_accepted_in_silence() -> Result<(), Box<dyn std::error::Error>> {
        let heartbeat = group(SETTINGS, "broker_heartbeat").ok_or("none")?;
        let judge = |value: Value| heartbeat.judge("broker_heartbeat", &[value]);
        assert_eq!(judge(120.into()), Verdict::Silent);
        assert_eq!(judge(120.0.into()), Verdict::Silent);
        assert!(matches!(judge(60.into()), Verdict::Idle(_)));
        let eager = group(SETTINGS, "task_always_eager").ok_or("none")?;
        let judge = |values: &[Value]| eager.judge("task_always_eager", values);
        assert!(matches!(judge(&[true.into()]), Verdict::Refused(_)));
        assert_eq!(judge(&["no".into(), false.into()]), Verdict::Silent);
        Ok(())
    }
}
