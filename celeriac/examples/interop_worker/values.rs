//! A task that knows the types of its arguments.

use celeriac::TaskError;
use celeriac::task::Task;
use celeriac::value::typed::{Bytes, Decimal, Typed};
use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use uuid::Uuid;

/// The family.
pub fn tasks() -> [Task; 1] {
    [next::task()]
}

/// Finer than what Python's clocks know.
const STEP: TimeDelta = TimeDelta::nanoseconds(1_500);

type Values = (
    Typed<DateTime<FixedOffset>>,
    Typed<NaiveDateTime>,
    Typed<NaiveDate>,
    Typed<NaiveTime>,
    Typed<Decimal>,
    Typed<Uuid>,
    Typed<Bytes>,
);

/// What comes after each: the next day or moment, ten times the decimal, the
/// next id; the bytes turned round.
#[celeriac::task(name = "interop.next")]
async fn next(values: Values) -> Result<Values, TaskError> {
    let (aware, naive, date, time, decimal, id, mut bytes) = values;
    bytes.0.0.reverse();
    Ok((
        Typed(aware.0 + Days::new(1) + STEP),
        Typed(naive.0 + Days::new(1) + STEP),
        Typed(date.0 + Days::new(1)),
        Typed(time.0 + STEP),
        Typed(Decimal(format!("{}E+1", decimal.0.0))),
        Typed(Uuid::from_u128(id.0.as_u128() + 1)),
        bytes,
    ))
}
