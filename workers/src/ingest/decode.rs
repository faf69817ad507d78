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
    /// The data set's columns, in the server's own shape.
    features: Option<Vec<Feature>>,
}

#[derive(Deserialize)]
struct Feature {
    name: String,
}

/// The columns that each side of a call can be in. Others are ignored,
/// whatever they hold, and whatever the server did to them.
const CUSTOMER: [&str; 3] = ["input", "transcript_customer", "turns"];
const AGENT: [&str; 3] = ["output", "transcript_agent", "turns"];

/// The two columns of a data set that are read.
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
/// [`FetchError`] when it is no page, not of the rows that were asked for, or
/// of other columns than are read; a bad row is no error.
pub fn page(raw: Vec<u8>, offset: u64) -> Result<RawPage, FetchError> {
    let body: Body = serde_json::from_slice(&raw)?;
    known(body.features.as_deref().unwrap_or_default())?;
    let rows = (offset..).zip(&body.rows);
    let rows: Vec<_> = rows.map(|(place, json)| row(json.get(), place)).collect();
    in_place(&rows, offset, body.total)?;
    Ok(RawPage {
        rows,
        total: body.total,
        raw,
    })
}

/// Whether the data set has both sides of a call, if it names its columns. One
/// that was renamed would cost all rows their transcripts.
fn known(features: &[Feature]) -> Result<(), FetchError> {
    let has = |side: [&str; 3]| {
        let mut names = features.iter().map(|feature| feature.name.as_str());
        names.any(|name| side.contains(&name))
    };
    if features.is_empty() || has(CUSTOMER) && has(AGENT) {
        return Ok(());
    }
    let names = features.iter().map(|feature| feature.name.clone());
    Err(FetchError::Columns(names.collect()))
}

/// Whether the rows are those that were asked for, and none is left out: the
/// cursor moves past all of them.
fn in_place(rows: &[Row], offset: u64, total: Option<u64>) -> Result<(), FetchError> {
    let mut places = (offset..).zip(rows);
    if let Some((expected, row)) = places.find(|(place, row)| *place != row.index) {
        let found = Some(row.index);
        return Err(FetchError::Misplaced { expected, found });
    }
    if rows.is_empty() && total.is_some_and(|total| offset < total) {
        let (expected, found) = (offset, None);
        return Err(FetchError::Misplaced { expected, found });
    }
    Ok(())
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

/// The row's columns, unless the server cut one short that is read.
fn columns(mut value: Value) -> Result<Value, String> {
    let Some(columns) = value.get_mut("row").map(Value::take) else {
        return Ok(value);
    };
    let cut = value.get("truncated_cells").and_then(Value::as_array);
    let cut = cut.into_iter().flatten().filter_map(Value::as_str);
    let read: Vec<_> = cut.filter(|name| is_read(name, &columns)).collect();
    match read.is_empty() {
        true => Ok(columns),
        false => Err(format!("the server cut these cells: {}", read.join(", "))),
    }
}

/// Whether the row's transcripts come from this column.
fn is_read(name: &str, columns: &Value) -> bool {
    match columns.get("turns") {
        Some(_) => name == "turns",
        None => CUSTOMER.contains(&name) || AGENT.contains(&name),
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
