//! memsample, memdump, objgraph (`celery/utils/debug.py`).

use std::sync::{Mutex, PoisonError};

use super::command::{Answer, Arguments, Refusal};
use crate::resident::resident_bytes;
use crate::worker::Shared;

/// What `memsample` has seen since the last `memdump`.
#[derive(Default)]
pub(crate) struct Samples(Mutex<Vec<String>>);

pub(super) fn memsample(shared: &Shared) -> Result<Answer, Refusal> {
    let resident = resident();
    if let Some(resident) = &resident {
        let mut samples = shared
            .samples
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        samples.push(resident.clone());
    }
    Answer::now(resident)
}

pub(super) fn memdump(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    let count = arguments.count("samples")?.unwrap_or(10).max(1);
    let mut samples = shared
        .samples
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let samples = std::mem::take(&mut *samples);
    let Some(now) = resident() else {
        return Answer::now("- rss: (unknown on this system).\n");
    };
    let step = samples.len().div_ceil(count).max(1);
    let shown = samples
        .iter()
        .step_by(step)
        .map(|sample| format!("-  > {sample},\n"));
    let head = if samples.is_empty() {
        ""
    } else {
        "- rss (sample):\n"
    };
    Answer::now(format!(
        "{head}{}- rss (end): {now}.\n",
        shown.collect::<String>()
    ))
}

/// There is no interpreter here whose objects could be drawn.
pub(super) fn objgraph() -> Result<Answer, Refusal> {
    Err(Refusal::python(
        "ImportError",
        "Requires the objgraph library",
    ))
}

/// The memory that the process has in use, as Celery's `humanbytes` writes it.
fn resident() -> Option<String> {
    resident_bytes().map(human)
}

fn human(bytes: f64) -> String {
    const UNITS: [(f64, &str); 4] = [
        ((1_u64 << 40) as f64, "TB"),
        ((1_u64 << 30) as f64, "GB"),
        ((1_u64 << 20) as f64, "MB"),
        ((1_u64 << 10) as f64, "KB"),
    ];
    let unit = UNITS.into_iter().find(|(size, _)| bytes >= *size);
    unit.map_or(format!("{bytes}b"), |(size, name)| {
        format!("{:.2}{name}", bytes / size)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_for_people() {
        assert_eq!(human(12.0), "12b");
        assert_eq!(human(1536.0 * 1024.0), "1.50MB");
    }
}
