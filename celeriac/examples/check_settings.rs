//! Says of configurations whether they are accepted, for tests that try every
//! setting that Celery has: reads a JSON object a line, and answers with one.

use std::collections::BTreeMap;
use std::io::{BufRead, stdin};

use celeriac::Config;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Asked {
    file: String,
    environment: BTreeMap<String, String>,
}

fn main() -> anyhow::Result<()> {
    for line in stdin().lock().lines() {
        let asked: Asked = serde_json::from_str(&line?)?;
        let read = Config::parse("celeryconfig.toml", asked.file, asked.environment, &[]);
        let answer = match read {
            Ok(config) => json!({"warnings": config.warnings()}),
            Err(error) => json!({"error": error.to_string()}),
        };
        println!("{answer}");
    }
    Ok(())
}
