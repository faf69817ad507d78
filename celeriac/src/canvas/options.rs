//! How a signature is sent: the options of `apply_async`. They come from
//! anybody, with the message of another task, and must not cost that message.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value};

use super::{CanvasError, LaterSteps, Signature};
use crate::value::DeliveryMode;
use crate::value::lenient::{as_text, count, flag, if_fit, number, priority, seconds, text, texts};

/// Options about the sending, or of what is written elsewhere in a message. All
/// others that have no field become properties of the message.
const NO_PROPERTIES: [&str; 21] = [
    "body_encoding",
    "compression",
    "confirm_timeout",
    "connection",
    "content_encoding",
    "content_type",
    "declare",
    "delivery_info",
    "delivery_tag",
    "event_dispatcher",
    "exchange",
    "exchange_type",
    "expiration",
    "immediate",
    "mandatory",
    "producer",
    "retry",
    "retry_policy",
    "routing_key",
    "serializer",
    "timeout",
];

/// The options of `apply_async`, under Celery's names. What is `None` leaves
/// the choice to the task, its route or the settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// The task's id; a new one if not given. For a chord, its header's id.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text"
    )]
    pub task_id: Option<String>,
    /// Id of the group that it is a member of.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text"
    )]
    pub group_id: Option<String>,
    /// Its place in that group.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "count"
    )]
    pub group_index: Option<u64>,
    /// The first task of the workflow.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text"
    )]
    pub root_id: Option<String>,
    /// The task that sends it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text"
    )]
    pub parent_id: Option<String>,
    /// Where a reply goes, for result backends that reply.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text"
    )]
    pub reply_to: Option<String>,
    /// The body of the chord that it is a header member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chord: Option<Box<Signature>>,
    /// The rest of its chain, the next task last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<LaterSteps>,
    /// Callbacks.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "one_or_many"
    )]
    pub link: Option<Vec<Signature>>,
    /// Errbacks.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "one_or_many"
    )]
    pub link_error: Option<Vec<Signature>>,
    /// The queue; the task's route if not given.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "queue_name"
    )]
    pub queue: Option<String>,
    /// 0 to 9.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "priority"
    )]
    pub priority: Option<u8>,
    /// Seconds from sending until it may run.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "seconds"
    )]
    pub countdown: Option<f64>,
    /// The instant from which it may run (ISO 8601).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text"
    )]
    pub eta: Option<String>,
    /// Seconds from sending, or an instant, after which it may not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Value>,
    /// Hard limit, seconds.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number"
    )]
    pub time_limit: Option<Number>,
    /// Soft limit, seconds.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number"
    )]
    pub soft_time_limit: Option<Number>,
    /// Whether no result is wanted.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "flag"
    )]
    pub ignore_result: Option<bool>,
    /// How often it has been retried.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "count"
    )]
    pub retries: Option<u32>,
    /// Another name to show in logs.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text"
    )]
    pub shadow: Option<String>,
    /// The arguments as logs and events show them, so that they need not show
    /// what nobody is to see; as Python prints them if not given.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text"
    )]
    pub argsrepr: Option<String>,
    /// The same of the keyword arguments.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text"
    )]
    pub kwargsrepr: Option<String>,
    /// Who sends it; this node's name if not given.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text"
    )]
    pub origin: Option<String>,
    /// What replies are known by; the task's id if not given.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text"
    )]
    pub correlation_id: Option<String>,
    /// 1: transient, 2: persistent, which it is if not given. Redis does not care.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "delivery_mode"
    )]
    pub delivery_mode: Option<u8>,
    /// Headers of the user's own.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "if_fit"
    )]
    pub headers: Option<Map<String, Value>>,
    /// How often the task that it stands for has been replaced.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "count"
    )]
    pub replaced_task_nesting: Option<u32>,
    /// Names of the stamps; their values are among [`extra`](Self::extra).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "texts"
    )]
    pub stamped_headers: Option<Vec<String>>,
    /// Whether the sender's result lists it as a child; it does if not given.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "flag"
    )]
    pub add_to_parent: Option<bool>,
    /// Stamps, `exchange` and `routing_key`, `serializer` and `compression`, and
    /// properties of the user's own.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Lays each named field of `over` over that of `options`.
macro_rules! lay_over {
    ($options:ident, $over:ident: $($field:ident),* $(,)?) => {
        $(if $over.$field.is_some() {
            $options.$field = $over.$field;
        })*
    };
}

impl Options {
    /// These options with `over` laid over them. As `Signature._merge`: group
    /// and stamps stay what they are once set, or the group would not complete.
    #[must_use]
    pub(crate) fn merged(self, mut over: Self) -> Self {
        if self.group_id.is_some() {
            over.group_id = None;
        }
        if let Some(stamps) = &self.stamped_headers {
            over.stamped_headers = None;
            over.extra.retain(|name, _| !stamps.contains(name));
        }
        self.overwritten(over)
    }

    /// These options with all that `over` says. As `dict(options, **over)`.
    #[must_use]
    pub(super) fn overwritten(mut self, over: Self) -> Self {
        lay_over!(self, over:
            task_id, group_id, group_index, root_id, parent_id, reply_to, chord, chain, link,
            link_error, queue, priority, countdown, eta, expires, time_limit, soft_time_limit,
            ignore_result, retries, shadow, argsrepr, kwargsrepr, origin, correlation_id,
            delivery_mode, headers, replaced_task_nesting, stamped_headers,
            add_to_parent,
        );
        self.extra.extend(over.extra);
        self
    }

    /// Refuses limits of which the soft one would strike last.
    pub(crate) fn check_limits(&self) -> Result<(), CanvasError> {
        let seconds = |limit: &Option<Number>| limit.as_ref().and_then(Number::as_f64);
        check_limits(seconds(&self.soft_time_limit), seconds(&self.time_limit))
    }

    /// Properties of the message, as the free keyword arguments of
    /// `apply_async` become.
    pub(crate) fn properties(&self) -> Map<String, Value> {
        let stamps = self.stamped_headers.as_deref().unwrap_or_default();
        let free = |name: &String| !stamps.contains(name) && !NO_PROPERTIES.contains(&&**name);
        let extra = self.extra.iter().filter(|(name, _)| free(name));
        extra
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The property `expiration`: milliseconds, of the option's seconds.
    pub(crate) fn expiration(&self) -> Option<String> {
        let seconds = self.extra.get("expiration")?;
        let seconds = seconds
            .as_f64()
            .or_else(|| seconds.as_str()?.parse().ok())?;
        Some(((seconds * 1000.0) as i64).to_string())
    }

    /// The stamps by their names.
    pub(super) fn stamps(&self) -> Map<String, Value> {
        let names = self.stamped_headers.iter().flatten();
        names
            .filter_map(|name| Some((name.clone(), self.extra.get(name)?.clone())))
            .collect()
    }
}

/// As `Task.apply_async` of its task's own limits, in seconds; 0 is none.
pub(crate) fn check_limits(soft: Option<f64>, hard: Option<f64>) -> Result<(), CanvasError> {
    match (soft, hard) {
        (Some(soft), Some(hard)) if hard != 0.0 && soft > hard => Err(CanvasError::TimeLimits),
        _ => Ok(()),
    }
}

/// A list option may be a single signature: `maybe_list`.
fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Signature>>, D::Error> {
    struct OneOrMany(Vec<Signature>);
    struct Form;

    // No `untagged` enum, which would read what is nested again at each level.
    impl<'de> Visitor<'de> for Form {
        type Value = OneOrMany;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a signature or a list of them")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<OneOrMany, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(items)).map(OneOrMany)
        }

        fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<OneOrMany, A::Error> {
            let one = Signature::deserialize(MapAccessDeserializer::new(entries))?;
            Ok(OneOrMany(vec![one]))
        }
    }

    impl<'de> Deserialize<'de> for OneOrMany {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(Form)
        }
    }

    let form: Option<OneOrMany> = Option::deserialize(deserializer)?;
    Ok(form.map(|OneOrMany(signatures)| signatures))
}

/// A number, or a name of kombu's for it.
fn delivery_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let named = value.as_str().and_then(DeliveryMode::named);
    match named {
        Some(mode) => Ok(Some(mode.into())),
        None => count(value.into_deserializer()).map_err(de::Error::custom),
    }
}

/// A queue is its name, or kombu's `Queue` as a dict.
fn queue_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Object(mut queue) if queue.contains_key("name") => {
            queue.remove("name").and_then(as_text)
        }
        other => as_text(other),
    })
}
