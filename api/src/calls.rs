//! Listing calls, one call, and what it recommends.

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use store::{Call, Store};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::nudges;
use crate::problem::{CallProblem, Detail, ListProblem};
use crate::query;
use crate::tags::Tag;
use crate::token::SignedIn;
use crate::view::{CallList, CallView, Recommendations, SimilarCall};

/// What those learn who ask for recommendations when too many others do.
const BUSY: &str = "too many ask for recommendations now, try again later";
/// How many similar calls are recommended.
const SIMILAR: usize = 5;

/// For how many at once they are looked for. Each reads all embeddings; what is left of the
/// database's connections is for everybody else.
const SEARCHES: usize = 4;

/// The operations.
pub struct Calls {
    /// Where the calls are.
    store: Store,
    /// Taken while similar calls are looked for.
    searches: Semaphore,
}

#[OpenApi(tag = "Tag::Calls")]
#[allow(clippy::too_many_arguments)] // each is a parameter of the operation
impl Calls {
    /// List calls
    ///
    /// Processed calls, newest first. Every parameter narrows the listing.
    #[oai(path = "/api/v1/calls", method = "get", operation_id = "list_calls")]
    async fn list(
        &self,
        _signed_in: SignedIn,
        /// Most calls to return, 1 to 100
        #[oai(
            default = "ten",
            validator(minimum(value = "1"), maximum(value = "100"))
        )]
        limit: Query<u64>,
        /// Matching calls to skip
        #[oai(default)]
        offset: Query<u64>,
        /// Calls of this agent only, such as `kirsty`
        agent_id: Query<Option<String>>,
        /// Calls that began then or later: a date (`2025-03-31`) or an RFC 3339 time
        from_date: Query<Option<String>>,
        /// Calls that began then or earlier: a date, which counts to its end, or an RFC 3339 time
        to_date: Query<Option<String>>,
        /// Lowest customer sentiment, -1 to 1
        #[oai(validator(minimum(value = "-1"), maximum(value = "1")))]
        min_sentiment: Query<Option<f64>>,
        /// Highest customer sentiment, -1 to 1
        #[oai(validator(minimum(value = "-1"), maximum(value = "1")))]
        max_sentiment: Query<Option<f64>>,
        /// Words that the customer said, all of them, in any order, such as `late parcel`; at most
        /// 32 words, and 300 characters
        q: Query<Option<String>>,
    ) -> Result<Json<CallList>, ListProblem> {
        let query = query::Query {
            limit: limit.0,
            offset: offset.0,
            agent_id: agent_id.0,
            from_date: from_date.0,
            to_date: to_date.0,
            min_sentiment: min_sentiment.0,
            max_sentiment: max_sentiment.0,
            q: q.0,
        };
        let refused = |reason: String| ListProblem::Unprocessable(Detail::json(reason));
        let filter = query.filter().map_err(refused)?;
        let page = self.store.calls(&filter).await?;
        Ok(Json(CallList::new(page, filter.offset, filter.limit)))
    }

    /// Get a call
    ///
    /// A processed call, with its transcripts and its insights.
    #[oai(path = "/api/v1/calls/:id", method = "get", operation_id = "get_call")]
    async fn get(
        &self,
        _signed_in: SignedIn,
        /// The call's id
        id: Path<Uuid>,
    ) -> Result<Json<CallView>, CallProblem> {
        Ok(Json(self.find(id.0).await?.into()))
    }

    /// Get a call's recommendations
    ///
    /// The five calls most like it, and three pieces of advice for its agent. If too many ask at
    /// once, the answer is 503; its `Retry-After` says when to ask again.
    #[oai(
        path = "/api/v1/calls/:id/recommendations",
        method = "get",
        operation_id = "get_recommendations"
    )]
    async fn recommendations(
        &self,
        _signed_in: SignedIn,
        /// The call's id
        id: Path<Uuid>,
    ) -> Result<Json<Recommendations>, CallProblem> {
        let busy = |_| CallProblem::Unavailable(Detail::json(BUSY));
        // Held until the answer is there, or the client has left.
        let _search = self.searches.try_acquire().map_err(busy)?;
        let call = self.find(id.0).await?;
        let similar = self.store.similar(call.call_id, SIMILAR).await?;
        Ok(Json(Recommendations {
            call_id: call.call_id,
            similar_calls: similar.into_iter().map(SimilarCall::from).collect(),
            coaching_nudges: nudges::for_call(&call),
        }))
    }
}

impl Calls {
    /// The operations on the calls that are there.
    pub fn new(store: Store) -> Self {
        let searches = Semaphore::new(SEARCHES);
        Self { store, searches }
    }

    async fn find(&self, id: Uuid) -> Result<Call, CallProblem> {
        let missing = || CallProblem::NotFound(Detail::json(format!("there is no call {id}")));
        self.store.call(id).await?.ok_or_else(missing)
    }
}

fn ten() -> u64 {
    10
}
