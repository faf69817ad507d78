//! What a setting's type has to say of a value that it takes: that a part of
//! it means nothing here, say.

use std::cell::RefCell;

thread_local! {
    static REMARKS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// To be called while a value is deserialized. It becomes a warning of
/// [`Config::warnings`](super::Config::warnings), with the value's place before it.
pub(crate) fn remark(text: impl Into<String>) {
    REMARKS.with_borrow_mut(|remarks| remarks.push(text.into()));
}

/// What `read` gives, and what has been remarked in it.
pub(super) fn collect<T>(read: impl FnOnce() -> T) -> (T, Vec<String>) {
    REMARKS.take();
    let value = read();
    (value, REMARKS.take())
}
