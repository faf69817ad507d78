//! Which one of several workers does something (`celery/worker/consumer/gossip.py`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::control::command::{Answer, Arguments, Refusal};
use crate::canvas::Signature;
use crate::value::json;
use crate::worker::Shared;

/// Time that others have to stand before a candidate is acknowledged. A Celery
/// that counts enough acknowledgements while it knows but one candidate ends
/// with an `IndexError`.
const RESPITE: Duration = Duration::from_millis(250);

/// The elections that are being held.
#[derive(Default)]
pub(crate) struct Elections(Mutex<HashMap<String, Election>>);

#[derive(Default)]
struct Election {
    /// Whether this worker was asked to stand.
    stands: bool,
    candidates: Vec<Candidate>,
    /// Who has seen a candidate.
    witnesses: Vec<String>,
}

/// Who stands. The lowest clock wins, then the lowest name.
#[derive(Clone, Debug, PartialEq)]
struct Candidate {
    clock: u64,
    node: String,
    topic: String,
    action: Value,
}

/// A `worker-elect` event.
#[derive(Deserialize)]
struct Elect {
    id: String,
    clock: u64,
    hostname: String,
    pid: u32,
    topic: String,
    #[serde(default)]
    action: Value,
}

/// A `worker-elect-ack` event.
#[derive(Deserialize)]
struct Ack {
    id: String,
    hostname: String,
}

impl Elections {
    fn held(&self) -> MutexGuard<'_, HashMap<String, Election>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stand(&self, id: &str, candidate: Candidate) {
        let mut held = self.held();
        held.entry(id.to_owned())
            .or_default()
            .candidates
            .push(candidate);
    }

    fn witness(&self, id: &str, node: String) {
        if let Some(election) = self.held().get_mut(id)
            && !election.witnesses.contains(&node)
        {
            election.witnesses.push(node);
        }
    }

    /// Who has won, if `alive` other workers and this one have been heard.
    fn decide(&self, id: &str, alive: usize) -> Option<Candidate> {
        let mut held = self.held();
        let election = held.get(id)?;
        if !election.stands || election.witnesses.len() <= alive {
            return None;
        }
        let election = held.remove(id)?;
        let order = |candidate: &Candidate| (candidate.clock, candidate.node.clone());
        election.candidates.into_iter().min_by_key(order)
    }
}

/// Stands in an election.
pub(super) fn election(shared: &Arc<Shared>, arguments: &Arguments) -> Result<Answer, Refusal> {
    let id = arguments.text("id")?.into_owned();
    let topic = arguments.text("topic")?.into_owned();
    let action = arguments.get("action").cloned().unwrap_or(Value::Null);
    shared
        .elections
        .held()
        .entry(id.clone())
        .or_default()
        .stands = true;
    let shared = Arc::clone(shared);
    Ok(Answer::Later(Box::pin(async move {
        let fields = json!({"id": id, "topic": topic, "action": action, "cver": 1});
        tell(&shared, "worker-elect", fields).await;
        Value::Null
    })))
}

/// Somebody stands, perhaps this worker.
pub(super) fn on_elect(shared: &Arc<Shared>, event: &[u8]) {
    let Ok(elect) = json::from_slice::<Elect>(event) else {
        return tracing::error!("election: a field is missing");
    };
    let candidate = Candidate {
        clock: elect.clock,
        node: format!("{}.{}", elect.hostname, elect.pid),
        topic: elect.topic,
        action: elect.action,
    };
    shared.elections.stand(&elect.id, candidate);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        tokio::time::sleep(RESPITE).await;
        tell(&shared, "worker-elect-ack", json!({"id": elect.id})).await;
    });
}

/// Somebody has seen a candidate.
pub(super) async fn on_ack(shared: &Shared, event: &[u8], alive: usize) {
    let Ok(ack) = json::from_slice::<Ack>(event) else {
        return;
    };
    shared.elections.witness(&ack.id, ack.hostname);
    let Some(winner) = shared.elections.decide(&ack.id, alive) else {
        return;
    };
    if winner.node == format!("{}.{}", shared.nodename, std::process::id()) {
        tracing::info!("election {:?}: this worker is elected", ack.id);
        take_office(shared, winner).await;
    } else {
        tracing::info!("election {:?}: {} is elected", ack.id, winner.node);
    }
}

/// Does what the winner is to do: `task` sends its signature.
async fn take_office(shared: &Shared, winner: Candidate) {
    if winner.topic != "task" {
        return tracing::error!(
            "election: nobody knows what to do for {:?}, only for \"task\"",
            winner.topic
        );
    }
    let sent = match json::from_value::<Signature>(&winner.action) {
        Ok(signature) => shared.app.send(signature).await.map(drop),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = sent {
        tracing::error!("election: cannot send the task: {error}");
    }
}

async fn tell(shared: &Shared, kind: &str, fields: Value) {
    if let Err(error) = shared.events.worker(kind, fields).await {
        tracing::warn!(%error, "cannot take part in an election");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_clock_wins_when_all_have_been_heard() {
        let candidate = |clock, node: &str| Candidate {
            clock,
            node: node.to_owned(),
            topic: "task".to_owned(),
            action: Value::Null,
        };
        let elections = Elections::default();
        let election = Election {
            stands: true,
            candidates: vec![candidate(5, "a"), candidate(4, "c"), candidate(4, "b")],
            witnesses: vec!["a".to_owned()],
        };
        elections.held().insert("e".to_owned(), election);
        assert_eq!(elections.decide("e", 1), None);
        elections
            .held()
            .entry("e".to_owned())
            .or_default()
            .witnesses
            .push("b".to_owned());
        assert_eq!(elections.decide("e", 1), Some(candidate(4, "b")));
        assert_eq!(elections.decide("e", 1), None);
    }
}
