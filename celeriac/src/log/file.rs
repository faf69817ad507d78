//! A log file that may be moved away while it is written
//! (`logging.handlers.WatchedFileHandler`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

pub(super) struct LogFile {
    path: PathBuf,
    file: Mutex<Arc<File>>,
}

impl LogFile {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(Arc::new(append_to(path)?)),
        })
    }

    /// The file that has the name now.
    fn current(&self) -> Arc<File> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_at(&file, &self.path)
            && let Ok(new) = append_to(&self.path)
        {
            *file = Arc::new(new);
        }
        Arc::clone(&file)
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Whether it is this file that has the name.
fn is_at(file: &File, path: &Path) -> bool {
    let named = std::fs::metadata(path).and_then(|named| {
        let open = file.metadata()?;
        Ok((named.dev(), named.ino()) == (open.dev(), open.ino()))
    });
    named.unwrap_or(false)
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.current())
    }
}

/// Writes one line.
pub(super) struct Line(Arc<File>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.as_ref().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_ref().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_moved_away_is_made_anew() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let (path, moved) = (directory.path().join("log"), directory.path().join("log.1"));
        let log = LogFile::open(&path)?;
        log.make_writer().write_all(b"one\n")?;
        std::fs::rename(&path, &moved)?;
        log.make_writer().write_all(b"two\n")?;
        assert_eq!(std::fs::read(&moved)?, b"one\n");
        assert_eq!(std::fs::read(&path)?, b"two\n");
        Ok(())
    }
}
