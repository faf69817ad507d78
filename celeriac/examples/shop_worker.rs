//! The shop's busiest task, in Rust.

use std::collections::HashSet;

use celeriac::{App, Failure, TaskError, Worker};
use serde::Serialize;

#[derive(Serialize)]
struct Score {
    words: usize,
    different: usize,
    mean_length: f64,
}

/// Counts the words of a text, and how many of them differ.
#[celeriac::task(name = "shop.tasks.score", acks_late)]
async fn score(text: String) -> Result<Score, TaskError> {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        return Err(Failure::new("ValueError", "there are no words").into());
    }
    let length: usize = words.iter().map(|word| word.chars().count()).sum();
    Ok(Score {
        words: words.len(),
        different: words.iter().collect::<HashSet<_>>().len(),
        mean_length: length as f64 / words.len() as f64,
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    celeriac::log::init();
    let worker = Worker::new(App::from_env()?).task(score::task());
    if std::env::args().nth(1).as_deref() == Some("stubs") {
        print!("{}", worker.stubs(Some("shop.tasks")));
        return Ok(());
    }
    worker.run().await?;
    Ok(())
}
