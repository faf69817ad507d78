//! A broker's or a result backend's URL, as kombu and redis-py read it.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use crate::config::{CertReqs, SslOptions};

/// What a URL says.
#[derive(Debug, Default)]
pub(super) struct Address {
    pub place: Place,
    pub username: Option<String>,
    pub password: Option<String>,
    pub database: i64,
    /// Whether TLS is meant, by `rediss`.
    pub tls: bool,
    pub query: Query,
}

/// Where the server is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Tcp { host: String, port: u16 },
    Socket(PathBuf),
}

impl Default for Place {
    fn default() -> Self {
        Self::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 6379,
        }
    }
}

/// What the part after `?` says, under redis-py's names.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub socket_timeout: Option<Duration>,
    pub socket_connect_timeout: Option<Duration>,
    pub client_name: Option<String>,
    pub protocol: Option<u8>,
    pub ssl_ca_certs: Option<PathBuf>,
    pub ssl_certfile: Option<PathBuf>,
    pub ssl_keyfile: Option<PathBuf>,
    pub ssl_cert_reqs: Option<CertReqs>,
    pub ssl_check_hostname: Option<bool>,
}

/// What redis-py and kombu know and what there is nothing to set for: always
/// on, or always done.
const WITHOUT_MEANING: [&str; 7] = [
    "health_check_interval",
    "max_connections",
    "retry_on_error",
    "retry_on_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
    "socket_read_size",
];

impl Address {
    /// Reads `url`; what is wrong with it, without any password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or("write it as redis://HOST:PORT/DATABASE")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if rest.contains('#') || query.contains('#') {
            return Err("write `#` as %23".to_owned());
        }
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (login, server) = match authority.rsplit_once('@') {
            Some((login, server)) => (login, server),
            None => ("", authority),
        };
        let mut address = Self::default();
        address.log_in(login)?;
        let mut database = None;
        let scheme = scheme.to_lowercase();
        match scheme.as_str() {
            "redis" | "rediss" => {
                address.place = tcp(server)?;
                address.tls = scheme == "rediss";
                database = in_path(path)?;
            }
            "redis+socket" | "socket" | "redis+unix" | "unix" => {
                if !server.is_empty() || path.is_empty() {
                    return Err(format!("write it as {scheme}:///PATH/OF/THE/SOCKET"));
                }
                address.place = Place::Socket(decoded(path)?.into());
            }
            _ => return Err(format!("`{scheme}` is none of redis, rediss, redis+socket")),
        }
        address.database = address.read(query)?.or(database).unwrap_or(0);
        Ok(address)
    }

    fn log_in(&mut self, login: &str) -> Result<(), String> {
        let (username, password) = login.split_once(':').unwrap_or((login, ""));
        let given =
            |text: &str| Ok::<_, String>(Some(decoded(text)?).filter(|text| !text.is_empty()));
        self.username = given(username)?;
        self.password = given(password)?;
        Ok(())
    }

    /// Takes the query in; the database, if it names one: it goes before the
    /// one in the path, as in redis-py.
    fn read(&mut self, query: &str) -> Result<Option<i64>, String> {
        let mut named = None;
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            let wrong = |form: &str| format!("`{key}` in its query must be {form}");
            let ssl = key.starts_with("ssl_");
            if ssl && !self.tls {
                return Err(format!("`{key}` in its query needs rediss://"));
            }
            let query = &mut self.query;
            match &*key {
                "db" | "virtual_host" => {
                    let database = number(value.strip_prefix('/').unwrap_or(&value))?;
                    if named.is_some_and(|other| other != database) {
                        return Err("its query names two databases".to_owned());
                    }
                    named = Some(database);
                }
                "username" | "user" => self.username = Some(value),
                "password" | "pass" => self.password = Some(value),
                "socket_timeout" => {
                    query.socket_timeout = Some(seconds(&value).ok_or_else(|| wrong("seconds"))?);
                }
                "socket_connect_timeout" => {
                    let limit = seconds(&value).ok_or_else(|| wrong("seconds"))?;
                    query.socket_connect_timeout = Some(limit);
                }
                "client_name" => query.client_name = Some(value),
                "protocol" => match &*value {
                    "2" => query.protocol = Some(2),
                    "3" => query.protocol = Some(3),
                    _ => return Err(wrong("2 or 3")),
                },
                "ssl_ca_certs" => query.ssl_ca_certs = Some(value.into()),
                "ssl_certfile" => query.ssl_certfile = Some(value.into()),
                "ssl_keyfile" => query.ssl_keyfile = Some(value.into()),
                "ssl_cert_reqs" => {
                    let reqs = CertReqs::named(&value).ok_or_else(|| wrong(CertReqs::FORMS))?;
                    query.ssl_cert_reqs = Some(reqs);
                }
                "ssl_check_hostname" => {
                    let check = truth(&value).ok_or_else(|| wrong("true or false"))?;
                    query.ssl_check_hostname = Some(check);
                }
                known if WITHOUT_MEANING.contains(&known) => {
                    tracing::warn!("`{known}` in a URL means nothing to Celeriac");
                }
                _ => {
                    return Err(format!(
                        "`{key}` in its query is not supported: leave it out"
                    ));
                }
            }
        }
        Ok(named)
    }

    /// How TLS is done, if it is: by the scheme, or by what `settings` say
    /// unless the query says it.
    pub fn ssl(&self, settings: Option<&SslOptions>) -> Option<SslOptions> {
        if !self.tls && settings.is_none() {
            return None;
        }
        let mut options = settings.cloned().unwrap_or_default();
        let query = &self.query;
        let files = [
            (&query.ssl_ca_certs, &mut options.ssl_ca_certs),
            (&query.ssl_certfile, &mut options.ssl_certfile),
            (&query.ssl_keyfile, &mut options.ssl_keyfile),
        ];
        for (given, option) in files {
            if given.is_some() {
                option.clone_from(given);
            }
        }
        options.ssl_cert_reqs = query.ssl_cert_reqs.unwrap_or(options.ssl_cert_reqs);
        options.ssl_check_hostname = query.ssl_check_hostname.or(options.ssl_check_hostname);
        Some(options)
    }
}

/// `HOST:PORT`, either of which may be missing.
fn tcp(server: &str) -> Result<Place, String> {
    // In brackets: an address with colons of its own.
    let split = match server
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((host, "")) => (host, None),
        Some((host, port)) => (
            host,
            Some(port.strip_prefix(':').ok_or("its port is none")?),
        ),
        None => match server.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (server, None),
        },
    };
    let host = decoded(split.0)?;
    let host = Some(host).filter(|host| !host.is_empty());
    let port = split.1.filter(|port| !port.is_empty());
    let port = port.map_or(Ok(6379), |port| port.parse::<u16>());
    Ok(Place::Tcp {
        host: host.unwrap_or_else(|| "127.0.0.1".to_owned()),
        port: port.map_err(|_| "its port is no number up to 65535")?,
    })
}

/// The database that a path names, if it names one.
fn in_path(path: &str) -> Result<Option<i64>, String> {
    let path = decoded(path)?;
    match path.strip_prefix('/').unwrap_or_default() {
        "" | "/" => Ok(None),
        name => number(name.strip_prefix('/').unwrap_or(name)).map(Some),
    }
}

fn number(database: &str) -> Result<i64, String> {
    let digits = !database.is_empty() && database.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| database.parse::<i64>().ok()).flatten();
    number.ok_or_else(|| format!("its database must be a number, not {database:?}"))
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| "what it escapes is no UTF-8")?;
    Ok(decoded.into_owned())
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0)?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn truth(text: &str) -> Option<bool> {
    match &*text.to_lowercase() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, port: u16) -> Place {
        Place::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn what_is_missing_is_as_in_kombu() -> Result<(), String> {
        let cases = [
            ("redis://", place("127.0.0.1", 6379), 0),
            ("redis:///4", place("127.0.0.1", 6379), 4),
            ("redis://:7000/0", place("127.0.0.1", 7000), 0),
            ("redis://h", place("h", 6379), 0),
            ("redis://h:7000//3", place("h", 7000), 3),
            ("redis://u:p@h:7000/", place("h", 7000), 0),
            ("rediss://[::1]:7000/3", place("::1", 7000), 3),
            ("redis://h/0?db=3", place("h", 6379), 3),
            ("redis://h?virtual_host=3", place("h", 6379), 3),
            ("redis://h/?virtual_host=/3&db=3", place("h", 6379), 3),
            ("redis+socket:///r.sock", Place::Socket("/r.sock".into()), 0),
            (
                "redis+socket:///a%20b?virtual_host=3",
                Place::Socket("/a b".into()),
                3,
            ),
        ];
        for (url, place, database) in cases {
            let address = Address::parse(url).map_err(|reason| format!("{url}: {reason}"))?;
            assert_eq!(
                (&address.place, address.database),
                (&place, database),
                "{url}"
            );
        }
        Ok(())
    }

    #[test]
    fn a_login_may_hold_anything_escaped() -> Result<(), String> {
        let address = Address::parse("redis://us%40er:p%2F%3A%40%23@h/1")?;
        assert_eq!(address.username.as_deref(), Some("us@er"));
        assert_eq!(address.password.as_deref(), Some("p/:@#"));
        let address = Address::parse("redis+socket://:secret@/r.sock?virtual_host=2")?;
        assert_eq!(address.password.as_deref(), Some("secret"));
        assert_eq!((address.username, address.database), (None, 2));
        Ok(())
    }

    #[test]
    fn what_is_not_meant_is_refused_by_name() {
        let cases = [
            ("redis://h/3/", "\"3/\""),
            ("redis://h/zero", "\"zero\""),
            ("redis://h/-1", "\"-1\""),
            ("redis://h/?db=", "a number"),
            ("redis://h?db=1&virtual_host=2", "two databases"),
            ("redis://h:port/0", "port"),
            ("redis://h:70000/0", "port"),
            ("redis://h/0?sokket_timeout=30", "sokket_timeout"),
            ("redis://h/0?socket_timeout=soon", "socket_timeout"),
            ("redis://h/0?ssl_cert_reqs=none", "rediss://"),
            ("rediss://h/0?ssl_cert_reqs=never", "ssl_cert_reqs"),
            ("rediss://h/0?ssl_ca_path=/etc", "ssl_ca_path"),
            ("redis://h/0?credential_provider=x", "credential_provider"),
            ("redis+socket://host/r.sock", "PATH"),
            ("sentinel://h:26379", "sentinel"),
            ("localhost", "redis://HOST"),
            ("redis://:se#cret@h/0", "%23"),
        ];
        for (url, reason) in cases {
            let said = Address::parse(url).err().unwrap_or_default();
            assert!(said.contains(reason), "{url}: {said:?}");
            assert!(!said.contains("cret"), "{said}");
        }
    }
}
