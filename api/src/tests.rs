//! The whole API in this process, on a SQLite database in a directory of its own.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use chrono::{TimeZone, Utc};
use poem::Response;
use poem::http::StatusCode;
use poem::test::TestClient;
use serde_json::{Value, json};
use store::{Insights, NewCall, Store};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{Tokens, app};

mod documentation;
mod errors;
mod listing;
mod nudges;
mod service;

const SECRET: &str = "a secret of the tests, thirty-two bytes";

pub fn id(number: u32) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_le_bytes())
}

pub fn new_call(number: u32) -> NewCall {
    let agent = if number.is_multiple_of(2) {
        "ann"
    } else {
        "bob"
    };
    NewCall {
        call_id: id(number),
        agent_id: agent.to_owned(),
        customer_id: format!("customer-{number}"),
        language: "en".to_owned(),
        start_time: Utc.with_ymd_and_hms(2025, 3, 1 + number, 12, 0, 0).unwrap(),
        duration_seconds: 100,
        transcript_customer: format!("My parcel {number} is late, O'Brien said 漢字"),
        transcript_agent: "I am sorry. What is the order number?".to_owned(),
    }
}

/// An API with ten processed calls, one that is only stored, and a valid token.
pub struct Fixture {
    pub store: Store,
    pub token: String,
    _directory: TempDir,
}

impl Fixture {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("test.db").display());
        let store = Store::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        for number in 0..10 {
            let angle = number as f32 / 10.0;
            let insights = Insights {
                agent_talk_ratio: 0.456,
                customer_sentiment_score: -0.9 + 0.2 * f64::from(number),
                embedding: vec![angle.cos(), -angle.sin()],
            };
            store
                .record_insights(&new_call(number), &insights)
                .await
                .unwrap();
        }
        let page = store::Page {
            source: "test".to_owned(),
            next_offset: 1,
            calls: vec![new_call(20)],
            rejected: Vec::new(),
        };
        store.insert_page(&page).await.unwrap();
        let token = Tokens::new(SECRET, 60).issue("Ann").unwrap();
        Self {
            store,
            token,
            _directory: directory,
        }
    }

    pub fn client(&self) -> TestClient<impl poem::Endpoint<Output = Response>> {
        TestClient::new(app(self.store.clone(), Tokens::new(SECRET, 60)))
    }

    /// The answer's status and JSON to a signed-in `GET`.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        let authorization = format!("Bearer {}", self.token);
        self.get_as(path, Some(&authorization)).await
    }

    pub async fn get_as(&self, path: &str, authorization: Option<&str>) -> (StatusCode, Value) {
        let client = self.client();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut request = client.get(path);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap();
            request = request.query(name.to_owned(), &value);
        }
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let response = request.send().await.0;
        json_of(response).await
    }
}

pub async fn json_of(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = response.into_body().into_bytes().await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

/// Asserts a refusal: its status, and that it says why.
#[track_caller]
pub fn assert_refused((status, body): &(StatusCode, Value), expected: u16) {
    assert_eq!(status.as_u16(), expected, "{body}");
    let detail = body["detail"].as_str().unwrap();
    assert!(!detail.is_empty());
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
}
