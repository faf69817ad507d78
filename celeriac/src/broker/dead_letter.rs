//! Messages that nobody can run.

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::Delivery;
use crate::error::Error;
use crate::message::Message;

/// A message that was refused, and why. Kept word for word, so that it can be
/// sent again when the reason is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Names it among the others.
    pub id: String,
    /// Why nobody could run it.
    pub reason: String,
    /// The queue that it came from.
    pub queue: String,
    /// When it was refused (ISO 8601).
    pub date: String,
    /// The message, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The message in base64, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
    #[serde(skip)]
    task: Option<(String, String)>,
}

impl DeadLetter {
    /// The letter of a delivery that is refused now.
    pub(crate) fn new(delivery: &Delivery, reason: &str) -> Self {
        let bytes = delivery.content.bytes();
        let text = std::str::from_utf8(&bytes).ok();
        let encoded = || BASE64_STANDARD.encode(&bytes);
        Self {
            id: delivery.tag.to_string(),
            reason: reason.to_owned(),
            queue: delivery.queue.to_string(),
            date: Utc::now().to_rfc3339(),
            payload_base64: text.is_none().then(encoded),
            payload: text.map(str::to_owned),
            task: None,
        }
    }

    /// The message as it lay in its queue.
    pub fn message(&self) -> Vec<u8> {
        let encoded = self.payload_base64.as_deref().unwrap_or_default();
        match &self.payload {
            Some(text) => text.clone().into_bytes(),
            None => BASE64_STANDARD.decode(encoded).unwrap_or_default(),
        }
    }

    /// With the task of the message, if that can be read so far.
    pub(crate) fn naming(mut self, message: Option<&Message>) -> Self {
        let headers = message.map(|message| &message.headers);
        let headers = headers.filter(|headers| !headers.task.is_empty());
        self.task = headers.map(|headers| (headers.task.clone(), headers.id.clone()));
        self
    }

    /// The task's name and id, if the message can be read that far.
    pub fn task(&self) -> Option<(&str, &str)> {
        let (name, id) = self.task.as_ref()?;
        Some((name, id))
    }
}

/// A broker whose dead letters can be looked through.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// All of them, the newest first.
    async fn list(&self) -> Result<Vec<DeadLetter>, Error>;

    /// Puts one back into its queue; `false` if it is not there any more.
    async fn revive(&self, letter: &DeadLetter) -> Result<bool, Error>;

    /// Forgets one; `false` if it is not there any more.
    async fn forget(&self, letter: &DeadLetter) -> Result<bool, Error>;
}
