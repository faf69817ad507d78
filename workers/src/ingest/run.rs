//! One run of the ingestion.
//!
//! A page passes these steps, and its rows are safe whichever is the last:
//!
//! 1. Its raw bytes are on disk. *Until the next step the cursor still points
//!    before the page: it is fetched again.*
//! 2. One transaction stores its calls as pending, keeps its bad rows aside
//!    and moves the cursor. *Until the last step the calls are found pending
//!    by the next run, which sends them.*
//! 3. Its new calls are sent.
//! 4. They are marked as queued. *A call that was sent but not marked is sent
//!    again; `insights.process` does nothing for a call that is processed.*

use std::io;
use std::ops::Range;
use std::sync::Arc;

use futures::stream::StreamExt;
use indicatif::ProgressBar;
use store::{Page, Store};
use uuid::Uuid;

use super::handover::{CallSender, HandOver};
use super::report::{IngestError, Report};
use super::settings::IngestSettings;
use super::source::{RawPage, TranscriptSource};
use super::{ahead, pages, sort};

/// A source, and where its calls go.
pub struct Ingestion {
    source: Arc<dyn TranscriptSource>,
    store: Store,
    settings: Arc<IngestSettings>,
    hand_over: HandOver,
    /// Identifies the source's rows, together with their place.
    namespace: Uuid,
}

impl Ingestion {
    /// Connects a source with the store; nothing is read yet.
    pub fn new(source: Arc<dyn TranscriptSource>, store: Store, settings: IngestSettings) -> Self {
        Self {
            namespace: Uuid::new_v5(&Uuid::NAMESPACE_URL, source.name().as_bytes()),
            source,
            hand_over: HandOver::new(store.clone()),
            store,
            settings: Arc::new(settings),
        }
    }

    /// The settings in use.
    pub fn settings(&self) -> &IngestSettings {
        &self.settings
    }

    /// Goes on where the last run stopped and brings in up to `limit` rows;
    /// the limit of the settings applies where none is given.
    ///
    /// # Errors
    /// [`IngestError`]; the pages before the fault are stored and sent.
    pub async fn run(
        &self,
        limit: Option<u64>,
        sender: &dyn CallSender,
    ) -> Result<Report, IngestError> {
        let (report, ended) = self.attempt(limit, sender).await;
        ended.map(|()| report)
    }

    /// The same; what a run did that ended early is told as well.
    pub async fn attempt(
        &self,
        limit: Option<u64>,
        sender: &dyn CallSender,
    ) -> (Report, Result<(), IngestError>) {
        let mut report = Report {
            source: self.source.name(),
            ..Report::default()
        };
        let ended = self.go_on(limit, &mut report, sender).await;
        tracing::info!(?report, "ingested");
        (report, ended)
    }

    async fn go_on(
        &self,
        limit: Option<u64>,
        report: &mut Report,
        sender: &dyn CallSender,
    ) -> Result<(), IngestError> {
        report.next_offset = self.store.cursor(&report.source).await?;
        report.queued = self.hand_over.left_behind(sender).await?;
        let limit = limit.unwrap_or(self.settings.limit);
        let end = report.next_offset.saturating_add(limit);
        // Draws nothing where standard error is no terminal.
        let progress = ProgressBar::new(limit);
        while report.next_offset < end && !report.exhausted {
            self.bring_in(end, report, sender, &progress).await?;
        }
        progress.finish_and_clear();
        Ok(())
    }

    /// Brings in pages, one after the other, up to the first that is shorter
    /// than asked for: those asked for next do not join on to it.
    async fn bring_in(
        &self,
        end: u64,
        report: &mut Report,
        sender: &dyn CallSender,
        progress: &ProgressBar,
    ) -> Result<(), IngestError> {
        let rows = report.next_offset..end;
        let pages = ahead::pages(self.source.clone(), self.settings.clone(), rows);
        let mut pages = std::pin::pin!(pages);
        while let Some((asked, fetched)) = pages.next().await {
            let offset = asked.start;
            if report.exhausted || offset != report.next_offset {
                break;
            }
            let page = fetched.map_err(|error| IngestError::Fetch { offset, error })?;
            progress.inc(page.rows.len() as u64);
            self.take(asked, page, report, sender).await?;
        }
        Ok(())
    }

    /// Takes one page through all of its steps.
    async fn take(
        &self,
        asked: Range<u64>,
        page: RawPage,
        report: &mut Report,
        sender: &dyn CallSender,
    ) -> Result<(), IngestError> {
        let count = page.rows.len() as u64;
        let next_offset = asked.start + count;
        report.total = page.total.or(report.total);
        report.exhausted = count == 0 || report.total.is_some_and(|total| next_offset >= total);
        if let Some(total) = report.total.filter(|total| *total < asked.start) {
            tracing::warn!(
                total,
                read = asked.start,
                "the source has become shorter than what was read of it: \
                 it is another one under the same name, and nothing is read of it"
            );
        }
        if count == 0 {
            return Ok(());
        }
        self.keep_raw(&asked, page.raw).await?;
        let (calls, rejected) =
            sort::rows(page.rows, self.namespace, &self.settings.call_defaults());
        let page = Page {
            source: report.source.clone(),
            next_offset,
            calls,
            rejected,
        };
        let (inserted, queued) = self.hand_over.page(&page, sender).await?;
        report.fetched += count;
        report.invalid += page.rejected.len() as u64;
        report.stored += inserted.stored;
        report.duplicates += inserted.duplicates;
        report.queued += queued;
        report.next_offset = next_offset;
        Ok(())
    }

    async fn keep_raw(&self, asked: &Range<u64>, raw: Vec<u8>) -> io::Result<()> {
        let file = pages::path(
            &self.settings.transcripts_dir,
            &self.source.name(),
            asked.start,
            asked.end - asked.start,
            self.source.extension(),
        );
        pages::write(file, raw).await
    }
}
