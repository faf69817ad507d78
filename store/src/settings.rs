//! The `[store]` section of the configuration.

use serde::Deserialize;

/// Where the database is.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// `sqlite://PATH` (created when missing) or `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub url: String,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            url: "sqlite://var/celeriac.db".to_owned(),
        }
    }
}
