//! Sorting a page's rows into calls and what is kept aside.

use store::{NewCall, RejectedRow};
use uuid::Uuid;

use super::source::Row;
use crate::call::CallDefaults;

/// How much of a bad row the store keeps, in characters; the raw page on disk
/// holds all of it.
const KEPT: usize = 10_000;

/// Makes calls of the good rows, under ids made from the namespace and their
/// place; tells the log once about the others.
pub fn rows(
    rows: Vec<Row>,
    namespace: Uuid,
    defaults: &CallDefaults,
) -> (Vec<NewCall>, Vec<RejectedRow>) {
    let (mut calls, mut rejected) = (Vec::new(), Vec::new());
    for row in rows {
        let id = Uuid::new_v5(&namespace, row.index.to_string().as_bytes());
        let call = row
            .call
            .and_then(|call| call.complete_as(id, defaults).map_err(|e| e.to_string()));
        match call {
            Ok(call) => calls.push(call),
            Err(reason) => rejected.push(reject(row.index, &row.raw, reason)),
        }
    }
    if let Some(RejectedRow { offset, reason, .. }) = rejected.first() {
        let rows = rejected.len();
        tracing::warn!(rows, row = offset, %reason, "rows kept aside; the first and its reason");
    }
    (calls, rejected)
}

fn reject(offset: u64, raw: &str, reason: String) -> RejectedRow {
    RejectedRow {
        offset,
        reason,
        raw: raw.chars().take(KEPT).collect(),
    }
}
