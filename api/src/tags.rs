//! The groups that the documentation shows operations in.

use poem_openapi::Tags;

/// A group of operations.
#[derive(Tags)]
pub enum Tag {
    /// Getting a token.
    Signin,
    /// Processed calls, and what they recommend.
    Calls,
    /// Figures over many calls.
    Analytics,
    /// Whether the service is well, and what it is doing.
    Service,
}
