//! How connections are opened, as the settings say.

use std::time::Duration;

use serde::Deserializer;
use serde::de::Error;

use super::forms::seconds;
use super::{Settings, SslOptions, UseSsl};

/// How long opening a connection may take. As `broker_connection_timeout`.
const CONNECTING: f64 = 4.0;
/// How long an answer is waited for while nothing moves.
const ANSWERING: f64 = 10.0;

/// How connections to one server are opened, and how long it may take to answer.
#[derive(Clone, Debug)]
pub(crate) struct LinkOptions {
    /// How TLS is done, if it is.
    pub ssl: Option<SslOptions>,
    /// For opening one.
    pub connect: Duration,
    /// For an answer, while nothing moves.
    pub answer: Duration,
    /// For `CLIENT SETNAME`.
    pub client_name: Option<String>,
}

impl LinkOptions {
    fn new(ssl: &UseSsl, connect: f64, answer: Option<f64>, name: Option<&String>) -> Self {
        Self {
            ssl: ssl.0.clone(),
            connect: Duration::from_secs_f64(connect),
            answer: Duration::from_secs_f64(answer.unwrap_or(ANSWERING)),
            client_name: name.cloned(),
        }
    }
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self::new(&UseSsl::default(), CONNECTING, None, None)
    }
}

impl Settings {
    /// How connections to the broker are opened.
    pub(crate) fn broker_link(&self) -> LinkOptions {
        let options = &self.broker_transport_options;
        let opened = options.socket_connect_timeout;
        LinkOptions::new(
            &self.broker_use_ssl,
            opened.unwrap_or(self.broker_connection_timeout),
            options.socket_timeout,
            options.client_name.as_ref(),
        )
    }

    /// How connections to the results are.
    pub(crate) fn result_link(&self) -> LinkOptions {
        let opened = self.redis_socket_connect_timeout;
        LinkOptions::new(
            &self.redis_backend_use_ssl,
            opened.unwrap_or(CONNECTING),
            self.redis_socket_timeout,
            None,
        )
    }
}

/// Seconds of a time-out: one of 0 would be none.
pub(super) fn above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match seconds(deserializer)? {
        0.0 => Err(D::Error::custom("must be above 0")),
        value => Ok(value),
    }
}

/// The same of one that need not be given.
pub(super) fn some_above_zero<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    above_zero(deserializer).map(Some)
}
