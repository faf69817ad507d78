//! The names that settings had before Celery 4: `CELERYD_CONCURRENCY` for
//! `worker_concurrency`, as `celery/app/defaults.py` has them.

use super::known;

/// The setting among `settings` that was once called `name`, in any case.
pub(super) fn new_name<'a>(
    name: &str,
    mut settings: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = name.to_lowercase();
    match known::renamed(&name) {
        Some(new) => settings.find(|setting| *setting == new),
        None => settings.find(|setting| old_name(setting) == name),
    }
}

fn old_name(setting: &str) -> String {
    match setting.split_once('_') {
        Some(("beat", name)) => format!("celerybeat_{name}"),
        Some(("worker", name)) => format!("celeryd_{name}"),
        Some(("task", name)) => format!("celery_{name}"),
        Some((
            "arangodb" | "cache" | "couchbase" | "event" | "mongodb" | "redis" | "result"
            | "security",
            _,
        )) => format!("celery_{setting}"),
        _ if matches!(
            setting,
            "accept_content" | "imports" | "include" | "timezone"
        ) =>
        {
            format!("celery_{setting}")
        }
        _ => setting.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_have_new_ones() {
        let settings = [
            "worker_concurrency",
            "result_expires",
            "timezone",
            "task_routes",
        ];
        let new = |old| new_name(old, settings.into_iter());
        assert_eq!(new("CELERYD_CONCURRENCY"), Some("worker_concurrency"));
        assert_eq!(new("CELERY_TASK_RESULT_EXPIRES"), Some("result_expires"));
        assert_eq!(new("CELERY_TIMEZONE"), Some("timezone"));
        assert_eq!(new("celery_routes"), Some("task_routes"));
        assert_eq!(new("CELERY_NOTHING"), None);
    }
}
