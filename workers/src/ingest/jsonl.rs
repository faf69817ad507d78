//! A file with one dialogue a line.

use std::collections::BTreeMap;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::de::IgnoredAny;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncSeekExt, BufReader};
use tokio::sync::Mutex;

use super::decode;
use super::source::{FetchError, RawPage, Row, TranscriptSource};

/// Lines of `{"id", "turns": [{"speaker", "text"}]}` or `{"input", "output"}`.
/// The file may grow, but what it holds must not change. A last line without a
/// line feed counts once it is JSON.
pub struct Jsonl {
    path: PathBuf,
    /// Where in the file the rows begin at which pages ended, so that a page
    /// need not read all that precedes it.
    begins: Mutex<BTreeMap<u64, u64>>,
}

impl Jsonl {
    /// Names the file; it is not opened yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            begins: Mutex::new(BTreeMap::from([(0, 0)])),
        }
    }

    async fn read(&self, offset: u64, limit: u64) -> std::io::Result<RawPage> {
        let (mut row, mut byte) = self.nearest(offset).await;
        let mut file = BufReader::new(File::open(&self.path).await?);
        file.seek(SeekFrom::Start(byte)).await?;
        let (mut page, mut known) = (RawPage::default(), (row, byte));
        while row < offset.saturating_add(limit) {
            let Some(line) = next_line(&mut file, &mut byte).await? else {
                break;
            };
            if is_unfinished(&line) {
                break;
            }
            if row >= offset {
                page.rows.push(decode_line(&line, row));
                page.raw.extend_from_slice(&line);
            }
            row += 1;
            // The end of a line without a line feed is where one may come.
            if line.ends_with(b"\n") {
                known = (row, byte);
            }
        }
        self.begins.lock().await.insert(known.0, known.1);
        page.total = file.fill_buf().await?.is_empty().then_some(row);
        Ok(page)
    }

    /// The last row at or before `offset` whose place is known.
    async fn nearest(&self, offset: u64) -> (u64, u64) {
        let begins = self.begins.lock().await;
        let known = begins.range(..=offset).next_back();
        known.map_or((0, 0), |(row, byte)| (*row, *byte))
    }
}

#[async_trait]
impl TranscriptSource for Jsonl {
    fn name(&self) -> String {
        format!("jsonl:{}", self.path.display())
    }

    async fn fetch(&self, offset: u64, limit: u64) -> Result<RawPage, FetchError> {
        self.read(offset, limit)
            .await
            .map_err(|error| FetchError::File {
                path: self.path.display().to_string(),
                error,
            })
    }

    fn extension(&self) -> &'static str {
        "jsonl"
    }
}

/// The next line with its ending, and `byte` moved past it.
async fn next_line(
    file: &mut (impl AsyncBufRead + Unpin),
    byte: &mut u64,
) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = file.read_until(b'\n', &mut line).await?;
    *byte += read as u64;
    Ok((read > 0).then_some(line))
}

/// Whether somebody is still writing the line: the next run finds it whole.
fn is_unfinished(line: &[u8]) -> bool {
    !line.ends_with(b"\n") && serde_json::from_slice::<IgnoredAny>(line).is_err()
}

fn decode_line(line: &[u8], index: u64) -> Row {
    match std::str::from_utf8(line) {
        Ok(text) => decode::row(text.trim(), index),
        Err(error) => Row {
            index,
            raw: String::from_utf8_lossy(line).into_owned(),
            call: Err(format!("not UTF-8: {error}")),
        },
    }
}
