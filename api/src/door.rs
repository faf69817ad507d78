//! Who is let in: no more clients at once than there is room for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

/// The most connections at once.
const MOST: usize = 4096;
/// File descriptors that are kept for other things than clients: the database, the log, a page.
const KEPT: usize = 64;
/// How long nobody is let in after the system could not do it.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the log is told that the house is full.
const AGAIN: Duration = Duration::from_secs(60);

/// Lets clients in, one after the other.
pub struct Door {
    listener: TcpListener,
    seats: Arc<Semaphore>,
    /// When the log was last told that there is no seat.
    told: Option<Instant>,
}

/// A client that was let in, and the seat that it has until this is dropped.
pub struct Guest {
    pub stream: TcpStream,
    pub address: SocketAddr,
    pub seat: OwnedSemaphorePermit,
}

impl Door {
    /// A door with as many seats behind it as the process may have files open, less a few.
    pub fn new(listener: TcpListener) -> Self {
        let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or_default();
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let seats = files.saturating_sub(KEPT).clamp(1, MOST);
        Self {
            listener,
            seats: Arc::new(Semaphore::new(seats)),
            told: None,
        }
    }

    /// The next client, once there is a seat for it; until then it waits outside.
    pub async fn next(&mut self) -> Guest {
        let seat = self.seat().await;
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    return Guest {
                        stream,
                        address,
                        seat,
                    };
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    async fn seat(&mut self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() {
                return seat;
            }
            if self.told.is_none_or(|told| told.elapsed() > AGAIN) {
                self.told = Some(Instant::now());
                tracing::warn!("there are as many connections as there may be; others wait");
            }
            // Nobody closes it; the seat goes back at once and is taken above.
            drop(self.seats.acquire().await);
        }
    }
}

/// A client that has left before it was let in is no matter. What the system cannot do (it is out
/// of files, of memory) it cannot do a moment later, either.
async fn pause(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    ) {
        tracing::error!(%error, "cannot let a client in; trying again in {PAUSE:?}");
        sleep(PAUSE).await;
    }
}
