//! Fetching pages ahead of the one that is being stored.

use std::ops::Range;
use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};
use tokio_util::task::AbortOnDropHandle;

use super::retry;
use super::settings::IngestSettings;
use super::source::{FetchError, RawPage, TranscriptSource};

/// Fetches the pages of these rows, several at once, and gives each with the
/// rows asked for, in order. Every page is fetched by a task of its own, so
/// that requests go on while another is being stored; what is not taken is
/// broken off.
pub fn pages(
    source: Arc<dyn TranscriptSource>,
    settings: Arc<IngestSettings>,
    rows: Range<u64>,
) -> impl Stream<Item = (Range<u64>, Result<RawPage, FetchError>)> {
    let concurrency = settings.concurrency.get();
    stream::iter(split(rows, settings.page_size.get()))
        .map(move |page| fetch(source.clone(), settings.clone(), page))
        .buffered(concurrency)
}

/// Cuts a range into pieces of this size; the last may be smaller.
fn split(rows: Range<u64>, size: u64) -> impl Iterator<Item = Range<u64>> {
    let next = move |start: u64| {
        let end = start.saturating_add(size).min(rows.end);
        (start < end).then_some((start..end, end))
    };
    let mut start = rows.start;
    std::iter::from_fn(move || {
        let (piece, end) = next(start)?;
        start = end;
        Some(piece)
    })
}

/// Begins at once; the future only waits.
fn fetch(
    source: Arc<dyn TranscriptSource>,
    settings: Arc<IngestSettings>,
    page: Range<u64>,
) -> impl Future<Output = (Range<u64>, Result<RawPage, FetchError>)> {
    let Range { start, end } = page;
    let fetching = AbortOnDropHandle::new(tokio::spawn(async move {
        retry::fetch(&*source, &settings, start, end - start).await
    }));
    async move {
        let fetched = fetching.await.unwrap_or_else(|error| Err(error.into()));
        (start..end, fetched)
    }
}
