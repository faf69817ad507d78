//! beat
fn main() {}
