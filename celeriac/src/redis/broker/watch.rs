//! A connection that learns of new messages: Redis tells (`CLIENT TRACKING`),
//! or is asked again and again where it does not.

use std::time::Duration;

use redis::{PushInfo, PushKind};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::Error;
use crate::redis::link::{Line, Server};

/// Pauses between two questions to a server that does not tell.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// For a server that closes what is idle: how long nothing is said, at least.
const SHORTEST_QUIET: Duration = Duration::from_millis(500);

/// The connection, and how it learns.
pub(super) struct Watch {
    server: Server,
    line: Line,
    /// What Redis tells without being asked.
    pushes: UnboundedReceiver<PushInfo>,
    /// Whether it tells.
    told: bool,
    /// Else: what is between this question and the next.
    pause: Duration,
    /// So long nothing is said; the server closes what is idle for longer.
    quiet: Duration,
}

impl Watch {
    pub async fn open(server: &Server) -> Result<Self, Error> {
        Self::open_with(server.clone(), Duration::MAX).await
    }

    async fn open_with(server: Server, quiet: Duration) -> Result<Self, Error> {
        let (sender, pushes) = unbounded_channel();
        let mut line = server.open_with_pushes(sender).await?;
        Ok(Self {
            told: line.tells() && track(&server, &mut line).await?,
            server,
            line,
            pushes,
            pause: SHORTEST_PAUSE,
            quiet,
        })
    }

    /// What commands go by.
    pub fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    /// Whether Redis tells of changes to what is read on this connection.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// There is much to do: the next question follows soon.
    pub fn hasten(&mut self) {
        self.pause = SHORTEST_PAUSE;
    }

    /// What was told before is of no interest any more.
    pub fn forget(&mut self) {
        while self.pushes.try_recv().is_ok() {}
    }

    /// Waits until Redis tells of a change or is to be asked again; `false` if
    /// it tells of none before the deadline.
    pub async fn wait(&mut self, deadline: Instant) -> Result<bool, Error> {
        let began = Instant::now();
        if !self.told {
            sleep_until(deadline.min(began + self.pause)).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            return Ok(true);
        }
        let end = began.checked_add(self.quiet);
        let end = end.map_or(deadline, |end| end.min(deadline));
        loop {
            match timeout_at(end, self.pushes.recv()).await {
                Err(_) => return Ok(end < deadline),
                Ok(Some(push)) if push.kind == PushKind::Invalidate => return Ok(true),
                Ok(Some(push)) if push.kind != PushKind::Disconnection => {}
                // Nothing was under way, so that nothing is lost: the server
                // closes what is idle, or it was restarted.
                Ok(_) => {
                    let quiet = (began.elapsed() / 2).max(SHORTEST_QUIET);
                    tracing::debug!("a connection was closed while idle; opening another");
                    *self = Self::open_with(self.server.clone(), quiet).await?;
                    return Ok(true);
                }
            }
        }
    }
}

/// Has Redis tell of changes; whether it will.
async fn track(server: &Server, line: &mut Line) -> Result<bool, Error> {
    let mut command = redis::cmd("CLIENT");
    let tracked = command.arg(&["TRACKING", "ON"]).exec_async(line).await;
    match tracked.map_err(Error::from) {
        Ok(()) => Ok(true),
        Err(error) if error.passes() => Err(error),
        Err(error) => {
            server.remark("CLIENT TRACKING", || {
                format!("the broker does not tell of new messages and is asked every 10 to 200 ms: {error}")
            });
            Ok(false)
        }
    }
}
