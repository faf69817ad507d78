//! Whether the service is well (`/health`) and what it is doing (`/metrics`).

use poem::Request;
use poem::http::header::ACCEPT;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use store::Store;

use crate::figures::Figures;
use crate::metrics::Metrics;
use crate::problem::{Detail, FiguresProblem, INTERNAL};
use crate::tags::Tag;
use crate::token::SignedIn;

/// How the service is.
#[derive(Object)]
#[oai(example)]
pub struct Health {
    /// `ok` or `unavailable`.
    pub status: String,
    /// The program's version.
    pub version: String,
    /// What is amiss, if anything is.
    #[oai(skip_serializing_if_is_none)]
    pub detail: Option<String>,
}

impl Health {
    fn new(status: &str, detail: Option<&str>) -> Json<Self> {
        Json(Self {
            status: status.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            detail: detail.map(str::to_owned),
        })
    }
}

impl Example for Health {
    fn example() -> Self {
        Self::new("ok", None).0
    }
}

/// The answer to a health check.
#[derive(ApiResponse)]
pub enum HealthAnswer {
    /// The service and its database are well.
    #[oai(status = 200)]
    Ok(Json<Health>),
    /// The database is away.
    #[oai(status = 503)]
    Unavailable(Json<Health>),
}

/// The operations.
pub struct Service {
    /// The database to ask for a sign of life, and to count in.
    pub store: Store,
    /// What was counted of requests.
    pub metrics: Metrics,
}

#[OpenApi(tag = "Tag::Service")]
impl Service {
    /// Check the service's health
    ///
    /// Whether the API and its database are well; for load balancers and orchestrators.
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(&self) -> HealthAnswer {
        match self.store.ping().await {
            Ok(()) => HealthAnswer::Ok(Health::new("ok", None)),
            Err(error) => {
                tracing::error!(%error, "health check failed");
                let detail = Some("the database is away");
                HealthAnswer::Unavailable(Health::new("unavailable", detail))
            }
        }
    }

    /// Get metrics
    ///
    /// Requests by path, method and status, their latency, and calls by state, in a text format
    /// that Prometheus reads: OpenMetrics, if `Accept` asks for it, or its own.
    #[oai(path = "/metrics", method = "get", operation_id = "metrics")]
    async fn metrics(
        &self,
        _signed_in: SignedIn,
        request: &Request,
    ) -> Result<Figures, FiguresProblem> {
        let counts = self.store.counts().await?;
        let failed = |_| FiguresProblem::Internal(Detail::json(INTERNAL));
        let text = self.metrics.encode(counts).map_err(failed)?;
        let accept = request.headers().get_all(ACCEPT).iter();
        let mut accept = accept.filter_map(|accept| accept.to_str().ok());
        match accept.any(|accept| accept.contains("application/openmetrics-text")) {
            true => Ok(Figures::OpenMetrics(text)),
            false => Ok(Figures::plain(&text)),
        }
    }
}
