//! What every broker and every result backend must do, whoever wrote it. The
//! ones that are here pass it; one's own is to.
//!
//! ```
//! use std::sync::Arc;
//! use celeriac::broker::{Broker, Consumer};
//! use celeriac::memory::{MemoryBroker, MemoryResults};
//! use celeriac::testing::conformance::{self, Subject};
//!
//! struct Memory(MemoryBroker);
//!
//! #[async_trait::async_trait]
//! impl Subject for Memory {
//!     fn broker(&self) -> Arc<dyn Broker> {
//!         Arc::new(self.0.clone())
//!     }
//!     async fn lose(&self, _: &dyn Consumer) -> Result<(), celeriac::Error> {
//!         self.0.disconnect();
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), conformance::Broken> {
//! conformance::broker(&Memory(MemoryBroker::new())).await?;
//! conformance::results(&MemoryResults::new()).await
//! # }
//! ```

mod broker;
mod fanout;
mod results;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use results::results;

use crate::broker::{Broker, Consumer};
use crate::error::Error;

/// A broker that is tried.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The broker. Nobody else uses it.
    fn broker(&self) -> Arc<dyn Broker>;

    /// Has this consumer, without its doing, lose what it holds, as when its
    /// connection is cut or its lease ends: the messages go to others.
    async fn lose(&self, consumer: &dyn Consumer) -> Result<(), Error>;
}

/// What a broker or a backend does otherwise than it must.
#[derive(Debug, thiserror::Error)]
#[error("{rule}: {seen}")]
pub struct Broken {
    rule: &'static str,
    seen: String,
}

/// Tries a broker by every rule.
///
/// # Errors
/// [`Broken`]: the first rule that it breaks.
pub async fn broker(subject: &dyn Subject) -> Result<(), Broken> {
    broker::tried(subject).await?;
    fanout::tried(&*subject.broker()).await
}

/// A rule, and what becomes of it.
#[derive(Clone, Copy)]
struct Rule(&'static str);

impl Rule {
    /// What was to be seen, and what was.
    fn same<T: PartialEq + fmt::Debug>(
        self,
        what: &str,
        seen: &T,
        wanted: &T,
    ) -> Result<(), Broken> {
        match seen == wanted {
            true => Ok(()),
            false => self.broken(format!("{what}: {seen:?}, not {wanted:?}")),
        }
    }

    fn holds(self, what: &str, holds: bool) -> Result<(), Broken> {
        match holds {
            true => Ok(()),
            false => self.broken(what.to_owned()),
        }
    }

    /// What must not fail.
    fn done<T>(self, done: Result<T, Error>) -> Result<T, Broken> {
        done.or_else(|error| self.broken(error.to_string()))
    }

    fn broken<T>(self, seen: String) -> Result<T, Broken> {
        Err(Broken { rule: self.0, seen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryBroker, MemoryResults};
    struct Memory(MemoryBroker);

    #[async_trait]
    impl Subject for Memory {
        fn broker(&self) -> Arc<dyn Broker> {
            Arc::new(self.0.clone())
        }

        async fn lose(&self, _: &dyn Consumer) -> Result<(), Error> {
            self.0.disconnect();
            Ok(())
        }
    }

    #[tokio::test]
    async fn memory_conforms() -> Result<(), Broken> {
        broker(&Memory(MemoryBroker::new())).await?;
        results(&MemoryResults::new()).await
    }
}

#[cfg(all(test, feature = "redis"))]
mod redis_tests {
    use super::*;
    use crate::redis::link::RedisOfTest;
    use crate::redis::{RedisBroker, RedisResults};

    struct Redis {
        server: RedisOfTest,
        broker: Arc<RedisBroker>,
    }

    #[async_trait]
    impl Subject for Redis {
        fn broker(&self) -> Arc<dyn Broker> {
            Arc::clone(&self.broker) as Arc<dyn Broker>
        }

        /// Its lease ends, and another worker looks twice.
        async fn lose(&self, _: &dyn Consumer) -> Result<(), Error> {
            let address = format!("redis+unix://{}", self.server.socket().display());
            let client = redis::Client::open(address)?;
            let mut redis = client.get_multiplexed_async_connection().await?;
            let mut leases = redis::cmd("KEYS");
            let leases: Vec<String> = leases
                .arg("celeriac.lease:*")
                .query_async(&mut redis)
                .await?;
            let mut ends = redis::cmd("DEL");
            ends.arg(leases).exec_async(&mut redis).await?;
            let other = self.broker.consumer("other@here")?;
            if let Some(leases) = other.leases()? {
                leases.tend().await?;
                leases.recover().await?;
                leases.recover().await?;
            }
            other.leave().await
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn redis_conforms() -> Result<(), Box<dyn std::error::Error>> {
        let server = RedisOfTest::start();
        let settings = server.settings();
        let store = RedisResults::new(&settings.broker_url, &settings)?;
        let subject = Redis {
            broker: Arc::new(RedisBroker::new(&settings)?),
            server,
        };
        broker(&subject).await?;
        Ok(results(&store).await?)
    }
}
