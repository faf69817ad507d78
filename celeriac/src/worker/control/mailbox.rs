//! Hears commands and answers them (`kombu/pidbox.py`, `Node`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::command::{Answer, Arguments, Command, ReplyTo};
use super::{carry_out, matcher};
use crate::broker::Notice;
use crate::value::json;
use crate::worker::Shared;
use crate::worker::mingle::mingle;

/// Hears and carries out commands, one after the other, until aborted; `hears`
/// is cancelled once it does. It runs beside the slots: how busy they are makes
/// no difference.
pub(crate) async fn listen(shared: Arc<Shared>, hears: CancellationToken) {
    let exchange = format!("{}.pidbox", shared.app.settings().control_exchange);
    let mut commands = match shared.beside.subscribe(&exchange, "").await {
        Ok(commands) => commands,
        Err(error) => return tracing::error!(%error, "cannot hear commands"),
    };
    hears.cancel();
    let begun = commands.begun();
    loop {
        tokio::select! {
            notice = commands.next() => match notice {
                Some(notice) => receive(&shared, &notice),
                None => return,
            },
            () = begun.notified() => catch_up(&shared),
        }
    }
}

/// Learns from others what was said while nothing was heard.
fn catch_up(shared: &Arc<Shared>) {
    if shared.society.mingle {
        let shared = Arc::clone(shared);
        tokio::spawn(async move { mingle(&shared).await });
    }
}

fn receive(shared: &Arc<Shared>, notice: &Notice) {
    let clock = shared.app.clock();
    clock.forward();
    match notice.headers.get("clock").and_then(Value::as_u64) {
        Some(other) => clock.adjust(other),
        None => clock.forward(),
    };
    let command: Command = match notice.read(&shared.app.settings().accept_content.0) {
        Ok(command) => command,
        Err(error) => return tracing::error!("Control command error: {error}"),
    };
    if is_for(&shared.nodename, &command) {
        handle(shared, command);
    }
}

fn is_for(nodename: &str, command: &Command) -> bool {
    match (&command.destination, &command.pattern, &command.matcher) {
        (Some(nodes), ..) if !nodes.is_empty() => nodes.iter().any(|node| node == nodename),
        (_, Some(pattern), Some(matcher)) => matcher::matches(nodename, pattern, matcher),
        _ => true,
    }
}

fn handle(shared: &Arc<Shared>, command: Command) {
    let Command {
        method, arguments, ..
    } = command;
    tracing::debug!("pidbox received method {method}");
    let arguments = Arguments::new(&method, arguments.unwrap_or_default());
    let answer = carry_out(shared, &method, &arguments).unwrap_or_else(|refusal| {
        if refusal.raised {
            tracing::error!("pidbox command error: {}", refusal.text);
        }
        Answer::Now(json!({"error": refusal.text}))
    });
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let answer = match answer {
            Answer::Now(answer) => answer,
            Answer::Later(answer) => answer.await,
            Answer::Never => return,
        };
        if let Some(reply_to) = command.reply_to {
            reply(&shared, answer, reply_to, command.ticket).await;
        }
    });
}

async fn reply(shared: &Shared, answer: Value, reply_to: ReplyTo, ticket: Value) {
    let clock = shared.app.clock().forward();
    let headers = [("ticket", ticket), ("clock", clock.into())];
    let by_node = Map::from_iter([(shared.nodename.to_string(), answer)]);
    let notice = Notice {
        exchange: reply_to.exchange,
        routing_key: reply_to.routing_key,
        headers: headers
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect(),
        serializer: shared.app.settings().task_serializer,
        body: json::to_vec(&by_node).unwrap_or_default(),
    };
    let expires = shared.app.settings().control_queue_expires;
    let expires = Duration::try_from_secs_f64(expires).unwrap_or_default();
    if let Err(error) = shared.beside.reply(&notice, expires).await {
        tracing::warn!(%error, "cannot answer a control command");
    }
}
