//! Celery's dict form of a signature: what stands in messages.

use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::{Map, Value};

use super::{Canvas, Options, Signature};
use crate::stack::with_room;
use crate::value::json;
use crate::value::lenient::{is_set, name, null_as_default, text};

/// The dict as it is written, before its composition has been understood.
#[derive(Deserialize)]
struct Dict {
    #[serde(deserialize_with = "name")]
    task: String,
    #[serde(default, deserialize_with = "null_as_default")]
    args: Vec<Value>,
    #[serde(default, deserialize_with = "null_as_default")]
    kwargs: Map<String, Value>,
    #[serde(default, deserialize_with = "null_as_default")]
    options: Options,
    #[serde(default, deserialize_with = "text")]
    subtask_type: Option<String>,
    #[serde(default, deserialize_with = "is_set")]
    immutable: bool,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut dict = Dict::deserialize(deserializer)?;
        let kwargs = &mut dict.kwargs;
        let canvas = match dict.subtask_type.as_deref() {
            None | Some("") => Canvas::Task,
            Some("chain") => Canvas::Chain(members(kwargs, "tasks")?),
            Some("group") => Canvas::Group(members(kwargs, "tasks")?),
            Some("chord") => Canvas::Chord {
                header: header(kwargs)?,
                body: take(kwargs, "body")?,
            },
            Some("xmap") => Canvas::Map,
            Some("xstarmap") => Canvas::Starmap,
            Some("chunks") => Canvas::Chunks,
            Some(other) => return Err(de::Error::custom(format!("no canvas is called {other:?}"))),
        };
        // As their constructors in Python have it.
        let takes_nothing = matches!(canvas, Canvas::Map | Canvas::Starmap | Canvas::Chunks);
        Ok(Self {
            immutable: dict.immutable || takes_nothing,
            task: dict.task,
            args: dict.args,
            kwargs: dict.kwargs,
            options: dict.options,
            canvas,
            extra: dict.extra,
            unfit: None,
        })
    }
}

fn take<T: DeserializeOwned, E: de::Error>(
    kwargs: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<T>, E> {
    let value = kwargs.remove(name).filter(|value| !value.is_null());
    value
        .map(|value| with_room(|| json::from_value(&value)))
        .transpose()
        .map_err(|error| E::custom(format!("{name}: {error}")))
}

fn members<E: de::Error>(
    kwargs: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Vec<Signature>, E> {
    take(kwargs, name)?.ok_or_else(|| E::missing_field(name))
}

/// A header is a list of signatures, a group or chain of them, or only one.
fn header<E: de::Error>(kwargs: &mut Map<String, Value>) -> Result<Vec<Signature>, E> {
    if kwargs.get("header").is_none_or(Value::is_array) {
        return members(kwargs, "header");
    }
    let header: Option<Signature> = take(kwargs, "header")?;
    let header = header.ok_or_else(|| E::missing_field("header"))?;
    Ok(match header.canvas {
        Canvas::Chain(tasks) | Canvas::Group(tasks) => tasks,
        _ => vec![header],
    })
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(reason) = &self.unfit {
            return Err(ser::Error::custom(reason));
        }
        let mut dict = serializer.serialize_map(None)?;
        dict.serialize_entry("task", &self.task)?;
        dict.serialize_entry("args", &self.args)?;
        dict.serialize_entry("kwargs", &Kwargs(self))?;
        dict.serialize_entry("options", &self.options)?;
        dict.serialize_entry("subtask_type", &self.canvas.subtask_type())?;
        dict.serialize_entry("immutable", &self.immutable)?;
        for (name, value) in &self.extra {
            dict.serialize_entry(name, value)?;
        }
        dict.end()
    }
}

impl Canvas {
    /// Its name in messages; `None` for a plain task.
    pub fn subtask_type(&self) -> Option<&'static str> {
        Some(match self {
            Self::Task => return None,
            Self::Chain(_) => "chain",
            Self::Group(_) => "group",
            Self::Chord { .. } => "chord",
            Self::Map => "xmap",
            Self::Starmap => "xstarmap",
            Self::Chunks => "chunks",
        })
    }
}

/// The keyword arguments with the composition among them.
struct Kwargs<'a>(&'a Signature);

impl Serialize for Kwargs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Signature { kwargs, canvas, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in kwargs {
            map.serialize_entry(name, value)?;
        }
        match canvas {
            Canvas::Chain(tasks) | Canvas::Group(tasks) => map.serialize_entry("tasks", tasks)?,
            Canvas::Chord { header, body } => {
                // Python's constructor wants it, and reads the rest beside it.
                if !kwargs.contains_key("kwargs") {
                    map.serialize_entry("kwargs", &Map::new())?;
                }
                map.serialize_entry("header", header)?;
                map.serialize_entry("body", body)?;
            }
            _ => {}
        }
        map.end()
    }
}
