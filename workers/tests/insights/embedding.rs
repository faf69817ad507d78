//! The embedding is the one that sentence-transformers computes.
//!
//! The reference vectors come from sentence-transformers 3.3 with the same
//! weights.

use super::{engine, largest_difference, reference};
use futures::future::try_join_all;
use serde::Deserialize;
use workers::insights::InsightsSettings;

#[derive(Deserialize)]
struct Reference {
    text: String,
    embedding: Vec<f32>,
}

#[tokio::test]
async fn embeddings_are_those_of_sentence_transformers() {
    let engine = engine(&InsightsSettings::default()).await;
    let expected: Vec<Reference> = reference("models/embedding-reference.json");
    let difference = |vectors: &[Vec<f32>]| {
        let pairs = vectors.iter().zip(&expected);
        let each = pairs.map(|(vector, known)| largest_difference(vector, &known.embedding));
        each.fold(0.0, f32::max)
    };

    let mut alone = Vec::new();
    for known in &expected {
        alone.push(
            engine
                .embed(known.text.as_str())
                .await
                .expect("an embedding"),
        );
    }
    println!("largest difference one at a time: {:e}", difference(&alone));
    assert!(difference(&alone) < 1e-4);

    let all = expected
        .iter()
        .map(|known| engine.embed(known.text.as_str()));
    let together = try_join_all(all).await.expect("embeddings");
    println!("largest difference in batches: {:e}", difference(&together));
    assert!(difference(&together) < 1e-4);
}

#[tokio::test]
async fn the_agent_comes_first() {
    let engine = engine(&InsightsSettings::default()).await;
    let analysis = engine
        .analyse("It broke.", "How can I help?")
        .await
        .expect("an analysis");
    let direct = engine
        .embed("How can I help? It broke.")
        .await
        .expect("an embedding");
    assert!(largest_difference(&analysis.embedding, &direct) < 1e-6);
    let length: f32 = direct.iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-5);
    assert!(analysis.sentiment < 0.0);
}

#[tokio::test]
async fn odd_texts_have_insights_too() {
    let engine = engine(&InsightsSettings::default()).await;
    let long = "The line is dead again and nobody calls back. ".repeat(1000);
    for text in [
        "",
        " \n\t",
        "\u{fffd}\u{0}\u{200d}",
        "👩‍👩‍👧‍👦🇩🇪",
        "ﷺ العربية",
        "字",
        "[PAD] [CLS]",
        &"x".repeat(5000),
        &long,
    ] {
        let analysis = engine.analyse(text, text).await.expect("an analysis");
        assert_eq!(analysis.embedding.len(), 384);
        assert!(analysis.embedding.iter().all(|x| x.is_finite()));
        assert!((-1.0..=1.0).contains(&analysis.sentiment));
    }
    assert_eq!(engine.sentiment("").await.expect("a score"), 0.0);
    assert!(engine.sentiment(long).await.expect("a score") < -0.3);
}
