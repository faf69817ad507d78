//! The headers that carry a trace from message to message: W3C's Trace Context
//! and Baggage, where OpenTelemetry's instrumentation of Celery puts them.

use serde_json::{Map, Value};

/// Which trace a message belongs to, and who in it has sent it.
const TRACEPARENT: &str = "traceparent";
/// What tracing systems add to that.
const TRACESTATE: &str = "tracestate";
/// What an application hands on along a trace.
const BAGGAGE: &str = "baggage";

/// The trace that a message belongs to, as its headers say it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TraceContext(Vec<(&'static str, String)>);

impl TraceContext {
    /// What these headers say. One that is malformed is none.
    pub fn of(headers: &Map<String, Value>) -> Self {
        let text = |name| headers.get(name).and_then(Value::as_str);
        let mut found = Vec::new();
        if let Some(parent) = text(TRACEPARENT).filter(|parent| is_traceparent(parent)) {
            found.push((TRACEPARENT, parent.to_owned()));
            found.extend(text(TRACESTATE).map(|state| (TRACESTATE, state.to_owned())));
        }
        found.extend(text(BAGGAGE).map(|baggage| (BAGGAGE, baggage.to_owned())));
        Self(found)
    }

    /// Puts itself among the headers of a message that is sent, unless the
    /// sender has named another trace there.
    pub fn pass_on(&self, headers: &mut Map<String, Value>) {
        let own = Self::of(headers);
        match own.0.is_empty() {
            true => self.replace(headers),
            false => own.replace(headers),
        }
    }

    /// The headers that say it.
    pub fn headers(&self) -> Map<String, Value> {
        let mut headers = Map::new();
        self.replace(&mut headers);
        headers
    }

    /// Takes the place of what the headers said of a trace.
    pub fn replace(&self, headers: &mut Map<String, Value>) {
        for name in [TRACEPARENT, TRACESTATE, BAGGAGE] {
            headers.shift_remove(name);
        }
        for (name, value) in &self.0 {
            headers.insert((*name).to_owned(), value.as_str().into());
        }
    }
}

/// What OpenTelemetry's propagators read.
#[cfg(feature = "otlp")]
impl opentelemetry::propagation::Extractor for TraceContext {
    fn get(&self, key: &str) -> Option<&str> {
        let mut headers = self.0.iter();
        let (_, value) = headers.find(|(name, _)| *name == key)?;
        Some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

/// What OpenTelemetry's propagators write.
#[cfg(feature = "otlp")]
impl opentelemetry::propagation::Injector for TraceContext {
    fn set(&mut self, key: &str, value: String) {
        let name = [TRACEPARENT, TRACESTATE, BAGGAGE].into_iter();
        // As Python, which leaves an empty state out.
        for name in name.filter(|name| *name == key && !value.is_empty()) {
            self.0.push((name, value.clone()));
        }
    }
}

/// Whether it is `version-trace-parent-flags`, in the hexadecimal digits of
/// W3C's Trace Context. A version that is yet to come may have more after it.
fn is_traceparent(text: &str) -> bool {
    let mut fields = text.split('-');
    let mut hex = |digits| {
        fields.next().filter(|field| {
            let mut bytes = field.bytes();
            field.len() == digits && bytes.all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let (Some(version), Some(trace), Some(parent), Some(_)) = (hex(2), hex(32), hex(16), hex(2))
    else {
        return false;
    };
    let named = |id: &str| id.bytes().any(|digit| digit != b'0');
    let whole = version != "00" || fields.next().is_none();
    version != "ff" && named(trace) && named(parent) && whole
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(headers) => headers,
            _ => Map::new(),
        }
    }

    fn passed_on(from: Value, to: Value) -> Value {
        let mut to = headers(to);
        TraceContext::of(&headers(from)).pass_on(&mut to);
        to.into()
    }

    #[test]
    fn a_trace_is_passed_on_as_it_came() {
        let came = json!({"traceparent": PARENT, "tracestate": "a=1", "baggage": "user=7"});
        assert_eq!(passed_on(came.clone(), json!({})), came);
        let of_the_future = format!("{}-more", PARENT.replacen("00", "01", 1));
        let came = json!({"traceparent": of_the_future});
        assert_eq!(passed_on(came.clone(), json!({})), came);
        let alone = json!({"baggage": "user=7"});
        assert_eq!(passed_on(alone.clone(), json!({})), alone);
    }

    #[test]
    fn other_headers_stay_with_their_message() {
        let came = json!({"traceparent": PARENT, "tenant": "a"});
        let sent = passed_on(came, json!({"x": 1}));
        assert_eq!(sent, json!({"x": 1, "traceparent": PARENT}));
    }

    #[test]
    fn a_trace_that_the_sender_names_stays() {
        let named = json!({"traceparent": PARENT.replace("b7ad", "0000"), "tracestate": "b=2"});
        let came = json!({"traceparent": PARENT, "baggage": "user=7"});
        assert_eq!(passed_on(came, named.clone()), named);
    }

    #[test]
    fn what_is_no_trace_is_passed_on_to_nobody() {
        let malformed = [
            json!(""),
            json!("00"),
            json!(17),
            json!([PARENT]),
            json!(format!("{PARENT}-more")),
            json!(PARENT.to_uppercase()),
            json!(PARENT.replacen("00", "ff", 1)),
            json!(PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32))),
            json!(PARENT.replace("b7ad6b7169203331", &"0".repeat(16))),
            json!(PARENT.replace("b7ad", "bäd")),
            json!(&PARENT[..PARENT.len() - 1]),
        ];
        for parent in malformed {
            let came = json!({"traceparent": parent, "tracestate": "a=1"});
            assert_eq!(passed_on(came.clone(), json!({})), json!({}), "{parent}");
            assert_eq!(passed_on(json!({}), came), json!({}), "{parent}");
        }
    }
}
