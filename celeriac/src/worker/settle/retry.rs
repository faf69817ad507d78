//! The same message once more (`Task.retry`).

use std::time::Duration;

use chrono::Utc;
use serde_json::Value;

use super::Settlement;
use crate::broker::Outgoing;
use crate::canvas::Promises;
use crate::client::lay_over;
use crate::client::sending::Sending;
use crate::error::Error;
use crate::failure::Failure;
use crate::message::{Body, Message, Request};
use crate::results::states;
use crate::task::Retry;
use crate::value::{isoformat, repr, saferepr};
use crate::worker::insist::Undone;

impl Settlement<'_> {
    /// Sends the same message again with one retry more, or gives up.
    pub(super) async fn retry(&self, mut retry: Retry) -> Result<(), Undone> {
        let headers = self.request().headers();
        if !self.has_retries(retry.max_retries) {
            let failure = retry.exc.unwrap_or_else(|| self.max_retries_exceeded());
            return self.fail(failure).await;
        }
        let mut message = match self.with_new_arguments(&retry) {
            Ok(message) => message,
            Err(error) => return self.fail(Failure::from(Error::from(error))).await,
        };
        message.headers.retries += 1;
        let countdown = Some(self.countdown(&retry)).filter(|countdown| !countdown.is_zero());
        let eta = retry
            .eta
            .or(countdown.map(|countdown| Utc::now() + countdown));
        message.headers.eta = eta.map(|eta| isoformat(&eta));
        let options = std::mem::take(&mut retry.options);
        let (queue, expiration) = (options.queue.clone(), options.expiration());
        lay_over(&mut message, options);
        let expiration = expiration.or_else(|| message.headers.expiration());
        message.properties.expiration = expiration.map(Value::from);
        let ignores_result = self.ignores_result();
        message.headers.ignore_result.get_or_insert(ignores_result);
        message.headers.extra.remove("redelivered");
        message.delivery_info.redelivered = None;
        self.context.trace().replace(&mut message.headers.extra);
        let queue = match queue {
            Some(queue) => {
                let info = &mut message.delivery_info;
                (info.exchange, info.routing_key) = (String::new(), Some(queue.clone()));
                queue
            }
            None => self.request().queue.to_string(),
        };
        // Python sends the retry from within the task, which thus becomes its
        // own child, and its own parent if it has no other.
        let id = headers.id.clone();
        let mut promises = Promises::default();
        let itself = promises.task(&id);
        self.context.add_children([promises.tuple(itself)]);
        message.headers.parent_id.get_or_insert(id);
        let reason = self.retry_reason(&retry);
        if self.stores_errors() {
            let result = retry.exc.as_ref().map_or(Value::Null, Failure::to_meta);
            let traceback =
                format!("Traceback (most recent call last):\ncelery.exceptions.Retry: {reason}\n");
            self.store(states::RETRY, result, Some(traceback)).await?;
        }
        // To this worker alone, even if it came to all.
        let outgoing = Outgoing::direct(queue, message);
        self.submit(&Sending::message(outgoing)).await?;
        self.end(true).await?;
        self.log(format_args!("retry: {reason}"));
        Ok(())
    }

    /// The message with the arguments of its next run.
    pub(super) fn with_new_arguments(&self, retry: &Retry) -> Result<Message, serde_json::Error> {
        let Request { message, body, .. } = self.request();
        let mut message = message.clone();
        let arguments = retry.arguments(self.task.parameters(), &body.args, &body.kwargs);
        if let Some((args, kwargs)) = arguments {
            message.headers.argsrepr = Some(saferepr::args(&args));
            message.headers.kwargsrepr = Some(saferepr::kwargs(&kwargs));
            let embed = body.embed.clone();
            message.rewrite(&Body {
                args,
                kwargs,
                embed,
            })?;
        }
        Ok(message)
    }

    /// How long a retry waits that names no time.
    pub(super) fn countdown(&self, retry: &Retry) -> Duration {
        let delay = self.task.options().default_retry_delay;
        let delay = || Duration::try_from_secs_f64(delay).unwrap_or_default();
        retry.countdown.unwrap_or_else(delay)
    }

    /// `Retry in 5s: ValueError('not yet')`, as `celery.exceptions.Retry` says it.
    pub(in crate::worker) fn retry_reason(&self, retry: &Retry) -> String {
        let exc = retry.exc.as_ref();
        let cause = exc.map(|exc| format!(": {}", exc.repr()));
        let cause = cause.unwrap_or_default();
        match retry.eta {
            Some(eta) => format!("Retry at {}{cause}", isoformat(&eta).replace('T', " ")),
            None => format!("Retry in {}s{cause}", self.countdown(retry).as_secs_f64()),
        }
    }

    pub(super) fn max_retries_exceeded(&self) -> Failure {
        let headers = self.request().headers();
        let text = format!(
            "Can't retry {}[{}] args:{} kwargs:{}",
            headers.task,
            headers.id,
            repr::args(&self.request().body.args),
            repr::kwargs(&self.request().body.kwargs),
        );
        Failure::new("celery.exceptions.MaxRetriesExceededError", text)
    }
}
