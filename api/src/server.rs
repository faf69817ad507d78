//! Serving the API until the process is told to stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::Door;
use crate::{ApiSettings, Tokens, app, connection, secret};

/// How long requests under way may take to end after the signal to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Serves the API until SIGTERM or SIGINT, then lets requests under way end.
///
/// # Errors
/// When there is no secret to sign with, or the address cannot be listened on.
pub async fn serve(settings: &ApiSettings, store: Store) -> Result<()> {
    let secret = secret::find(settings, std::env::var("JWT_SECRET").ok())?;
    let tokens = Tokens::new(&secret, settings.token_ttl_seconds);
    let listener = TcpListener::bind((settings.bind.as_str(), settings.port))
        .await
        .with_context(|| format!("cannot listen on {}:{}", settings.bind, settings.port))?;
    let address = listener.local_addr()?;
    tracing::info!("the API is at http://{address}, its documentation at /docs");
    let (app, mut door) = (Arc::new(app(store, tokens)), Door::new(listener));
    let (last, connections) = (CancellationToken::new(), TaskTracker::new());
    let mut stop = std::pin::pin!(stop()?);
    loop {
        tokio::select! {
            () = &mut stop => break,
            guest = door.next() => {
                connections.spawn(connection::serve(Arc::clone(&app), guest, last.clone()));
            }
        }
    }
    drop(door);
    last.cancel();
    connections.close();
    if timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!("requests that did not end in {GRACE:?} are broken off");
    }
    Ok(())
}

/// Ends at the first SIGTERM or SIGINT.
fn stop() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}
