//! Work to be done, as data: signatures and what they are composed into.

mod signature;

pub(crate) use signature::Lineage;
pub use signature::{Options, Signature};
