//! Files that survive whatever happens.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

/// Writes a file as JSON, whole or not at all.
pub(crate) fn write(path: &Path, content: &impl Serialize) -> io::Result<()> {
    // Another file may differ in nothing but its extension.
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let mut file = File::create(&draft)?;
    file.write_all(&serde_json::to_vec_pretty(content)?)?;
    file.sync_all()?;
    std::fs::rename(draft, path)?;
    // The rename itself must survive, too.
    File::open(parent(path).unwrap_or(Path::new(".")))?.sync_all()
}

/// The directory of a file, if it is named.
pub(crate) fn parent(path: &Path) -> Option<&Path> {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
}
