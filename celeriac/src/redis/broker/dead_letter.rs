//! The list of messages that nobody can run.

use redis::{AsyncCommands, Script};

use super::RedisBroker;
use crate::broker::DeadLetter;
use crate::error::Error;
use crate::redis::wire;

/// Moves an entry out of the dead-letter list and its message into a queue.
/// `KEYS`: dead_letter, the queue's list. `ARGV`: entry, message. If that is no
/// list, nothing is done.
const REVIVE: &str = r"
redis.call('LLEN', KEYS[2])
local found = redis.call('LREM', KEYS[1], 1, ARGV[1])
if found == 1 then redis.call('LPUSH', KEYS[2], ARGV[2]) end
return found
";

impl RedisBroker {
    pub(super) async fn letters(&self) -> Result<Vec<DeadLetter>, Error> {
        let key = self.keys.dead_letter();
        let entries: Vec<String> = self.connection().lrange(key, 0, -1).await?;
        let letters = entries.iter().map(|entry| {
            let letter: DeadLetter = serde_json::from_str(entry)?;
            let message = wire::decode(&letter.message()).ok();
            Ok(letter.naming(message.as_ref()))
        });
        letters.collect()
    }

    pub(super) async fn put_in_queue(&self, letter: &DeadLetter) -> Result<bool, Error> {
        let message = letter.message();
        let priority = wire::priority_of(&message);
        let found: u32 = Script::new(REVIVE)
            .key(self.keys.dead_letter())
            .key(self.keys.queue(&letter.queue, priority))
            .arg(serde_json::to_string(letter)?)
            .arg(message)
            .invoke_async(&mut self.connection())
            .await?;
        Ok(found == 1)
    }

    pub(super) async fn drop_letter(&self, letter: &DeadLetter) -> Result<bool, Error> {
        let entry = serde_json::to_string(letter)?;
        let key = self.keys.dead_letter();
        let found: u32 = self.connection().lrem(key, 1, entry).await?;
        Ok(found == 1)
    }
}
