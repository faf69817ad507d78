//! Messages of Celery's
//! [protocol 2](https://docs.celeryq.dev/en/stable/internals/protocol.html),
//! in the JSON envelope that kombu's virtual transports put around them.
//!
//! - [`Envelope`]: what lies in a queue; body still encoded
//! - [`Headers`]: what is known of a task before its body is read
//! - [`Body`]: arguments and what to do afterwards
//! - `json`: JSON with all that Python writes
//! - [`Format`]: how a body is written: [`Serializer`] and [`Compression`]
//! - [`typed`]: values that JSON alone has no type for
//! - [`repr`]: values as Python prints them; `saferepr`: as Celery shows them

mod body;
#[cfg_attr(not(feature = "compression"), path = "no_codecs.rs")]
mod codecs;
mod compression;
mod delivery_mode;
mod envelope;
mod format;
mod headers;
pub(crate) mod instant;
pub(crate) mod json;
pub(crate) mod lenient;
#[cfg_attr(not(feature = "msgpack"), path = "no_msgpack.rs")]
mod msgpack;
mod protocol1;
pub mod repr;
pub(crate) mod saferepr;
pub(crate) mod serializer;
pub mod typed;
#[cfg_attr(not(feature = "yaml"), path = "no_yaml.rs")]
mod yaml;

pub use body::{Body, Embed};
pub use compression::Compression;
pub use delivery_mode::DeliveryMode;
pub use envelope::{DeliveryInfo, Envelope, Properties};
pub use format::Format;
pub use headers::Headers;
pub(crate) use instant::isoformat;
pub use json::{from_slice, from_value, to_value, to_vec};
pub use serializer::Serializer;

/// Why a message cannot be read. Such a message goes to the dead-letter list.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The envelope is not what kombu writes.
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
