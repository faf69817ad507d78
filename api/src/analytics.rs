//! Figures over many calls.

use poem_openapi::OpenApi;
use poem_openapi::payload::Json;
use store::Store;

use crate::problem::FiguresProblem;
use crate::tags::Tag;
use crate::token::SignedIn;
use crate::view::AgentView;

/// The operation.
pub struct Analytics {
    /// Where the figures are.
    pub store: Store,
}

#[OpenApi(tag = "Tag::Analytics")]
impl Analytics {
    /// Rank the agents
    ///
    /// Best first: by their customers' sentiment, then by talk ratio, then by id.
    #[oai(
        path = "/api/v1/analytics/agents",
        method = "get",
        operation_id = "rank_agents"
    )]
    async fn agents(&self, _signed_in: SignedIn) -> Result<Json<Vec<AgentView>>, FiguresProblem> {
        let agents = self.store.agents().await?;
        Ok(Json(agents.into_iter().map(AgentView::from).collect()))
    }
}
