//! Ingestion against a local server in the data sets server's shape, with
//! faults on demand, and into a real store.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on should stop

mod crash;
mod faults;
mod files;
mod server;
mod shapes;
mod support;
