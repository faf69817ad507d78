//! The tables, as sea-orm sees them.

pub mod agent;
pub mod call;
pub mod cursor;
pub mod rejected_row;
