//! The outermost layer: every request is answered, counted and logged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use poem::http::header::{ALLOW, HeaderValue, RETRY_AFTER};
use poem::http::{Method, StatusCode};
use poem::{Endpoint, Error, IntoResponse, PathPattern, Request, Response, Result};

use crate::metrics::Metrics;
use crate::problem::explain;
use tokio::time::timeout;

/// The largest body that is read, in bytes; the largest that makes sense is a name.
const MAX_BODY: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY: Duration = Duration::from_secs(15);

/// Calls `endpoint` and makes a response of whatever comes of it.
pub async fn observe<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request,
    metrics: Metrics,
) -> Result<Response> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let start = Instant::now();
    let result = endpoint.call(request).await;
    let (route, mut response) = match result.map(IntoResponse::into_response) {
        Ok(response) => (route(response.data()), response),
        Err(error) => (route(error.data()), explain(error)),
    };
    say_what_helps(&path, &mut response);
    let (took, status) = (start.elapsed(), response.status().as_u16());
    metrics.count(known(&method), &route, status, took);
    tracing::info!(%method, path, status, ?took, "request");
    Ok(response)
}

/// Adds to a refusal what a program needs to do better: when, or how.
fn say_what_helps(path: &str, response: &mut Response) {
    let (name, value) = match response.status() {
        StatusCode::SERVICE_UNAVAILABLE => (RETRY_AFTER, "1"),
        // Every address takes one method; this one takes another than the others.
        StatusCode::METHOD_NOT_ALLOWED if path == "/signin" => (ALLOW, "POST"),
        StatusCode::METHOD_NOT_ALLOWED => (ALLOW, "GET, HEAD"),
        _ => return,
    };
    let value = HeaderValue::from_static(value);
    response.headers_mut().entry(name).or_insert(value);
}

/// The path's template, if any route has taken the request. poem-openapi numbers a path's
/// parameters; all that we have are ids.
fn route(pattern: Option<&PathPattern>) -> String {
    match pattern.map(|pattern| pattern.0.as_ref()) {
        None | Some("") => "unmatched".to_owned(),
        Some(path) => path.replace(":param0", "{id}"),
    }
}

/// The method's name, as long as it is one that everybody knows: clients can make up others,
/// and each would be a time series of its own.
fn known(method: &Method) -> &str {
    match method.as_str() {
        name @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => name,
        _ => "other",
    }
}

/// Reads the request's body, if it is not too large.
///
/// # Errors
/// 413 when it is, 408 when it takes too long, 400 when the client goes away half-way.
pub async fn read_body(mut request: Request) -> Result<Request> {
    let body = request.take_body().into_bytes_limit(MAX_BODY);
    let late = |_| Error::from_string("the body takes too long", StatusCode::REQUEST_TIMEOUT);
    let body = timeout(BODY, body).await.map_err(late)??;
    request.set_body(body);
    Ok(request)
}

/// The answer to a request whose handler panicked.
pub fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    explain(Error::from_string(
        "a handler panicked",
        StatusCode::INTERNAL_SERVER_ERROR,
    ))
}
