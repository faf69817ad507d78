//! A task's options, changed by `task_annotations`.

use super::TaskOptions;
use crate::config::{Annotation, TaskAnnotations};

impl TaskOptions {
    /// Changes them as the configuration says of a task.
    pub(crate) fn annotate(&mut self, annotations: &TaskAnnotations, task: &str) {
        for annotation in annotations.of(task) {
            self.change(annotation);
        }
    }

    fn change(&mut self, annotation: &Annotation) {
        fn set<T: Clone>(option: &mut Option<T>, value: &Option<T>) {
            if value.is_some() {
                option.clone_from(value);
            }
        }
        set(&mut self.rate_limit, &annotation.rate_limit);
        set(&mut self.time_limit, &annotation.time_limit);
        set(&mut self.soft_time_limit, &annotation.soft_time_limit);
        set(&mut self.max_retries, &annotation.max_retries);
        set(&mut self.acks_late, &annotation.acks_late);
        set(
            &mut self.acks_on_failure,
            &annotation.acks_on_failure_or_timeout,
        );
        set(
            &mut self.acks_on_timeout,
            &annotation.acks_on_failure_or_timeout,
        );
        set(
            &mut self.reject_on_worker_lost,
            &annotation.reject_on_worker_lost,
        );
        set(&mut self.ignore_result, &annotation.ignore_result);
        set(&mut self.track_started, &annotation.track_started);
        if let Some(delay) = annotation.default_retry_delay {
            self.default_retry_delay = delay;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_all_wins_over_what_stands_for_one() -> Result<(), serde_json::Error> {
        let read = |text| serde_json::from_str::<TaskAnnotations>(text);
        let annotations = read(
            r#"[{"a": {"time_limit": 5, "max_retries": 1, "queue": "one"}},
                {"*": {"time_limit": 9, "queue": "all"}, "a": {"max_retries": 7}}]"#,
        )?;
        let mut options = TaskOptions::default();
        options.annotate(&annotations, "a");
        assert_eq!(
            (options.time_limit, options.max_retries),
            (Some(9.0), Some(1))
        );
        assert_eq!(annotations.queue("a").map(String::as_str), Some("all"));
        assert_eq!(annotations.priority("a"), None);
        let mut options = TaskOptions::default();
        options.annotate(&annotations, "b");
        assert_eq!(
            (options.time_limit, options.max_retries),
            (Some(9.0), Some(3))
        );
        let wrong = read(r#"{"a": {"tyme_limit": 5}}"#).map_err(|error| error.to_string());
        assert!(wrong.is_err_and(|text| text.contains("tyme_limit")));
        Ok(())
    }
}
