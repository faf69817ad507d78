//! What is refused, and the words for it.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};

use super::*;
use crate::Claims;

const PROTECTED: [&str; 5] = [
    "/api/v1/calls/",
    "/api/v1/calls?limit=1000",
    "/api/v1/calls/not-a-uuid",
    "/api/v1/analytics/agents",
    "/metrics",
];

#[tokio::test]
async fn without_a_token_there_is_nothing_to_see() {
    let fixture = Fixture::new().await;
    for path in PROTECTED {
        for header in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Basic QTpC"),
        ] {
            assert_refused(&fixture.get_as(path, header).await, 401);
        }
    }
    let response = fixture.client().get("/api/v1/calls/").send().await;
    response.assert_header("www-authenticate", "Bearer");
}

#[tokio::test]
async fn forged_and_expired_tokens_are_refused() {
    let fixture = Fixture::new().await;
    let claims = Claims {
        sub: "Ann".to_owned(),
        iat: 0,
        exp: 4_000_000_000,
    };
    let sign = |algorithm, secret: &[u8], claims: &Value| {
        encode(
            &Header::new(algorithm),
            claims,
            &EncodingKey::from_secret(secret),
        )
        .unwrap()
    };
    let valid = serde_json::to_value(&claims).unwrap();
    let signed = sign(Algorithm::HS256, SECRET.as_bytes(), &valid);
    let path = "/api/v1/analytics/agents";
    let (status, _) = fixture
        .get_as(path, Some(&format!("Bearer {signed}")))
        .await;
    assert_eq!(status, StatusCode::OK);

    let mut expired = valid.clone();
    expired["exp"] = json!(jsonwebtoken::get_current_timestamp() - 1);
    let (_, rest) = signed.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"; // {"alg":"none","typ":"JWT"}
    let forged = [
        sign(Algorithm::HS256, b"another secret", &valid),
        sign(Algorithm::HS256, b"", &valid),
        sign(Algorithm::HS512, SECRET.as_bytes(), &valid),
        sign(Algorithm::HS256, SECRET.as_bytes(), &expired),
        sign(
            Algorithm::HS256,
            SECRET.as_bytes(),
            &json!({"sub": "Ann", "iat": 0}),
        ),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        "not.a.token".to_owned(),
    ];
    for token in forged {
        let header = format!("Bearer {token}");
        assert_refused(&fixture.get_as(path, Some(&header)).await, 401);
    }
}

#[tokio::test]
async fn a_name_signs_in_and_the_token_opens_the_rest() {
    let fixture = Fixture::new().await;
    let body = json!({"name": "Zoë 🦀"});
    let response = fixture
        .client()
        .post("/signin")
        .body_json(&body)
        .send()
        .await;
    let (status, session) = json_of(response.0).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(session["name"], "Zoë 🦀");
    assert_eq!(session.as_object().unwrap().len(), 2);
    let header = format!("Bearer {}", session["token"].as_str().unwrap());
    let (status, _) = fixture.get_as("/api/v1/calls/", Some(&header)).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn bad_sign_ins_are_refused() {
    let fixture = Fixture::new().await;
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(201));
    let huge = format!("{{\"name\": \"{}\"}}", "x".repeat(100_000));
    for (body, status) in [
        ("{\"name\": \"Ann\"", 400),
        ("nonsense", 400),
        ("", 422),
        ("[]", 422),
        ("{}", 422),
        ("{\"name\": null}", 422),
        ("{\"name\": \"\"}", 422),
        ("{\"name\": \" \"}", 422),
        (&long, 422),
        (&huge, 413),
    ] {
        let client = fixture.client();
        let request = client.post("/signin").content_type("application/json");
        let response = request.body(body.to_owned()).send().await;
        assert_refused(&json_of(response.0).await, status);
    }
    let response = fixture
        .client()
        .post("/signin")
        .body("name=Ann")
        .send()
        .await;
    assert_refused(&json_of(response.0).await, 415);
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let fixture = Fixture::new().await;
    for path in [
        "/",
        "/nothing",
        "/api/v1",
        "/api/v1/calls/a/b/c",
        "/docs/nothing",
        "/..%2f",
    ] {
        assert_refused(&fixture.get(path).await, 404);
    }
    assert_refused(&fixture.get("/signin").await, 405);
    for path in ["/api/v1/calls/", "/health", "/api/v1/analytics/agents"] {
        let response = fixture.client().post(path).send().await;
        assert_refused(&json_of(response.0).await, 405);
    }
}
