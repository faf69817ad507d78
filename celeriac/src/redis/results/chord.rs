//! Chords in Redis, beside each group's key: `.j` the members' results by
//! their places, `.s` how many there will be, `.t` how many more were added,
//! `.d` who has been counted, `.c` which worker runs the body
//! (`celery/backends/redis.py`, `on_chord_part_return`). Celery before 5.7
//! knows no `.d` and `.c`, and does without.

use ::redis::AsyncCommands;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::RedisResults;
use crate::error::Error;
use crate::results::GroupStore;
use crate::results::chord::{ChordPart, ChordProgress, ChordStore, StoredPart};

/// A worker that has to run a body and dies is given up after this, seconds.
const CLAIM: u64 = 10;
/// The same once the results have been read, and it is about to send.
const HOLD: u64 = 60;
/// For so long Python workers ignore a late repetition of a member, seconds.
const DONE: u64 = 300;
/// A chord whose size is not told yet lives at least so long, seconds: Celery
/// sends the last member first and then sets the size, and with it the life.
const UNTOLD: u64 = 24 * 60 * 60;

/// Counts a member once. A member that ends again when its chord is done finds
/// no size, and one of a canvas that is sent again may end before that is set:
/// so the mark of a chord that is done does not matter here. No key's life is
/// made shorter, and all live as long as the one that lives longest. `KEYS`:
/// `.j .s .t .d .c` and the group's own. `ARGV`: member, encoded result, place,
/// seconds to live, seconds of a claim, token, seconds to live without a size. Answers 0 while others are missing
/// or if the body has been sent, 1 to whoever runs it, 2 if that is another.
const PART: &str = r#"
local results, size, added, counted, claim, group = unpack(KEYS)
local member, encoded, place, expires, lease, token, untold = unpack(ARGV)
if redis.call('SADD', counted, member) == 1 then
  redis.call('ZADD', results, place, encoded)
end
local life = tonumber(expires)
if life > 0 and redis.call('EXISTS', size, claim) == 0 then life = math.max(life, tonumber(untold)) end
for _, key in ipairs(KEYS) do
  local left = key ~= claim and redis.call('TTL', key) or -2
  if left == -1 and key == size then life = 0 end
  if life > 0 and left > life then life = left end
end
for _, key in ipairs(KEYS) do
  if key ~= claim and life > 0 then redis.call('EXPIRE', key, life) end
  if key ~= claim and life == 0 then redis.call('PERSIST', key) end
end
local expected = redis.call('GET', size)
if not expected then return 0 end
expected = tonumber(expected) + tonumber(redis.call('GET', added) or '0')
if redis.call('ZCARD', results) ~= expected then return 0 end
if redis.call('SET', claim, token, 'NX', 'EX', lease) then return 1 end
local holder = redis.call('GET', claim)
if holder == token then return 1 end
return holder == 'done' and 0 or 2
"#;

/// Has a chord wait for one more, however often it is said. What a member's end
/// counts by gets its life then. `KEYS`: `.t .d`. `ARGV`: a mark.
const ADD: &str = r"
if redis.call('SADD', KEYS[2], ARGV[1]) == 1 then redis.call('INCR', KEYS[1]) end
";

/// Keeps a claim, or takes one that nobody holds. `KEYS`: `.c .s`. `ARGV`:
/// token, seconds.
const HOLD_ON: &str = r#"
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if not holder and redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"#;

/// Forgets a chord whose claim is held. `KEYS`: `.c .j .t .s .d`. `ARGV`:
/// token, seconds.
const FINISH: &str = r#"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', unpack(KEYS, 2))
redis.call('SET', KEYS[1], 'done', 'EX', ARGV[2])
return 1
"#;

impl RedisResults {
    /// Sets a key that lives as long as a chord.
    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), Error> {
        let mut connection = self.connection.clone();
        let () = match self.chords_expire {
            0 => connection.set(key, value).await?,
            expires => connection.set_ex(key, value, expires).await?,
        };
        Ok(())
    }
}

#[async_trait]
impl ChordStore for RedisResults {
    async fn set_chord_size(&self, group_id: &str, size: u64) -> Result<(), Error> {
        // The same canvas sent again is a new run.
        let () = self
            .connection
            .clone()
            .del(self.keys.group(group_id, ".c"))
            .await?;
        self.set(self.keys.group(group_id, ".s"), size.to_string().into())
            .await
    }

    async fn add_to_chord(&self, group_id: &str, task_id: &str) -> Result<(), Error> {
        let mut call = self.chords.add.prepare_invoke();
        for suffix in [".t", ".d"] {
            call.key(self.keys.group(group_id, suffix));
        }
        call.arg(format!("added:{task_id}"));
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }

    async fn chord_part(&self, part: &ChordPart<'_>) -> Result<ChordProgress, Error> {
        let encoded = self
            .codec
            .dumps(&(1, part.task_id, part.state, part.result))?;
        let place = part
            .index
            .map_or("+inf".to_owned(), |index| index.to_string());
        let script = &self.chords.part;
        let mut call = script.prepare_invoke();
        for suffix in [".j", ".s", ".t", ".d", ".c", ""] {
            call.key(self.keys.group(part.group_id, suffix));
        }
        call.arg(format!("{}:{place}", part.task_id))
            .arg(encoded)
            .arg(place)
            .arg(self.chords_expire)
            .arg(CLAIM)
            .arg(part.token)
            .arg(UNTOLD);
        let progress: u8 = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(match progress {
            1 => ChordProgress::Complete,
            2 => ChordProgress::Claimed,
            _ => ChordProgress::Waiting,
        })
    }

    async fn chord_parts(&self, group_id: &str) -> Result<Vec<StoredPart>, Error> {
        let key = self.keys.group(group_id, ".j");
        let stored: Vec<Vec<u8>> = self.connection.clone().zrange(key, 0, -1).await?;
        let part = |encoded: Vec<u8>| {
            let (_, task_id, state, result): (Value, _, _, _) = self.codec.loads(&encoded)?;
            Ok(StoredPart {
                task_id,
                state,
                result,
            })
        };
        stored.into_iter().map(part).collect()
    }

    async fn hold_chord(&self, group_id: &str, token: &str) -> Result<bool, Error> {
        let mut call = self.chords.hold.key(self.keys.group(group_id, ".c"));
        call.key(self.keys.group(group_id, ".s"))
            .arg(token)
            .arg(HOLD);
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }

    async fn finish_chord(&self, group_id: &str, token: &str) -> Result<(), Error> {
        let mut call = self.chords.finish.prepare_invoke();
        for suffix in [".c", ".j", ".t", ".s", ".d"] {
            call.key(self.keys.group(group_id, suffix));
        }
        call.arg(token).arg(DONE);
        let held: bool = call.invoke_async(&mut self.connection.clone()).await?;
        if !held {
            tracing::warn!(
                "Chord {group_id}: another worker has taken over; its keys are left to expire"
            );
        }
        Ok(())
    }

    async fn fail_chord(&self, group_id: &str) -> Result<(), Error> {
        Ok(self
            .connection
            .clone()
            .del(self.keys.group(group_id, ".s"))
            .await?)
    }
}

#[async_trait]
impl GroupStore for RedisResults {
    async fn save_group(&self, group_id: &str, tuple: &Value) -> Result<(), Error> {
        let encoded = self.codec.dumps(&json!({"result": tuple}))?;
        self.set(self.keys.group(group_id, ""), encoded).await
    }

    async fn restore_group(&self, group_id: &str) -> Result<Option<Value>, Error> {
        let stored: Option<Vec<u8>> = self
            .connection
            .clone()
            .get(self.keys.group(group_id, ""))
            .await?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        let mut stored: Value = self.codec.loads(&stored)?;
        Ok(Some(stored["result"].take()))
    }

    async fn forget_group(&self, group_id: &str) -> Result<(), Error> {
        Ok(self
            .connection
            .clone()
            .del(self.keys.group(group_id, ""))
            .await?)
    }
}

/// The scripts that count chords.
pub(super) struct ChordScripts {
    part: ::redis::Script,
    add: ::redis::Script,
    hold: ::redis::Script,
    finish: ::redis::Script,
}

impl Default for ChordScripts {
    fn default() -> Self {
        Self {
            part: ::redis::Script::new(PART),
            add: ::redis::Script::new(ADD),
            hold: ::redis::Script::new(HOLD_ON),
            finish: ::redis::Script::new(FINISH),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::link::RedisOfTest;

    /// Its answer may have been lost, and it is said again.
    #[tokio::test]
    async fn who_is_added_twice_counts_once() -> Result<(), Error> {
        let redis = RedisOfTest::start();
        let settings = redis.settings();
        let results = RedisResults::new(&settings.broker_url, &settings)?;
        results.set_chord_size("g", 1).await?;
        for added in ["b", "b", "c"] {
            results.add_to_chord("g", added).await?;
        }
        let mut ended = Vec::new();
        for task_id in ["a", "b", "b", "c"] {
            let part = ChordPart {
                group_id: "g",
                task_id,
                index: None,
                state: "SUCCESS",
                result: &Value::Null,
                token: "t",
            };
            ended.push(results.chord_part(&part).await?);
        }
        let complete = ended
            .iter()
            .map(|progress| *progress == ChordProgress::Complete);
        assert_eq!(complete.collect::<Vec<_>>(), [false, false, false, true]);
        Ok(())
    }
}
