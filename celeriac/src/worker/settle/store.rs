//! What a result backend is told, and whether.

use serde_json::{Value, json};

use super::Settlement;
use crate::results::{TaskMeta, states};
use crate::worker::Shared;
use crate::worker::insist::{Undone, insist_on_result};

impl Settlement<'_> {
    pub(super) fn ignores_result(&self) -> bool {
        let asked = self.request().headers().ignore_result;
        let settings = self.shared.app.settings();
        asked
            .or(self.task.options().ignore_result)
            .unwrap_or(settings.task_ignore_result)
    }

    pub(super) fn stores_errors(&self) -> bool {
        !self.ignores_result() || self.shared.app.settings().task_store_errors_even_if_ignored
    }

    /// Tells that the task runs. It only informs: a fault stops nothing.
    pub(in crate::worker) async fn store_started(&self, pid: u32) {
        let Some(store) = self
            .shared
            .app
            .result_store()
            .filter(|_| !self.ignores_result())
        else {
            return;
        };
        let hostname = &*self.request().hostname;
        let process = json!({"pid": pid, "hostname": hostname});
        let meta = self.context.meta(states::STARTED, process, None);
        if let Err(error) = store.store(&meta).await {
            tracing::warn!(%error, "cannot store that {} has started", self.context.id());
        }
    }

    pub(super) async fn store(
        &self,
        state: &str,
        result: Value,
        traceback: Option<String>,
    ) -> Result<(), Undone> {
        let meta = self.context.meta(state, result, traceback);
        store(self.shared, &meta).await
    }
}

/// Stores a result, if results are kept.
pub(in crate::worker) async fn store(shared: &Shared, meta: &TaskMeta) -> Result<(), Undone> {
    match shared.app.result_store() {
        Some(store) => insist_on_result(shared, "store a result", || store.store(meta)).await,
        None => Ok(()),
    }
}
