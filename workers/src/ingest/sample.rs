//! The calls that are embedded in the program, for a first start without a
//! network.

use std::sync::LazyLock;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::decode;
use super::source::{FetchError, RawPage, TranscriptSource};

/// A page of the data sets server that holds every row.
static CALLS: LazyLock<Result<Calls, serde_json::Error>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../sample/calls.json")));

#[derive(Deserialize)]
struct Calls {
    features: Box<RawValue>,
    rows: Vec<Box<RawValue>>,
}

/// A page in the data sets server's shape.
#[derive(Serialize)]
struct Page<'a> {
    features: &'a RawValue,
    rows: &'a [Box<RawValue>],
    num_rows_total: usize,
    num_rows_per_page: u64,
    partial: bool,
}

/// The embedded sample.
#[derive(Debug, Clone, Copy)]
pub struct Sample;

#[async_trait]
impl TranscriptSource for Sample {
    fn name(&self) -> String {
        "sample".to_owned()
    }

    async fn fetch(&self, offset: u64, limit: u64) -> Result<RawPage, FetchError> {
        let calls = CALLS
            .as_ref()
            .map_err(|error| FetchError::Settings(format!("the sample is damaged: {error}")))?;
        let end = calls.rows.len();
        let place = |row: u64| usize::try_from(row).map_or(end, |row| row.min(end));
        let page = Page {
            features: &calls.features,
            rows: &calls.rows[place(offset)..place(offset.saturating_add(limit))],
            num_rows_total: end,
            num_rows_per_page: limit,
            partial: false,
        };
        decode::page(serde_json::to_vec(&page)?, offset)
    }
}
