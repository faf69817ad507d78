//! What has been revoked (`celery.worker.state.revoked`, `revoked_stamps`).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::task::Request;

/// Ids kept at most, unless `CELERY_WORKER_REVOKES_MAX` says otherwise.
const MAX: usize = 50_000;
/// Seconds that one is kept, unless `CELERY_WORKER_REVOKE_EXPIRES` says otherwise.
const EXPIRES: f64 = 10_800.0;

/// Ids and stamps of tasks that must not run.
pub(crate) struct Revoked {
    ids: RwLock<LimitedSet>,
    stamps: RwLock<HashMap<String, Vec<Value>>>,
}

impl Revoked {
    /// Nothing is revoked yet; bounded as the environment says.
    pub fn from_env() -> Self {
        fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
            std::env::var(name).ok()?.parse().ok()
        }
        let max = variable("CELERY_WORKER_REVOKES_MAX").unwrap_or(MAX);
        let expires = variable("CELERY_WORKER_REVOKE_EXPIRES").unwrap_or(EXPIRES);
        let expires = Duration::try_from_secs_f64(expires).unwrap_or(Duration::MAX);
        Self {
            ids: RwLock::new(LimitedSet::new(max, expires)),
            stamps: RwLock::default(),
        }
    }

    /// Revokes tasks by their ids.
    pub fn add<I: AsRef<str>>(&self, ids: impl IntoIterator<Item = I>) {
        let mut revoked = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        for id in ids {
            revoked.add(id.as_ref().into(), now);
        }
    }

    /// Revokes tasks again that were revoked before a restart, each with the
    /// time since.
    pub fn restore(&self, ids: impl IntoIterator<Item = (Arc<str>, Duration)>) {
        let mut revoked = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        for (id, age) in ids {
            revoked.add(id, now.checked_sub(age).unwrap_or(now));
        }
        revoked.purge(now);
    }

    /// The ids, the oldest first, each with the time since it was revoked.
    pub fn ages(&self) -> Vec<(Arc<str>, Duration)> {
        let mut revoked = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        revoked.purge(now);
        let age = |(id, at): &(Arc<str>, Instant)| (Arc::clone(id), now.duration_since(*at));
        revoked.order.values().map(age).collect()
    }

    /// How often one has been revoked.
    pub fn count(&self) -> u64 {
        let revoked = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        revoked.next
    }

    /// Revokes tasks that have one of these values as this stamp.
    pub fn add_stamps(&self, header: &str, stamps: Vec<Value>) {
        let mut revoked = self.stamps.write().unwrap_or_else(PoisonError::into_inner);
        let known = revoked.entry(header.to_owned()).or_default();
        for stamp in stamps {
            if !known.contains(&stamp) {
                known.push(stamp);
            }
        }
    }

    /// The ids, the oldest first.
    pub fn ids(&self) -> Vec<Arc<str>> {
        let mut revoked = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        revoked.purge(Instant::now());
        revoked
            .order
            .values()
            .map(|(id, _)| Arc::clone(id))
            .collect()
    }

    /// Whether the request must not run.
    pub fn covers(&self, request: &Request) -> bool {
        let ids = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        if ids.places.contains_key(request.headers().id.as_str()) {
            return true;
        }
        drop(ids);
        let stamps = self.stamps.read().unwrap_or_else(PoisonError::into_inner);
        stamps
            .iter()
            .any(|(header, revoked)| !matching_stamps(request, header, revoked).is_empty())
    }
}

/// The stamps of the request under `header` that are among `wanted`.
pub(crate) fn matching_stamps(request: &Request, header: &str, wanted: &[Value]) -> Vec<Value> {
    let headers = request.headers();
    let stamped = headers.stamped_headers.as_deref().unwrap_or_default();
    if !stamped.iter().any(|name| name == header) {
        return Vec::new();
    }
    let stamps = headers
        .stamps
        .as_ref()
        .and_then(|stamps| stamps.get(header));
    let stamps = match stamps {
        Some(Value::Array(stamps)) => stamps.as_slice(),
        Some(stamp) => std::slice::from_ref(stamp),
        None => &[],
    };
    stamps
        .iter()
        .filter(|stamp| wanted.contains(stamp))
        .cloned()
        .collect()
}

/// As `celery.utils.collections.LimitedSet`: forgets the oldest when full,
/// and what has expired.
struct LimitedSet {
    max: usize,
    expires: Duration,
    /// Of each item, its key in `order`.
    places: HashMap<Arc<str>, u64>,
    order: BTreeMap<u64, (Arc<str>, Instant)>,
    next: u64,
}

impl LimitedSet {
    fn new(max: usize, expires: Duration) -> Self {
        Self {
            max,
            expires,
            places: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
        }
    }

    fn add(&mut self, item: Arc<str>, now: Instant) {
        let place = self.next;
        self.next += 1;
        if let Some(before) = self.places.insert(Arc::clone(&item), place) {
            self.order.remove(&before);
        }
        self.order.insert(place, (item, now));
        if self.order.len() > self.max {
            self.purge(now);
        }
    }

    fn purge(&mut self, now: Instant) {
        while let Some(oldest) = self.order.first_entry() {
            let expired = now.duration_since(oldest.get().1) > self.expires;
            if !expired && self.places.len() <= self.max {
                return;
            }
            let (item, _) = oldest.remove();
            self.places.remove(&item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_and_the_expired_are_forgotten() {
        let start = Instant::now();
        let mut set = LimitedSet::new(2, Duration::from_secs(10));
        for item in ["a", "b", "a", "c"] {
            set.add(item.into(), start);
        }
        let items = |set: &LimitedSet| -> String {
            set.order
                .values()
                .map(|(item, _)| item.to_string())
                .collect()
        };
        assert_eq!(items(&set), "ac");
        set.add("d".into(), start + Duration::from_secs(9));
        set.purge(start + Duration::from_secs(11));
        assert_eq!(items(&set), "d");
        assert_eq!(set.places.len(), 1);
    }
}
