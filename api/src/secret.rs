//! The secret that tokens are signed with: given, or made once and kept in a private file.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::ApiSettings;

/// HS256 wants a key as long as its hash (RFC 7518, section 3.2).
const LENGTH: usize = 32;

/// The secret: from the settings (`secret`, or `CELERIAC_API_SECRET` in the environment), else
/// `environment` (the value of `JWT_SECRET`), else the secret file, which is made when missing.
///
/// # Errors
/// When the secret file can neither be read nor made, or is empty.
pub fn find(settings: &ApiSettings, environment: Option<String>) -> Result<String> {
    let given = [settings.secret.clone(), environment];
    match given
        .into_iter()
        .flatten()
        .find(|secret| !secret.is_empty())
    {
        Some(secret) => {
            if secret.len() < LENGTH {
                tracing::warn!("the token secret is shorter than {LENGTH} bytes");
            }
            Ok(secret)
        }
        None => kept(&settings.secret_file),
    }
}

fn kept(file: &Path) -> Result<String> {
    if !file.exists() {
        make(file).with_context(|| format!("cannot make the secret file {}", file.display()))?;
    }
    let secret = fs::read_to_string(file)
        .with_context(|| format!("cannot read the secret file {}", file.display()))?;
    let secret = secret.trim();
    ensure!(
        !secret.is_empty(),
        "the secret file {} is empty",
        file.display()
    );
    Ok(secret.to_owned())
}

/// Writes a new secret beside `file` and moves it there whole. Of two that start at once only
/// one moves its own; the other finds it there and uses it.
fn make(file: &Path) -> Result<()> {
    let directory = file.parent().filter(|path| !path.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    // On Unix a named temporary file is its owner's alone (0600).
    let mut draft = tempfile::NamedTempFile::new_in(directory)?;
    writeln!(draft, "{}", random()?)?;
    draft.as_file().sync_all()?;
    match draft.persist_noclobber(file) {
        Ok(_) => tracing::info!(file = %file.display(), "made a token secret"),
        Err(_) if file.exists() => {}
        Err(failed) => return Err(failed.error.into()),
    }
    Ok(())
}

fn random() -> Result<String> {
    let mut bytes = [0; LENGTH];
    OsRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test fails by panicking

    use super::*;

    fn settings(file: &Path) -> ApiSettings {
        ApiSettings {
            secret_file: file.to_owned(),
            ..ApiSettings::default()
        }
    }

    #[test]
    fn a_given_secret_is_used_and_none_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = settings(&directory.path().join("secret"));
        let environment = || Some("from the environment".to_owned());
        assert_eq!(
            find(&settings, environment()).unwrap(),
            "from the environment"
        );
        settings.secret = Some("from the settings".to_owned());
        assert_eq!(find(&settings, environment()).unwrap(), "from the settings");
        assert!(!settings.secret_file.exists());
    }

    #[test]
    fn many_that_start_at_once_agree_on_one_private_secret() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("var/secret");
        let find = || find(&settings(&file), Some(String::new())).unwrap();
        let found: Vec<String> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..16).map(|_| scope.spawn(find)).collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .collect()
        });
        assert_eq!(found[0].len(), 2 * LENGTH);
        assert!(found.iter().all(|secret| *secret == found[0]));
        let left: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn an_empty_secret_file_is_no_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(find(&settings(file.path()), None).is_err());
    }
}
