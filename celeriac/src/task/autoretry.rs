//! Failures that the worker tries again by itself (`celery.app.autoretry`).

use std::time::Duration;

use rand::Rng;

use super::exceptions::catches;
use super::{Failure, Retry, TaskOptions};

impl TaskOptions {
    /// The retry that a `failure` calls for after so many `retries`, if any.
    pub(crate) fn autoretry(&self, failure: &Failure, retries: u32) -> Option<Retry> {
        let class = failure.class();
        let among = |classes: &[String]| classes.iter().any(|base| catches(base, &class));
        let again = among(&self.autoretry_for) && !among(&self.dont_autoretry_for);
        again.then(|| match self.backoff(retries) {
            Some(seconds) => Retry::after(Duration::from_secs(seconds)),
            None => Retry::default(),
        })
    }

    /// Whole seconds until the next retry. As `get_exponential_backoff_interval`.
    fn backoff(&self, retries: u32) -> Option<u64> {
        if self.retry_backoff == 0.0 {
            return None;
        }
        let factor = self.retry_backoff.max(1.0) as u64;
        let grown = factor.saturating_mul(2_u64.saturating_pow(retries));
        let seconds = grown.min(self.retry_backoff_max as u64);
        Some(match self.retry_jitter {
            true => rand::rng().random_range(0..=seconds),
            false => seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_maximum() {
        let mut options = TaskOptions {
            retry_backoff: 2.5,
            retry_backoff_max: 9.0,
            retry_jitter: false,
            ..TaskOptions::default()
        };
        let pauses = |options: &TaskOptions| -> Vec<Option<u64>> {
            [0, 1, 2, 3, 999].map(|n| options.backoff(n)).to_vec()
        };
        assert_eq!(pauses(&options), [2, 4, 8, 9, 9].map(Some));
        options.retry_jitter = true;
        let longest = [2, 4, 8, 9, 9].map(Some);
        assert!(pauses(&options).iter().zip(longest).all(|(a, b)| *a <= b));
        options.retry_backoff = 0.0;
        assert_eq!(options.backoff(3), None);
    }

    #[test]
    fn exceptions_from_the_rule_are_failures() {
        let options = TaskOptions {
            autoretry_for: vec!["OSError".to_owned()],
            dont_autoretry_for: vec!["FileNotFoundError".to_owned()],
            ..TaskOptions::default()
        };
        let retried = |class| options.autoretry(&Failure::new(class, "why"), 0).is_some();
        assert!(retried("ConnectionError"));
        assert!(!retried("FileNotFoundError"));
        assert!(!retried("ValueError"));
    }
}
