//! Connections to Redis, as the broker and the results open them.
//!
//! - [`Server`]: where it is and how it is spoken to; opens a [`Line`]
//! - [`Line`]: one connection, until it is lost
//! - [`Connection`]: one after the other

mod address;
mod fault;
#[cfg(test)]
mod of_test;
mod options;
mod progress;
mod server;
mod tls;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ::redis::aio::ConnectionLike;
use ::redis::{
    Arg, Cmd, Pipeline, PushInfo, RedisError, RedisFuture, RedisResult, Value, make_extension_error,
};
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::time::sleep;

use crate::error::{Cause, Error};

#[cfg(test)]
pub(crate) use of_test::RedisOfTest;
pub(crate) use options::LinkOptions;
pub(crate) use server::{Line, Server};

/// A server takes what is smaller, whatever its bounds: the least that Redis
/// lets `proto-max-bulk-len` be is as much.
const LARGE: usize = 1 << 20;
/// So many connections lost with the same value are the value's doing.
const LOSSES: usize = 3;
/// The code of what a server does not take, as it seems.
const TOO_LARGE: &str = "TOOLARGE";
/// Pauses before a connection is tried again for a command that waits for it.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];

/// A connection that is opened when first used, and again when it is lost,
/// leaves a command without an answer, or is of no use any more. A failure to
/// open it is nobody's but of those who waited for it: the next command tries
/// anew. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Inner>);

struct Inner {
    server: Server,
    pushes: Option<Arc<dyn Fn(PushInfo) + Send + Sync>>,
    /// What is subscribed to, whichever connection it is.
    channels: Mutex<BTreeSet<String>>,
    current: Mutex<Current>,
}

/// An attempt that all wait for who need it.
type Opening = Shared<BoxFuture<'static, RedisResult<Line>>>;

/// The connection in use or being opened, and how many there were before.
#[derive(Default)]
struct Current {
    opening: Option<Opening>,
    number: u64,
}

impl Connection {
    /// To a server.
    pub fn new(server: &Server) -> Self {
        Self::with(server, None)
    }

    /// As [`new`](Self::new). `pushes` gets what Redis tells without being
    /// asked; what is subscribed to stays so.
    pub fn with_pushes(server: &Server, pushes: impl Fn(PushInfo) + Send + Sync + 'static) -> Self {
        Self::with(server, Some(Arc::new(pushes)))
    }

    fn with(server: &Server, pushes: Option<Arc<dyn Fn(PushInfo) + Send + Sync>>) -> Self {
        Self(Arc::new(Inner {
            server: server.clone(),
            pushes,
            channels: Mutex::default(),
            current: Mutex::default(),
        }))
    }

    /// Subscribes to a channel; what it brings is pushed, if the server tells
    /// of anything.
    pub async fn subscribe(&self, channel: &str) -> RedisResult<()> {
        lock(&self.0.channels).insert(channel.to_owned());
        let (number, mut line) = self.line().await?;
        if !line.tells() {
            return Ok(());
        }
        let subscribed = line.subscribe(channel).await;
        self.trust(number, subscribed)
    }

    /// Ends a subscription.
    pub async fn unsubscribe(&self, channel: &str) -> RedisResult<()> {
        lock(&self.0.channels).remove(channel);
        let (number, mut line) = self.line().await?;
        if !line.tells() {
            return Ok(());
        }
        let unsubscribed = line.unsubscribe(channel).await;
        self.trust(number, unsubscribed)
    }

    /// The connection in use; one is opened if there is none.
    async fn line(&self) -> RedisResult<(u64, Line)> {
        let mut pauses = PAUSES.iter();
        loop {
            let (number, opening) = self.opening();
            match (opening.await, pauses.next()) {
                (Ok(line), _) => return Ok((number, line)),
                // Whoever asked has waited long enough.
                (Err(error), Some(pause)) if error.passes() && !error.is_timeout() => {
                    sleep(*pause).await;
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// The attempt that there is, unless it has failed or its connection is lost.
    fn opening(&self) -> (u64, Opening) {
        let mut current = lock(&self.0.current);
        let usable = |opening: &Opening| match opening.peek() {
            Some(opened) => opened.as_ref().is_ok_and(Line::is_open),
            None => true,
        };
        match current.opening.clone().filter(usable) {
            Some(opening) => (current.number, opening),
            None => {
                let opening = self.open();
                current.opening = Some(opening.clone());
                current.number += 1;
                (current.number, opening)
            }
        }
    }

    /// Begins an attempt, which goes on whether or not somebody waits for it.
    fn open(&self) -> Opening {
        let inner = Arc::clone(&self.0);
        let opening = tokio::spawn(async move { inner.open().await });
        let opened = opening.map(|opened| match opened {
            Ok(opened) => opened,
            Err(gone) => Err(std::io::Error::other(gone).into()),
        });
        opened.boxed().shared()
    }

    /// An `answer` of the connection of this number. One that did not come, or
    /// not in time, or tells that the server is not the one to ask, makes the
    /// next command take another connection.
    fn trust<T>(&self, number: u64, answer: RedisResult<T>) -> RedisResult<T> {
        if let Err(error) = &answer
            // That a connection is lost may be known here before it knows itself.
            && (error.is_timeout() || error.is_connection_dropped() || is_useless(error))
        {
            let mut current = lock(&self.0.current);
            if current.number == number {
                current.opening = None;
            }
        }
        answer
    }
}

impl Connection {
    /// Sends again, on connections of its own, what may have cost the last one.
    /// If the server answers there until it gets this, and then closes each of
    /// them, no repetition can help: a proxy may have its bounds, and Redis
    /// says why only to who reads fast enough.
    async fn send_alone<'a, T>(
        &self,
        send: impl Fn(Line) -> RedisFuture<'a, T>,
        lost: RedisError,
    ) -> RedisResult<T> {
        for _ in 1..LOSSES {
            let Ok(connection) = self.0.server.open_and_ask().await else {
                return Err(lost);
            };
            match send(connection).await {
                Err(error) if error.is_connection_dropped() => {}
                answer => return answer,
            }
        }
        let text = "the server closes every connection that brings it a value of this size";
        Err(make_extension_error(
            TOO_LARGE.to_owned(),
            Some(text.to_owned()),
        ))
    }
}

/// Whether a connection was lost while it carried what a server may refuse for
/// its size.
fn takes_its_connection_along<'a>(
    error: &RedisError,
    arguments: impl Iterator<Item = Arg<&'a [u8]>>,
) -> bool {
    let size = |argument: Arg<&[u8]>| match argument {
        Arg::Simple(bytes) => bytes.len(),
        _ => 0,
    };
    error.is_connection_dropped() && arguments.map(size).any(|size| size >= LARGE)
}

impl Inner {
    async fn open(self: Arc<Self>) -> RedisResult<Line> {
        let Some(pushes) = self.pushes.clone() else {
            return self.server.open().await;
        };
        let push = move |push: PushInfo| {
            pushes(push);
            Ok::<(), ()>(())
        };
        let mut line = self.server.open_with_pushes(push).await?;
        if line.tells() {
            let channels = lock(&self.channels).clone();
            for channel in channels {
                line.subscribe(&channel).await?;
            }
        }
        tokio::spawn(subscribe_again(Arc::downgrade(&self), line.end()));
        Ok(line)
    }
}

/// Opens a lost connection by which somebody wants to be told of something.
async fn subscribe_again(inner: Weak<Inner>, end: tokio_util::sync::CancellationToken) {
    end.cancelled().await;
    if let Some(inner) = inner.upgrade()
        && !lock(&inner.channels).is_empty()
        && let Err(error) = Connection(inner).line().await
    {
        tracing::debug!(%error, "cannot subscribe again; the next who waits will");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let (number, mut line) = self.line().await?;
            let answer = line.req_packed_command(command).await;
            match self.trust(number, answer) {
                Err(error) if takes_its_connection_along(&error, command.args_iter()) => {
                    let send = |mut alone: Line| -> RedisFuture<'a, Value> {
                        Box::pin(async move { alone.req_packed_command(command).await })
                    };
                    self.send_alone(send, error).await
                }
                answer => answer,
            }
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let (number, mut line) = self.line().await?;
            let answers = line.req_packed_commands(pipeline, offset, count).await;
            let arguments = pipeline.cmd_iter().flat_map(Cmd::args_iter);
            match self.trust(number, answers) {
                Err(error) if takes_its_connection_along(&error, arguments) => {
                    let send = |mut alone: Line| -> RedisFuture<'a, Vec<Value>> {
                        let answers =
                            async move { alone.req_packed_commands(pipeline, offset, count).await };
                        Box::pin(answers)
                    };
                    self.send_alone(send, error).await
                }
                answers => answers,
            }
        })
    }

    fn get_db(&self) -> i64 {
        self.0.server.database()
    }
}

/// Codes of a server that is there and cannot be worked with: a replica after a
/// failover, one that loads its data, one that wants another login. Another
/// connection may lead to another.
const USELESS: [&str; 4] = ["LOADING", "MASTERDOWN", "NOAUTH", "READONLY"];

/// Whether a server does not know this command, or does not let this user use it.
pub(crate) fn lacks(error: &RedisError, command: &str) -> bool {
    let said = error.to_string().to_lowercase();
    said.contains(command) && (said.contains("unknown command") || said.contains("permission"))
}

/// Whether the connection that this came by is of no use.
fn is_useless(error: &RedisError) -> bool {
    match error.clone().into_server_errors() {
        Some(faults) => faults
            .iter()
            .any(|(_, fault)| USELESS.contains(&fault.code())),
        None => error.code().is_some_and(|code| USELESS.contains(&code)),
    }
}

/// What the server's clock shows, which is the same to all that ask.
pub(crate) async fn time(connection: &mut Connection) -> Result<DateTime<Utc>, Error> {
    let (seconds, microseconds): (i64, i64) = ::redis::cmd("TIME").query_async(connection).await?;
    let since_1970 = TimeDelta::seconds(seconds) + TimeDelta::microseconds(microseconds);
    Ok(DateTime::UNIX_EPOCH + since_1970)
}

#[cfg(test)]
mod tests {
    use super::LinkOptions;
    use super::*;

    #[test]
    fn a_list_of_servers_is_refused_without_its_passwords() {
        let url = "redis://:one@a/0;redis://:two@b/0";
        let refused = Server::new("broker_url", url, &LinkOptions::default());
        let said = refused.err().map(|error| error.to_string());
        let said = said.unwrap_or_default();
        assert!(said.contains("a list of servers"), "{said}");
        assert!(!said.contains("one@") && !said.contains("two"), "{said}");
    }
}
