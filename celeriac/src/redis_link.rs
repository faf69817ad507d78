//! Connections to Redis, as both the transport and the results open them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::{
    AsyncPushSender, ConnectionLike, ConnectionManager, ConnectionManagerConfig,
    MultiplexedConnection,
};
use ::redis::io::tcp::TcpSettings;
use ::redis::io::tcp::socket2::TcpKeepalive;
use ::redis::{
    Arg, AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo, Pipeline,
    ProtocolVersion, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
    make_extension_error,
};
use chrono::{DateTime, TimeDelta, Utc};

use crate::error::{Error, hide_password};

/// redis-rs waits half a second for an answer unless told; a busy server needs more.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing is said for so long is probed by the system.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// A server takes what is smaller, whatever its bounds: the least that Redis
/// lets `proto-max-bulk-len` be is as much.
const LARGE: usize = 1 << 20;
/// So many connections lost with the same value are the value's doing.
const LOSSES: usize = 3;
/// The code of what a server does not take, as it seems.
const TOO_LARGE: &str = "TOOLARGE";
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A client for `url`, which is a kombu URL: `redis://`, `rediss://`, `redis+socket://`.
pub(crate) fn client(role: &'static str, url: &str) -> Result<Client, Error> {
    let refuse = |reason: String| Error::Url {
        role,
        url: hide_password(url),
        reason,
    };
    if url.contains(';') {
        let reason = "a list of servers, for failover, is not supported: name one";
        return Err(refuse(reason.to_owned()));
    }
    let rewritten = match url.split_once("://") {
        Some(("redis+socket", path)) => format!("redis+unix://{path}"),
        // kombu's own switches; certificates are always verified here.
        Some(("rediss", _)) => url.split('?').next().unwrap_or(url).to_owned(),
        _ => url.to_owned(),
    };
    let info = rewritten
        .as_str()
        .into_connection_info()
        .map_err(|error| refuse(error.to_string()))?;
    let redis = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE));
    let info = info.set_redis_settings(redis).set_tcp_settings(tcp);
    Client::open(info).map_err(|error| refuse(error.to_string()))
}

/// A connection that is opened when first used, and again when it is lost or
/// leaves a command without an answer: a network, or what stands between, may
/// take everything and say nothing. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Inner>);

struct Inner {
    client: Client,
    config: ConnectionManagerConfig,
    current: Mutex<Current>,
}

/// The connection in use, and how many there were before.
#[derive(Clone)]
struct Current {
    manager: ConnectionManager,
    number: u64,
}

impl Connection {
    /// To the server of `client`.
    pub fn new(client: &Client) -> Result<Self, Error> {
        Self::with(client, ConnectionManagerConfig::new())
    }

    /// As [`new`](Self::new). `pushes` gets what Redis tells without being asked.
    pub fn with_pushes(client: &Client, pushes: impl AsyncPushSender) -> Result<Self, Error> {
        let config = ConnectionManagerConfig::new().set_push_sender(pushes);
        Self::with(client, config.set_automatic_resubscription())
    }

    fn with(client: &Client, config: ConnectionManagerConfig) -> Result<Self, Error> {
        let config = config
            .set_connection_timeout(Some(CONNECTION_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_max_delay(LONGEST_PAUSE)
            .set_number_of_retries(3);
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config.clone())?;
        Ok(Self(Arc::new(Inner {
            client: client.clone(),
            config,
            current: Mutex::new(Current { manager, number: 0 }),
        })))
    }

    /// Subscribes to a channel; what it brings is pushed.
    pub async fn subscribe(&self, channel: &str) -> RedisResult<()> {
        let mut current = self.current();
        let subscribed = current.manager.subscribe(channel).await;
        self.trust(current.number, subscribed)
    }

    /// Ends a subscription.
    pub async fn unsubscribe(&self, channel: &str) -> RedisResult<()> {
        let mut current = self.current();
        let unsubscribed = current.manager.unsubscribe(channel).await;
        self.trust(current.number, unsubscribed)
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Current {
        self.lock().clone()
    }

    /// An `answer` of the connection of this number. One that did not come in
    /// time makes the next command take another connection: redis-rs itself
    /// only replaces those that break.
    fn trust<T>(&self, number: u64, answer: RedisResult<T>) -> RedisResult<T> {
        if let Err(error) = &answer
            && error.is_timeout()
        {
            let mut current = self.lock();
            let (client, config) = (self.0.client.clone(), self.0.config.clone());
            if current.number == number
                && let Ok(manager) = ConnectionManager::new_lazy_with_config(client, config)
            {
                let number = number + 1;
                *current = Current { manager, number };
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
        send: impl Fn(MultiplexedConnection) -> RedisFuture<'a, T>,
        lost: RedisError,
    ) -> RedisResult<T> {
        for _ in 1..LOSSES {
            let Ok(connection) = open(&self.0.client).await else {
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

/// A connection that has answered.
async fn open(client: &Client) -> RedisResult<MultiplexedConnection> {
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&plain())
        .await?;
    ::redis::cmd("PING").exec_async(&mut connection).await?;
    Ok(connection)
}

/// Asks the server whether it is there.
pub(crate) async fn ping(client: &Client) -> Result<(), Error> {
    open(client).await?;
    Ok(())
}

/// The class of Python's client that stands for an error.
pub(crate) fn python_class(error: &RedisError) -> &'static str {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoPerm) => "redis.exceptions.NoPermissionError",
        ErrorKind::Server(_) if !error.to_string().contains("Protocol error") => {
            "redis.exceptions.ResponseError"
        }
        _ => "redis.exceptions.ConnectionError",
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut current = self.current();
            let answer = current.manager.send_packed_command(command).await;
            match self.trust(current.number, answer) {
                Err(error) if takes_its_connection_along(&error, command.args_iter()) => {
                    let send = |mut connection: MultiplexedConnection| -> RedisFuture<'a, Value> {
                        Box::pin(async move { connection.req_packed_command(command).await })
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
            let mut current = self.current();
            let answers = current.manager.req_packed_commands(pipeline, offset, count);
            let answers = answers.await;
            let arguments = pipeline.cmd_iter().flat_map(Cmd::args_iter);
            match self.trust(current.number, answers) {
                Err(error) if takes_its_connection_along(&error, arguments) => {
                    let send = |mut alone: MultiplexedConnection| -> RedisFuture<'a, Vec<Value>> {
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
        self.0.client.get_connection_info().redis_settings().db()
    }
}

/// Codes of a server that will answer otherwise once it, or who runs it, has
/// done something: memory, the disk, a script, a failover, a password.
const PASSING: [&str; 11] = [
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "WRONGPASS",
];

/// Whether waiting can mend it; see [`Error::passes`].
pub(crate) fn passes(error: &RedisError) -> bool {
    // A pipeline has an answer for each command: every fault must pass.
    if let Some(faults) = error.clone().into_server_errors() {
        return faults
            .iter()
            .all(|(_, fault)| answer_passes(Some(fault.code()), fault.details()));
    }
    match error.kind() {
        ErrorKind::Io | ErrorKind::AuthenticationFailed => true,
        ErrorKind::Server(_) | ErrorKind::Extension => answer_passes(error.code(), error.detail()),
        _ => false,
    }
}

/// The same of one answer. Some things Redis says under the code for
/// everything, and before 7.0 what a script met, too.
fn answer_passes(code: Option<&str>, text: Option<&str>) -> bool {
    let (code, text) = (code.unwrap_or_default(), text.unwrap_or_default());
    PASSING.contains(&code)
        || text.contains("max number of clients")
        || PASSING
            .iter()
            .any(|code| text.contains(&format!("-{code} ")))
}

/// What the server's clock shows, which is the same to all that ask.
pub(crate) async fn time(connection: &mut Connection) -> Result<DateTime<Utc>, Error> {
    let (seconds, microseconds): (i64, i64) = ::redis::cmd("TIME").query_async(connection).await?;
    let since_1970 = TimeDelta::seconds(seconds) + TimeDelta::microseconds(microseconds);
    Ok(DateTime::UNIX_EPOCH + since_1970)
}

/// How a connection is set up whose owner opens it again itself.
pub(crate) fn plain() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_servers_is_refused_without_its_passwords() {
        let refused = client("broker_url", "redis://:one@a/0;redis://:two@b/0");
        let said = refused.err().map(|error| error.to_string());
        let said = said.unwrap_or_default();
        assert!(said.contains("a list of servers"), "{said}");
        assert!(!said.contains("one@") && !said.contains("two"), "{said}");
    }
}
