//! `broker_use_ssl` and `redis_backend_use_ssl`.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Whether a connection is encrypted, and how: `true`, or a table of
/// [`SslOptions`]. A `rediss://` address says it, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UseSsl(pub Option<SslOptions>);

/// What a connection with TLS is opened with, by the names of redis-py
/// (`redis/connection.py`). They may stand in the query of a `rediss://`
/// address as well, and win there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SslOptions {
    /// A file of certificates, PEM, one of which must have signed the server's.
    /// This machine's, or those of `SSL_CERT_FILE`, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_ca_certs: Option<PathBuf>,
    /// A file with the client's own certificate, PEM, and those that lead to its authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_certfile: Option<PathBuf>,
    /// A file with the key to it; that of the certificate if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_keyfile: Option<PathBuf>,
    /// Whether the server must show a certificate of a known authority.
    pub ssl_cert_reqs: CertReqs,
    /// Whether the certificate must be one of the host that is asked for; it
    /// must if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_check_hostname: Option<bool>,
}

/// `ssl_cert_reqs`, by the names or the numbers of Python's `ssl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CertReqs {
    /// The server's certificate is verified. For a client `optional` is the same.
    #[default]
    Required,
    /// Nothing is verified: whoever answers is trusted.
    None,
}

impl CertReqs {
    /// By name, as in a URL.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.trim_start_matches("ssl.") {
            "required" | "CERT_REQUIRED" | "optional" | "CERT_OPTIONAL" => Some(Self::Required),
            "none" | "CERT_NONE" => Some(Self::None),
            _ => None,
        }
    }

    /// The forms that it has.
    pub(crate) const FORMS: &str = "`required`, `optional` or `none`";
}

impl<'de> Deserialize<'de> for CertReqs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = CertReqs;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(CertReqs::FORMS)
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<CertReqs, E> {
                CertReqs::named(name)
                    .ok_or_else(|| E::custom(format!("must be {}", CertReqs::FORMS)))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<CertReqs, E> {
                match number {
                    0 => Ok(CertReqs::None),
                    1 | 2 => Ok(CertReqs::Required),
                    _ => Err(E::custom(format!("must be {}", CertReqs::FORMS))),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for UseSsl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = UseSsl;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("`true`, `false` or a table")
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<UseSsl, E> {
                Ok(UseSsl(on.then(SslOptions::default)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UseSsl, A::Error> {
                let options = SslOptions::deserialize(MapAccessDeserializer::new(map))?;
                Ok(UseSsl(Some(options)))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl Serialize for UseSsl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            None => serializer.serialize_bool(false),
            Some(options) => options.serialize(serializer),
        }
    }
}
