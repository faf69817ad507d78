//! YAML 1.1 as kombu reads and writes it: PyYAML's `safe_load` and
//! `safe_dump`.
//!
//! - [`load`]: the tree of a document, aliases expanded within bounds
//! - [`scalar`]: what a text without quotes means
//! - [`dump`]: a document on one line, which PyYAML reads fastest

mod dump;
mod load;
mod scalar;

pub(super) use dump::dumps;
pub(super) use load::loads;
