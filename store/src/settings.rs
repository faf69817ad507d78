//! The `[store]` section of the configuration.

use std::fmt;

use serde::Deserialize;

/// Where the database is.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// `sqlite://PATH` (made when missing) or `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub url: String,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            url: "sqlite://var/celeriac.db".to_owned(),
        }
    }
}

impl fmt::Debug for StoreSettings {
    /// Only the URL's scheme: the rest may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.split(':').next().unwrap_or_default();
        f.debug_struct("StoreSettings")
            .field("url", &format_args!("{scheme}:…"))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_reaches_a_log() {
        let settings = StoreSettings {
            url: "postgres://me:hunter2@host/db".to_owned(),
        };
        assert_eq!(format!("{settings:?}"), "StoreSettings { url: postgres:… }");
    }
}
