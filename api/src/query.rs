//! Reading the listing's parameters: what each may be, and how they may not contradict.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use store::CallFilter;

/// The parameters as they came, apart from their syntax unchecked.
#[derive(Debug, Default)]
pub struct Query {
    /// Most calls on the page.
    pub limit: u64,
    /// Calls to skip.
    pub offset: u64,
    /// Calls of this agent only.
    pub agent_id: Option<String>,
    /// A moment or a day.
    pub from_date: Option<String>,
    /// A moment or a day, which counts to its end.
    pub to_date: Option<String>,
    /// Lowest sentiment.
    pub min_sentiment: Option<f64>,
    /// Highest sentiment.
    pub max_sentiment: Option<f64>,
    /// Words to search for.
    pub q: Option<String>,
}

/// The most words to search for, and the most characters of them.
const MOST_WORDS: usize = 32;
const MOST_CHARACTERS: usize = 300;

impl Query {
    /// The filter that the parameters mean.
    ///
    /// # Errors
    /// When one of them makes no sense, by itself or beside another; the text says which.
    pub fn filter(self) -> Result<CallFilter, String> {
        if !(1..=100).contains(&self.limit) {
            return Err("`limit` must be between 1 and 100".to_owned());
        }
        let sentiments = [("min", self.min_sentiment), ("max", self.max_sentiment)];
        for (name, score) in sentiments {
            if score.is_some_and(|score| !(-1.0..=1.0).contains(&score)) {
                return Err(format!("`{name}_sentiment` must be between -1 and 1"));
            }
        }
        ordered("sentiment", self.min_sentiment.zip(self.max_sentiment))?;
        let from = date("from_date", self.from_date.as_deref(), start_of)?;
        let to = date("to_date", self.to_date.as_deref(), end_of)?;
        ordered("date", from.zip(to))?;
        Ok(CallFilter {
            limit: self.limit,
            offset: self.offset,
            agent_id: self.agent_id,
            from,
            to,
            min_sentiment: self.min_sentiment,
            max_sentiment: self.max_sentiment,
            q: self.q.as_deref().map(words).transpose()?,
        })
    }
}

/// The words to search for, each once: every further one costs as much as the first.
fn words(q: &str) -> Result<String, String> {
    let too_many = || format!("`q` may have {MOST_WORDS} words and {MOST_CHARACTERS} characters");
    if q.chars().nth(MOST_CHARACTERS).is_some() {
        return Err(too_many());
    }
    let mut words: Vec<&str> = Vec::new();
    for word in q.split_whitespace() {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    match words.len() <= MOST_WORDS {
        true => Ok(words.join(" ")),
        false => Err(too_many()),
    }
}

fn ordered<T: PartialOrd>(what: &str, pair: Option<(T, T)>) -> Result<(), String> {
    match pair {
        Some((low, high)) if low > high => Err(match what {
            "date" => "`from_date` is after `to_date`".to_owned(),
            _ => format!("`min_{what}` is greater than `max_{what}`"),
        }),
        _ => Ok(()),
    }
}

/// Reads a moment, or a day of which `edge` gives the moment that is meant.
fn date(
    name: &str,
    text: Option<&str>,
    edge: fn(NaiveDate) -> Option<NaiveDateTime>,
) -> Result<Option<DateTime<Utc>>, String> {
    let Some(text) = text.map(str::trim) else {
        return Ok(None);
    };
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let found = match day {
        Some(day) => edge(day).map(|moment| moment.and_utc()),
        None => moment(text),
    };
    found.filter(in_range).map(Some).ok_or_else(|| {
        format!("`{name}` must be a date (2025-03-31) or an RFC 3339 time (2025-03-31T09:30:00Z)")
    })
}

/// An RFC 3339 time. A plus that was not escaped arrives as a space; no offset means UTC.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let with_offset = |text: &str| DateTime::parse_from_rfc3339(text).ok();
    let bare = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok();
    with_offset(text)
        .or_else(|| with_offset(&text.replace(' ', "+")))
        .map(|moment| moment.to_utc())
        .or_else(|| bare().map(|moment| moment.and_utc()))
}

/// The years that both databases can order.
fn in_range(moment: &DateTime<Utc>) -> bool {
    use chrono::Datelike;
    (1..=9999).contains(&moment.year())
}

fn start_of(day: NaiveDate) -> Option<NaiveDateTime> {
    Some(day.and_time(NaiveTime::MIN))
}

/// The day's last microsecond, which is the finest that PostgreSQL knows.
fn end_of(day: NaiveDate) -> Option<NaiveDateTime> {
    let next = day.checked_add_days(Days::new(1))?;
    Some(next.and_time(NaiveTime::MIN) - TimeDelta::microseconds(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test fails by panicking

    use super::*;

    fn filter(from: &str, to: &str) -> Result<CallFilter, String> {
        let query = Query {
            limit: 10,
            from_date: Some(from.to_owned()),
            to_date: Some(to.to_owned()),
            ..Query::default()
        };
        query.filter()
    }

    #[test]
    fn a_day_is_meant_whole() {
        let filter = filter("2025-03-31", "2025-03-31").unwrap();
        assert_eq!(
            filter.from.unwrap().to_rfc3339(),
            "2025-03-31T00:00:00+00:00"
        );
        assert_eq!(
            filter.to.unwrap().to_rfc3339(),
            "2025-03-31T23:59:59.999999+00:00"
        );
    }

    #[test]
    fn times_may_have_an_offset_an_unescaped_plus_or_neither() {
        let filter = filter("2025-03-31T12:00:00 02:00", "2025-03-31T11:00:00.5").unwrap();
        assert_eq!(
            filter.from.unwrap().to_rfc3339(),
            "2025-03-31T10:00:00+00:00"
        );
        assert_eq!(
            filter.to.unwrap().to_rfc3339(),
            "2025-03-31T11:00:00.500+00:00"
        );
    }

    #[test]
    fn words_are_few_and_each_is_searched_for_once() {
        assert_eq!(words(" late  parcel late ").unwrap(), "late parcel");
        assert_eq!(words(&"late ".repeat(60)).unwrap(), "late");
        assert_eq!(words(&"漢".repeat(300)).unwrap(), "漢".repeat(300));
        let numbers = |count: u32| (0..count).map(|n| format!("{n} ")).collect::<String>();
        assert!(words(&numbers(32)).is_ok());
        for q in [numbers(33), "a".repeat(301)] {
            let reason = words(&q).unwrap_err();
            assert_eq!(reason, "`q` may have 32 words and 300 characters");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for from in [
            "",
            "yesterday",
            "2025-02-30",
            "2025-13-01T00:00:00Z",
            "262142-12-31",
        ] {
            assert!(filter(from, "9999-12-31").is_err(), "{from}");
        }
        assert!(filter("2025-04-01", "2025-03-31").is_err());
        for (min, max) in [
            (0.5, 0.4),
            (f64::NAN, 1.0),
            (-1.5, 1.0),
            (0.0, f64::INFINITY),
        ] {
            let query = Query {
                limit: 10,
                min_sentiment: Some(min),
                max_sentiment: Some(max),
                ..Query::default()
            };
            assert!(query.filter().is_err(), "{min} {max}");
        }
    }
}
