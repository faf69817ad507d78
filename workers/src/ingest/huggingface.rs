//! A data set of the Hugging Face hub, by way of the data sets server.

use std::time::SystemTime;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::decode;
use super::retry::parse_retry_after;
use super::settings::IngestSettings;
use super::source::{FetchError, RawPage, TranscriptSource};

/// The data sets server answers a request for more rows with an error.
const MOST_ROWS: u64 = 100;
/// No page is larger, in bytes; the server itself cuts cells far earlier.
const LARGEST_PAGE: usize = 64 << 20;
/// How much of an error's body is worth telling, in characters.
const DETAIL: usize = 200;

/// One split of one configuration of a data set.
pub struct HuggingFace {
    /// Shared by all requests, so that they share connections.
    client: Client,
    /// `/rows` of the server, with the data set's name.
    rows: Url,
    token: Option<SecretString>,
    name: String,
}

impl HuggingFace {
    /// Sets up the source; nothing is requested yet.
    ///
    /// # Errors
    /// [`FetchError::Settings`] when the endpoint is no URL.
    pub fn new(settings: &IngestSettings) -> Result<Self, FetchError> {
        let IngestSettings {
            dataset,
            config,
            split,
            ..
        } = settings;
        let query = [("dataset", dataset), ("config", config), ("split", split)];
        let endpoint = format!("{}/rows", settings.endpoint.trim_end_matches('/'));
        let rows = Url::parse_with_params(&endpoint, query)
            .map_err(|error| FetchError::Settings(format!("endpoint {endpoint}: {error}")))?;
        let client = Client::builder()
            .timeout(settings.request_timeout())
            .user_agent(concat!("celeriac/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(FetchError::Transport)?;
        Ok(Self {
            client,
            rows,
            token: settings.token.clone(),
            name: format!("huggingface:{dataset}:{config}:{split}"),
        })
    }

    async fn request(&self, offset: u64, limit: u64) -> Result<Response, FetchError> {
        // The hub's server says `length`; servers of the bare shape, `limit`.
        let place = [("offset", offset), ("limit", limit), ("length", limit)];
        let mut request = self.client.get(self.rows.clone()).query(&place);
        let token = self.token.as_ref().map(ExposeSecret::expose_secret);
        // An environment may set it to nothing.
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(FetchError::Transport)?;
        if !response.status().is_success() {
            Err(refusal(response).await)
        } else if is_html(response.headers()) {
            Err(FetchError::Html(detail(response).await))
        } else {
            Ok(response)
        }
    }
}

#[async_trait]
impl TranscriptSource for HuggingFace {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn fetch(&self, offset: u64, limit: u64) -> Result<RawPage, FetchError> {
        let response = self.request(offset, limit.min(MOST_ROWS)).await?;
        decode::page(body(response).await?, offset)
    }
}

/// The whole body, unless it is larger than a page can be.
async fn body(mut response: Response) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(FetchError::Transport)? {
        if bytes.len() + chunk.len() > LARGEST_PAGE {
            return Err(FetchError::TooLarge(LARGEST_PAGE));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A page for people: of a proxy, or of a server that has moved.
fn is_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(b"text/html"))
}

async fn refusal(response: Response) -> FetchError {
    let headers = response.headers();
    // The server's own clock, if it tells it: ours may go otherwise.
    let now = headers.get(DATE).and_then(|date| date.to_str().ok());
    let now = now.and_then(|date| httpdate::parse_http_date(date).ok());
    let now = now.unwrap_or_else(SystemTime::now);
    let retry_after = headers.get(RETRY_AFTER);
    FetchError::Status {
        status: response.status(),
        retry_after: retry_after.and_then(|value| parse_retry_after(value, now)),
        detail: detail(response).await,
    }
}

/// The server's words. What cannot be read explains nothing.
async fn detail(response: Response) -> String {
    let bytes = body(response).await.unwrap_or_default();
    let said = match serde_json::from_slice::<Said>(&bytes) {
        Ok(said) => said.error,
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    said.trim().chars().take(DETAIL).collect()
}

/// How the data sets server says what is wrong.
#[derive(Deserialize)]
struct Said {
    error: String,
}
