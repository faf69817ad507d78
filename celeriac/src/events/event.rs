//! An event as it is written (`celery/events/event.py`).

use chrono::{Local, Utc};
use serde::Serialize;

/// Any event: who sends it and when around what it tells, in Celery's order.
#[derive(Serialize)]
pub(crate) struct Event<'a, F> {
    hostname: &'a str,
    /// Hours west of UTC.
    utcoffset: f64,
    pid: u32,
    clock: u64,
    #[serde(flatten)]
    fields: F,
    /// Seconds since 1970.
    timestamp: f64,
    #[serde(rename = "type")]
    kind: &'a str,
}

impl<'a, F: Serialize> Event<'a, F> {
    /// An event of now.
    pub fn new(kind: &'a str, hostname: &'a str, clock: u64, fields: F) -> Self {
        Self {
            hostname,
            utcoffset: f64::from(-Local::now().offset().local_minus_utc()) / 3600.0,
            pid: std::process::id(),
            clock,
            fields,
            timestamp: Utc::now().timestamp_micros() as f64 / 1e6,
            kind,
        }
    }
}

/// Which software a worker is.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Software {
    sw_ident: &'static str,
    sw_ver: &'static str,
    sw_sys: &'static str,
}

impl Software {
    /// This one.
    pub const THIS: Self = Self {
        sw_ident: "celeriac",
        sw_ver: env!("CARGO_PKG_VERSION"),
        sw_sys: if cfg!(target_os = "macos") {
            "Darwin"
        } else {
            "Linux"
        },
    };
}
