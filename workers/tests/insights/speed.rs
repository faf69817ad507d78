//! How fast calls are analysed; measured, not asserted.
//!
//!     cargo test --release -p workers --test insights speed -- --ignored --nocapture

use std::time::Instant;

use futures::{StreamExt, stream};
use serde::Deserialize;
use workers::insights::InsightsSettings;

use super::{engine, reference};

/// The shipped sample, as the data sets server gives it.
#[derive(Deserialize)]
struct Sample {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    row: Call,
}

/// What the customer and the agent said; one side may be missing.
#[derive(Deserialize)]
struct Call {
    input: Option<String>,
    output: Option<String>,
}

#[tokio::test]
#[ignore = "a measurement"]
async fn speed() {
    let started = Instant::now();
    let engine = engine(&InsightsSettings::default()).await;
    println!("models loaded in {:.2} s", started.elapsed().as_secs_f64());
    let sample: Sample = reference("sample/calls.json");
    let text = |side: &Option<String>| side.clone().unwrap_or_default();
    let calls: Vec<_> = sample
        .rows
        .iter()
        .take(100)
        .map(|row| (text(&row.row.input), text(&row.row.output)))
        .collect();
    for at_once in [1, 8, 32, 128] {
        let started = Instant::now();
        let analyses = stream::iter(&calls)
            .map(|(customer, agent)| engine.analyse(customer, agent))
            .buffer_unordered(at_once);
        let failed = analyses.filter(|analysis| std::future::ready(analysis.is_err()));
        assert_eq!(failed.count().await, 0);
        let rate = calls.len() as f64 / started.elapsed().as_secs_f64();
        println!("{at_once} at once: {rate:.0} calls/s");
    }
}
