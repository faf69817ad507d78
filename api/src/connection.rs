//! Serving one connection, and what its client may take its time for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, Response};
use tokio_util::sync::CancellationToken;

use crate::door::Guest;
use crate::patient::Patient;

/// How long the head of a request may take, from the end of the one before.
const HEAD: Duration = Duration::from_secs(15);
/// The largest head of a request, in bytes.
const LARGEST_HEAD: usize = 128 * 1024;
/// How many requests may be under way on one HTTP/2 connection.
const STREAMS: u32 = 64;
/// The largest list of headers of each, in bytes.
const LARGEST_LIST: u32 = 16 * 1024;

/// Answers a client's requests until it leaves, or is silent for too long. Once `stop` is
/// cancelled, those that are under way are the last.
pub async fn serve(
    endpoint: Arc<impl Endpoint<Output = Response> + 'static>,
    guest: Guest,
    stop: CancellationToken,
) {
    let Guest {
        stream,
        address,
        seat,
    } = guest;
    let Ok(here) = stream.local_addr() else {
        return;
    };
    let answer = service_fn(|request| {
        let endpoint = Arc::clone(&endpoint);
        let addresses = (LocalAddr(here.into()), RemoteAddr(address.into()));
        async move {
            let (here, there) = addresses;
            let request = (request, here, there, Scheme::HTTP).into();
            Ok::<hyper::Response<_>, Infallible>(endpoint.get_response(request).await.into())
        }
    });
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(Patient::new(stream)), answer);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "a connection was closed");
    }
    drop(seat);
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LARGEST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(LARGEST_LIST);
    builder
}
