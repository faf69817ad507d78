//! What stands for MessagePack where the feature is off.

use serde_json::Value;

const MISSING: &str = "msgpack is not in this program: build it with the feature `msgpack`";

pub fn dumps(_value: &Value) -> Result<Vec<u8>, String> {
    Err(MISSING.to_owned())
}

pub fn loads(_raw: &[u8]) -> Result<Value, String> {
    Err(MISSING.to_owned())
}
