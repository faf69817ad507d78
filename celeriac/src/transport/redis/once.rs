//! What is published once, however often somebody tries.
//!
//! `celeriac.journal:<journal>` holds the number that was published last.

use std::sync::LazyLock;

use redis::Script;

use super::RedisTransport;
use crate::error::Error;
use crate::transport::Outgoing;

/// A journal that nothing has been published from for 30 days is forgotten.
const KEPT: u64 = 30 * 86_400;

/// `KEYS`: the journal, a list or channel for each message. `ARGV`: the number,
/// seconds to keep it, for each message the command that sends it, and itself.
/// What is no list refuses all, and nothing is done.
static PUBLISH_ONCE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then return end
for i = 2, #KEYS do
  if ARGV[2 * i - 1] ~= 'PUBLISH' then redis.call('LLEN', KEYS[i]) end
end
for i = 2, #KEYS do redis.call(ARGV[2 * i - 1], KEYS[i], ARGV[2 * i]) end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
",
    )
});

impl RedisTransport {
    pub(super) async fn send_once(
        &self,
        messages: &[Outgoing],
        journal: &str,
        number: u64,
    ) -> Result<(), Error> {
        let mut call = PUBLISH_ONCE.key(self.keys.journal(journal));
        call.arg(number).arg(KEPT);
        for message in messages {
            let payload = message.envelope.encode()?;
            for (command, key) in self.keys.destinations(message, &self.connection).await? {
                call.key(key).arg(command).arg(&payload);
            }
        }
        Ok(call.invoke_async(&mut self.connection()).await?)
    }
}
