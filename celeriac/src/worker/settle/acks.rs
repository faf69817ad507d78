//! What becomes of a message when its run is over: the options of its task,
//! else the settings.

use super::Settlement;
use crate::config::Settings;
use crate::task::TaskOptions;

impl Settlement<'_> {
    fn asked(&self) -> (&TaskOptions, &Settings) {
        (self.task().options(), self.shared().app.settings())
    }

    /// Whether it is acknowledged after the run, not when it begins.
    pub(in crate::worker) fn acks_late(&self) -> bool {
        let (options, settings) = self.asked();
        options.acks_late.unwrap_or(settings.task_acks_late)
    }

    /// Whether a late acknowledgement follows a failure.
    pub(in crate::worker) fn acks_on_failure(&self) -> bool {
        let (options, settings) = self.asked();
        let asked = options.acks_on_failure.or(settings.task_acks_on_failure);
        asked.unwrap_or(settings.task_acks_on_failure_or_timeout)
    }

    /// Whether a late acknowledgement follows the hard time limit. If not, the
    /// message goes back to its queue.
    pub(in crate::worker) fn acks_on_timeout(&self) -> bool {
        let (options, settings) = self.asked();
        let asked = options.acks_on_timeout.or(settings.task_acks_on_timeout);
        asked.unwrap_or(settings.task_acks_on_failure_or_timeout)
    }

    /// Whether its task is retried if its child dies, as often as it may be.
    pub(in crate::worker) fn retries_when_lost(&self) -> bool {
        self.asked_to_retry_when_lost() && self.has_retries(None)
    }

    /// Whether it goes back to its queue if its child dies.
    pub(in crate::worker) fn requeues_when_lost(&self) -> bool {
        let (options, settings) = self.asked();
        let asked = options.reject_on_worker_lost;
        let asked = asked.unwrap_or(settings.task_reject_on_worker_lost);
        self.acks_late() && asked && !self.asked_to_retry_when_lost()
    }

    fn asked_to_retry_when_lost(&self) -> bool {
        let (options, settings) = self.asked();
        let asked = options.retry_on_worker_lost;
        asked.unwrap_or(settings.task_retry_on_worker_lost)
    }

    /// Whether it may be retried, `max_retries` times if its run asks for it.
    pub(in crate::worker) fn has_retries(&self, max_retries: Option<u32>) -> bool {
        let most = max_retries.or(self.task().options().max_retries);
        most.is_none_or(|most| self.request().headers().retries < most)
    }
}
