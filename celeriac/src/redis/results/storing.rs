//! Storing results: those of tasks that end together in one step.

use async_trait::async_trait;
use redis::Script;

use crate::error::Fault;
use crate::redis::batcher::Batched;
use crate::redis::link::Connection;

/// Stores and publishes each unless a success is there. `KEYS`: the tasks'
/// keys. `ARGV`: for each its meta, what of another format has been found there
/// and may be replaced, and seconds to live or 0. Answers for each
/// what is there if Redis cannot read it: the caller then must, and calls
/// again.
const STORE: &str = r#"
local function store(key, meta, replaces, expires)
  local life = expires ~= '0' and {'EX', expires} or {}
  -- Mostly nothing is there.
  if redis.call('SET', key, meta, 'NX', unpack(life)) then
    redis.call('PUBLISH', key, meta)
    return false
  end
  local known = redis.call('GET', key)
  if known and known ~= replaces then
    local ok, stored = pcall(cjson.decode, known)
    if not ok then return known end
    if type(stored) == 'table' and stored['status'] == 'SUCCESS' then return false end
  end
  redis.call('SET', key, meta, unpack(life))
  redis.call('PUBLISH', key, meta)
  return false
end
local found = {}
for i, key in ipairs(KEYS) do
  found[i] = store(key, ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i])
end
return found
"#;

/// A result that is to be stored.
pub(super) struct ToStore {
    pub key: String,
    /// The meta, encoded.
    pub meta: Vec<u8>,
    /// What may be replaced though Redis cannot read it.
    pub replaces: Vec<u8>,
    /// Seconds that it lives; 0 for ever.
    pub expires: u64,
}

/// Stores results, and tells who waits for them.
pub(super) struct Storing {
    connection: Connection,
    script: Script,
}

impl Storing {
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            script: Script::new(STORE),
        }
    }
}

#[async_trait]
impl Batched for Storing {
    type Request = ToStore;
    /// What is there that Redis cannot read; nothing has been stored then.
    type Answer = Option<Vec<u8>>;

    async fn perform(&self, results: &[ToStore]) -> Result<Vec<Self::Answer>, Fault> {
        let mut call = self.script.prepare_invoke();
        for result in results {
            call.key(&result.key);
            call.arg(&result.meta)
                .arg(&result.replaces)
                .arg(result.expires);
        }
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }
}
