//! The sources that need no server.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use workers::ingest::jsonl::Jsonl;
use workers::ingest::sample::Sample;
use workers::ingest::{IngestSettings, TranscriptSource};

use crate::support::{Bench, Queue};

#[tokio::test]
async fn the_sample_is_whole() {
    let bench = Bench::new("").await;
    let queue = Queue::default();
    let report = bench
        .ingestion_from(Arc::new(Sample))
        .run(Some(1_000), &queue)
        .await
        .unwrap();
    assert!(report.exhausted && report.stored >= 320, "{report:?}");
    assert_eq!((report.invalid, report.total), (0, Some(report.stored)));
    let calls = queue.calls();
    let english = calls.iter().filter(|call| call.language == "en").count();
    assert!(english >= calls.len() - 8, "only {english} are in English");
    let agents: std::collections::BTreeSet<_> = calls.iter().map(|call| &call.agent_id).collect();
    assert!((8..=40).contains(&agents.len()), "{agents:?}");
}

#[tokio::test]
async fn dialogues_and_pairs_come_from_a_file_that_may_grow() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("calls.jsonl");
    let turn = |speaker: &str, text: &str| json!({"speaker": speaker, "text": text});
    let dialogue = json!({"id": "a", "turns": [
        turn("customer", "Hi."), turn("agent", "Hello!"), turn("customer", "Bye."),
    ]});
    let pair = json!({"input": "In", "output": "Out"});
    let strange = json!({"turns": [turn("robot", "Beep")]});
    let lines = format!("{dialogue}\n{pair}\nnot json\n{strange}\n");
    std::fs::write(&path, &lines).unwrap();

    let mut bench = Bench::new("").await;
    bench.settings.page_size = NonZeroU64::new(3).unwrap();
    let (ingestion, queue) = (
        bench.ingestion_from(Arc::new(Jsonl::new(&path))),
        Queue::default(),
    );
    let report = ingestion.run(None, &queue).await.unwrap();
    assert_eq!((report.fetched, report.stored, report.invalid), (4, 2, 2));
    assert_eq!((report.total, report.exhausted), (Some(4), true));
    assert_eq!(queue.calls()[0].transcript_customer, "Hi.\nBye.");
    assert_eq!(queue.calls()[0].transcript_agent, "Hello!");

    let more = json!({"input": "More", "output": "Most"});
    std::fs::write(
        &path,
        [lines.as_bytes(), b"\xff\n", more.to_string().as_bytes()].concat(),
    )
    .unwrap();
    let report = ingestion.run(None, &queue).await.unwrap();
    assert_eq!((report.fetched, report.stored, report.invalid), (2, 1, 1));
    assert_eq!(report.next_offset, 6);
}

#[tokio::test]
async fn a_line_that_is_still_being_written_is_left_for_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("calls.jsonl");
    let line = |n: u32| json!({"input": format!("In {n}"), "output": "漢字"}).to_string();
    let whole = [line(0), line(1), line(2), line(3)].join("\n");
    let bench = Bench::new("").await;
    let (ingestion, queue) = (
        bench.ingestion_from(Arc::new(Jsonl::new(&path))),
        Queue::default(),
    );
    // It is cut in a word, in a character, and where a line feed is to come.
    let (word, character) = (line(0).len() + 9, line(0).len() * 2 - 3);
    for (end, stored) in [
        (word, 1),
        (character, 0),
        (line(0).len() * 2 + 1, 1),
        (whole.len(), 2),
    ] {
        std::fs::write(&path, &whole.as_bytes()[..end]).unwrap();
        let report = ingestion.run(None, &queue).await.unwrap();
        assert_eq!((report.stored, report.invalid), (stored, 0), "{end}");
        assert!(report.exhausted);
    }
    // Whoever counts the lines anew comes to the same rows.
    let again = bench.ingestion_from(Arc::new(Jsonl::new(&path)));
    std::fs::write(&path, format!("{whole}\n{}", line(4))).unwrap();
    let report = again.run(None, &queue).await.unwrap();
    assert_eq!(
        (report.stored, report.invalid, report.next_offset),
        (1, 0, 5)
    );
    assert_eq!(queue.calls()[4].transcript_customer, "In 4");
}

#[tokio::test]
async fn a_page_deep_in_a_file_is_found_without_those_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("calls.jsonl");
    let lines: String = (0..50)
        .map(|n| format!("{{\"input\": \"{n}\"}}\n"))
        .collect();
    std::fs::write(&path, lines).unwrap();
    let source = Jsonl::new(&path);
    for offset in [40, 7, 41, 12, 0, 49] {
        let page = source.fetch(offset, 3).await.unwrap();
        let call = page.rows[0].call.as_ref().unwrap();
        assert_eq!(call.transcript_customer, Some(offset.to_string()));
        assert_eq!(page.total.is_some(), offset == 49);
    }
    assert!(source.fetch(60, 3).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let error = Jsonl::new(Path::new("/nowhere.jsonl"))
        .fetch(0, 1)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("/nowhere.jsonl"), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn three_thousand_real_dialogues_arrive() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/support_dialogues.jsonl");
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return;
    }
    let mut bench = Bench::new("").await;
    bench.settings.page_size = IngestSettings::default().page_size;
    let (source, queue) = (
        Arc::new(Jsonl::new(&PathBuf::from(&path))),
        Queue::default(),
    );
    let report = bench
        .ingestion_from(source)
        .run(Some(5_000), &queue)
        .await
        .unwrap();
    assert_eq!(
        (report.stored, report.invalid, report.exhausted),
        (3_000, 0, true)
    );
    assert_eq!(queue.ids().len(), 3_000);
}
