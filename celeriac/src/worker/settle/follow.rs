//! What is sent when a task has ended: callbacks, the rest of a chain, what
//! replaces it.

use serde_json::Value;

use super::Settlement;
use crate::canvas::{CanvasError, LaterSteps, Options, Plan, Signature, group};
use crate::client::parent::Parent;
use crate::client::sending::Sending;
use crate::error::Error;
use crate::worker::insist::{Undone, insist};

impl Settlement<'_> {
    /// Sends what follows a success, its result as their first argument: the
    /// callbacks, and the next step of the chain.
    pub(super) async fn send_followers(&self, result: &Value) -> Result<Result<(), Error>, Undone> {
        let embed = &self.request().body.embed;
        if embed.callbacks.is_none() && embed.chain.is_none() {
            return Ok(Ok(()));
        }
        let sending = self.send_as_parent(|plan| {
            let callbacks = embed.callbacks.as_deref().unwrap_or_default();
            for callback in together(callbacks) {
                plan.apply(callback, std::slice::from_ref(result), self.inherited())?;
            }
            // The rest of the chain travels with its next step.
            if let Some((next, rest)) = embed.chain.as_ref().and_then(LaterSteps::split_next) {
                let options = Options {
                    chain: Some(rest),
                    ..self.inherited()
                };
                plan.apply(next?, std::slice::from_ref(result), options)?;
            }
            Ok(())
        });
        Box::pin(sending).await
    }

    /// Sends what `draw` plans, as this task's children. What is planned is
    /// sent, however often it takes; what cannot be planned is the inner error.
    pub(super) async fn send_as_parent(
        &self,
        draw: impl FnOnce(&mut Plan) -> Result<(), CanvasError>,
    ) -> Result<Result<(), Error>, Undone> {
        let mut plan = Plan::default();
        if let Err(error) = draw(&mut plan) {
            return Ok(Err(error.into()));
        }
        let children: Vec<Value> = plan.children().collect();
        let app = self.context().app();
        let prepared = self.context().complete(&mut plan);
        let prepared = prepared.and_then(|()| app.prepare(plan, &self.context().lineage()));
        let sending = match prepared {
            Ok(sending) => sending,
            Err(error) => return Ok(Err(error)),
        };
        self.submit(&sending).await?;
        self.context().add_children(children);
        Ok(Ok(()))
    }

    pub(super) async fn submit(&self, sending: &Sending) -> Result<(), Undone> {
        if sending.is_empty() {
            return Ok(());
        }
        let app = self.context().app();
        insist(self.shared(), "announce a chord", || app.announce(sending)).await?;
        insist(self.shared(), "publish", || app.publish_all(sending)).await
    }

    /// The options of what this task sends.
    fn inherited(&self) -> Options {
        let lineage = self.context().lineage();
        let inherits = self.shared().app.settings().task_inherit_parent_priority;
        let priority = self.request().message.properties.priority;
        Options {
            parent_id: lineage.parent_id,
            root_id: lineage.root_id,
            priority: priority.filter(|_| inherits),
            ..Options::default()
        }
    }
}

/// Several callbacks are sent as a group, but for those that are groups
/// themselves. As Celery's tracer does.
fn together(callbacks: &[Signature]) -> Vec<Signature> {
    if callbacks.len() < 2 {
        return callbacks.to_vec();
    }
    let is_group = |callback: &Signature| callback.canvas.subtask_type() == Some("group");
    let (mut groups, tasks): (Vec<_>, Vec<_>) = callbacks.iter().cloned().partition(is_group);
    if !tasks.is_empty() {
        groups.push(group(tasks));
    }
    groups
}
