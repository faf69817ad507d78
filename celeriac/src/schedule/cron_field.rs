//! One field of a crontab (`celery.schedules.crontab_parser`).

use std::collections::BTreeSet;

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
}

impl<const FIRST: u32, const LAST: u32> TryFrom<Spec> for CronField<FIRST, LAST> {
    type Error = String;

    fn try_from(spec: Spec) -> Result<Self, String> {
        let bounds = Bounds {
            first: FIRST,
            last: LAST,
        };
        let values = match &spec {
            Spec::Number(number) => BTreeSet::from([bounds.within(*number)?]),
            Spec::Numbers(numbers) => {
                let numbers = numbers.iter().map(|&number| bounds.within(number));
                numbers.collect::<Result<_, _>>()?
            }
            Spec::Text(text) => bounds.list(text)?,
        };
        if values.is_empty() {
            return Err("a list of no numbers never comes: write * for all".to_owned());
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

/// The numbers that a field may hold, both ends included.
#[derive(Clone, Copy)]
struct Bounds {
    first: u32,
    last: u32,
}

impl Bounds {
    /// `0,30-45/5`
    fn list(self, text: &str) -> Result<BTreeSet<u32>, String> {
        let mut numbers = BTreeSet::new();
        for part in text.split(',') {
            numbers.extend(self.part(part)?);
        }
        Ok(numbers)
    }

    /// `*`, `*/15`, `8-17`, `8-17/2` or `8`. As in Celery, nobody looks at what
    /// follows a complete range or step.
    fn part(self, part: &str) -> Result<Vec<u32>, String> {
        let everything = || (self.first..=self.last).collect();
        if part == "*" {
            return Ok(everything());
        }
        if let Some(step) = part.strip_prefix("*/") {
            return stepped(everything(), step);
        }
        let Some((from, to, rest)) = ends(part) else {
            return Ok(vec![self.one(part)?]);
        };
        let span = self.span(self.one(from)?, self.one(to)?);
        match rest.strip_prefix('/') {
            Some(step) => stepped(span, step),
            None => Ok(span),
        }
    }

    /// From one number to the other, around the end if need be: `fri-mon`.
    fn span(self, from: u32, to: u32) -> Vec<u32> {
        if from <= to {
            return (from..=to).collect();
        }
        (from..=self.last).chain(self.first..=to).collect()
    }

    /// A number, or the name of one.
    fn one(self, text: &str) -> Result<u32, String> {
        let Self { first, last } = self;
        match whole(text).or_else(|| named(text)) {
            Some(number) => self.within(number.into()),
            None if text.is_empty() => Err("a part is empty: write * for all".to_owned()),
            None => Err(format!(
                "cannot read {text:?}: write a number from {first} to {last}, the name of a day \
                 or a month, a range such as {first}-{last}, or *"
            )),
        }
    }

    fn within(self, number: i64) -> Result<u32, String> {
        let Self { first, last } = self;
        let small = u32::try_from(number).ok();
        let within = small.filter(|number| (first..=last).contains(number));
        within.ok_or_else(|| {
            format!("{number} is out of range: write a number from {first} to {last}")
        })
    }
}

/// Both ends of the range that `part` begins with, and what follows it.
fn ends(part: &str) -> Option<(&str, &str, &str)> {
    let (from, rest) = word(part)?;
    let (to, rest) = word(rest.strip_prefix('-')?)?;
    Some((from, to, rest))
}

/// The letters and digits that `text` begins with, and what follows them.
fn word(text: &str) -> Option<(&str, &str)> {
    let part_of_it = |character: char| character.is_alphanumeric() || character == '_';
    let end = text.find(|character| !part_of_it(character));
    Some(text.split_at(end.unwrap_or(text.len()))).filter(|(word, _)| !word.is_empty())
}

/// The first of `numbers` and every so many after it.
fn stepped(numbers: Vec<u32>, step: &str) -> Result<Vec<u32>, String> {
    let (step, _) = word(step).ok_or("a step is missing after the /: write a number, as in */5")?;
    match whole(step) {
        Some(step) if step > 0 => Ok(numbers.into_iter().step_by(step as usize).collect()),
        _ => Err(format!(
            "{step:?} is no step: write a number from 1 on, as in */5"
        )),
    }
}

/// A number as Python's `int()` reads it: with blanks around it, a plus, and
/// underscores between digits. No field holds one that is larger than a `u32`.
fn whole(text: &str) -> Option<u32> {
    let text = text.trim();
    let mut groups = text.strip_prefix('+').unwrap_or(text).split('_');
    let digits = groups.try_fold(String::new(), |digits, group| {
        let numeric = !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit());
        numeric.then(|| digits + group)
    })?;
    Some(digits.parse().unwrap_or(u32::MAX))
}

/// What a month or a day stands for. Three letters decide: `mar`, `March` and
/// `marathon` are 3.
fn named(text: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let letters: String = text.chars().take(3).collect();
    let letters = letters.to_lowercase();
    let mut names = MONTHS.into_iter().zip(1..).chain(DAYS.into_iter().zip(0..));
    names
        .find(|(name, _)| *name == letters)
        .map(|(_, number)| number)
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
    fn what_follows_a_range_or_a_step_is_not_looked_at() -> Result<(), String> {
        assert_eq!(values::<6>("1-3-5")?, [1, 2, 3]);
        assert_eq!(values::<6>("1-5/2/9")?, [1, 3, 5]);
        assert_eq!(values::<6>("1-3 5/2")?, [1, 2, 3]);
        assert_eq!(values::<6>("*/4-9")?, [0, 4]);
        Ok(())
    }

    #[test]
    fn what_is_no_field_says_what_to_write() {
        for (text, expected) in [
            ("1,", "write * for all"),
            ("*/", "a step is missing after the /"),
            ("1-3/", "a step is missing after the /"),
            ("*/0", "\"0\" is no step: write a number from 1 on"),
            ("*/x", "\"x\" is no step: write a number from 1 on"),
            ("8", "8 is out of range: write a number from 0 to 6"),
            ("99999999999", "write a number from 0 to 6"),
            ("-3", "cannot read \"-3\": write a number from 0 to 6"),
            (
                "someday",
                "cannot read \"someday\": write a number from 0 to 6",
            ),
        ] {
            let reason = values::<6>(text).err().unwrap_or_default();
            assert!(reason.contains(expected), "{text}: {reason}");
        }
        let list = CronField::<0, 6>::try_from(Spec::Numbers(vec![1, -9]));
        assert!(list.is_err_and(|reason| reason.contains("-9 is out of range")));
    }
}
