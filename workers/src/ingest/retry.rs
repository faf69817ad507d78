//! Trying a page again: after what, how often, and after how long.

use std::time::{Duration, SystemTime};

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::HeaderValue;

use super::settings::IngestSettings;
use super::source::{FetchError, RawPage, TranscriptSource};

/// The longest wait between two tries. Where the server asks for more, the
/// page is not tried again in this run: a later one goes on where it stopped.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Fetches a page; tries again, as often as the settings say, after what may
/// pass by itself, and waits as long as the server asks.
///
/// # Errors
/// The last [`FetchError`].
pub async fn fetch(
    source: &dyn TranscriptSource,
    settings: &IngestSettings,
    offset: u64,
    limit: u64,
) -> Result<RawPage, FetchError> {
    let backoff = ExponentialBuilder::default()
        .with_min_delay(settings.retry_backoff())
        .with_max_delay(LONGEST_WAIT)
        .with_max_times(settings.retries)
        .with_jitter();
    (|| source.fetch(offset, limit))
        .retry(backoff)
        .when(|error| error.is_transient() && !asks_too_much(error))
        .adjust(|error, wait| wait.map(|wait| error.retry_after().unwrap_or(wait)))
        .notify(|error, wait| tracing::warn!(%error, offset, ?wait, "trying the page again"))
        .await
}

/// Whether the server wants to be left alone for longer than a run waits.
pub fn asks_too_much(error: &FetchError) -> bool {
    error.retry_after().is_some_and(|wait| wait > LONGEST_WAIT)
}

/// Reads `Retry-After`, which is a number of seconds or an HTTP date. A date
/// that is past asks for no wait.
pub fn parse_retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let read = |text: &'static str| parse_retry_after(&HeaderValue::from_static(text), now);
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            read("Sun, 09 Sep 2001 01:47:00 GMT"),
            Some(Duration::from_secs(20))
        );
        assert_eq!(read("Sun, 09 Sep 2001 01:46:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
    }
}
