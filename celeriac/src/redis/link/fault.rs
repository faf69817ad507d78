//! What Redis, or the connection to it, has to say: what of it passes, and how
//! Python's client names it.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::{Cause, Error, Fault};

impl Cause for RedisError {
    fn passes(&self) -> bool {
        passes(self)
    }

    fn is_loss(&self) -> bool {
        self.is_connection_dropped()
    }

    fn is_refusal(&self) -> bool {
        !self.is_io_error()
    }

    fn python_class(&self) -> &'static str {
        match self.kind() {
            ErrorKind::Server(ServerErrorKind::NoPerm) => "redis.exceptions.NoPermissionError",
            ErrorKind::Server(_) if !self.to_string().contains("Protocol error") => {
                "redis.exceptions.ResponseError"
            }
            _ => "redis.exceptions.ConnectionError",
        }
    }

    fn words(&self) -> String {
        words(self)
    }
}

#[doc(hidden)]
impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::new(error)
    }
}

#[doc(hidden)]
impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        Fault::new(error).into()
    }
}

/// An error as the server said it: a pipeline's first one.
fn words(error: &RedisError) -> String {
    if let Some(faults) = error.clone().into_server_errors()
        && let Some((_, fault)) = faults.first()
    {
        return format!("{} {}", fault.code(), fault.details().unwrap_or_default());
    }
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

/// Codes of a server that will answer otherwise once it, or who runs it, has
/// done something: memory, the disk, a script, a failover, a password.
const PASSING: [&str; 11] = [
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "WRONGPASS",
];

/// Whether waiting can mend it; see [`Error::passes`].
fn passes(error: &RedisError) -> bool {
    // A pipeline has an answer for each command: every fault must pass.
    if let Some(faults) = error.clone().into_server_errors() {
        return faults
            .iter()
            .all(|(_, fault)| answer_passes(Some(fault.code()), fault.details()));
    }
    match error.kind() {
        ErrorKind::Io | ErrorKind::AuthenticationFailed => true,
        ErrorKind::Server(_) | ErrorKind::Extension => answer_passes(error.code(), error.detail()),
        _ => false,
    }
}

/// The same of one answer. Some things Redis says under the code for
/// everything, and before 7.0 what a script met, too.
fn answer_passes(code: Option<&str>, text: Option<&str>) -> bool {
    let (code, text) = (code.unwrap_or_default(), text.unwrap_or_default());
    PASSING.contains(&code)
        || text.contains("max number of clients")
        || PASSING
            .iter()
            .any(|code| text.contains(&format!("-{code} ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waiting_cannot_mend_does_not_pass() {
        let io = |kind| RedisError::from(std::io::Error::from(kind));
        let server = |code: &str| redis::make_extension_error(code.to_owned(), None);
        let known = |kind| RedisError::from((ErrorKind::Server(kind), "said so"));
        let said = |text: &str| {
            let kind = ErrorKind::Server(ServerErrorKind::ResponseError);
            RedisError::from((kind, "said so", text.to_owned()))
        };
        let passing = [
            io(std::io::ErrorKind::ConnectionRefused),
            io(std::io::ErrorKind::TimedOut),
            known(ServerErrorKind::ReadOnly),
            known(ServerErrorKind::BusyLoading),
            known(ServerErrorKind::MasterDown),
            server("OOM"),
            server("MISCONF"),
            server("WRONGPASS"),
            server("BUSY"),
            said("max number of clients reached"),
            said("Error running script: @user_script: 8: -OOM command not allowed"),
        ];
        for error in passing {
            assert!(Error::from(error.clone()).passes(), "{error}");
        }
        let lasting = [
            known(ServerErrorKind::NoPerm),
            known(ServerErrorKind::CrossSlot),
            server("WRONGTYPE"),
            said("Protocol error: invalid bulk length"),
            said("unknown command 'CLIENT'"),
        ];
        for error in lasting {
            assert!(!Error::from(error.clone()).passes(), "{error}");
        }
        assert!(!Error::NoResultBackend.passes());
    }
}
