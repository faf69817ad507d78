//! `#[celeriac::task]`: the attribute that makes a function a task.
//!
//! - `options`: what is in the attribute's parentheses
//! - `arguments`: what the function takes, and from where
//! - `expand`: what is written beside the function

mod arguments;
mod expand;
mod options;

use proc_macro::TokenStream;

// Its documentation is where it can be tested: `celeriac/src/task/attribute.md`.
#[allow(missing_docs, reason = "documented where it is exported")]
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::task(options.into(), item.into()).into()
}
