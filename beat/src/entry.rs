//! `beat add`: an entry from the command line.

use anyhow::Context;
use celeriac::schedule::{BeatEntry, Crontab, EntryOptions, Interval, Schedule, Solar, SolarEvent};
use clap::Args;
use serde_json::{Map, Value};

/// An entry to add.
#[derive(Args)]
pub struct NewEntry {
    /// The entry's name
    name: String,
    /// The task that it sends
    task: String,
    #[command(flatten)]
    schedule: When,
    /// The task's positional arguments, a JSON list
    #[arg(long, value_name = "JSON", default_value = "[]")]
    args: String,
    /// The task's keyword arguments, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    kwargs: String,
    /// The queue [default: the task's route]
    #[arg(long)]
    queue: Option<String>,
    /// Other options of apply_async, a JSON object: {"expires": 60, "priority": 3}
    #[arg(long, value_name = "JSON", default_value = "{}")]
    options: String,
    /// Count --every from whole days, hours or minutes
    #[arg(long, requires = "every")]
    relative: bool,
}

/// When it runs: one of these.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct When {
    /// Every so many seconds
    #[arg(long, value_name = "SECONDS")]
    every: Option<f64>,
    /// At these times: "minute hour day_of_month month_of_year day_of_week",
    /// as in "*/15 8-17 * * mon-fri"
    #[arg(long, value_name = "FIELDS")]
    crontab: Option<String>,
    /// When the sun is there: an event (sunrise, solar_noon, dusk_civil, …),
    /// the latitude and the longitude
    #[arg(long, num_args = 3, value_names = ["EVENT", "LAT", "LON"], allow_negative_numbers = true)]
    solar: Option<Vec<String>>,
}

impl NewEntry {
    /// Its name and what it is.
    pub fn entry(self) -> anyhow::Result<(String, BeatEntry)> {
        let mut options: Map<String, Value> =
            serde_json::from_str(&self.options).context("--options")?;
        if let Some(queue) = self.queue {
            options.insert("queue".to_owned(), queue.into());
        }
        let options: EntryOptions = serde_json::from_value(options.into()).context("--options")?;
        let entry = BeatEntry {
            args: serde_json::from_str(&self.args).context("--args")?,
            kwargs: serde_json::from_str(&self.kwargs).context("--kwargs")?,
            options,
            relative: self.relative,
            ..BeatEntry::new(self.task, self.schedule.schedule()?)
        };
        Ok((self.name, entry))
    }
}

impl When {
    fn schedule(self) -> anyhow::Result<Schedule> {
        let wrong = anyhow::Error::msg;
        if let Some(seconds) = self.every {
            let interval = Interval::try_from(seconds).map_err(wrong)?;
            return Ok(Schedule::Interval(interval));
        }
        if let Some(fields) = self.crontab {
            let crontab = Crontab::from_string(&fields).map_err(wrong);
            return Ok(Schedule::Crontab(Box::new(crontab.context("--crontab")?)));
        }
        let solar = self.solar.unwrap_or_default();
        let [event, lat, lon] = solar.as_slice() else {
            anyhow::bail!("--solar: EVENT LAT LON");
        };
        let event: SolarEvent = event.parse().context("--solar")?;
        let degrees = |text: &String| text.parse().with_context(|| format!("--solar: {text:?}"));
        let solar = Solar::new(event, degrees(lat)?, degrees(lon)?);
        Ok(Schedule::Solar(solar.map_err(wrong)?))
    }
}
