//! Room for what calls itself as deep as a value is nested.

/// Less than this, and a new stack is needed. What does not ask must fit in it:
/// to drop a value as deep as any takes half of it in a debug build.
pub(crate) const LEAST: usize = 1 << 20;
/// What a new one has.
pub(crate) const MORE: usize = 8 << 20;

/// What takes what cannot be told to ask for room.
#[cfg(feature = "msgpack")]
const MOST: usize = 64 << 20;

/// Calls `deep`, which does not ask for room itself, on a stack that is enough
/// for anything that is read.
#[cfg(feature = "msgpack")]
pub(crate) fn with_most<R>(deep: impl FnOnce() -> R) -> R {
    stacker::grow(MOST, deep)
}

/// Calls `deeper`, on a new stack if this one is nearly used up.
pub(crate) fn with_room<R>(deeper: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(LEAST, MORE, deeper)
}
