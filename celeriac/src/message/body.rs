//! The body of protocol 2: `[args, kwargs, embed]`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::canvas::{LaterSteps, Signature};

/// A task's arguments and what follows its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub struct Body {
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: Map<String, Value>,
    /// Callbacks, errbacks, chain and chord.
    pub embed: Embed,
}

/// What follows a task's end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Embed {
    /// Sent with the result after success (`link`).
    #[serde(default)]
    pub callbacks: Option<Vec<Signature>>,
    /// Sent after failure (`link_error`).
    #[serde(default)]
    pub errbacks: Option<Vec<Signature>>,
    /// The rest of a chain, the next task last.
    #[serde(default)]
    pub chain: Option<LaterSteps>,
    /// The body of the chord that the task is a header member of.
    #[serde(default)]
    pub chord: Option<Signature>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct Wire(Vec<Value>, Map<String, Value>, Embed);

impl From<Wire> for Body {
    fn from(Wire(args, kwargs, embed): Wire) -> Self {
        Self {
            args,
            kwargs,
            embed,
        }
    }
}

impl From<Body> for Wire {
    fn from(body: Body) -> Self {
        Self(body.args, body.kwargs, body.embed)
    }
}
