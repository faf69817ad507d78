//! What is fuzzed: everything that reads what others wrote. Shared by
//! cargo-fuzz, the runner for stable Rust and the property tests.

use celeriac::message::Headers;
use celeriac::redis::{decode_message, decode_notice, encode_message};
use celeriac::results::{Codec, TaskMeta};
use celeriac::value::{Compression, Serializer, to_value};
use celeriac::worker::control::Command;
use celeriac::{Settings, Signature};
use serde_json::{Value, json};

/// A decoder under test.
#[derive(Clone, Copy, Debug)]
pub enum Decoder {
    /// What lies in a queue, down to the body.
    Envelope,
    /// The same with these bytes as its body, in every format.
    Body,
    /// Headers alone, and the instants in them.
    Headers,
    /// A signature's dict.
    Signature,
    /// Any value, in JSON, msgpack and YAML.
    Json,
    Msgpack,
    Yaml,
    /// Something compressed.
    Compressed,
    /// A stored result.
    Result,
    /// A control command, and the message around it.
    Command,
}

/// Every decoder.
pub const ALL: [Decoder; 10] = [
    Decoder::Envelope,
    Decoder::Body,
    Decoder::Headers,
    Decoder::Signature,
    Decoder::Json,
    Decoder::Msgpack,
    Decoder::Yaml,
    Decoder::Compressed,
    Decoder::Result,
    Decoder::Command,
];

const METHODS: [Compression; 5] = [
    Compression::Zlib,
    Compression::Bzip2,
    Compression::Brotli,
    Compression::Lzma,
    Compression::Zstd,
];

const SERIALIZERS: [Serializer; 3] = [Serializer::Json, Serializer::Msgpack, Serializer::Yaml];

impl Decoder {
    /// Reads `data`, and panics if what it makes of it does not survive being
    /// written and read again.
    pub fn run(self, data: &[u8]) {
        match self {
            Self::Envelope => envelope(data),
            Self::Body => bodies(data),
            Self::Headers => headers(data),
            Self::Signature => {
                if let Ok(signature) = serde_json::from_slice::<Signature>(data) {
                    survives(Serializer::Json, &json!(signature));
                }
            }
            Self::Json => value(Serializer::Json, data),
            Self::Msgpack => value(Serializer::Msgpack, data),
            Self::Yaml => value(Serializer::Yaml, data),
            Self::Compressed => METHODS
                .iter()
                .for_each(|method| drop(method.decompress(data))),
            Self::Result => result(data),
            Self::Command => command(data),
        }
    }

    /// Something that it reads, to be mutated.
    pub fn seeds(self) -> Vec<Vec<u8>> {
        let body = json!([
            [1, -2.5e300, to_value(&f64::NEG_INFINITY).ok(), to_value(&i128::MIN).ok(), null, "é🦀", {"__type__": "bytes", "__value__": "x"}],
            {"y": [true, {"z": []}]},
            {"callbacks": [signature()], "errbacks": null, "chain": [signature()], "chord": null}
        ]);
        let written = |serializer: Serializer| serializer.dumps(&body).unwrap_or_default();
        let yaml = "- - &a [1, 2001-01-01 01:02:03 +1, !!binary aGk=]\n  - *a\n- {k: .5, ? l : ~}\n- callbacks: |\n    text\n  chain: 'it''s'\n";
        match self {
            Self::Envelope => vec![
                message(BASE64, "application/json", "base64"),
                message(
                    r#"{\"task\":\"t\",\"id\":\"1\",\"args\":[1]}"#,
                    "application/json",
                    "no",
                ),
            ],
            Self::Body => SERIALIZERS
                .into_iter()
                .map(written)
                .chain([br#"{"task":"t","id":"1","args":[1],"kwargs":{},"taskset":"g"}"#.to_vec()])
                .collect(),
            Self::Headers => vec![HEADERS.into(), br#"{"eta":"2001-W05-6T24:00+02"}"#.to_vec()],
            Self::Signature => vec![signature().to_string().into_bytes()],
            Self::Json => vec![
                written(Serializer::Json),
                b"[NaN, -Infinity, 1e999, 18446744073709551616, {\"a\": \"\\\"NaN\"}]".to_vec(),
                [b"[".repeat(500), b"]".repeat(500)].concat(),
            ],
            Self::Msgpack => vec![
                written(Serializer::Msgpack),
                [b"\x91".repeat(500), b"\xcb\x7f\xf0\0\0\0\0\0\0".to_vec()].concat(),
            ],
            Self::Yaml => vec![written(Serializer::Yaml), yaml.into()],
            Self::Compressed => METHODS
                .into_iter()
                .flat_map(|method| method.compress(&written(Serializer::Json)))
                .collect(),
            Self::Result => results()
                .iter()
                .flat_map(|codec| codec.dumps(&meta()))
                .collect(),
            Self::Command => vec![COMMAND.into(), notice().into_bytes()],
        }
    }
}

/// `[[1], {}, {}]` in base64.
const BASE64: &str = "W1sxXSwge30sIHt9XQ==";
const HEADERS: &str = r#"{"lang": "py", "task": "t.add", "id": "a1", "shadow": null, "eta": "2026-01-02T03:04:05.6+02:00", "expires": "2026-01-02", "group": null, "group_index": 3.0, "retries": 1, "timelimit": [null, 1.5], "ignore_result": false, "stamped_headers": ["s"], "stamps": {"s": 1}, "x": {"y": []}}"#;

fn message(body: &str, content_type: &str, encoding: &str) -> Vec<u8> {
    format!(
        r#"{{"body": "{body}", "content-encoding": "utf-8", "content-type": "{content_type}", "headers": {HEADERS}, "properties": {{"correlation_id": "a1", "delivery_mode": 2, "delivery_info": {{"exchange": "", "routing_key": "celery"}}, "priority": 0, "body_encoding": "{encoding}", "delivery_tag": "d1"}}}}"#
    )
    .into_bytes()
}

const COMMAND: &str = r#"{"method": "revoke", "arguments": {"task_id": ["a"], "terminate": true, "signal": "KILL"}, "destination": ["w@h"], "pattern": null, "matcher": null, "ticket": "t", "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": "k"}}"#;

fn notice() -> String {
    let body = COMMAND.replace('"', r#"\""#);
    format!(
        r#"{{"body": "{body}", "content-encoding": "utf-8", "content-type": "application/json", "headers": {{"clock": 1}}, "properties": {{"delivery_mode": 1, "delivery_info": {{"exchange": "celery.pidbox", "routing_key": ""}}, "priority": 0}}}}"#
    )
}

/// By itself, and as the body of the message that it comes in.
fn command(data: &[u8]) {
    drop(serde_json::from_slice::<Command>(data));
    if let Some(notice) = decode_notice(data) {
        drop(serde_json::from_slice::<Command>(&notice.body));
    }
}

fn signature() -> Value {
    json!({
        "task": "t.add", "args": [1], "kwargs": {"y": 2}, "subtask_type": null, "immutable": false,
        "options": {"task_id": "a", "priority": 3, "countdown": 1.5, "link": [], "x": [1]}
    })
}

fn meta() -> Value {
    json!({
        "status": "SUCCESS", "result": {"a": [1, "é"]}, "traceback": null, "children": [],
        "date_done": "2026-01-02T03:04:05.000006+00:00", "task_id": "a1", "group_id": "g"
    })
}

fn accept() -> Vec<String> {
    SERIALIZERS
        .map(|serializer| serializer.name().to_owned())
        .into()
}

fn results() -> Vec<Codec> {
    let codec = |serializer, compression| {
        let mut settings = Settings::default();
        settings.accept_content.0 = accept();
        settings.result_serializer = serializer;
        settings.result_compression = compression;
        Codec::of(&settings)
    };
    let plain = SERIALIZERS.map(|serializer| codec(serializer, None));
    let packed = METHODS.map(|method| codec(Serializer::Json, Some(method)));
    plain.into_iter().chain(packed).collect()
}

fn envelope(data: &[u8]) {
    let Ok(mut message) = decode_message(data) else {
        return;
    };
    let body = message.decode_body(&accept());
    // Of protocol 1 or not, it is one of protocol 2 now.
    let written = encode_message(&message, "tag").unwrap_or_default();
    let again = decode_message(&written);
    assert!(again.is_ok(), "cannot read what was written: {again:?}");
    if let (Ok(body), Ok(mut again)) = (body, again) {
        assert_eq!(again.decode_body(&accept()).ok(), Some(body));
    }
}

fn bodies(data: &[u8]) {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let packed = BASE64_STANDARD.encode(data);
    for serializer in SERIALIZERS {
        envelope(&message(&packed, serializer.content_type(), "base64"));
    }
    // The same without headers, as in protocol 1.
    let whole = message(&packed, "application/json", "base64");
    let bare = String::from_utf8_lossy(&whole).replace(HEADERS, "{}");
    envelope(bare.as_bytes());
}

fn headers(data: &[u8]) {
    if let Ok(headers) = serde_json::from_slice::<Headers>(data) {
        let _ = (headers.eta(), headers.expires());
        survives(Serializer::Json, &json!(headers));
    }
}

fn result(data: &[u8]) {
    for codec in results() {
        if let Ok(meta) = codec.loads::<TaskMeta>(data) {
            let written = codec.dumps(&meta).unwrap_or_default();
            assert_eq!(codec.loads::<TaskMeta>(&written).ok(), Some(meta));
        }
    }
}

fn value(serializer: Serializer, data: &[u8]) {
    if let Ok(value) = serializer.loads::<Value>(data) {
        survives(serializer, &value);
    }
}

/// Written and read again, a value is what it was.
pub fn survives(serializer: Serializer, value: &Value) {
    let Ok(written) = serializer.dumps(value) else {
        return; // A type that the format does not have.
    };
    let read = serializer.loads::<Value>(&written);
    assert_eq!(read.as_ref().ok(), Some(value), "{serializer:?}: {read:?}");
}
