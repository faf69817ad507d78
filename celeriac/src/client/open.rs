//! Which broker and which result backend an address means, by its scheme (as
//! kombu's `TRANSPORT_ALIASES` and Celery's `BACKEND_ALIASES`).

use std::sync::Arc;

use crate::broker::Broker;
use crate::config::Settings;
use crate::config::schemes::{CACHE_MEMORY, MEMORY, REDIS, fits};
use crate::error::{Error, hide_password};
use crate::memory::{MemoryBroker, MemoryResults};
#[cfg(feature = "redis")]
use crate::redis::{RedisBroker, RedisResults, RedisSchedule};
use crate::results::ResultStore;
use crate::schedule::ScheduleStore;

/// What opens addresses of some schemes.
struct Opener<T: ?Sized> {
    schemes: &'static [&'static str],
    open: fn(&str, &Settings) -> Result<Arc<T>, Error>,
}

const BROKERS: &[Opener<dyn Broker>] = &[
    #[cfg(feature = "redis")]
    Opener {
        schemes: REDIS,
        open: |_, settings| Ok(Arc::new(RedisBroker::new(settings)?)),
    },
    Opener {
        schemes: MEMORY,
        open: |url, _| Ok(Arc::new(MemoryBroker::at(url))),
    },
];

const RESULTS: &[Opener<dyn ResultStore>] = &[
    #[cfg(feature = "redis")]
    Opener {
        schemes: REDIS,
        open: |url, settings| Ok(Arc::new(RedisResults::new(url, settings)?)),
    },
    Opener {
        schemes: CACHE_MEMORY,
        open: |url, _| Ok(Arc::new(MemoryResults::at(url))),
    },
];

const SCHEDULES: &[Opener<dyn ScheduleStore>] = &[
    #[cfg(feature = "redis")]
    Opener {
        schemes: REDIS,
        open: |_, settings| Ok(Arc::new(RedisSchedule::new(settings)?)),
    },
];

/// The broker of `broker_url`.
pub(super) fn broker(settings: &Settings) -> Result<Arc<dyn Broker>, Error> {
    open(BROKERS, "broker_url", &settings.broker_url, settings)
}

/// The backend of `result_backend`, if there is one.
pub(super) fn results(settings: &Settings) -> Result<Option<Arc<dyn ResultStore>>, Error> {
    let url = settings.result_backend.as_deref();
    url.map(|url| open(RESULTS, "result_backend", url, settings))
        .transpose()
}

/// The schedule that beats share at the broker.
pub(super) fn schedule(settings: &Settings) -> Result<Arc<dyn ScheduleStore>, Error> {
    open(SCHEDULES, "broker_url", &settings.broker_url, settings)
}

fn open<T: ?Sized>(
    openers: &[Opener<T>],
    role: &'static str,
    url: &str,
    settings: &Settings,
) -> Result<Arc<T>, Error> {
    match openers.iter().find(|opener| fits(url, opener.schemes)) {
        Some(opener) => (opener.open)(url, settings),
        None => {
            let known = openers.iter().flat_map(|opener| opener.schemes);
            let known: Vec<String> = known.map(|scheme| format!("{scheme}://")).collect();
            let lacks = match cfg!(feature = "redis") || !fits(url, REDIS) {
                true => "",
                false => ": this program was built without the feature `redis`",
            };
            Err(Error::Url {
                role,
                url: hide_password(url),
                reason: format!("it must begin with one of {}{lacks}", known.join(", ")),
            })
        }
    }
}
