//! What stands for the sun where the feature `solar` is off.

use std::ops::Range;

use chrono::{DateTime, Utc};

use super::SolarEvent;

const MISSING: &str = "the sun is not in this program: build it with the feature `solar`";

pub fn check() -> Result<(), String> {
    Err(MISSING.to_owned())
}

pub fn search(
    _event: SolarEvent,
    _place: (f64, f64),
    _when: Range<DateTime<Utc>>,
) -> Result<Option<DateTime<Utc>>, String> {
    Err(MISSING.to_owned())
}
