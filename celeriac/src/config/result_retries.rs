//! How often what the result backend does not take for now is tried again.

use std::time::Duration;

use backon::ExponentialBuilder;

use super::Settings;

/// Retries without `result_backend_always_retry`, a second between them: as
/// Celery's own for Redis.
const PLAIN_RETRIES: usize = 20;
const PLAIN_PAUSE: Duration = Duration::from_secs(1);
/// The pauses that Celeriac makes if the settings name none.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// The settings `result_backend_*retr*` together.
pub(crate) struct ResultRetries {
    /// Without end if not given.
    most: Option<usize>,
    shortest: Duration,
    longest: Duration,
}

impl ResultRetries {
    pub fn of(settings: &Settings) -> Self {
        let milliseconds = |given: Option<u64>| given.map(Duration::from_millis);
        let shortest = milliseconds(settings.result_backend_base_sleep_between_retries_ms);
        let longest = milliseconds(settings.result_backend_max_sleep_between_retries_ms);
        let most = settings.result_backend_max_retries;
        let most = most.filter(|most| most.is_finite());
        let plain = settings.result_backend_always_retry == Some(false);
        let at_most = if plain { PLAIN_PAUSE } else { LONGEST };
        Self {
            most: most
                .map(|most| most as usize)
                .or(plain.then_some(PLAIN_RETRIES)),
            shortest: shortest.unwrap_or(SHORTEST),
            longest: longest.unwrap_or(at_most),
        }
    }

    /// What is between the attempts.
    pub fn pauses(&self) -> ExponentialBuilder {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(self.shortest)
            .with_max_delay(self.longest.max(self.shortest))
            .with_jitter();
        match self.most {
            Some(most) => pauses.with_max_times(most),
            None => pauses.without_max_times(),
        }
    }
}

#[cfg(test)]
mod tests {
    use backon::BackoffBuilder;

    use super::*;

    #[test]
    fn retries_end_where_the_settings_say() {
        let most = |settings: &Settings| ResultRetries::of(settings).most;
        assert_eq!(most(&Settings::default()), None);
        let bounded = Settings {
            result_backend_max_retries: Some(3.0),
            result_backend_base_sleep_between_retries_ms: Some(7),
            result_backend_max_sleep_between_retries_ms: Some(20),
            ..Settings::default()
        };
        let pauses: Vec<_> = ResultRetries::of(&bounded).pauses().build().collect();
        assert_eq!(pauses.len(), 3);
        assert!(
            pauses
                .iter()
                .all(|pause| *pause >= Duration::from_millis(7))
        );
        let celery = Settings {
            result_backend_always_retry: Some(false),
            ..Settings::default()
        };
        assert_eq!(most(&celery), Some(20));
        let endless = Settings {
            result_backend_max_retries: Some(f64::INFINITY),
            ..celery
        };
        assert_eq!(most(&endless), Some(20));
    }
}
