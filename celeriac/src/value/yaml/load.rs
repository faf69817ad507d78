//! A document's tree.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Value};

use super::scalar;
use crate::stack::with_room;
use crate::value::serializer::{MAX_DEPTH, too_deep};

/// Aliases may add this much to a document, bytes of text and nodes of 64.
const MOST_COPIED: usize = 64 << 20;

/// Reads the one document in `raw`; nothing is `null`, as in PyYAML.
pub(in crate::value) fn loads(raw: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(raw).map_err(|error| error.to_string())?;
    let mut loader = Loader {
        events: Parser::new_from_str(text.trim_start_matches('\u{feff}')),
        anchors: HashMap::new(),
        copied: 0,
    };
    let mut document = None;
    loop {
        match loader.next()? {
            Event::StreamEnd => return Ok(document.unwrap_or_default()),
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if document.is_some() => return Err("there is more than one document".to_owned()),
            event => document = Some(loader.node(event, 0)?),
        }
    }
}

struct Loader<'a> {
    events: Parser<'a, StrInput<'a>>,
    /// What aliases stand for.
    anchors: HashMap<usize, Value>,
    /// What anchors and aliases have added, see [`MOST_COPIED`].
    copied: usize,
}

impl<'a> Loader<'a> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        match self.events.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(error.to_string()),
            None => Ok(Event::StreamEnd),
        }
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Value, String> {
        // The scalar in the innermost list is no level of its own.
        if depth > MAX_DEPTH {
            return Err(too_deep().to_string());
        }
        with_room(|| self.roomy_node(event, depth))
    }

    fn roomy_node(&mut self, event: Event<'a>, depth: usize) -> Result<Value, String> {
        let (anchor, value) = match event {
            Event::Alias(anchor) => return self.alias(anchor),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let tag = tag.as_deref().map(name).transpose()?;
                (anchor, scalar::value(&text, plain, tag)?)
            }
            Event::SequenceStart(anchor, tag) => {
                expect(tag.as_deref(), "seq")?;
                (anchor, self.sequence(depth)?)
            }
            Event::MappingStart(anchor, tag) => (anchor, self.mapping(tag.as_deref(), depth)?),
            other => return Err(format!("{other:?} is out of place")),
        };
        if anchor > 0 {
            self.count(&value)?;
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn alias(&mut self, anchor: usize) -> Result<Value, String> {
        // Not there while it is still being read: a value cannot hold itself.
        let value = self.anchors.get(&anchor).cloned();
        let value = value.ok_or("an alias stands for what it is part of")?;
        self.count(&value)?;
        Ok(value)
    }

    fn count(&mut self, value: &Value) -> Result<(), String> {
        self.copied = self.copied.saturating_add(size(value));
        if self.copied > MOST_COPIED {
            return Err("the aliases add too much".to_owned());
        }
        Ok(())
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(items.into()),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    /// A map whose keys are texts. Python has others, and sets; here they would
    /// become what they are not, and go back to Python so.
    fn mapping(&mut self, tag: Option<&Tag>, depth: usize) -> Result<Value, String> {
        if tag.map(name).transpose()? == Some("set") {
            return Err("cannot read a set: send a list".to_owned());
        }
        expect(tag, "map")?;
        let mut map = Map::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(map.into()),
                event => key_of(self.node(event, depth + 1)?)?,
            };
            let event = self.next()?;
            map.insert(key, self.node(event, depth + 1)?);
        }
    }
}

/// The short name of a tag that PyYAML's `SafeLoader` knows.
fn name(tag: &Tag) -> Result<&str, String> {
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("!" | "", "") | ("", "!") => Ok("str"),
        (_, suffix) if tag.is_yaml_core_schema() => Ok(suffix),
        _ => Err(format!("cannot read a value tagged {tag}")),
    }
}

fn expect(tag: Option<&Tag>, kind: &str) -> Result<(), String> {
    match tag.map(name).transpose()? {
        None => Ok(()),
        // The non-specific tag says nothing about lists and maps.
        Some(found) if found == kind || found == "str" => Ok(()),
        Some(found) => Err(format!("cannot read a {kind} tagged !!{found}")),
    }
}

fn key_of(key: Value) -> Result<String, String> {
    match key {
        Value::String(text) => Ok(text),
        other => Err(format!("{other} is no key of a map; a text is")),
    }
}

fn size(value: &Value) -> usize {
    let inner = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + size(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    inner.saturating_add(64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Value, String> {
        loads(text.as_bytes())
    }

    /// What `yaml.safe_dump` of PyYAML 6.0.3 writes for a body.
    #[test]
    fn a_body_from_pyyaml_is_read() -> Result<(), String> {
        let text = "- - &id001\n    - 1\n  - *id001\n  - 2026-01-02 03:04:05.000600+02:00\n  - !!binary |\n    /wA=\n- k: 'no'\n- callbacks: null\n";
        let datetime =
            json!({"__type__": "datetime", "__value__": "2026-01-02T03:04:05.000600+02:00"});
        let bytes = json!({"__type__": "base64", "__value__": "/wA="});
        assert_eq!(
            read(text)?,
            json!([[[1], [1], datetime, bytes], {"k": "no"}, {"callbacks": null}])
        );
        assert_eq!(read("")?, Value::Null);
        Ok(())
    }

    #[test]
    fn bombs_and_strangers_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let copies = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb += &format!("a{level}: &a{level} [{copies}]\n");
        }
        let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
        for text in [
            bomb.as_str(),
            deep.as_str(),
            "&a [*a]",
            "[*a]",
            "!!python/object/apply:os.system [id]",
            "!mine 1",
            "--- 1\n--- 2",
            "{[1]: 2}",
            "{1: a}",
            "{yes: a}",
            "{~: a}",
            "!!set {a: null}",
            "{<<: {a: 1}}",
            "[1, ",
            "!!binary '%'",
            "!!int x",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(loads(b"\xff").is_err());
    }
}
