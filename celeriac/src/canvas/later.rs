//! The steps of a chain that come later. Every message of a chain carries all
//! of them, and most are only passed on: reading and writing each one for each
//! message would cost a chain of n steps n² of both.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{CanvasError, Signature};
use crate::value::json;

/// Steps of a chain, in the order of messages: the next one last. What came in
/// a message stays as it was written until somebody needs it. As `chain` in the
/// body of protocol 2.
///
/// ```
/// use celeriac::Signature;
/// use celeriac::canvas::LaterSteps;
/// let steps = LaterSteps::from(vec![Signature::new("t.last"), Signature::new("t.next")]);
/// let (next, rest) = steps.split_next().expect("there are two");
/// assert_eq!(next?.task, "t.next");
/// assert_eq!(rest.len(), 1);
/// # Ok::<(), celeriac::canvas::CanvasError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaterSteps(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    /// As it came: a JSON text.
    Written(Arc<RawValue>),
    Made(Arc<Signature>),
}

impl Step {
    fn made(signature: Signature) -> Self {
        Self::Made(Arc::new(signature))
    }

    fn read(&self) -> Result<Cow<'_, Signature>, CanvasError> {
        match self {
            Self::Written(text) => json::from_slice(text.get().as_bytes())
                .map(Cow::Owned)
                .map_err(|error| CanvasError::Unreadable(error.to_string())),
            Self::Made(signature) => Ok(Cow::Borrowed(signature)),
        }
    }

    /// What is written, of what is no signature.
    fn value(&self) -> Option<Value> {
        json::to_value(self).ok()
    }
}

/// As they are read; what cannot be read, as it is written.
impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        match (self.read(), other.read()) {
            (Ok(one), Ok(other)) => one == other,
            (Err(_), Err(_)) => self.value() == other.value(),
            _ => false,
        }
    }
}

impl LaterSteps {
    /// How many they are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next step, and those after it.
    ///
    /// # Errors
    /// [`CanvasError::Unreadable`] of the step, if it is no signature.
    pub fn split_next(&self) -> Option<(Result<Signature, CanvasError>, Self)> {
        let (next, rest) = self.0.split_last()?;
        Some((next.read().map(Cow::into_owned), Self(rest.to_vec())))
    }

    /// Each of them, the last step of the chain first.
    ///
    /// # Errors
    /// [`CanvasError::Unreadable`] of each that is no signature.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Result<Cow<'_, Signature>, CanvasError>> {
        self.0.iter().map(Step::read)
    }

    /// Puts others before them.
    pub(super) fn follow(&mut self, steps: Vec<Signature>) {
        self.0.extend(steps.into_iter().map(Step::made));
    }
}

impl From<Vec<Signature>> for LaterSteps {
    fn from(steps: Vec<Signature>) -> Self {
        Self(steps.into_iter().map(Step::made).collect())
    }
}

impl Serialize for LaterSteps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Written(text) => text.serialize(serializer),
            Self::Made(signature) => signature.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for LaterSteps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let steps: Vec<Box<RawValue>> = Vec::deserialize(deserializer)?;
        let written = steps.into_iter().map(|text| Step::Written(text.into()));
        Ok(Self(written.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Body;
    use crate::value::{Format, Serializer};

    /// A step with all that makes reading and writing hard, in a body.
    const BODY: &str = r#"[[],{},{"chain":[{"task":"t.last","args":[NaN,1180591620717411303424,"\u00e9"],"kwargs":{},"options":{"task_id":"x"},"subtask_type":null,"immutable":false,"own":-Infinity},{"task":"t.next"}]}]"#;

    fn chain(body: &Body) -> LaterSteps {
        body.embed.chain.clone().unwrap_or_default()
    }

    #[test]
    fn what_is_passed_on_is_as_it_came() -> Result<(), Box<dyn std::error::Error>> {
        let body: Body = json::from_slice(BODY.as_bytes())?;
        let (next, rest) = chain(&body).split_next().ok_or("there is a next step")?;
        assert_eq!(next?, Signature::new("t.next"));
        let last = BODY
            .find(r#"{"task":"t.last""#)
            .zip(BODY.find(r#",{"task":"t.next""#));
        let last = last.and_then(|(from, to)| BODY.get(from..to));
        assert_eq!(
            json::to_vec(&rest)?,
            format!("[{}]", last.unwrap_or_default()).as_bytes()
        );
        let read: Vec<_> = rest.iter().collect::<Result<_, _>>()?;
        assert_eq!(read.first().map(|step| step.args.len()), Some(3));
        Ok(())
    }

    #[test]
    fn what_is_passed_on_comes_through_every_format() -> Result<(), Box<dyn std::error::Error>> {
        // As large an integer msgpack does not have.
        let body = BODY.replace("1180591620717411303424", "1");
        let body: Body = json::from_slice(body.as_bytes())?;
        for serializer in [Serializer::Json, Serializer::Msgpack, Serializer::Yaml] {
            let format = Format {
                serializer,
                compression: None,
            };
            let value = serializer.loads(&format.dumps(&body)?)?;
            let again: Body = json::from_value(&value)?;
            assert_eq!(json::to_value(&again)?, json::to_value(&body)?);
        }
        Ok(())
    }

    #[test]
    fn a_step_that_is_none_costs_itself_only() -> Result<(), Box<dyn std::error::Error>> {
        let body: Body = json::from_slice(br#"[[],{},{"chain":[{"task":"t.last"},5]}]"#)?;
        let (next, rest) = chain(&body).split_next().ok_or("there is a next step")?;
        assert!(next.is_err());
        assert!(rest.iter().all(|step| step.is_ok()) && rest.len() == 1);
        let spaced: Body = json::from_slice(br#"[[],{},{"chain":[{"task":"t.last"}, 5 ]}]"#)?;
        assert_eq!(body, spaced);
        let other: Body = json::from_slice(br#"[[],{},{"chain":[{"task":"t.last"},6]}]"#)?;
        assert_ne!(body, other);
        Ok(())
    }
}
