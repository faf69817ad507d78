//! Asks other workers at start what they know (`celery/worker/consumer/mingle.py`).

use serde_json::{Value, json};

use crate::client::Control;
use crate::worker::Shared;

/// Learns what others know to be revoked, and sets the clock by theirs. Alone,
/// it takes no time.
pub(crate) async fn mingle(shared: &Shared) {
    tracing::info!("mingle: searching for neighbors");
    let hello = json!({"from_node": *shared.nodename, "revoked": shared.revoked.ids()});
    let control = Control::new(&shared.app);
    let replies = tokio::select! {
        replies = control.call("hello", hello) => replies,
        () = shared.shutdown.warm() => return,
    };
    match replies {
        Ok(replies) => match replies.values().filter(|reply| sync(shared, reply)).count() {
            0 => tracing::info!("mingle: all alone"),
            neighbors => {
                tracing::info!("mingle: sync with {neighbors} nodes");
                tracing::info!("mingle: sync complete");
            }
        },
        Err(error) => tracing::warn!(%error, "mingle: cannot reach other workers"),
    }
}

/// Takes over what another knows. `false`: it is this worker itself.
fn sync(shared: &Shared, reply: &Value) -> bool {
    let Some(reply) = reply.as_object() else {
        return false;
    };
    let clock = shared.app.clock();
    match reply.get("clock").and_then(Value::as_u64) {
        Some(other) => clock.adjust(other),
        None => clock.forward(),
    };
    match reply.get("revoked") {
        Some(Value::Array(ids)) => shared.revoked.add(ids.iter().filter_map(Value::as_str)),
        // An older Celery says when each was revoked, too.
        Some(Value::Object(ids)) => shared.revoked.add(ids.keys()),
        _ => {}
    }
    true
}
