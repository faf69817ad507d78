//! The store against real databases: SQLite always, PostgreSQL when a URL says where one is.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, TimeZone, Utc};
use sea_orm::ConnectionTrait;
use tempfile::TempDir;
use uuid::Uuid;

use crate::*;

/// Where to find a PostgreSQL server on which the tests may make databases of their own.
const POSTGRES: &str = "CELERIAC_TEST_POSTGRES_URL";

/// A store of its own for one test, and what keeps it alive.
pub struct Fresh {
    pub store: Store,
    pub url: String,
    _directory: TempDir,
}

/// Migrated stores, one for each kind of database at hand.
pub async fn stores() -> Vec<Fresh> {
    let mut stores = vec![sqlite().await];
    match std::env::var(POSTGRES) {
        Ok(url) => stores.push(postgres(&url).await),
        Err(_) => eprintln!("{POSTGRES} is not set: tested against SQLite only"),
    }
    stores
}

pub async fn sqlite() -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("test.db").display());
    open(url, directory).await
}

async fn postgres(server: &str) -> Fresh {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{number}", std::process::id());
    let admin = Store::connect(server).await.unwrap();
    let sql = format!("CREATE DATABASE {name}");
    admin.db.execute_unprepared(&sql).await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    open(format!("{base}/{name}"), tempfile::tempdir().unwrap()).await
}

async fn open(url: String, directory: TempDir) -> Fresh {
    let store = Store::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    Fresh {
        store,
        url,
        _directory: directory,
    }
}

pub fn day(number: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2025, 3, number, 12, 0, 0).unwrap()
}

pub fn new_call(number: u32, agent: &str) -> NewCall {
    NewCall {
        call_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_le_bytes()),
        agent_id: agent.to_owned(),
        customer_id: format!("customer-{number}"),
        language: "en".to_owned(),
        start_time: day(1 + number % 28),
        duration_seconds: 60 + number as i32,
        transcript_customer: format!("Hello, my order {number} is late"),
        transcript_agent: "I am sorry to hear that".to_owned(),
    }
}

pub fn insights(ratio: f64, sentiment: f64) -> Insights {
    Insights {
        agent_talk_ratio: ratio,
        customer_sentiment_score: sentiment,
        embedding: vec![1.0, 0.0],
    }
}

pub fn page(calls: Vec<NewCall>, next_offset: u64) -> Page {
    Page {
        source: "set/config/split".to_owned(),
        next_offset,
        calls,
        rejected: Vec::new(),
    }
}

mod concurrency;
mod ingestion;
mod insights;
mod listing;
