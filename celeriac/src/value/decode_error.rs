//! Why a message cannot be read.

/// Why a message cannot be read. Such a message goes to the dead-letter list.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// What lies in the queue is no message.
    #[error("cannot decode the message: {0}")]
    Envelope(#[source] serde_json::Error),
    /// The headers lack what a task needs.
    #[error("not a task message: no `{0}` header")]
    NotATask(&'static str),
    /// The body's transfer encoding is broken.
    #[error("cannot decode the body: {0}")]
    Encoding(String),
    /// The body's content type is not in `accept_content`.
    #[error("refusing to deserialize content of type {0}: it is not in accept_content")]
    ContentDisallowed(String),
    /// The body's content type is accepted, but Rust cannot read it.
    #[error("cannot deserialize content of type {0}: only json, msgpack and yaml can be read here")]
    Unreadable(String),
    /// The body is not `[args, kwargs, embed]`.
    #[error("cannot deserialize the body: {0}")]
    Body(#[source] serde_json::Error),
    /// A header has a value that means nothing.
    #[error("invalid `{header}` header: {reason}")]
    Header {
        /// The header's name.
        header: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}
