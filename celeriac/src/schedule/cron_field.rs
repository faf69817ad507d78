//! One field of a crontab (`celery.schedules.crontab_parser`).

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// A field as it is written, and the numbers from `FIRST` to `LAST` that it
/// stands for.
///
/// It is written as a number, a list of numbers, or a text: numbers, names
/// (`mon`, `Tuesday`, `jan`), ranges (`1-5`, `fri-mon`) and `*`, each range
/// with a step (`*/15`, `8-17/2`), and all of it in a list (`0,30-45/5`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Spec", into = "Spec")]
pub struct CronField<const FIRST: u32, const LAST: u32> {
    spec: Spec,
    values: BTreeSet<u32>,
}

/// What the configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "must be a number, a text or a list of numbers")]
enum Spec {
    Number(i64),
    Numbers(Vec<i64>),
    Text(String),
}

impl<const FIRST: u32, const LAST: u32> CronField<FIRST, LAST> {
    /// The field that a text describes.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Spec::Text(text.to_owned()).try_into()
    }

    /// As Python shows it.
    pub(super) fn repr(&self) -> String {
        match &self.spec {
            Spec::Number(number) => number.to_string(),
            Spec::Numbers(numbers) => format!("{numbers:?}"),
            Spec::Text(text) => format!("'{text}'"),
        }
    }

    /// Whether it is written as `*`, which is not the same as naming all.
    pub(super) fn is_star(&self) -> bool {
        matches!(&self.spec, Spec::Text(text) if text == "*")
    }

    pub(super) fn contains(&self, value: u32) -> bool {
        self.values.contains(&value)
    }

    /// The numbers, ascending.
    pub(super) fn values(&self) -> impl Iterator<Item = u32> + '_ {
        self.values.iter().copied()
    }

    pub(super) fn smallest(&self) -> u32 {
        self.values.first().copied().unwrap_or(FIRST)
    }

    /// The first number after `value`.
    pub(super) fn after(&self, value: u32) -> Option<u32> {
        self.values().find(|&number| number > value)
    }
}

impl<const FIRST: u32, const LAST: u32> TryFrom<Spec> for CronField<FIRST, LAST> {
    type Error = String;

    fn try_from(spec: Spec) -> Result<Self, String> {
        let range = Range {
            first: FIRST,
            last: LAST,
        };
        let numbers = match &spec {
            Spec::Number(number) => vec![*number],
            Spec::Numbers(numbers) => numbers.clone(),
            Spec::Text(text) => range.parse(text)?,
        };
        let values = numbers.into_iter().map(|number| range.check(number));
        let values = values.collect::<Result<BTreeSet<_>, _>>()?;
        if values.is_empty() {
            return Err("a list of no numbers never comes".to_owned());
        }
        Ok(Self { spec, values })
    }
}

impl<const FIRST: u32, const LAST: u32> From<CronField<FIRST, LAST>> for Spec {
    fn from(field: CronField<FIRST, LAST>) -> Self {
        field.spec
    }
}

impl<const FIRST: u32, const LAST: u32> Default for CronField<FIRST, LAST> {
    fn default() -> Self {
        Self {
            spec: Spec::Text("*".to_owned()),
            values: (FIRST..=LAST).collect(),
        }
    }
}

impl<const FIRST: u32, const LAST: u32> std::fmt::Display for CronField<FIRST, LAST> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.spec {
            Spec::Number(number) => number.fmt(f),
            Spec::Numbers(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
                f.write_str(&numbers.join(","))
            }
            Spec::Text(text) => text.fmt(f),
        }
    }
}

// They match at the beginning, and what follows is not looked at.
#[allow(clippy::unwrap_used)] // The patterns are constants.
static RANGE_STEPS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(\w+?)-(\w+)/(\w+)?").unwrap());
#[allow(clippy::unwrap_used)] // The patterns are constants.
static RANGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(\w+?)-(\w+)").unwrap());
#[allow(clippy::unwrap_used)] // The patterns are constants.
static STAR_STEPS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\*/(\w+)?").unwrap());

/// The numbers that a field may hold, both ends included.
#[derive(Clone, Copy)]
struct Range {
    first: u32,
    last: u32,
}

impl Range {
    fn parse(self, text: &str) -> Result<Vec<i64>, String> {
        let mut numbers = Vec::new();
        for part in text.split(',') {
            if part.is_empty() {
                return Err("empty part".to_owned());
            }
            numbers.extend(self.part(part)?);
        }
        Ok(numbers)
    }

    fn part(self, part: &str) -> Result<Vec<i64>, String> {
        if let Some(found) = RANGE_STEPS.captures(part) {
            return every(&self.between(&found[1], &found[2])?, found.get(3));
        }
        if let Some(found) = RANGE.captures(part) {
            return self.between(&found[1], &found[2]);
        }
        if let Some(found) = STAR_STEPS.captures(part) {
            return every(&self.all(), found.get(1));
        }
        if part == "*" {
            return Ok(self.all());
        }
        Ok(vec![self.number(part)?])
    }

    fn all(self) -> Vec<i64> {
        (self.first.into()..=self.last.into()).collect()
    }

    /// From one to the other, around the end if need be: `fri-mon`.
    fn between(self, from: &str, to: &str) -> Result<Vec<i64>, String> {
        let (from, to) = (self.number(from)?, self.number(to)?);
        if from <= to {
            return Ok((from..=to).collect());
        }
        let around = self.first.into()..=to;
        Ok((from..=self.last.into()).chain(around).collect())
    }

    fn number(self, text: &str) -> Result<i64, String> {
        if text.starts_with('-') {
            return Err("negative numbers not supported".to_owned());
        }
        let named = || month(text).or_else(|| weekday(text));
        let number = int(text)
            .or_else(named)
            .ok_or_else(|| format!("Invalid weekday literal '{text}'."))?;
        if number > self.last.into() {
            return Err(format!("Invalid end range: {number} > {}.", self.last));
        }
        if number < self.first.into() {
            let first = self.first;
            return Err(format!("Invalid beginning range: {number} < {first}."));
        }
        Ok(number)
    }

    fn check(self, number: i64) -> Result<u32, String> {
        let Self { first, last } = self;
        let small = u32::try_from(number).ok();
        small
            .filter(|number| (first..=last).contains(number))
            .ok_or_else(|| {
                format!(
                    "Invalid crontab pattern. Valid range is {first}-{last}. \
                     '{number}' was found."
                )
            })
    }
}

/// Every so many of `numbers`, as a slice in Python takes them.
fn every(numbers: &[i64], steps: Option<regex::Match<'_>>) -> Result<Vec<i64>, String> {
    let steps = steps.ok_or("empty filter")?.as_str();
    match int(steps).map(usize::try_from) {
        Some(Ok(0)) => Err("a step of 0 leads nowhere".to_owned()),
        Some(Ok(steps)) => Ok(numbers.iter().copied().step_by(steps).collect()),
        _ => Err(format!("{steps:?} is no step")),
    }
}

/// As Python's `int()`: with blanks around, and underscores between digits.
fn int(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix('+').unwrap_or(text);
    let grouped = digits
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    // More digits than that are too many for any field.
    let value = || digits.replace('_', "").parse().unwrap_or(i64::MAX);
    grouped.then(value)
}

/// Three letters decide: `mar`, `March` and `marathon` are 3.
fn month(name: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    Some(position(&MONTHS, name)? + 1)
}

fn weekday(name: &str) -> Option<i64> {
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    position(&DAYS, name)
}

fn position(names: &[&str], name: &str) -> Option<i64> {
    let abbreviation: String = name.chars().take(3).flat_map(char::to_lowercase).collect();
    let index = names.iter().position(|&known| known == abbreviation)?;
    i64::try_from(index).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<const LAST: u32>(text: &str) -> Result<Vec<u32>, String> {
        Ok(CronField::<0, LAST>::parse(text)?.values().collect())
    }

    #[test]
    fn a_field_stands_for_numbers() -> Result<(), String> {
        assert_eq!(values::<59>("*/20,8-10")?, [0, 8, 9, 10, 20, 40]);
        assert_eq!(values::<6>("Fri-monday")?, [0, 1, 5, 6]);
        assert_eq!(values::<6>("fri-mon/2")?, [0, 5]);
        Ok(())
    }

    #[test]
    fn what_is_no_field_says_why() {
        let wrong = |text| values::<6>(text).err().unwrap_or_default();
        assert_eq!(wrong("1,"), "empty part");
        assert_eq!(wrong("*/"), "empty filter");
        assert_eq!(wrong("8"), "Invalid end range: 8 > 6.");
        assert_eq!(wrong("-3"), "negative numbers not supported");
        assert_eq!(wrong("someday"), "Invalid weekday literal 'someday'.");
        assert_eq!(wrong("*/0"), "a step of 0 leads nowhere");
        let list = CronField::<0, 6>::try_from(Spec::Numbers(vec![1, 9]));
        assert!(list.is_err_and(|reason| reason.contains("Valid range is 0-6. '9' was found")));
    }
}
