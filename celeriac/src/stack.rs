//! Room for what calls itself as deep as a value is nested.

/// Less than this, and a new stack is needed. One level takes some kilobytes
/// in a debug build.
const LEAST: usize = 128 << 10;
/// What a new one has.
const MORE: usize = 4 << 20;

/// What takes what cannot be told to ask for room.
const MOST: usize = 64 << 20;

/// Calls `deep`, which does not ask for room itself, on a stack that is enough
/// for anything that is read.
pub(crate) fn with_most<R>(deep: impl FnOnce() -> R) -> R {
    stacker::grow(MOST, deep)
}

/// Calls `deeper`, on a new stack if this one is nearly used up.
pub(crate) fn with_room<R>(deeper: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(LEAST, MORE, deeper)
}
