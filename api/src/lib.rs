//! The REST API of the call-analytics service.
//!
//! [`app`] is the whole API as one endpoint, for a server or a test to call.

mod analytics;
mod calls;
mod connection;
mod docs;
mod door;
mod figures;
mod metrics;
mod nudges;
mod observe;
mod patient;
mod problem;
mod query;
pub mod secret;
pub mod server;
mod service;
mod settings;
mod signin;
mod tags;
mod token;
mod view;

use poem::middleware::{CatchPanic, Compression, NormalizePath, RequestId, TrailingSlash};
use poem::{Endpoint, EndpointExt, Response, Route, get};
use poem_openapi::{LicenseObject, OpenApiService};
use store::Store;

use crate::metrics::Metrics;

pub use settings::ApiSettings;
pub use token::{Claims, Tokens};

/// What the documentation says first.
const DESCRIPTION: &str = "Customer calls with their insights: who spoke how much, how the \
    customer felt, which calls are alike, and what the agent could do better. Get a token from \
    `POST /signin` and send it with every other request, as `Authorization: Bearer TOKEN`.";

/// The whole API: the operations, their documentation (`/docs`, `/openapi.json`), and an answer
/// in JSON to everything else.
pub fn app(store: Store, tokens: Tokens) -> impl Endpoint<Output = Response> + 'static {
    let metrics = Metrics::default();
    let operations = (
        signin::Signin {
            tokens: tokens.clone(),
        },
        calls::Calls::new(store.clone()),
        analytics::Analytics {
            store: store.clone(),
        },
        service::Service {
            store,
            metrics: metrics.clone(),
        },
    );
    let service = OpenApiService::new(operations, "Celeriac", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .license(
            LicenseObject::new("Apache-2.0").url("https://www.apache.org/licenses/LICENSE-2.0"),
        )
        .server("/");
    Route::new()
        .at("/docs", get(docs::page(&service)))
        .at("/openapi.json", get(docs::specification(&service)))
        .nest("/", service)
        .data(tokens)
        .before(observe::read_body)
        .with(CatchPanic::new().with_handler(observe::panicked))
        .around(move |endpoint, request| observe::observe(endpoint, request, metrics.clone()))
        // `/api/v1/calls/` is the address that clients know; either is right, here and elsewhere.
        .with(NormalizePath::new(TrailingSlash::Trim))
        .with(RequestId::new())
        .with(Compression::new())
        .map_to_response()
}

#[cfg(test)]
mod tests;
