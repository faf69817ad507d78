//! The names of the keys that results lie under.

/// What a prefix may end in; an underscore follows any other.
const SEPARATORS: [char; 4] = [':', '_', '-', '.'];

/// Names keys as Celery does, with the prefix that the fleet shares
/// (`global_keyprefix` of `result_backend_transport_options`).
#[derive(Clone, Debug, Default)]
pub(super) struct ResultKeys {
    prefix: String,
}

impl ResultKeys {
    pub fn new(prefix: &str) -> Self {
        let separator = match prefix.is_empty() || prefix.ends_with(SEPARATORS) {
            true => "",
            false => "_",
        };
        Self {
            prefix: format!("{prefix}{separator}"),
        }
    }

    /// The key of a task's meta, and the channel that it is published on.
    pub fn task(&self, id: &str) -> String {
        format!("{}celery-task-meta-{id}", self.prefix)
    }

    /// The key of a group, or of what is counted of it.
    pub fn group(&self, id: &str, suffix: &str) -> String {
        format!("{}celery-taskset-meta-{id}{suffix}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `KeyValueStoreBackend._add_global_keyprefix` of Celery 5.7.
    #[test]
    fn a_prefix_is_kept_apart_from_the_name() {
        let begin = |prefix| ResultKeys::new(prefix).task("1");
        assert_eq!(begin(""), "celery-task-meta-1");
        assert_eq!(begin("shop"), "shop_celery-task-meta-1");
        for prefix in ["shop:", "shop_", "shop-", "shop."] {
            assert_eq!(begin(prefix), format!("{prefix}celery-task-meta-1"));
        }
    }
}
