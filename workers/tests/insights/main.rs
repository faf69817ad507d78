//! The insights against what Python says about the same texts with the same
//! weights. `scripts/fetch-model` fetches the encoder that they need.

mod embedding;
mod process;
mod sentiment;
mod speed;

use std::path::Path;

use serde::de::DeserializeOwned;
use workers::insights::{Engine, InsightsSettings};

/// An engine with its models loaded.
async fn engine(settings: &InsightsSettings) -> Engine {
    Engine::start(settings)
        .await
        .expect("the models, which scripts/fetch-model fetches")
}

/// A JSON file of this package.
fn reference<T: DeserializeOwned>(path: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read(path).expect("a file of this package");
    serde_json::from_slice(&text).expect("the expected JSON")
}

/// The largest difference between two components.
fn largest_difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    let pairs = one.iter().zip(other);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
