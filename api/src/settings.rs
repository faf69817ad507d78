//! The `[api]` section of the configuration.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// Where the API listens, and how it signs its tokens.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiSettings {
    /// The address to listen on.
    pub bind: String,
    /// The port to listen on; 0 takes any free one and logs which.
    pub port: u16,
    /// What tokens are signed with; without it, the environment's `JWT_SECRET`, and without
    /// that, the content of `secret_file`.
    pub secret: Option<String>,
    /// Where a secret is kept that was made by the API itself, on its first start.
    pub secret_file: PathBuf,
    /// How long a token is valid, in seconds.
    pub token_ttl_seconds: u64,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1".to_owned(),
            port: 8000,
            secret: None,
            secret_file: PathBuf::from("var/jwt.secret"),
            token_ttl_seconds: 24 * 60 * 60,
        }
    }
}

impl fmt::Debug for ApiSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiSettings")
            .field("bind", &self.bind)
            .field("port", &self.port)
            .field("secret", &self.secret.as_ref().map(|_| "…"))
            .field("secret_file", &self.secret_file)
            .field("token_ttl_seconds", &self.token_ttl_seconds)
            .finish()
    }
}
