//! Waiting for as long as something moves.
//!
//! A large answer may take long on a slow link and come all the same; one that
//! does not move is lost, whatever its size.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use redis::{RedisError, RedisResult};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

/// When something last went over a connection, either way.
#[derive(Clone)]
pub(super) struct Progress(Arc<Moved>);

struct Moved {
    began: Instant,
    /// In milliseconds since then.
    last: AtomicU64,
}

impl Progress {
    pub fn new() -> Self {
        Self(Arc::new(Moved {
            began: Instant::now(),
            last: AtomicU64::new(0),
        }))
    }

    fn note(&self) {
        let now = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(now, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.0.began + Duration::from_millis(self.0.last.load(Ordering::Relaxed))
    }

    /// Waits for `answer`, unless nothing moves for as long as `patience`.
    pub async fn wait<T>(
        &self,
        patience: Duration,
        answer: impl Future<Output = RedisResult<T>>,
    ) -> RedisResult<T> {
        let asked = Instant::now();
        let mut answer = pin!(answer);
        loop {
            let end = self.last().max(asked) + patience;
            if let Ok(answer) = timeout_at(end, &mut answer).await {
                return answer;
            }
            if self.last().max(asked) + patience <= Instant::now() {
                return Err(timed_out("no answer in time"));
            }
        }
    }
}

/// As redis-rs says that something took too long.
pub(super) fn timed_out(what: &'static str) -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, what).into()
}

/// A stream that notes when something moves.
pub(super) struct Watched<S> {
    stream: S,
    progress: Progress,
}

impl<S> Watched<S> {
    pub fn new(stream: S, progress: Progress) -> Self {
        Self { stream, progress }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.progress.note();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        if written.is_ready() {
            self.progress.note();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_moves_is_waited_for() {
        let patience = Duration::from_secs(10);
        let progress = Progress::new();
        let moving = progress.clone();
        let slow = async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                moving.note();
            }
            Ok(())
        };
        assert!(progress.wait(patience, slow).await.is_ok());
        let began = Instant::now();
        let nothing = progress.wait(patience, std::future::pending::<RedisResult<()>>());
        assert!(nothing.await.is_err_and(|error| error.is_timeout()));
        assert_eq!(began.elapsed(), patience);
    }
}
