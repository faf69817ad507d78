//! What beat sends, and when (`celery.beat.ScheduleEntry`).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Schedule;
use super::argument::exact;
use crate::canvas::{Options, Signature};

/// Tells what beat has sent from what others have.
const BEAT_HEADER: &str = "celery_beat_task";

/// Options of `apply_async` that [`Options`] has no field for.
const MORE_OPTIONS: [&str; 2] = ["serializer", "compression"];

/// An entry of `beat_schedule`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeatEntry {
    /// The task's name.
    pub task: String,
    /// When it runs.
    pub schedule: Schedule,
    /// Positional arguments.
    #[serde(default, deserialize_with = "exact")]
    pub args: Vec<Value>,
    /// Keyword arguments.
    #[serde(default, deserialize_with = "exact")]
    pub kwargs: Map<String, Value>,
    /// How the message is sent.
    #[serde(default, deserialize_with = "exact")]
    pub options: EntryOptions,
    /// Whether an interval is counted from whole days, hours or minutes.
    #[serde(default)]
    pub relative: bool,
}

/// `options` of an entry, as `apply_async` takes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Options", into = "Options")]
pub struct EntryOptions(Options);

impl BeatEntry {
    /// An entry that calls `task` without arguments.
    pub fn new(task: impl Into<String>, schedule: Schedule) -> Self {
        Self {
            task: task.into(),
            schedule,
            args: Vec::new(),
            kwargs: Map::new(),
            options: EntryOptions::default(),
            relative: false,
        }
    }

    /// The call that it makes.
    pub fn signature(&self) -> Signature {
        let mut signature = Signature::new(&self.task).header(BEAT_HEADER, true);
        let own = self.options.0.clone();
        let mut headers = own.headers.clone().unwrap_or_default();
        headers.extend(signature.options.headers.take().unwrap_or_default());
        signature.options = own;
        signature.options.headers = Some(headers);
        signature.args = self.args.clone();
        signature.kwargs = self.kwargs.clone();
        signature
    }
}

impl TryFrom<Options> for EntryOptions {
    type Error = String;

    /// Refuses what nobody knows, which is a slip of the pen more often than not.
    fn try_from(options: Options) -> Result<Self, String> {
        let known = |name: &&String| MORE_OPTIONS.contains(&name.as_str());
        match options.extra.keys().find(|name| !known(name)) {
            None => Ok(Self(options)),
            Some(name) => Err(format!("no option of an entry is called `{name}`")),
        }
    }
}

impl From<EntryOptions> for Options {
    fn from(options: EntryOptions) -> Self {
        options.0
    }
}
