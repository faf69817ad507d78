//! What is done once, however often somebody tries.
//!
//! An attempt whose answer did not come may have been executed, or may be yet:
//! Redis still does what lay in its socket. So each attempt leaves a *mark*,
//! and does nothing where there is one. `celeriac.sent:<mark>` marks a batch of
//! messages by the id of its first; `celeriac.journal:<journal>`
//! holds the number that was published last.
//!
//! A mark whose only attempt was answered is of no more use: it is deleted with
//! the next batch. The others expire.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use redis::{Cmd, Pipeline, RedisError, Script};
use uuid::Uuid;

use super::RedisBroker;
use crate::broker::Outgoing;
use crate::error::Error;
use crate::redis::wire;

/// A journal that nothing has been published from for 30 days is forgotten.
const KEPT: u64 = 30 * 86_400;
/// An attempt that comes a day later than the first is one of its own.
const MARKED: u64 = 86_400;
/// Messages that one script sends: others are to get a turn.
const BATCH: usize = 256;
/// Marks of no more use that wait to be deleted, at most. The others expire.
const REFUSE: usize = 4096;

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

/// The marks that this process has left.
#[derive(Default)]
pub(super) struct Marks(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Keys of attempts that had no answer: another may still be executed.
    doubtful: HashSet<String>,
    /// Keys that may go.
    done: Vec<String>,
}

impl Marks {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt had no answer.
    fn doubt(&self, key: &str) {
        let mut known = self.known();
        // Those that nobody tried again; their marks expire.
        if known.doubtful.len() >= REFUSE {
            known.doubtful.clear();
        }
        known.doubtful.insert(key.to_owned());
    }

    /// Nobody tries it again.
    fn done(&self, key: String) {
        let mut known = self.known();
        if !known.doubtful.remove(&key) && known.done.len() < REFUSE {
            known.done.push(key);
        }
    }

    fn take_done(&self) -> Vec<String> {
        std::mem::take(&mut self.known().done)
    }
}

/// A script's call, and the key that marks it.
struct Marked {
    key: String,
    call: Cmd,
}

impl Marked {
    fn new(script: &Script, key: String, keys: &[String]) -> Self {
        let mut call = redis::cmd("EVALSHA");
        call.arg(script.get_hash()).arg(keys.len() + 1);
        call.arg(&key).arg(keys);
        Self { key, call }
    }
}

impl RedisBroker {
    /// Publishes messages: those of a batch once, by its mark.
    pub(super) async fn send(&self, messages: &[Outgoing]) -> Result<(), Error> {
        let mut calls = Vec::with_capacity(messages.len().div_ceil(BATCH));
        for batch in messages.chunks(BATCH) {
            let (keys, commands) = self.commands(batch).await?;
            if keys.is_empty() {
                continue;
            }
            let key = self.keys.sent(&mark(batch));
            // The number is 1: there is nothing else in such a journal.
            let mut marked = Marked::new(&PUBLISH_ONCE, key, &keys);
            marked.call.arg(1).arg(MARKED).arg(commands);
            calls.push(marked);
        }
        let keys = self.call(&PUBLISH_ONCE, calls).await?;
        keys.into_iter().for_each(|key| self.marks.done(key));
        Ok(())
    }

    pub(super) async fn send_once(
        &self,
        messages: &[Outgoing],
        journal: &str,
        number: u64,
    ) -> Result<(), Error> {
        let (keys, commands) = self.commands(messages).await?;
        let mut marked = Marked::new(&PUBLISH_ONCE, self.keys.journal(journal), &keys);
        marked.call.arg(number).arg(KEPT).arg(commands);
        self.call(&PUBLISH_ONCE, vec![marked]).await.map(drop)
    }

    /// Where messages go, and for each the command that sends it, and itself.
    async fn commands(&self, messages: &[Outgoing]) -> Result<(Vec<String>, Vec<Vec<u8>>), Error> {
        let (mut keys, mut commands) = (Vec::new(), Vec::new());
        for message in messages {
            let payload = wire::encode(&message.message, &message.id.to_string())?;
            for (command, key) in self.keys.destinations(message, &self.connection).await? {
                keys.push(key);
                commands.extend([command.as_bytes().to_vec(), payload.clone()]);
            }
        }
        Ok((keys, commands))
    }

    /// Calls a script, all in one round trip; their marks. Deletes those that
    /// are of no more use.
    async fn call(&self, script: &Script, calls: Vec<Marked>) -> Result<Vec<String>, Error> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        let mut keys = Vec::with_capacity(calls.len());
        for Marked { key, call } in calls {
            pipeline.add_command(call).ignore();
            keys.push(key);
        }
        let done = self.marks.take_done();
        if !done.is_empty() {
            pipeline.cmd("UNLINK").arg(done).ignore();
        }
        let called = self.execute(&pipeline, script).await;
        if called.is_err() {
            keys.iter().for_each(|key| self.marks.doubt(key));
        }
        called.map(|()| keys).map_err(Error::from)
    }

    /// Executes calls of a script that the server may not know yet.
    async fn execute(&self, pipeline: &Pipeline, script: &Script) -> Result<(), RedisError> {
        let mut connection = self.connection();
        match pipeline.exec_async(&mut connection).await {
            Err(error) if lacks_script(&error) => {
                script.load_async(&mut connection).await?;
                pipeline.exec_async(&mut connection).await
            }
            executed => executed,
        }
    }
}

/// What marks a batch: the id of its first sending.
fn mark(batch: &[Outgoing]) -> String {
    let first = batch.first().map(|first| first.id);
    first.unwrap_or_else(Uuid::new_v4).to_string()
}

fn lacks_script(error: &RedisError) -> bool {
    let faults = error.clone().into_server_errors();
    let in_pipeline = faults.is_some_and(|faults| {
        let lacks = |fault: &(usize, redis::ServerError)| fault.1.code() == "NOSCRIPT";
        faults.iter().any(lacks)
    });
    in_pipeline || error.code() == Some("NOSCRIPT")
}
