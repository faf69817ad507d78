//! Connections to Redis, as both the transport and the results open them.

use std::time::Duration;

use ::redis::aio::{AsyncPushSender, ConnectionManager, ConnectionManagerConfig};
use ::redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion};

use crate::error::{Error, hide_password};

/// redis-rs waits half a second for an answer unless told; a busy server needs more.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A client for `url`, which is a kombu URL: `redis://`, `rediss://`, `redis+socket://`.
pub(crate) fn client(role: &'static str, url: &str) -> Result<Client, Error> {
    let refuse = |reason: String| Error::Url {
        role,
        url: hide_password(url),
        reason,
    };
    if url.contains(';') {
        let reason = "a list of servers, for failover, is not supported: name one";
        return Err(refuse(reason.to_owned()));
    }
    let rewritten = match url.split_once("://") {
        Some(("redis+socket", path)) => format!("redis+unix://{path}"),
        // kombu's own switches; certificates are always verified here.
        Some(("rediss", _)) => url.split('?').next().unwrap_or(url).to_owned(),
        _ => url.to_owned(),
    };
    let info = rewritten
        .as_str()
        .into_connection_info()
        .map_err(|error| refuse(error.to_string()))?;
    let redis = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(redis)).map_err(|error| refuse(error.to_string()))
}

/// A connection that is opened when first used and again when it is lost.
pub(crate) fn managed(
    client: &Client,
    pushes: Option<impl AsyncPushSender>,
) -> Result<ConnectionManager, Error> {
    let mut config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_max_delay(LONGEST_PAUSE)
        .set_number_of_retries(3);
    if let Some(pushes) = pushes {
        config = config
            .set_push_sender(pushes)
            .set_automatic_resubscription();
    }
    Ok(ConnectionManager::new_lazy_with_config(
        client.clone(),
        config,
    )?)
}

/// How a connection is set up whose owner opens it again itself.
pub(crate) fn plain() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_servers_is_refused_without_its_passwords() {
        let refused = client("broker_url", "redis://:one@a/0;redis://:two@b/0");
        let said = refused.err().map(|error| error.to_string());
        let said = said.unwrap_or_default();
        assert!(said.contains("a list of servers"), "{said}");
        assert!(!said.contains("one@") && !said.contains("two"), "{said}");
    }
}
