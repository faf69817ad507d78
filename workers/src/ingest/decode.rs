//! From the JSON of a page to its rows.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::source::{FetchError, RawPage, Row};
use crate::call::CallInput;

/// A page of the data sets server, or the bare shape `{"rows", "total"}`.
/// Rows stay raw at first, so that a bad one spoils none of the others.
#[derive(Deserialize)]
struct Body {
    rows: Vec<Box<RawValue>>,
    #[serde(alias = "num_rows_total")]
    total: Option<u64>,
}

/// The two columns of a data set that are read; others are ignored, whatever
/// they hold.
#[derive(Deserialize)]
struct Sides {
    #[serde(alias = "transcript_customer")]
    input: Option<String>,
    #[serde(alias = "transcript_agent")]
    output: Option<String>,
}

/// A dialogue as it happened.
#[derive(Deserialize)]
struct Dialogue {
    turns: Vec<Turn>,
}

#[derive(Deserialize)]
struct Turn {
    speaker: Speaker,
    text: String,
}

#[derive(Deserialize, PartialEq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    Customer,
    Agent,
}

/// Reads a page that was asked for from `offset` on.
///
/// # Errors
/// [`FetchError::Malformed`] when it is no page; a bad row is no error.
pub fn page(raw: Vec<u8>, offset: u64) -> Result<RawPage, FetchError> {
    let body: Body = serde_json::from_slice(&raw)?;
    let rows = (offset..).zip(&body.rows);
    Ok(RawPage {
        rows: rows.map(|(place, json)| row(json.get(), place)).collect(),
        total: body.total,
        raw,
    })
}

/// Reads one row: `{"row_idx", "row", "truncated_cells"}` with the sides in
/// `row`, the sides alone, or a dialogue. `place` is where the row should be.
pub fn row(json: &str, place: u64) -> Row {
    let (index, call) = match serde_json::from_str::<Value>(json) {
        Ok(value) => {
            let index = value.get("row_idx").and_then(Value::as_u64);
            (index.unwrap_or(place), columns(value).and_then(sides))
        }
        Err(error) => (place, Err(format!("not JSON: {error}"))),
    };
    Row {
        index,
        raw: json.to_owned(),
        call,
    }
}

/// The row's columns; a row whose cells the server cut short has none that
/// can be trusted.
fn columns(mut value: Value) -> Result<Value, String> {
    let Some(columns) = value.get_mut("row").map(Value::take) else {
        return Ok(value);
    };
    match value.get("truncated_cells").and_then(Value::as_array) {
        Some(cut) if !cut.is_empty() => {
            let names: Vec<_> = cut.iter().filter_map(Value::as_str).collect();
            Err(format!("the server cut these cells: {}", names.join(", ")))
        }
        _ => Ok(columns),
    }
}

fn sides(columns: Value) -> Result<CallInput, String> {
    if columns.get("turns").is_some() {
        return serde_json::from_value(columns)
            .map(joined)
            .map_err(|error| format!("not a dialogue: {error}"));
    }
    let sides: Sides = serde_json::from_value(columns)
        .map_err(|error| format!("not a row of input and output: {error}"))?;
    Ok(CallInput {
        transcript_customer: sides.input,
        transcript_agent: sides.output,
        ..CallInput::default()
    })
}

/// Each side's turns, one a line.
fn joined(dialogue: Dialogue) -> CallInput {
    let side = |speaker: Speaker| {
        let turns = dialogue.turns.iter();
        let texts = turns.filter(|turn| turn.speaker == speaker);
        Some(
            texts
                .map(|turn| turn.text.as_str())
                .collect::<Vec<_>>()
                .join("\n"),
        )
    };
    CallInput {
        transcript_customer: side(Speaker::Customer),
        transcript_agent: side(Speaker::Agent),
        ..CallInput::default()
    }
}
