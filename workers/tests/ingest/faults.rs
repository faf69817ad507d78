//! A server that fails: what is tried again, what is not, and what stays.

use std::time::{Duration, SystemTime};

use workers::ingest::IngestError;

use crate::server::{Answer, Request, Server};
use crate::support::{Bench, Queue, rows};

/// A server of 30 rows whose page at 10 fails as often as said.
async fn failing(times: usize, fault: impl Fn() -> Answer + Send + Sync + 'static) -> Server {
    let script = move |request: &Request| match (request.offset, request.attempt) {
        (10, attempt) if attempt <= times => fault(),
        _ => Answer::Live,
    };
    Server::start(rows(30), script).await
}

/// Runs once and expects every row to arrive, in spite of the fault.
async fn survives(times: usize, fault: impl Fn() -> Answer + Send + Sync + 'static) -> Server {
    let server = failing(times, fault).await;
    let mut bench = Bench::new(&server.url).await;
    bench.settings.request_timeout_seconds = 0.3;
    let queue = Queue::default();
    let report = bench.ingestion().run(None, &queue).await.unwrap();
    assert_eq!((report.stored, queue.ids().len()), (30, 30));
    assert_eq!(server.requests_at(10).len(), times + 1);
    server
}

/// The wait between the first two requests of the failing page.
fn wait(server: &Server) -> Duration {
    let requests = server.requests_at(10);
    requests[1].at - requests[0].at
}

#[tokio::test]
async fn retry_after_in_seconds_is_obeyed() {
    let server = survives(1, || Answer::Status(429, Some("1".to_owned()))).await;
    assert!(
        wait(&server) >= Duration::from_secs(1),
        "{:?}",
        wait(&server)
    );
}

#[tokio::test]
async fn retry_after_as_a_date_is_obeyed() {
    let soon = || httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3));
    let server = survives(1, move || Answer::Status(503, Some(soon()))).await;
    // An HTTP date has no fractions of a second.
    assert!(
        wait(&server) >= Duration::from_millis(1_900),
        "{:?}",
        wait(&server)
    );
}

#[tokio::test]
async fn retry_after_as_a_date_is_one_of_the_servers_clock() {
    // The server's clock, which it tells, is an hour ahead of this one.
    let fault = || {
        let now = SystemTime::now() + Duration::from_secs(3_600);
        let then = httpdate::fmt_http_date(now + Duration::from_secs(2));
        let now = httpdate::fmt_http_date(now);
        Answer::Status(429, Some(format!("{then}\r\ndate: {now}")))
    };
    let server = survives(1, fault).await;
    assert!(
        wait(&server) < Duration::from_secs(10),
        "{:?}",
        wait(&server)
    );
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    survives(3, || Answer::Status(500, None)).await;
    survives(3, || Answer::Status(429, None)).await;
    survives(1, || Answer::Late(Duration::from_secs(2))).await;
    survives(2, || Answer::Cut).await;
    survives(2, || Answer::Nothing).await;
    survives(2, || Answer::Body(r#"{"rows": [{"inp"#)).await;
    survives(1, || Answer::Body("<html>")).await;
}

#[tokio::test]
async fn other_refusals_are_not_tried_again() {
    for status in [400, 401, 403, 404, 410, 422, 501, 505, 511] {
        let server = failing(usize::MAX, move || Answer::Status(status, None)).await;
        let bench = Bench::new(&server.url).await;
        let error = bench
            .ingestion()
            .run(None, &Queue::default())
            .await
            .unwrap_err();
        assert!(!error.is_transient());
        let said = error.to_string();
        assert!(said.contains(&status.to_string()), "{said}");
        assert!(said.ends_with(": no"), "{said}");
        assert_eq!(server.requests_at(10).len(), 1);
    }
}

type Give = fn() -> Answer;

/// The error of a run whose page at 10 is answered so, and how often it was
/// asked for. The rows before it are safe, and the cursor stands before it.
async fn ends(answer: Give) -> (IngestError, usize) {
    let server = failing(usize::MAX, answer).await;
    let bench = Bench::new(&server.url).await;
    let (report, ended) = bench.ingestion().attempt(None, &Queue::default()).await;
    assert_eq!((report.stored, report.next_offset), (10, 10));
    (ended.unwrap_err(), server.requests_at(10).len())
}

#[tokio::test]
async fn what_is_no_page_of_these_rows_ends_the_run_at_once() {
    let lasting: [(Give, &str); 3] = [
        (|| Answer::Html("<h1>Sign in</h1>"), "<h1>Sign in</h1>"),
        (|| Answer::Body(r#"{"data": []}"#), "missing field `rows`"),
        (
            || {
                Answer::Body(
                    r#"{"features": [{"name": "question"}, {"name": "output"}], "rows": [
                {"row_idx": 10, "row": {"question": "Hm?", "output": "Hm."}, "truncated_cells": []}]}"#,
                )
            },
            "the columns question, output",
        ),
    ];
    for (answer, words) in lasting {
        let (error, requests) = ends(answer).await;
        assert!(!error.is_transient(), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(requests, 1, "{error}");
    }
}

#[tokio::test]
async fn a_page_with_rows_left_out_is_not_passed_over() {
    let gaps: [(Give, &str); 3] = [
        (
            || {
                Answer::Body(
                    r#"{"rows": [{"row_idx": 10, "row": {"input": "a", "output": "b"}},
                                         {"row_idx": 12, "row": {"input": "c", "output": "d"}}]}"#,
                )
            },
            "row 11: row 12 came",
        ),
        (
            || Answer::Body(r#"{"rows": [{"row_idx": 0, "row": {"input": "a", "output": "b"}}]}"#),
            "row 10: row 0 came",
        ),
        (
            || Answer::Body(r#"{"rows": [], "num_rows_total": 30}"#),
            "row 10: no row came",
        ),
    ];
    for (answer, words) in gaps {
        let (error, requests) = ends(answer).await;
        assert!(error.is_transient() && !error.is_outage(), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(requests, 4, "{error}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_more_than_a_minute_is_left_alone() {
    let (error, requests) = ends(|| Answer::Status(503, Some("3600".to_owned()))).await;
    assert!(error.is_outage() && error.asks_too_much(), "{error}");
    assert_eq!(requests, 1);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_needs_somebody() {
    let server = Server::start(rows(30), |_| Answer::Live).await;
    let bench = Bench::new(&server.url).await;
    std::fs::write(&bench.settings.transcripts_dir, "a file").unwrap();
    let (report, ended) = bench.ingestion().attempt(None, &Queue::default()).await;
    let error = ended.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert_eq!((report.stored, report.next_offset), (0, 0));
}

#[tokio::test]
async fn a_page_that_keeps_failing_ends_the_run_and_what_was_stored_stays() {
    let server = failing(4, || Answer::Status(502, None)).await;
    let bench = Bench::new(&server.url).await;
    let (ingestion, queue) = (bench.ingestion(), Queue::default());

    let error = ingestion.run(None, &queue).await.unwrap_err();
    assert!(
        matches!(error, IngestError::Fetch { offset: 10, .. }),
        "{error}"
    );
    assert!(error.is_transient());
    assert_eq!(server.requests_at(10).len(), 4);
    assert_eq!(
        (
            queue.ids().len(),
            bench.store.counts().await.unwrap().queued
        ),
        (10, 10)
    );

    let report = ingestion.run(None, &queue).await.unwrap();
    assert_eq!(
        (report.fetched, report.stored, report.duplicates),
        (20, 20, 0)
    );
    assert_eq!((queue.ids().len(), queue.calls().len()), (30, 30));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_fault_that_may_pass() {
    let bench = Bench::new("http://127.0.0.1:9").await;
    let error = bench
        .ingestion()
        .run(None, &Queue::default())
        .await
        .unwrap_err();
    assert!(error.is_transient());
    assert!(error.to_string().contains("refused"), "{error}");
}
