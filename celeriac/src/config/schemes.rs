//! The schemes of the addresses that there is something behind. What opens them
//! is in `client/open.rs`.

/// Redis, under kombu's names and redis-py's.
pub(crate) const REDIS: &[&str] = &["redis", "rediss", "redis+socket", "redis+unix", "unix"];
/// A broker in this process, under kombu's name.
pub(crate) const MEMORY: &[&str] = &["memory"];
/// Results in this process, under Celery's name.
pub(crate) const CACHE_MEMORY: &[&str] = &["cache+memory"];

/// Whether the address has one of these schemes, in whatever case.
pub(crate) fn fits(url: &str, schemes: &[&str]) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| schemes.iter().any(|it| it.eq_ignore_ascii_case(scheme)))
}
