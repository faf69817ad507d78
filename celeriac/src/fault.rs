//! Why a server did not do what it was asked, whichever kind of server it is.

use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;

/// What a connection, or the server behind it, has to say. Whoever brings a
/// broker or a result backend says by it what waiting can mend.
pub trait Cause: std::error::Error + Send + Sync + 'static {
    /// Whether it may be otherwise in a while, nobody doing anything here; see
    /// [`Error::passes`](crate::Error::passes).
    fn passes(&self) -> bool;

    /// Whether a connection that there was turned out to be lost.
    fn is_loss(&self) -> bool;

    /// Whether a server is there and says no; else it is away.
    fn is_refusal(&self) -> bool;

    /// The Python class that stands for it where it becomes a task's failure.
    fn python_class(&self) -> &'static str {
        "ConnectionError"
    }

    /// In the server's own words.
    fn words(&self) -> String {
        self.to_string()
    }
}

/// A server's refusal, or its absence. Cheap to clone.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// let fault = celeriac::error::Fault::from(Error::from(ErrorKind::ConnectionRefused));
/// assert!(celeriac::Error::from(fault).passes());
/// ```
#[derive(Clone, Debug)]
pub struct Fault(Arc<dyn Cause>);

impl Fault {
    /// For this reason.
    pub fn new(cause: impl Cause) -> Self {
        Self(Arc::new(cause))
    }

    /// The reason.
    pub fn cause(&self) -> &dyn Cause {
        &*self.0
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.words())
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// The network's.
impl Cause for std::io::Error {
    fn passes(&self) -> bool {
        true
    }

    fn is_loss(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionReset
                | ErrorKind::UnexpectedEof
        )
    }

    fn is_refusal(&self) -> bool {
        false
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}
