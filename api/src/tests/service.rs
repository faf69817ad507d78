//! Health, metrics, and who is let in.

use super::*;

#[tokio::test]
async fn health_needs_no_token() {
    let fixture = Fixture::new().await;
    let (status, body) = fixture.get_as("/health", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body,
        json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})
    );
}

#[tokio::test]
async fn without_its_database_the_service_says_so() {
    let fixture = Fixture::new().await;
    fixture.store.close().await.unwrap();
    let (status, body) = fixture.get_as("/health", None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["status"], "unavailable");
    assert_eq!(body["detail"], "the database is away");
    for path in ["/api/v1/calls/", "/api/v1/analytics/agents", "/metrics"] {
        assert_refused(&fixture.get(path).await, 503);
    }
}

#[tokio::test]
async fn metrics_count_requests_and_calls() {
    let fixture = Fixture::new().await;
    let client = fixture.client();
    let bearer = format!("Bearer {}", fixture.token);
    for path in [
        format!("/api/v1/calls/{}", id(1)),
        "/x/1".to_owned(),
        "/x/2".to_owned(),
    ] {
        client
            .get(path)
            .header("authorization", &bearer)
            .send()
            .await;
    }
    let response = client
        .get("/metrics")
        .header("authorization", &bearer)
        .send()
        .await;
    response.assert_status_is_ok();
    response.assert_content_type("text/plain; version=0.0.4; charset=utf-8");
    let text = response.0.into_body().into_string().await.unwrap();
    for line in [
        "# TYPE celeriac_api_requests_total counter",
        r#"celeriac_api_requests_total{method="GET",path="/api/v1/calls/{id}",status="200"} 1"#,
        r#"celeriac_api_requests_total{method="GET",path="unmatched",status="404"} 2"#,
        r#"celeriac_api_request_duration_seconds_count{method="GET",path="unmatched"} 2"#,
        r#"celeriac_api_calls{state="processed"} 10"#,
        r#"celeriac_api_calls{state="pending"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn metrics_are_open_metrics_for_those_who_ask() {
    let fixture = Fixture::new().await;
    let response = fixture
        .client()
        .get("/metrics")
        .header("authorization", format!("Bearer {}", fixture.token))
        .header(
            "accept",
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
        )
        .send()
        .await;
    response.assert_content_type("application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = response.0.into_body().into_string().await.unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
}
