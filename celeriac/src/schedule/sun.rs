//! Where the sun is.

use std::ops::Range;

use chrono::{DateTime, Utc};
use solar_positioning::{Error, Horizon, Location, SolarEvents, SolarPositions, delta_t};

use super::SolarEvent;

/// What the air lifts the sun by at the horizon, degrees.
const REFRACTION: f64 = 34.0 / 60.0;
/// The sun's radius in degrees, seen from one astronomical unit away.
const RADIUS: f64 = 959.63 / 3600.0;

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

/// Whether this program can tell.
pub fn check() -> Result<(), String> {
    Ok(())
}

/// The first of these events at a place, degrees north and east, in a time.
pub fn search(
    event: SolarEvent,
    place: (f64, f64),
    when: Range<DateTime<Utc>>,
) -> Result<Option<DateTime<Utc>>, String> {
    found(event, place, when).map_err(|error| error.to_string())
}

fn found(
    event: SolarEvent,
    (latitude, longitude): (f64, f64),
    Range { start, end }: Range<DateTime<Utc>>,
) -> Result<Option<DateTime<Utc>>, Error> {
    let place = Location {
        latitude,
        longitude,
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
    let (altitude, rises) = match event.passage() {
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

/// Where the centre is when the upper edge is at the horizon.
fn edge(at: DateTime<Utc>, delta_t: f64) -> Result<f64, Error> {
    let prepared = SolarPositions::new().for_time(&at, delta_t)?;
    let distance = prepared.earth_radius_vector().unwrap_or(1.0);
    Ok(-REFRACTION - RADIUS / distance)
}
