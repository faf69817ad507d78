//! Serving the API until the process is told to stop.

use std::time::Duration;

use anyhow::{Context, Result};
use poem::Server;
use poem::listener::{Acceptor, Listener, TcpListener};
use store::Store;
use tokio::signal::unix::{SignalKind, signal};

use crate::{ApiSettings, Tokens, app, secret};

/// How long requests under way may take to end after the signal to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Serves the API until SIGTERM or SIGINT, then lets requests under way end.
///
/// # Errors
/// When there is no secret to sign with, or the address cannot be listened on.
pub async fn serve(settings: &ApiSettings, store: Store) -> Result<()> {
    let secret = secret::find(settings, std::env::var("JWT_SECRET").ok())?;
    let tokens = Tokens::new(&secret, settings.token_ttl_seconds);
    let address = (settings.bind.clone(), settings.port);
    let acceptor = TcpListener::bind(address)
        .into_acceptor()
        .await
        .with_context(|| format!("cannot listen on {}:{}", settings.bind, settings.port))?;
    for address in acceptor.local_addr() {
        if let Some(address) = address.as_socket_addr() {
            tracing::info!("the API is at http://{address}, its documentation at /docs");
        }
    }
    let stop = stop()?;
    Server::new_with_acceptor(acceptor)
        .run_with_graceful_shutdown(app(store, tokens), stop, Some(GRACE))
        .await
        .context("the server failed")
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
