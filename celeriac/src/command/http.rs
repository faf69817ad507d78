//! `/health` and `/metrics`, for orchestrators and Prometheus.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::http::uri::Scheme;
use poem::listener::{Acceptor, TcpAcceptor};
use poem::web::{Data, Json, LocalAddr, RemoteAddr};
use poem::{EndpointExt, IntoResponse, Response, Route, Server, get, handler};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::CommandError;
use crate::Worker;
use crate::worker::{METRICS_TYPE, Monitor};

/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How long nobody is let in after the system could not do it.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers until dropped.
pub(super) struct Answering {
    _stop: oneshot::Sender<()>,
}

/// Whom the answers are about.
struct Watched {
    worker: String,
    monitor: Monitor,
}

/// Answers at `address`, from a thread of its own: tasks that compute for long
/// shall not look like a worker that hangs.
pub(super) fn serve(address: &str, worker: &Worker) -> Result<Answering, CommandError> {
    let failed = |source| CommandError::Http {
        address: address.to_owned(),
        source,
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!("http: Answering /health and /metrics at http://{address}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let app = app(worker);
    let (stop, stopped) = oneshot::channel::<()>();
    let work = async move {
        let acceptor = TcpAcceptor::from_std(listener)?;
        let stopped = async { drop(stopped.await) };
        Server::new_with_acceptor(Calm(acceptor))
            .idle_timeout(SILENCE)
            .run_with_graceful_shutdown(app, stopped, None)
            .await
    };
    let answer = move || {
        if let Err(error) = runtime.block_on(work) {
            tracing::error!(%error, "http: cannot answer");
        }
    };
    std::thread::Builder::new()
        .name("http".to_owned())
        .spawn(answer)
        .map_err(failed)?;
    Ok(Answering { _stop: stop })
}

/// Lets clients in. What the system cannot do (it is out of files) it cannot do
/// a moment later either, and asking it again and again costs a core.
struct Calm(TcpAcceptor);

impl Acceptor for Calm {
    type Io = TcpStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.0.local_addr()
    }

    async fn accept(&mut self) -> std::io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        loop {
            match self.0.accept().await {
                Ok(client) => return Ok(client),
                Err(error) => {
                    tracing::error!(%error, "http: Cannot let a client in");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn app(worker: &Worker) -> impl poem::Endpoint + use<> {
    let watched = Arc::new(Watched {
        worker: worker.name().to_owned(),
        monitor: worker.monitor(),
    });
    Route::new()
        .at("/health", get(ready))
        .at("/health/live", get(live))
        .at("/health/ready", get(ready))
        .at("/metrics", get(metrics))
        .data(watched)
}

/// How the worker is.
#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    worker: &'a str,
    /// What is amiss.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
}

fn health(watched: &Watched, amiss: Option<&'static str>) -> Response {
    let (code, status) = match amiss {
        None => (StatusCode::OK, "ok"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    let health = Health {
        status,
        worker: &watched.worker,
        detail: amiss,
    };
    Json(health).with_status(code).into_response()
}

#[handler]
fn live(Data(watched): Data<&Arc<Watched>>) -> Response {
    let stuck = !watched.monitor.is_live();
    health(watched, stuck.then_some("no messages are fetched"))
}

#[handler]
fn ready(Data(watched): Data<&Arc<Watched>>) -> Response {
    health(watched, watched.monitor.unready())
}

#[handler]
fn metrics(Data(watched): Data<&Arc<Watched>>) -> Response {
    let text = watched.monitor.metrics();
    text.with_content_type(METRICS_TYPE).into_response()
}
