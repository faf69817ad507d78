//! From a table of the file, with variables laid over it, to settings.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};
use toml::{Spanned, Value};

use super::known::{self, Group, SETTINGS, Verdict};
use super::place::{File, Place};
use super::text::{self, Text};
use super::wording::{NEAR, nearest, plain, unknown};
use super::{ConfigError, fields, old, variables};

type Entry<'a> = Spanned<DeValue<'a>>;

/// Whose names a table has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Celery's settings. Other programs have variables with their prefix, too.
    Celery,
    /// An application's section.
    Application,
}

/// What is read, and where.
pub(super) struct Reading<'a> {
    pub file: File<'a>,
    pub owner: Owner,
    /// The table's variables, each with its key in lower case and its text.
    pub variables: Vec<(&'a str, String, Text)>,
    pub warnings: Vec<String>,
}

/// A variable with its key and what it says; `None` if that is nothing.
pub(super) fn variable<'a>(
    (variable, text): (&'a String, &'a String),
    prefix: &str,
) -> Option<(&'a str, String, Text)> {
    let key = variable.strip_prefix(prefix)?.to_lowercase();
    let text = text::read(text);
    (text != Text::Unset).then_some((variable.as_str(), key, text))
}

impl<'a> Reading<'a> {
    /// The settings that `table` and the variables say.
    pub fn read<T: DeserializeOwned>(&mut self, table: DeTable<'_>) -> Result<T, ConfigError> {
        let names = Names::of::<T>(self.owner);
        let said = std::mem::take(&mut self.variables);
        let broker = self.broker(&table, &said);
        let texts = texts(&table);
        let mut own = DeTable::new();
        for (key, mut value) in table {
            let place = Place::Offset(self.file, key.span().start);
            match names.kind(key.get_ref()) {
                Kind::Own => {
                    if let Err(refused) = self.accept::<T>(key.get_ref(), &mut value, place) {
                        let text = texts.get(key.get_ref().as_ref());
                        let meant = text.map(|text| self.chosen::<T>(key.get_ref(), text, place));
                        value = meant.and_then(|meant| meant.ok()?).ok_or(refused)?;
                    }
                    own.insert(key, value);
                }
                Kind::Known(group) => {
                    let values: Vec<Value> = plain_value(&value).into_iter().collect();
                    self.judge(group, key.get_ref(), &values, &broker, place)?;
                }
                Kind::Old(new) => return Err(place.error(renamed(key.get_ref(), &new))),
                Kind::Unknown(near) => {
                    return Err(place.error(unknown(key.get_ref(), near.as_deref())));
                }
            }
        }
        for (variable, key, text) in &said {
            self.lay::<T>(&names, &mut own, (variable, key, text), &broker)?;
        }
        let whole = Place::Offset(self.file, 0);
        deserialize(own).map_err(|error| whole.at(error.span()).error(plain(error.message())))
    }

    /// Lays a variable over what the file says.
    fn lay<'t, T: DeserializeOwned>(
        &mut self,
        names: &Names,
        own: &mut DeTable<'t>,
        (variable, key, text): (&str, &String, &'t Text),
        broker: &str,
    ) -> Result<(), ConfigError> {
        let place = Place::Variable(variable);
        match names.kind(key) {
            Kind::Own => {
                // `remove` first: the key keeps its span otherwise.
                own.remove(key.as_str());
                if let Some(value) = self.chosen::<T>(key, text, place)? {
                    own.insert(unplaced(key.clone().into()), value);
                }
                Ok(())
            }
            Kind::Known(group) => self.judge(group, key, &values(text), broker, place),
            Kind::Old(new) => {
                let new = format!("CELERY_{}", new.to_uppercase());
                Err(place.error(renamed(variable, &new)))
            }
            Kind::Unknown(_) if variables::OURS.contains(&variable) => Ok(()),
            Kind::Unknown(near) if self.owner == Owner::Application => {
                Err(place.error(unknown(key, near.as_deref())))
            }
            Kind::Unknown(_) => {
                self.warn_of_typo(names, key, place);
                Ok(())
            }
        }
    }

    /// The first meaning of a variable's text that the setting takes; `None`
    /// for none.
    fn chosen<'t, T: DeserializeOwned>(
        &mut self,
        key: &str,
        text: &'t Text,
        place: Place<'_>,
    ) -> Result<Option<Entry<'t>>, ConfigError> {
        let mut refused = None;
        for meaning in meanings(key, text) {
            let Ok(mut value) = DeValue::parse(meaning) else {
                continue;
            };
            match self.accept::<T>(key, &mut value, place) {
                Ok(()) => return Ok(Some(unplaced(value.into_inner()))),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        refused.map_or(Ok(None), Err)
    }

    /// Takes a value if the setting does; what means nothing in it is taken out.
    fn accept<T: DeserializeOwned>(
        &mut self,
        key: &str,
        value: &mut Entry<'_>,
        place: Place<'_>,
    ) -> Result<(), ConfigError> {
        let mut warnings = Vec::new();
        if let Some(table) = known::tables().find(|&table| table == key)
            && let DeValue::Table(options) = value.get_mut()
        {
            let names = Names::below::<T>(table);
            warnings = sift(&names, options, place)?;
        }
        let alone = DeTable::from_iter([(unplaced(key.to_owned().into()), value.clone())]);
        let (read, remarks) = super::remarks::collect(|| deserialize::<T>(alone));
        match read {
            // It stands elsewhere, or is told of the whole.
            Err(error) if error.message().starts_with("missing field") => {}
            Err(error) => return Err(place.at(error.span()).error(plain(error.message()))),
            Ok(_) => {}
        }
        let remarks = remarks.iter().map(|remark| format!("{place}: {remark}"));
        self.warnings.extend(warnings.into_iter().chain(remarks));
        Ok(())
    }

    /// What becomes of a setting that Celery knows and Celeriac does not do.
    fn judge(
        &mut self,
        group: &Group,
        key: &str,
        values: &[Value],
        broker: &str,
        place: Place<'_>,
    ) -> Result<(), ConfigError> {
        let is_broker = values.iter().any(|value| value.as_str() == Some(broker));
        if is_broker && matches!(key, "broker_read_url" | "broker_write_url") {
            return Ok(());
        }
        self.warnings
            .extend(pronounce(group, key, key, values, place)?);
        Ok(())
    }

    /// `broker_url`, as it is written.
    fn broker(&self, table: &DeTable<'_>, said: &[(&str, String, Text)]) -> String {
        let variable = said.iter().find(|(_, key, _)| key == "broker_url");
        let said = variable.and_then(|(_, _, text)| {
            let mut values = values(text).into_iter();
            values.find_map(|value| value.as_str().map(str::to_owned))
        });
        let written = || Some(table.get("broker_url")?.get_ref().as_str()?.to_owned());
        said.or_else(written).unwrap_or_default()
    }

    /// Other programs have variables that begin with `CELERY_`, too, but a name
    /// that is nearly a setting's was meant to be it.
    fn warn_of_typo(&mut self, names: &Names, key: &str, place: Place<'_>) {
        if variables::is_option(key) {
            return;
        }
        let near = |known: &&str| strsim::normalized_damerau_levenshtein(known, key) > 0.85;
        let meant = names.all().find(near).map(str::to_owned);
        if let Some(meant) = meant.or_else(|| option_of_table(key)) {
            let meant = meant.to_uppercase();
            let warning =
                format!("{place}: no setting has this name; did you mean CELERY_{meant}?");
            self.warnings.push(warning);
        }
    }
}

/// An option of a setting that is a table, written with one underscore between.
fn option_of_table(key: &str) -> Option<String> {
    let mut tables = known::tables();
    tables.find_map(|table| {
        let option = key.strip_prefix(table)?.strip_prefix('_')?;
        Some(format!("{table}__{option}"))
    })
}

/// The file's texts and whole numbers, read as variables: for what does not
/// take them as they stand.
fn texts(table: &DeTable<'_>) -> HashMap<String, Text> {
    let text = |value: &Entry<'_>| match value.get_ref() {
        DeValue::String(text) => Some(text::read(text)),
        DeValue::Integer(number) => Some(text::read(&number.to_string())),
        _ => None,
    };
    let entries = table.iter();
    let texts = entries.filter_map(|(key, value)| Some((key.get_ref().to_string(), text(value)?)));
    texts.collect()
}

/// Takes out of a table of options what means nothing here.
fn sift(
    names: &Names,
    options: &mut DeTable<'_>,
    place: Place<'_>,
) -> Result<Vec<String>, ConfigError> {
    let mut warnings = Vec::new();
    let mut idle = Vec::new();
    for (key, value) in options.iter() {
        let place = place.at(Some(key.span()));
        let name = key.get_ref();
        match names.kind(name) {
            Kind::Own => {}
            Kind::Known(group) => {
                let values: Vec<Value> = plain_value(value).into_iter().collect();
                let called = format!("{}.{name}", names.table);
                warnings.extend(pronounce(group, name, &called, &values, place)?);
                idle.push(name.to_string());
            }
            Kind::Old(_) => {}
            Kind::Unknown(near) => {
                let unknown = unknown(name, near.as_deref());
                return Err(place.error(format!("in `{}`: {unknown}", names.table)));
            }
        }
    }
    for name in idle {
        options.remove(name.as_str());
    }
    Ok(warnings)
}

/// The warning that a value calls for, if it is not refused.
fn pronounce(
    group: &Group,
    name: &str,
    called: &str,
    values: &[Value],
    place: Place<'_>,
) -> Result<Option<String>, ConfigError> {
    match group.judge(name, values) {
        Verdict::Silent => Ok(None),
        Verdict::Idle(why) => Ok(Some(format!(
            "{place}: `{called}` means nothing here: {why}"
        ))),
        Verdict::Refused(why) => Err(place.error(format!("`{called}` cannot be had here: {why}"))),
    }
}

/// The names of a table.
pub(super) struct Names {
    /// Its key in what is known.
    table: &'static str,
    /// What Celeriac does; empty if that is any name.
    own: &'static [&'static str],
}

/// What a name is.
enum Kind {
    Own,
    Known(&'static Group),
    /// It is called so now.
    Old(String),
    /// This may have been meant.
    Unknown(Option<String>),
}

impl Names {
    pub fn of<T: DeserializeOwned>(owner: Owner) -> Self {
        let table = match owner {
            Owner::Celery => SETTINGS,
            Owner::Application => "",
        };
        let own = fields::of::<T>();
        Self { table, own }
    }

    fn below<T: DeserializeOwned>(table: &'static str) -> Self {
        let own = fields::below::<T>(table);
        Self { table, own }
    }

    pub fn all(&self) -> impl Iterator<Item = &'static str> {
        self.own.iter().copied().chain(known::names(self.table))
    }

    fn kind(&self, name: &str) -> Kind {
        if self.own.is_empty() || self.own.contains(&name) {
            return Kind::Own;
        }
        if let Some(group) = known::group(self.table, name) {
            return Kind::Known(group);
        }
        match self.new_name(name) {
            Some(new) => Kind::Old(new.to_owned()),
            None => Kind::Unknown(nearest(name, self.all(), NEAR).map(str::to_owned)),
        }
    }

    /// The name of today for one of Celery 3, or as Django or the environment
    /// have it.
    fn new_name(&self, name: &str) -> Option<&'static str> {
        if self.table != SETTINGS {
            return None;
        }
        let lower = name.to_lowercase();
        let bare = lower.strip_prefix("celery_").unwrap_or(&lower);
        let old = old::new_name(&lower, self.all());
        let old = old.or_else(|| old::new_name(&format!("celery_{lower}"), self.all()));
        old.or_else(|| self.all().find(|known| *known == bare))
    }
}

fn renamed(name: &str, new: &str) -> String {
    format!("`{name}` is called `{new}` here: write that")
}

/// What a variable may mean for a setting.
fn meanings<'t>(key: &str, text: &'t Text) -> Vec<&'t str> {
    match text {
        Text::Value(meanings) => meanings.iter().map(String::as_str).collect(),
        // The one whose None is not its default.
        Text::None if key == "result_expires" => vec!["0"],
        Text::None | Text::Unset => Vec::new(),
    }
}

fn values(text: &Text) -> Vec<Value> {
    let meanings = meanings("", text).into_iter();
    let mut values: Vec<Value> = meanings
        .filter_map(|meaning| meaning.parse().ok())
        .collect();
    if *text == Text::None {
        values.push(Value::String(String::new()));
    }
    values
}

fn plain_value(value: &Entry<'_>) -> Option<Value> {
    Value::deserialize(ValueDeserializer::from(value.clone())).ok()
}

fn deserialize<T: DeserializeOwned>(table: DeTable<'_>) -> Result<T, toml::de::Error> {
    T::deserialize(Deserializer::from(unplaced(table)))
}

fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}
