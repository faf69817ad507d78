//! Which broker it is, for people.

use serde_json::Value;
use url::Url;

use crate::error::hide_password;

/// Which broker it is: for the banner, logs and `inspect stats`. As
/// `kombu.Connection.info`, without the password.
///
/// ```
/// use celeriac::broker::BrokerInfo;
/// let info = BrokerInfo::of("nats://me:secret@there/shop", Some(4222));
/// assert_eq!(info.url, "nats://me:**@there/shop");
/// assert_eq!((info.port, &*info.virtual_host), (Some(4222), "shop"));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct BrokerInfo {
    /// The address without its password.
    pub url: String,
    /// Its kind, under kombu's name.
    pub transport: String,
    /// The machine.
    pub hostname: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The database, or what else it parts its queues into.
    pub virtual_host: String,
    /// Who logs in.
    pub userid: Option<String>,
    /// Whether by TLS.
    pub ssl: bool,
    /// How it is used. As `broker_transport_options`.
    pub options: Value,
}

impl BrokerInfo {
    /// What an address says, and, where it names no port, this one.
    pub fn of(url: &str, default_port: Option<u16>) -> Self {
        let shown = hide_password(url);
        let Ok(url) = Url::parse(&shown) else {
            return Self {
                url: shown,
                ..Self::default()
            };
        };
        let user = url.username();
        Self {
            transport: url.scheme().to_owned(),
            hostname: url.host_str().map(str::to_owned),
            port: url.port().or(default_port),
            virtual_host: url.path().trim_start_matches('/').to_owned(),
            userid: (!user.is_empty()).then(|| user.to_owned()),
            url: shown,
            ..Self::default()
        }
    }
}
