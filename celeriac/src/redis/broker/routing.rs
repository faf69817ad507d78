//! Which lists and channels a message goes to (`kombu/transport/virtual/exchange.py`).

use redis::AsyncCommands;

use super::keys::Keys;
use crate::broker::ExchangeType;
use crate::broker::{Binding, Outgoing};
use crate::error::Error;
use crate::redis::link::Connection;

/// The command that sends a message, and its key or channel.
pub(super) type Destination = (&'static str, String);

impl Keys {
    /// Where a message goes: nowhere, if nothing is bound to its exchange.
    pub async fn destinations(
        &self,
        message: &Outgoing,
        connection: &Connection,
    ) -> Result<Vec<Destination>, Error> {
        let address = &message.message.delivery_info;
        let exchange = address.exchange.as_str();
        let routing_key = address.routing_key.as_deref().unwrap_or_default();
        let list = |queue: &str| ("LPUSH", self.list_of(queue, message));
        Ok(match message.exchange_type {
            ExchangeType::Direct => vec![list(&message.queue)],
            ExchangeType::Fanout => vec![("PUBLISH", self.channel(exchange, routing_key))],
            ExchangeType::Topic => {
                self.bind(&message.declares, connection).await?;
                let queues = self.bound_queues(exchange, routing_key, connection).await?;
                if queues.is_empty() {
                    let id = &message.message.headers.id;
                    tracing::warn!(
                        "message {id} goes nowhere: no queue is bound to exchange {exchange:?} for {routing_key:?}"
                    );
                }
                queues.iter().map(|queue| list(queue)).collect()
            }
        })
    }

    /// Makes queues known to those who send by exchange and routing key.
    pub async fn bind(&self, queues: &[Binding], connection: &Connection) -> Result<(), Error> {
        if queues.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for binding in queues {
            let member = self.bound(binding);
            for table in self.binding_tables(&binding.exchange) {
                pipeline.sadd(table, &member).ignore();
            }
        }
        Ok(pipeline.exec_async(&mut connection.clone()).await?)
    }

    /// The queues that are bound to an exchange for a routing key.
    pub async fn bound_queues(
        &self,
        exchange: &str,
        routing_key: &str,
        connection: &Connection,
    ) -> Result<Vec<String>, Error> {
        let [table, _] = self.binding_tables(exchange);
        let members: Vec<String> = connection.clone().smembers(table).await?;
        let fitting = members
            .iter()
            .filter_map(|member| self.bound_queue(member, routing_key));
        let mut queues: Vec<String> = fitting.map(str::to_owned).collect();
        // Two bindings may fit: it gets the message once.
        queues.sort_unstable();
        queues.dedup();
        Ok(queues)
    }
}
