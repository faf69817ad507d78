//! `celery.schedules.solar`: when the sun is at some height.

use std::fmt::Display;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Due, ScheduleError, sun};

/// An event that has not come by then is looked for again.
const LONGEST_SEARCH: TimeDelta = TimeDelta::days(366);
/// An event this near has come: nobody can tell its time more exactly, and
/// it must not be found again from where it was found. As ephem has it.
const SAME_EVENT: TimeDelta = TimeDelta::milliseconds(100);
/// An event of the sun at a place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Arguments", into = "Arguments")]
pub struct Solar(Arguments);

/// The arguments of `solar()`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    event: SolarEvent,
    /// Degrees north.
    lat: f64,
    /// Degrees east.
    lon: f64,
}

/// What the sun does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SolarEvent {
    /// Its centre rises past 18 degrees below the horizon.
    DawnAstronomical,
    /// Its centre rises past 12 degrees below the horizon.
    DawnNautical,
    /// Its centre rises past 6 degrees below the horizon.
    DawnCivil,
    /// Its upper edge rises, lifted by the air.
    Sunrise,
    /// It passes the meridian.
    SolarNoon,
    /// Its upper edge sets, lifted by the air.
    Sunset,
    /// Its centre sinks past 6 degrees below the horizon.
    DuskCivil,
    /// Its centre sinks past 12 degrees below the horizon.
    DuskNautical,
    /// Its centre sinks past 18 degrees below the horizon.
    DuskAstronomical,
}

impl Solar {
    /// An event at a place, in degrees north and east.
    ///
    /// # Errors
    /// If there is no such place.
    pub fn new(event: SolarEvent, lat: f64, lon: f64) -> Result<Self, String> {
        Self::try_from(Arguments { event, lat, lon })
    }

    /// Whether the event after `last_run_at` has come, and when to look again.
    pub(super) fn is_due(
        &self,
        last_run_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Due, ScheduleError> {
        let next = self.next(last_run_at)?;
        let is_due = next <= now;
        let next = if is_due { self.next(now)? } else { next };
        Ok(Due {
            is_due,
            next: (next - now).max(TimeDelta::zero()),
        })
    }

    /// The first event after `start`. If a year has none, the end of that
    /// search, so that it goes on from there.
    pub(super) fn next(&self, start: DateTime<Utc>) -> Result<DateTime<Utc>, ScheduleError> {
        let end = start + LONGEST_SEARCH;
        let Arguments { event, lat, lon } = self.0;
        let found = sun::search(event, (lat, lon), start + SAME_EVENT..end);
        let found = found.map_err(ScheduleError::Sun)?;
        Ok(found.unwrap_or(end))
    }
}

impl TryFrom<Arguments> for Solar {
    type Error = String;

    fn try_from(arguments: Arguments) -> Result<Self, String> {
        sun::check()?;
        let Arguments { lat, lon, .. } = arguments;
        if !(-90.0..=90.0).contains(&lat) {
            return Err(format!(
                "there is no latitude {lat}: write lat from -90 (south) to 90"
            ));
        }
        if !(-180.0..=180.0).contains(&lon) {
            return Err(format!(
                "there is no longitude {lon}: write lon from -180 (west) to 180"
            ));
        }
        Ok(Self(arguments))
    }
}

impl From<Solar> for Arguments {
    fn from(solar: Solar) -> Self {
        solar.0
    }
}

impl std::str::FromStr for SolarEvent {
    type Err = serde::de::value::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        use serde::de::IntoDeserializer;
        Self::deserialize(name.into_deserializer())
    }
}

impl Display for SolarEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

impl Display for Solar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Arguments { event, lat, lon } = &self.0;
        write!(f, "{event} at lat {lat}, lon {lon}")
    }
}
