//! Says when schedules are due, a JSON object a line, for tests that compare
//! the answers with Celery's.

use std::io::{BufRead, Write};

use anyhow::Context;
use celeriac::schedule::{Due, Rules, Schedule};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Question {
    /// As in `beat_schedule`.
    schedule: Value,
    relative: bool,
    last_run_at: DateTime<Utc>,
    now: DateTime<Utc>,
    timezone: chrono_tz::Tz,
    /// `beat_cron_starting_deadline`.
    deadline: Option<i64>,
}

impl Question {
    fn answer(self) -> anyhow::Result<Due> {
        let schedule: Schedule = serde_json::from_value(self.schedule)?;
        let rules = Rules {
            zone: self.timezone,
            cron_starting_deadline: self.deadline.map(TimeDelta::seconds),
        };
        Ok(schedule.is_due(self.last_run_at, self.now, self.relative, &rules)?)
    }
}

fn main() -> anyhow::Result<()> {
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let question: Question = serde_json::from_str(&line).context(line)?;
        let answer = match question.answer() {
            Ok(due) => json!([due.is_due, due.next.num_microseconds()]),
            Err(error) => json!(error.to_string()),
        };
        writeln!(output, "{answer}")?;
    }
    Ok(())
}
