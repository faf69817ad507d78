//! The sentiment of the shipped update and of a classifier named by the
//! settings is the one that Python computes with the same weights.
//!
//! `scripts/train_sentiment.py` writes the reference of the update. The
//! classifiers are tiny random ones that `tiny_classifier.py` wrote with
//! transformers, together with its answers; both are committed, so that no
//! Python is needed here.

use super::{engine, reference};
use futures::future::{try_join, try_join_all};
use serde::Deserialize;
use workers::insights::{Engine, InsightsSettings};

#[derive(Deserialize)]
struct Judged {
    text: String,
    p: f64,
}

#[tokio::test]
async fn the_shipped_update_is_the_one_that_was_trained() {
    let engine = engine(&InsightsSettings::default()).await;
    let expected: Vec<Judged> = reference("models/sentiment-reference.json");
    let difference = farthest(
        &engine,
        expected.iter().map(|known| (known.text.as_str(), known.p)),
    )
    .await;
    println!("largest difference of the update: {difference:e}");
    assert!(difference < 1e-3);
}

#[tokio::test]
async fn a_long_text_is_judged_sentence_by_sentence() {
    let engine = engine(&InsightsSettings::default()).await;
    let (good, bad) = (
        "Thank you, this was wonderful help. ",
        "This is a terrible, useless service. ",
    );
    let mixed = engine.positivity(good.repeat(6) + &bad.repeat(6)).await;
    let (good, bad) = try_join(engine.judge(good), engine.judge(bad))
        .await
        .expect("answers");
    let mixed = mixed.expect("an answer").expect("a text with words");
    assert!(bad < 0.2 && good > 0.8, "{bad} {good}");
    assert!((mixed - (good + bad) / 2.0).abs() < 0.05, "{mixed}");
    assert_eq!(engine.positivity(" \n ").await.expect("an answer"), None);
}

#[derive(Deserialize)]
struct Classified {
    text: String,
    probabilities: Vec<f64>,
}

#[tokio::test]
async fn a_distilbert_classifier_answers_as_in_transformers() {
    // Its labels are POSITIVE and NEGATIVE, in this order.
    classifier("tests/insights/tiny/distilbert", |probabilities| {
        probabilities[0]
    })
    .await;
}

#[tokio::test]
async fn a_bert_classifier_answers_as_in_transformers() {
    // Its labels are negative, neutral and positive.
    classifier("tests/insights/tiny/bert", |probabilities| {
        (1.0 + probabilities[2] - probabilities[0]) / 2.0
    })
    .await;
}

async fn classifier(directory: &str, positivity: impl Fn(&[f64]) -> f64) {
    let settings = InsightsSettings {
        sentiment: format!("{}/{directory}", env!("CARGO_MANIFEST_DIR")),
        ..Default::default()
    };
    let engine = engine(&settings).await;
    let expected: Vec<Classified> = reference(&format!("{directory}/expected.json"));
    let pairs = expected
        .iter()
        .map(|known| (known.text.as_str(), positivity(&known.probabilities)));
    let difference = farthest(&engine, pairs).await;
    println!("largest difference of {directory}: {difference:e}");
    assert!(difference < 1e-5);
}

/// The largest difference from the expected positivity, one text at a time and
/// all of them at once.
async fn farthest<'t>(engine: &Engine, expected: impl Iterator<Item = (&'t str, f64)>) -> f64 {
    let (texts, known): (Vec<&str>, Vec<f64>) = expected.unzip();
    let together = try_join_all(texts.iter().map(|text| engine.judge(*text)));
    let mut answers = together.await.expect("answers");
    for text in &texts {
        answers.push(engine.judge(*text).await.expect("an answer"));
    }
    let pairs = answers.into_iter().zip(known.iter().cycle());
    pairs
        .map(|(answer, known)| (answer - known).abs())
        .fold(0.0, f64::max)
}

#[tokio::test]
async fn a_model_that_cannot_be_used_is_refused_in_plain_words() {
    let encoder = InsightsSettings {
        model: Some("/nowhere".to_owned()),
        ..Default::default()
    };
    let fault = Engine::start(&encoder)
        .await
        .err()
        .expect("a refusal")
        .to_string();
    assert!(
        fault.contains("insights.model = \"/nowhere\": no such directory"),
        "{fault}"
    );

    let empty = tempfile::tempdir().expect("a directory");
    let judge = InsightsSettings {
        sentiment: empty.path().display().to_string(),
        ..Default::default()
    };
    let fault = Engine::start(&judge)
        .await
        .err()
        .expect("a refusal")
        .to_string();
    assert!(fault.contains("it has no config.json"), "{fault}");
}
