//! The OpenAPI document, as programs read it.

use super::*;

async fn specification() -> Value {
    let fixture = Fixture::new().await;
    let (status, body) = fixture.get_as("/openapi.json", None).await;
    assert_eq!(status, StatusCode::OK);
    body
}

#[tokio::test]
async fn every_operation_is_documented() {
    let spec = specification().await;
    let expected = [
        (
            "/signin",
            "post",
            "signin",
            vec!["200", "400", "413", "415", "422", "500"],
        ),
        (
            "/api/v1/calls/",
            "get",
            "list_calls",
            vec!["200", "401", "422", "500", "503"],
        ),
        (
            "/api/v1/calls/{id}",
            "get",
            "get_call",
            vec!["200", "401", "404", "422", "500", "503"],
        ),
        (
            "/api/v1/calls/{id}/recommendations",
            "get",
            "get_recommendations",
            vec!["200", "401", "404", "422", "500", "503"],
        ),
        (
            "/api/v1/analytics/agents",
            "get",
            "rank_agents",
            vec!["200", "401", "500", "503"],
        ),
        ("/health", "get", "health", vec!["200", "503"]),
        (
            "/metrics",
            "get",
            "metrics",
            vec!["200", "401", "500", "503"],
        ),
    ];
    assert_eq!(spec["paths"].as_object().unwrap().len(), expected.len());
    for (path, method, name, statuses) in expected {
        let operation = &spec["paths"][path][method];
        assert_eq!(operation["operationId"], name, "{path}");
        assert!(
            operation["summary"].is_string() && operation["tags"][0].is_string(),
            "{path}"
        );
        let responses = operation["responses"].as_object().unwrap();
        let mut found: Vec<&str> = responses.keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, statuses, "{path}");
        let open = ["/signin", "/health"].contains(&path);
        assert_eq!(operation.get("security").is_none(), open, "{path}");
    }
}

#[tokio::test]
async fn the_listings_parameters_are_documented() {
    let spec = specification().await;
    let parameters = spec["paths"]["/api/v1/calls/"]["get"]["parameters"]
        .as_array()
        .unwrap();
    let names: Vec<&str> = parameters
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    let expected = [
        "limit",
        "offset",
        "agent_id",
        "from_date",
        "to_date",
        "min_sentiment",
        "max_sentiment",
        "q",
    ];
    assert_eq!(names, expected);
    assert!(
        parameters
            .iter()
            .all(|p| p["description"].is_string() && p["required"] == false)
    );
    let limit = &parameters[0]["schema"];
    assert_eq!(
        (&limit["default"], &limit["maximum"]),
        (&json!(10), &json!(100.0))
    );
}

#[tokio::test]
async fn tokens_and_examples_are_documented() {
    let spec = specification().await;
    let scheme = &spec["components"]["securitySchemes"]["bearerAuth"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"], &scheme["bearerFormat"]),
        (&json!("http"), &json!("bearer"), &json!("JWT"))
    );
    let schemas = spec["components"]["schemas"].as_object().unwrap();
    for name in [
        "CallView",
        "CallList",
        "Recommendations",
        "AgentView",
        "Session",
        "Detail",
    ] {
        assert!(schemas[name]["example"].is_object(), "{name}");
    }
}

#[tokio::test]
async fn the_documentation_needs_no_token_and_no_network() {
    let fixture = Fixture::new().await;
    for path in ["/docs", "/docs/"] {
        let response = fixture.client().get(path).send().await;
        response.assert_status_is_ok();
        let page = response.0.into_body().into_string().await.unwrap();
        assert!(page.contains("SwaggerUIBundle"));
        assert!(!page.contains("<script src") && !page.contains("<link"));
    }
}
