//! What is called when a worker's own life goes on (`celery.signals`).

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::client::App;
use crate::task::said;

/// What is called at one such moment.
pub(super) type Signal = Box<dyn Fn(App) -> BoxFuture<'static, ()> + Send + Sync>;

/// What is called at each of them.
#[derive(Default)]
pub(super) struct Signals {
    pub ready: Vec<Signal>,
    pub shutting_down: Vec<Signal>,
}

/// A function as one of them.
pub(super) fn boxed<F: Future<Output = ()> + Send + 'static>(
    signal: impl Fn(App) -> F + Send + Sync + 'static,
) -> Signal {
    Box::new(move |app| Box::pin(signal(app)))
}

/// Calls them one after the other. A panic is logged, and harms nothing else.
pub(super) async fn send(signals: &[Signal], app: &App) {
    for signal in signals {
        let sent = AssertUnwindSafe(async { signal(app.clone()).await }).catch_unwind();
        if let Err(panic) = sent.await {
            tracing::error!("a signal's receiver panicked: {}", said(&*panic));
        }
    }
}
