//! The raw pages on disk: what was received, kept before anything is made of
//! it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Where a page is kept: `DIR/<source>/<offset>-<limit>.<extension>`.
pub fn path(dir: &Path, source: &str, offset: u64, limit: u64, extension: &str) -> PathBuf {
    dir.join(slug(source))
        .join(format!("{offset:010}-{limit}.{extension}"))
}

/// Writes a page so that after a crash the file holds all of it or does not
/// exist: the content reaches the disk first, then the name, then the folder.
///
/// # Errors
/// What the system says.
pub async fn write(path: PathBuf, raw: Vec<u8>) -> io::Result<()> {
    tokio::task::spawn_blocking(move || write_blocking(&path, &raw)).await?
}

fn write_blocking(path: &Path, raw: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut file = NamedTempFile::new_in(dir)?;
    file.write_all(raw)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(dir)?.sync_all()
}

/// A source's name as the name of a folder.
fn slug(source: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let slug = source.replace(|c| !keep(c), "-");
    slug.trim_start_matches('.').to_owned()
}
