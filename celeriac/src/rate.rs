//! Rate limits as Celery writes them (`celery.utils.time.rate`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often a task may start: `10/s`, `100/m`, `5/h`; a number alone is a
/// second's, and 0 is without limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub struct Rate {
    text: String,
    per_second: f64,
}

/// Why a text is no rate, in the words of the Python exception it causes.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RateError {
    /// What stands before the slash is no number.
    #[error("could not convert string to float: '{0}'")]
    Number(String),
    /// What stands behind it is not `s`, `m` or `h`.
    #[error("'{0}'")]
    Unit(String),
}

impl Rate {
    /// The time from one start to the next; `None` without limit.
    pub fn interval(&self) -> Option<Duration> {
        let limited = self.per_second > 0.0;
        limited.then(|| Duration::try_from_secs_f64(1.0 / self.per_second).unwrap_or(Duration::MAX))
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
        let seconds = match unit {
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            unit => return Err(RateError::Unit(unit.to_owned())),
        };
        let times: f64 = number
            .trim()
            .parse()
            .map_err(|_| RateError::Number(number.to_owned()))?;
        Ok(Self {
            text: text.to_owned(),
            per_second: times / seconds,
        })
    }
}

impl fmt::Display for Rate {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.text
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Number(serde_json::Number),
}

impl TryFrom<Written> for Rate {
    type Error = RateError;

    fn try_from(written: Written) -> Result<Self, RateError> {
        match written {
            Written::Text(text) => text.parse(),
            Written::Number(number) => number.to_string().parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_celery_reads() {
        let interval = |text: &str| text.parse::<Rate>().map(|rate| rate.interval());
        assert_eq!(interval("10/s"), Ok(Some(Duration::from_millis(100))));
        assert_eq!(interval("30/m"), Ok(Some(Duration::from_secs(2))));
        assert_eq!(interval("1/h"), Ok(Some(Duration::from_secs(3600))));
        assert_eq!(interval("0.5"), Ok(Some(Duration::from_secs(2))));
        assert_eq!(interval("0"), Ok(None));
        assert_eq!(interval("1/y"), Err(RateError::Unit("y".to_owned())));
        assert_eq!(interval("x/m"), Err(RateError::Number("x".to_owned())));
    }
}
