//! Pages of calls: order, bounds, filters.

use super::*;

async fn total(fixture: &Fixture, query: &str) -> Value {
    let (status, body) = fixture.get(&format!("/api/v1/calls/?{query}")).await;
    assert_eq!(status, StatusCode::OK, "{query}: {body}");
    body["total"].clone()
}

#[tokio::test]
async fn a_page_has_the_documented_shape() {
    let fixture = Fixture::new().await;
    for path in ["/api/v1/calls/", "/api/v1/calls"] {
        let (status, body) = fixture.get(&format!("{path}?limit=2&offset=1")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            (&body["total"], &body["offset"], &body["limit"]),
            (&json!(10), &json!(1), &json!(2))
        );
        assert_eq!(body["data"].as_array().unwrap().len(), 2);
        assert_eq!(
            body["data"][0],
            json!({
                "call_id": id(8),
                "agent_id": "ann",
                "customer_id": "customer-8",
                "language": "en",
                "start_time": "2025-03-09T12:00:00+00:00",
                "duration_seconds": 100,
                "transcript_customer": "My parcel 8 is late, O'Brien said 漢字",
                "transcript_agent": "I am sorry. What is the order number?",
                "agent_talk_ratio": 0.46,
                "customer_sentiment_score": -0.9 + 0.2 * 8.0,
                "embeddings": "[0.70, -0.72]",
            })
        );
    }
    assert_eq!(fixture.get("/api/v1/calls/").await.1["limit"], 10);
}

#[tokio::test]
async fn parameters_narrow_the_listing() {
    let fixture = Fixture::new().await;
    for (query, expected) in [
        ("agent_id=ann", 5),
        ("agent_id=nobody", 0),
        ("from_date=2025-03-03&to_date=2025-03-05", 3),
        (
            "from_date=2025-03-03T12:00:00Z&to_date=2025-03-05T11:59:59Z",
            2,
        ),
        ("min_sentiment=-0.5&max_sentiment=0", 3),
        ("q=PARCEL late", 10),
        ("q=parcel 3", 1),
        ("q=漢字", 10),
        ("offset=18446744073709551615", 10),
    ] {
        assert_eq!(total(&fixture, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn hostile_searches_find_nothing_and_break_nothing() {
    let fixture = Fixture::new().await;
    for q in [
        "'; DROP TABLE call; --",
        "\" OR 1=1",
        "late OR",
        "*",
        "NEAR(",
        "\0",
        "😀",
        "a:b",
    ] {
        assert_eq!(total(&fixture, &format!("q={q}")).await, 0, "{q}");
    }
    let long = "late ".repeat(60);
    assert_eq!(total(&fixture, &format!("q={long}")).await, 10);
    assert_eq!(total(&fixture, "agent_id=' OR '1'='1").await, 0);
    assert_eq!(total(&fixture, "").await, 10);
}

#[tokio::test]
async fn senseless_parameters_are_refused() {
    let fixture = Fixture::new().await;
    for query in [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=ten",
        "offset=-1",
        "offset=99999999999999999999",
        "from_date=yesterday",
        "from_date=2025-03-05&to_date=2025-03-04",
        "to_date=2025-02-30",
        "min_sentiment=2",
        "max_sentiment=NaN",
        "min_sentiment=0.5&max_sentiment=0.4",
    ] {
        assert_refused(&fixture.get(&format!("/api/v1/calls/?{query}")).await, 422);
    }
}

#[tokio::test]
async fn one_call_is_found_by_its_id() {
    let fixture = Fixture::new().await;
    let (status, body) = fixture.get(&format!("/api/v1/calls/{}", id(3))).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["call_id"], json!(id(3)));
    assert_eq!(body["agent_id"], "bob");
    for unknown in [id(20), id(99)] {
        assert_refused(&fixture.get(&format!("/api/v1/calls/{unknown}")).await, 404);
        let recommendations = format!("/api/v1/calls/{unknown}/recommendations");
        assert_refused(&fixture.get(&recommendations).await, 404);
    }
    assert_refused(&fixture.get("/api/v1/calls/not-a-uuid").await, 422);
    assert_refused(
        &fixture
            .get("/api/v1/calls/not-a-uuid/recommendations")
            .await,
        422,
    );
}

#[tokio::test]
async fn a_call_recommends_five_like_it_and_three_nudges() {
    let fixture = Fixture::new().await;
    let path = format!("/api/v1/calls/{}/recommendations", id(9));
    let (status, body) = fixture.get(&path).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["call_id"], json!(id(9)));
    let similar = body["similar_calls"].as_array().unwrap();
    let ids: Vec<&Value> = similar.iter().map(|call| &call["call_id"]).collect();
    assert_eq!(
        ids,
        [
            &json!(id(8)),
            &json!(id(7)),
            &json!(id(6)),
            &json!(id(5)),
            &json!(id(4))
        ]
    );
    assert_eq!(similar[0].as_object().unwrap().len(), 3);
    assert_eq!(
        similar[0]["transcript_customer"],
        "My parcel 8 is late, O'Brien said 漢字"
    );
    assert!(similar[0]["transcript_agent"].is_string());
    assert_eq!(body["coaching_nudges"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn agents_are_ranked() {
    let fixture = Fixture::new().await;
    let (status, body) = fixture.get("/api/v1/analytics/agents").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body,
        json!([
            {"agent_id": "bob", "total_calls": 5, "avg_talk_ratio": 0.456, "avg_sentiment_score": 0.1},
            {"agent_id": "ann", "total_calls": 5, "avg_talk_ratio": 0.456, "avg_sentiment_score": -0.1},
        ])
    );
}
