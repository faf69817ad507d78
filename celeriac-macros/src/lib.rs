//! `#[celeriac::task]`: the attribute that makes a function a task.
//!
//! - `options`: what is in the attribute's parentheses
//! - `arguments`: what the function takes, and from where
//! - `expand`: what is written beside the function

mod arguments;
mod expand;
mod options;

use proc_macro::TokenStream;

/// Makes a function a task. As `@app.task` and `@shared_task`.
///
/// See `celeriac::task` for what it takes and what it makes.
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::task(options.into(), item.into()).into()
}
