//! Values, and how they are written: plain data, which knows nothing of tasks.
//!
//! - [`Format`]: how a body is written: [`Serializer`] and [`Compression`]
//! - `json`: JSON with all that Python writes; `lenient`: what Python takes for
//!   the same
//! - [`typed`]: values that JSON alone has no type for
//! - [`repr`]: values as Python prints them; `saferepr`: as Celery shows them
//! - `instant`: points in time as texts
//! - [`DeliveryMode`]: whether a message outlives its broker

#[cfg_attr(not(feature = "compression"), path = "no_codecs.rs")]
mod codecs;
mod compression;
mod decode_error;
mod delivery_mode;
mod format;
pub(crate) mod instant;
pub(crate) mod json;
pub(crate) mod lenient;
#[cfg_attr(not(feature = "msgpack"), path = "no_msgpack.rs")]
mod msgpack;
pub mod repr;
pub(crate) mod saferepr;
pub(crate) mod serializer;
pub mod typed;
#[cfg_attr(not(feature = "yaml"), path = "no_yaml.rs")]
mod yaml;

pub use compression::Compression;
pub use decode_error::DecodeError;
pub use delivery_mode::DeliveryMode;
pub use format::Format;
pub(crate) use instant::isoformat;
pub use json::{from_slice, from_value, to_value, to_vec};
pub use serializer::Serializer;
