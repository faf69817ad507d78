//! The insights against what Python says about the same texts with the same
//! weights. `scripts/fetch-model` fetches the encoder that they need.

mod embedding;
mod sentiment;

use std::path::Path;

use serde::de::DeserializeOwned;
use workers::insights::{Engine, InsightsSettings};

/// An engine with its models loaded.
async fn engine(settings: &InsightsSettings) -> Engine {
    Engine::start(settings)
        .await
        .unwrap_or_else(|fault| panic!("{fault} (scripts/fetch-model fetches the default one)"))
}

/// A JSON list of this package.
fn reference<T: DeserializeOwned>(path: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    serde_json::from_slice(&text).expect("a list")
}

/// The largest difference between two components.
fn largest_difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    let pairs = one.iter().zip(other);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
