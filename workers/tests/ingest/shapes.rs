//! What a page may look like, and how a run goes through the pages.

use std::num::NonZeroU64;
use std::time::Duration;

use serde_json::{Value, json};
use workers::ingest::Report;

use crate::server::{Answer, Server};
use crate::support::{Bench, Queue, rows};

#[tokio::test]
async fn a_run_stores_keeps_and_sends_every_row_and_the_next_goes_on() {
    let server = Server::start(rows(45), |_| Answer::Live).await;
    let bench = Bench::new(&server.url).await;
    let (ingestion, queue) = (bench.ingestion(), Queue::default());

    let first = ingestion.run(Some(25), &queue).await.unwrap();
    let expected = Report {
        source: "huggingface:someone/calls:default:train".to_owned(),
        fetched: 25,
        stored: 25,
        queued: 25,
        next_offset: 25,
        total: Some(45),
        ..Report::default()
    };
    assert_eq!(first, expected);
    let texts: Vec<_> = queue
        .calls()
        .into_iter()
        .map(|call| call.transcript_customer)
        .collect();
    assert_eq!(texts[7], "Order 7 is late!");
    assert_eq!(bench.store.counts().await.unwrap().queued, 25);

    let second = ingestion.run(None, &queue).await.unwrap();
    assert_eq!(
        (second.fetched, second.next_offset, second.exhausted),
        (20, 45, true)
    );
    assert_eq!(queue.ids().len(), 45);
    assert_eq!(queue.calls().len(), 45);
    assert_eq!(
        bench.raw_pages(),
        [
            "0000000000-10.json",
            "0000000010-10.json",
            "0000000020-5.json",
            "0000000025-10.json",
            "0000000035-10.json"
        ]
    );
}

#[tokio::test]
async fn raw_pages_hold_what_was_received() {
    let server = Server::start(rows(3), |_| Answer::Live).await;
    let bench = Bench::new(&server.url).await;
    bench
        .ingestion()
        .run(Some(10), &Queue::default())
        .await
        .unwrap();
    let file = bench
        .settings
        .transcripts_dir
        .join("huggingface-someone-calls-default-train/0000000000-10.json");
    let page: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(page["num_rows_total"], 3);
    assert_eq!(page["rows"][2]["row"]["input"], "Order 2 is late!");
}

#[tokio::test]
async fn both_shapes_give_the_same_calls() {
    let live = Server::start(rows(12), |_| Answer::Live).await;
    let bare = Server::start(rows(12), |_| Answer::Bare).await;
    let (a, b) = (Queue::default(), Queue::default());
    for (server, queue) in [(&live, &a), (&bare, &b)] {
        let bench = Bench::new(&server.url).await;
        let report = bench.ingestion().run(None, queue).await.unwrap();
        assert_eq!((report.stored, report.exhausted), (12, true));
    }
    assert_eq!(a.calls(), b.calls());
}

#[tokio::test]
async fn the_request_names_the_data_set_and_carries_the_token() {
    let server = Server::start(rows(1), |_| Answer::Live).await;
    let mut bench = Bench::new(&server.url).await;
    bench.settings.token = Some("hf_secret".into());
    bench
        .ingestion()
        .run(None, &Queue::default())
        .await
        .unwrap();
    let request = &server.requests_at(0)[0];
    for (key, value) in [
        ("dataset", "someone/calls"),
        ("config", "default"),
        ("split", "train"),
        ("length", "10"),
        ("limit", "10"),
    ] {
        assert_eq!(request.query[key], value);
    }
    assert!(
        request
            .head
            .to_lowercase()
            .contains("authorization: bearer hf_secret")
    );
    assert!(!format!("{:?}", bench.settings).contains("hf_secret"));
}

#[tokio::test]
async fn bad_rows_are_kept_aside_and_spoil_no_others() {
    let mut rows = rows(4);
    rows.extend([
        json!({"input": 5, "output": "Hm?"}),
        json!({"input": ["a"], "output": {}}),
        json!("a string"),
        json!(null),
        json!({"input": "  ", "output": null}),
        json!({"input": "long", "output": "x".repeat(1_000_001)}),
        json!({"row_idx": 10, "row": {"input": "cut o", "output": "b"},
               "truncated_cells": ["input"]}),
        json!({"input": "One side is enough", "output": null}),
        json!({"input": "Zero \u{0} byte", "output": "ok", "other": 7}),
    ]);
    let server = Server::start(rows, |_| Answer::Live).await;
    let bench = Bench::new(&server.url).await;
    let queue = Queue::default();
    let report = bench.ingestion().run(None, &queue).await.unwrap();
    assert_eq!((report.fetched, report.stored, report.invalid), (13, 6, 7));
    assert_eq!(queue.calls()[5].transcript_customer, "Zero  byte");
}

#[tokio::test]
async fn a_cell_that_was_cut_counts_if_it_is_read() {
    let row = |number: u64, cut: &str| {
        json!({"row_idx": number, "truncated_cells": [cut],
               "row": {"input": "My parcel", "output": "Sorry", "transcript_json": "[{"}})
    };
    let dialogue = json!({"row_idx": 3, "truncated_cells": ["input"], "row":
        {"turns": [{"speaker": "customer", "text": "Hm?"}], "input": "Hm"}});
    let rows = vec![
        row(0, "transcript_json"),
        row(1, "input"),
        row(2, "output"),
        dialogue,
    ];
    let server = Server::start(rows, |_| Answer::Live).await;
    let bench = Bench::new(&server.url).await;
    let report = bench
        .ingestion()
        .run(None, &Queue::default())
        .await
        .unwrap();
    assert_eq!((report.stored, report.invalid), (2, 2));
}

#[tokio::test]
async fn a_lone_surrogate_spoils_only_its_row() {
    let page = r#"{"rows": [{"input": "\ud800", "output": "a"}, {"input": "b", "output": "c"}],
                   "total": 2}"#;
    let server = Server::start(vec![], move |_| Answer::Body(page)).await;
    let bench = Bench::new(&server.url).await;
    let report = bench
        .ingestion()
        .run(None, &Queue::default())
        .await
        .unwrap();
    assert_eq!(
        (report.stored, report.invalid, report.exhausted),
        (1, 1, true)
    );
}

#[tokio::test]
async fn a_source_that_ended_ends_the_run() {
    let server = Server::start(rows(20), |_| Answer::Live).await;
    let bench = Bench::new(&server.url).await;
    let (ingestion, queue) = (bench.ingestion(), Queue::default());
    assert!(ingestion.run(None, &queue).await.unwrap().exhausted);
    let after = ingestion.run(None, &queue).await.unwrap();
    assert_eq!(
        (after.fetched, after.next_offset, after.exhausted),
        (0, 20, true)
    );
}

#[tokio::test]
async fn a_source_that_has_become_shorter_is_left_as_it_is() {
    let longer = Server::start(rows(20), |_| Answer::Live).await;
    let shorter = Server::start(rows(5), |_| Answer::Live).await;
    let mut bench = Bench::new(&longer.url).await;
    let queue = Queue::default();
    bench.ingestion().run(None, &queue).await.unwrap();
    bench.settings.endpoint = shorter.url.clone();
    let after = bench.ingestion().run(None, &queue).await.unwrap();
    assert_eq!(
        (after.fetched, after.next_offset, after.total),
        (0, 20, Some(5))
    );
    assert!(after.exhausted);
}

#[tokio::test]
async fn an_empty_page_ends_the_run() {
    let script = |request: &crate::server::Request| match request.offset {
        10 => Answer::Body(r#"{"rows": []}"#),
        _ => Answer::Body(r#"{"rows": [{"input": "a", "output": "b"}]}"#),
    };
    let server = Server::start(vec![], script).await;
    let mut bench = Bench::new(&server.url).await;
    bench.settings.page_size = NonZeroU64::new(5).unwrap();
    let report = bench
        .ingestion()
        .run(Some(50), &Queue::default())
        .await
        .unwrap();
    // Pages of one row: the run advances a row at a time up to the empty one.
    assert_eq!(
        (report.fetched, report.next_offset, report.total),
        (10, 10, None)
    );
    assert!(report.exhausted);
}

#[tokio::test]
async fn a_server_that_gives_fewer_rows_than_asked_loses_none() {
    let server = Server::start(rows(45), |_| Answer::AtMost(7)).await;
    let bench = Bench::new(&server.url).await;
    let queue = Queue::default();
    let report = bench.ingestion().run(None, &queue).await.unwrap();
    assert_eq!(
        (report.stored, report.duplicates, queue.ids().len()),
        (45, 0, 45)
    );
}

#[tokio::test]
async fn pages_are_fetched_together_but_not_too_many() {
    let server = Server::start(rows(120), |_| Answer::Late(Duration::from_millis(30))).await;
    let bench = Bench::new(&server.url).await;
    let report = bench
        .ingestion()
        .run(None, &Queue::default())
        .await
        .unwrap();
    assert_eq!(report.stored, 120);
    assert_eq!(server.most_open(), 3);
}
