//! A server, and one connection to it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::select_ok;
use redis::aio::{AsyncPushSender, ConnectionLike, MultiplexedConnection, PubSub};
use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisFuture,
    RedisResult, Value,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::LinkOptions;
use super::address::{Address, Place};
use super::progress::{Progress, Watched, timed_out};
use super::tls;
use crate::config::SslOptions;
use crate::error::{Cause, Error, hide_password};

/// A connection on which nothing is said for so long is probed by the system.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// So many bytes may wait in the system until they are sent.
const UNSENT: u32 = 128 * 1024;

/// A server, and how it is spoken to. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Server(Arc<Inner>);

struct Inner {
    place: Place,
    /// How TLS is done, if it is.
    ssl: Option<SslOptions>,
    login: RedisConnectionInfo,
    options: LinkOptions,
    /// Whether it does not know `HELLO`, so that it is spoken to as before it.
    old: AtomicBool,
    /// What has been remarked of it.
    remarks: Mutex<BTreeSet<&'static str>>,
}

/// What can be read and written, whatever it goes over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Server {
    /// The one at `url`, which is `role` in the settings and is used as
    /// `options` say, but for what the URL itself says. Connects to nothing.
    pub fn new(role: &'static str, url: &str, options: &LinkOptions) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Url {
            role,
            url: hide_password(url),
            reason,
        };
        if url.contains(';') {
            let reason = "a list of servers, for failover, is not supported: name one";
            return Err(refuse(reason.to_owned()));
        }
        let address = Address::parse(url).map_err(refuse)?;
        let ssl = address.ssl(options.ssl.as_ref());
        if let Some(ssl) = &ssl {
            if matches!(address.place, Place::Socket(_)) {
                return Err(refuse("a socket is not used with TLS".to_owned()));
            }
            // What is wrong with a certificate is better known now than later.
            tls::connector(ssl).map_err(refuse)?;
        }
        let query = &address.query;
        let options = LinkOptions {
            ssl: None,
            connect: query.socket_connect_timeout.unwrap_or(options.connect),
            answer: query.socket_timeout.unwrap_or(options.answer),
            client_name: query.client_name.clone().or(options.client_name.clone()),
        };
        Ok(Self(Arc::new(Inner {
            login: login(&address),
            place: address.place,
            ssl,
            options,
            old: AtomicBool::new(address.query.protocol == Some(2)),
            remarks: Mutex::default(),
        })))
    }

    /// The number of the database.
    pub fn database(&self) -> i64 {
        self.0.login.db()
    }

    /// How long an answer is waited for while nothing moves.
    pub fn patience(&self) -> Duration {
        self.0.options.answer
    }

    /// Opens a connection.
    pub async fn open(&self) -> RedisResult<Line> {
        self.open_with(None).await
    }

    /// As [`open`](Self::open). `pushes` gets what Redis tells without being asked.
    pub async fn open_with_pushes(&self, pushes: impl AsyncPushSender) -> RedisResult<Line> {
        self.open_with(Some(Arc::new(pushes))).await
    }

    /// Opens one that has answered.
    pub async fn open_and_ask(&self) -> RedisResult<Line> {
        let mut line = self.open().await?;
        redis::cmd("PING").exec_async(&mut line).await?;
        Ok(line)
    }

    /// A connection that hears channels, of a server whose other connections
    /// are not [told](Line::tells).
    pub async fn hear(&self) -> RedisResult<PubSub> {
        let login = self.login();
        let opening = async { PubSub::new(&login, self.stream().await?).await };
        self.in_time(opening).await
    }

    /// Says something once, though it is found with each connection.
    pub fn remark(&self, about: &'static str, text: impl FnOnce() -> String) {
        let mut remarks = self
            .0
            .remarks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if remarks.insert(about) {
            tracing::warn!("{}", text());
        }
    }

    async fn open_with(&self, pushes: Option<Arc<dyn AsyncPushSender>>) -> RedisResult<Line> {
        let mut opened = self.in_time(self.begin(pushes.clone())).await;
        if let Err(error) = &opened
            && !self.0.old.load(Ordering::Relaxed)
            && super::lacks(error, "hello")
        {
            self.remark("HELLO", || {
                format!("a server tells of nothing without being asked: {error}")
            });
            self.0.old.store(true, Ordering::Relaxed);
            opened = self.in_time(self.begin(pushes)).await;
        }
        let mut line = opened?;
        self.name(&mut line).await?;
        Ok(line)
    }

    async fn in_time<T>(&self, opening: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let opened = timeout(self.0.options.connect, opening).await;
        opened.unwrap_or_else(|_| Err(timed_out("no connection in time")))
    }

    /// How a connection begins.
    fn login(&self) -> RedisConnectionInfo {
        let protocol = match self.0.old.load(Ordering::Relaxed) {
            true => ProtocolVersion::RESP2,
            false => ProtocolVersion::RESP3,
        };
        self.0.login.clone().set_protocol(protocol)
    }

    async fn begin(&self, pushes: Option<Arc<dyn AsyncPushSender>>) -> RedisResult<Line> {
        let login = self.login();
        let tells = login.protocol() == ProtocolVersion::RESP3;
        // Whoever waits for an answer bounds it.
        let mut config = AsyncConnectionConfig::new().set_response_timeout(None);
        if let Some(pushes) = pushes.filter(|_| tells) {
            config = config.set_push_sender(move |push| pushes.send(push));
        }
        let progress = Progress::new();
        let stream = Watched::new(self.stream().await?, progress.clone());
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&login, stream, config).await?;
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let driver = tokio::spawn(driver.map(move |()| drop(end)));
        Ok(Line {
            connection,
            tells,
            progress,
            patience: self.patience(),
            ended,
            _driver: Arc::new(AbortOnDropHandle::new(driver)),
        })
    }

    async fn stream(&self) -> RedisResult<Box<dyn Stream>> {
        let (host, port) = match &self.0.place {
            Place::Socket(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
            Place::Tcp { host, port } => (host, *port),
        };
        let addresses = lookup_host((host.as_str(), port)).await?;
        let attempts = addresses.map(|address| TcpStream::connect(address).boxed());
        let attempts: Vec<_> = attempts.collect();
        if attempts.is_empty() {
            let nowhere =
                std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address");
            return Err(nowhere.into());
        }
        let (stream, _) = select_ok(attempts).await?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
        // What is written moves, and does not lie here for as long as it takes.
        SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)?;
        let Some(ssl) = &self.0.ssl else {
            return Ok(Box::new(stream));
        };
        let failed = |error: String| std::io::Error::other(format!("TLS: {error}"));
        let name = ServerName::try_from(host.clone());
        let name = name.map_err(|error| failed(error.to_string()))?;
        let connector = tls::connector(ssl).map_err(failed)?;
        let encrypted = connector.connect(name, stream).await;
        Ok(Box::new(
            encrypted.map_err(|error| failed(error.to_string()))?,
        ))
    }

    /// Tells the server the name that people look for in `CLIENT LIST`.
    async fn name(&self, line: &mut Line) -> RedisResult<()> {
        let Some(name) = &self.0.options.client_name else {
            return Ok(());
        };
        let mut command = redis::cmd("CLIENT");
        let named = command.arg("SETNAME").arg(name).exec_async(line).await;
        match named {
            Err(error) if !error.passes() => {
                self.remark("CLIENT SETNAME", || {
                    format!("connections have no name: {error}")
                });
                Ok(())
            }
            named => named,
        }
    }
}

fn login(address: &Address) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_db(address.database);
    if let Some(username) = &address.username {
        login = login.set_username(username);
    }
    if let Some(password) = &address.password {
        login = login.set_password(password);
    }
    login
}

/// One connection, until it is lost. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Line {
    connection: MultiplexedConnection,
    /// Whether the server tells of something without being asked.
    tells: bool,
    progress: Progress,
    patience: Duration,
    /// Cancelled when it is lost.
    ended: CancellationToken,
    /// Reads and writes; ends with the last clone.
    _driver: Arc<AbortOnDropHandle<()>>,
}

impl Line {
    /// Whether nothing is known of its end.
    pub fn is_open(&self) -> bool {
        !self.ended.is_cancelled()
    }

    /// Whether the server tells of something without being asked: it does not
    /// by the protocol before `HELLO`.
    pub fn tells(&self) -> bool {
        self.tells
    }

    /// Told when it is lost.
    pub fn end(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Subscribes to a channel; what it brings is pushed.
    pub async fn subscribe(&mut self, channel: &str) -> RedisResult<()> {
        let subscribed = self.connection.subscribe(channel);
        self.progress.wait(self.patience, subscribed).await
    }

    /// Subscribes to all channels that match; what they bring is pushed.
    pub async fn psubscribe(&mut self, pattern: &str) -> RedisResult<()> {
        let subscribed = self.connection.psubscribe(pattern);
        self.progress.wait(self.patience, subscribed).await
    }

    /// Ends a subscription.
    pub async fn unsubscribe(&mut self, channel: &str) -> RedisResult<()> {
        let unsubscribed = self.connection.unsubscribe(channel);
        self.progress.wait(self.patience, unsubscribed).await
    }
}

impl ConnectionLike for Line {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let answer = self.connection.send_packed_command(command);
        self.progress.wait(self.patience, answer).boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let answers = self
            .connection
            .send_packed_commands(pipeline, offset, count);
        self.progress.wait(self.patience, answers).boxed()
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}
