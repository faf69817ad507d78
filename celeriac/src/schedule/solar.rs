//! `celery.schedules.solar`: when the sun is at some height.

use std::fmt::Display;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use solar_positioning::{Horizon, Location, SolarEvents, SolarPositions, delta_t};

use super::{Due, ScheduleError};

/// An event that has not come by then is looked for again.
const LONGEST_SEARCH: TimeDelta = TimeDelta::days(366);
/// An event this near has come: nobody can tell its time more exactly, and
/// it must not be found again from where it was found. As ephem has it.
const SAME_EVENT: TimeDelta = TimeDelta::milliseconds(100);
/// What the air lifts the sun by at the horizon, degrees.
const REFRACTION: f64 = 34.0 / 60.0;
/// The sun's radius in degrees, seen from one astronomical unit away.
const RADIUS: f64 = 959.63 / 3600.0;

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

/// Which way the sun goes.
#[derive(Clone, Copy)]
enum Passage {
    Rises(Altitude),
    Sets(Altitude),
    Transits,
}

#[derive(Clone, Copy)]
enum Altitude {
    /// Of the centre, degrees.
    Centre(f64),
    /// Where the upper edge is at the horizon.
    Edge,
}

impl SolarEvent {
    fn passage(self) -> Passage {
        use Altitude::{Centre, Edge};
        use Passage::{Rises, Sets};
        match self {
            Self::DawnAstronomical => Rises(Centre(-18.0)),
            Self::DawnNautical => Rises(Centre(-12.0)),
            Self::DawnCivil => Rises(Centre(-6.0)),
            Self::Sunrise => Rises(Edge),
            Self::SolarNoon => Passage::Transits,
            Self::Sunset => Sets(Edge),
            Self::DuskCivil => Sets(Centre(-6.0)),
            Self::DuskNautical => Sets(Centre(-12.0)),
            Self::DuskAstronomical => Sets(Centre(-18.0)),
        }
    }
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
        let found = self.search(start + SAME_EVENT, end)?;
        Ok(found.unwrap_or(end))
    }

    fn search(
        &self,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, solar_positioning::Error> {
        let place = Location {
            latitude: self.0.lat,
            longitude: self.0.lon,
        };
        let delta_t = delta_t::estimate_from_date_like(&start)?;
        let events = SolarEvents::new();
        let find = |altitude, rises| {
            let horizon = Horizon::Custom(altitude);
            if rises {
                events.next_rise(&start, &end, place, delta_t, horizon)
            } else {
                events.next_set(&start, &end, place, delta_t, horizon)
            }
        };
        let (altitude, rises) = match self.0.event.passage() {
            Passage::Transits => {
                return events.next_transit(&start, &end, place.longitude, delta_t);
            }
            Passage::Rises(altitude) => (altitude, true),
            Passage::Sets(altitude) => (altitude, false),
        };
        let Altitude::Centre(altitude) = altitude else {
            // The sun's size then may not be what it is now.
            let near = find(edge(start, delta_t)?, rises)?.unwrap_or(end);
            return find(edge(near, delta_t)?, rises);
        };
        find(altitude, rises)
    }
}

/// Where the centre is when the upper edge is at the horizon.
fn edge(at: DateTime<Utc>, delta_t: f64) -> Result<f64, solar_positioning::Error> {
    let prepared = SolarPositions::new().for_time(&at, delta_t)?;
    let distance = prepared.earth_radius_vector().unwrap_or(1.0);
    Ok(-REFRACTION - RADIUS / distance)
}

impl TryFrom<Arguments> for Solar {
    type Error = String;

    fn try_from(arguments: Arguments) -> Result<Self, String> {
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
