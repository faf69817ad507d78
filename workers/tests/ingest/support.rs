//! What every test here needs: a store, a queue, settings, rows.

use std::collections::BTreeSet;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use store::{NewCall, Store};
use tempfile::TempDir;
use uuid::Uuid;
use workers::ingest::{
    CallSender, IngestSettings, Ingestion, SendError, SourceKind, TranscriptSource,
};

/// A folder with an empty store, and the settings of a run there.
pub struct Bench {
    pub dir: TempDir,
    pub store: Store,
    pub settings: IngestSettings,
}

impl Bench {
    /// Reads from a data sets server at this address.
    pub async fn new(endpoint: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::connect(&url(&dir)).await.unwrap();
        store.migrate().await.unwrap();
        let settings = IngestSettings {
            source: SourceKind::HuggingFace,
            dataset: "someone/calls".to_owned(),
            endpoint: endpoint.to_owned(),
            page_size: NonZeroU64::new(10).unwrap(),
            concurrency: NonZeroUsize::new(3).unwrap(),
            request_timeout_seconds: 5.0,
            retry_backoff_seconds: 0.01,
            transcripts_dir: dir.path().join("transcripts"),
            ..IngestSettings::default()
        };
        Self {
            dir,
            store,
            settings,
        }
    }

    /// An ingestion from the source that is set.
    pub fn ingestion(&self) -> Ingestion {
        self.ingestion_from(self.settings.transcript_source().unwrap())
    }

    /// An ingestion from another source.
    pub fn ingestion_from(&self, source: Arc<dyn TranscriptSource>) -> Ingestion {
        Ingestion::new(source, self.store.clone(), self.settings.clone())
    }

    /// The names of the raw pages, in order.
    pub fn raw_pages(&self) -> Vec<String> {
        let dir = self.settings.transcripts_dir.read_dir().unwrap().next();
        let files = dir.unwrap().unwrap().path().read_dir().unwrap();
        let mut names: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// The store's address in this folder.
pub fn url(dir: &TempDir) -> String {
    format!("sqlite://{}", dir.path().join("calls.db").display())
}

/// Calls of the kind that a data set has, none like another.
pub fn rows(count: usize) -> Vec<Value> {
    let row = |n| json!({"input": format!("Order {n} is late!"), "output": format!("Sorry about {n}. ^AB")});
    (0..count).map(row).collect()
}

/// A queue that remembers what it was sent, and may break.
#[derive(Default)]
pub struct Queue {
    sent: Mutex<Vec<NewCall>>,
    /// Refuses calls while set.
    pub refuses: AtomicBool,
    /// Takes calls, but does not say so, while set.
    pub forgets_to_answer: AtomicBool,
}

impl Queue {
    /// All calls sent so far.
    pub fn calls(&self) -> Vec<NewCall> {
        self.sent.lock().unwrap().clone()
    }

    /// The ids of the calls sent so far.
    pub fn ids(&self) -> BTreeSet<Uuid> {
        self.calls().iter().map(|call| call.call_id).collect()
    }
}

#[async_trait]
impl CallSender for Queue {
    async fn send(&self, calls: &[NewCall]) -> Result<(), SendError> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(refused("no connection"));
        }
        tokio::task::yield_now().await;
        self.sent.lock().unwrap().extend_from_slice(calls);
        tokio::task::yield_now().await;
        if self.forgets_to_answer.load(Ordering::SeqCst) {
            return Err(refused("connection lost"));
        }
        Ok(())
    }
}

fn refused(text: &str) -> SendError {
    SendError {
        text: text.to_owned(),
        passes: true,
    }
}
