//! How connections to Redis are opened, as the settings say.

use std::time::Duration;

use crate::config::{Settings, SslOptions, UseSsl};

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

    /// How connections to the broker are opened.
    pub fn of_broker(settings: &Settings) -> Self {
        let options = &settings.broker_transport_options;
        let opened = options.socket_connect_timeout;
        Self::new(
            &settings.broker_use_ssl,
            opened.unwrap_or(settings.broker_connection_timeout),
            options.socket_timeout,
            options.client_name.as_ref(),
        )
    }

    /// How connections to the results are.
    pub fn of_results(settings: &Settings) -> Self {
        let opened = settings.redis_socket_connect_timeout;
        Self::new(
            &settings.redis_backend_use_ssl,
            opened.unwrap_or(CONNECTING),
            settings.redis_socket_timeout,
            None,
        )
    }
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self::new(&UseSsl::default(), CONNECTING, None, None)
    }
}
