//! From a signature to the message of protocol 2 that calls its task
//! (`celery/app/amqp.py`, `as_task_v2`).

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::canvas::{Options, Signature, new_id};
use crate::message::{Body, Embed, Headers, Message};
use crate::trace::TraceContext;
use crate::value::{instant, lenient, saferepr};

/// Who sends: what a child inherits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lineage {
    pub root_id: Option<String>,
    pub parent_id: Option<String>,
    pub trace: TraceContext,
}

/// Headers and body of the message that calls a plain task. `origin` is the
/// nodename of who sends it.
pub(crate) fn task_message(call: Signature, lineage: &Lineage, origin: &str) -> (Headers, Body) {
    // One for both: they are as far apart as they are said to be.
    let now = Utc::now();
    let stamps = call.stamps();
    let options = call.options;
    let id = options.task_id.unwrap_or_else(new_id);
    let countdown = options.countdown.filter(|&seconds| seconds != 0.0);
    let root_id = options.root_id.or_else(|| lineage.root_id.clone());
    // Headers of the user's own go beside Celery's.
    let mut extra = options.headers.unwrap_or_default();
    lineage.trace.pass_on(&mut extra);
    let headers = Headers {
        lang: Some("rust".to_owned()),
        argsrepr: options
            .argsrepr
            .or_else(|| Some(saferepr::args(&call.args))),
        kwargsrepr: options
            .kwargsrepr
            .or_else(|| Some(saferepr::kwargs(&call.kwargs))),
        shadow: options.shadow,
        eta: countdown
            .map(|seconds| instant_in(now, seconds))
            .or(options.eta),
        expires: options.expires.and_then(|expires| expiry(now, expires)),
        group: options.group_id,
        group_index: options.group_index,
        retries: options.retries.unwrap_or_default(),
        timelimit: (options.time_limit, options.soft_time_limit),
        root_id: root_id.or_else(|| Some(id.clone())),
        parent_id: options.parent_id.or_else(|| lineage.parent_id.clone()),
        origin: options.origin.or_else(|| Some(origin.to_owned())),
        ignore_result: options.ignore_result,
        replaced_task_nesting: options.replaced_task_nesting.unwrap_or_default(),
        stamped_headers: options.stamped_headers,
        stamps: Some(stamps),
        task: call.task,
        id,
        extra,
    };
    let body = Body {
        args: call.args,
        kwargs: call.kwargs,
        embed: Embed {
            callbacks: options.link,
            errbacks: options.link_error,
            chain: options.chain,
            chord: options.chord.map(|body| *body),
            ..Embed::default()
        },
    };
    (headers, body)
}

/// Lays options over those that a message was sent with, as a retry does that
/// names some. Where it goes is for the caller.
pub(crate) fn lay_over(message: &mut Message, options: Options) {
    let Message {
        headers,
        properties,
        ..
    } = message;
    properties.priority = options.priority.or(properties.priority);
    properties.extra.extend(options.properties());
    let expires = options
        .expires
        .and_then(|expires| expiry(Utc::now(), expires));
    headers.expires = expires.or(headers.expires.take());
    let (hard, soft) = &mut headers.timelimit;
    *hard = options.time_limit.or(hard.take());
    *soft = options.soft_time_limit.or(soft.take());
    headers.shadow = options.shadow.or(headers.shadow.take());
    headers.ignore_result = options.ignore_result.or(headers.ignore_result);
    headers.extra.extend(options.headers.unwrap_or_default());
}

/// The header `expires` of the option: seconds from now, or an instant.
fn expiry(now: DateTime<Utc>, expires: Value) -> Option<String> {
    let text = match expires {
        Value::Number(seconds) => return Some(instant_in(now, seconds.as_f64()?)),
        instant => lenient::as_text(instant)?,
    };
    match text.parse() {
        Ok(seconds) => Some(instant_in(now, seconds)),
        Err(_) => Some(text),
    }
}

/// The instant so many seconds from `now`, as headers have it.
fn instant_in(now: DateTime<Utc>, seconds: f64) -> String {
    // Microseconds, as Python's timedelta.
    let duration = TimeDelta::microseconds((seconds * 1e6) as i64);
    let then = now.checked_add_signed(duration);
    instant::isoformat(&then.unwrap_or(DateTime::<Utc>::MAX_UTC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_senseless_countdown_is_no_panic() {
        let mut signature = Signature::new("t.add");
        signature.options.countdown = Some(1e300);
        let (headers, _) = task_message(signature, &Lineage::default(), "here");
        assert!(headers.eta.is_some());
    }

    #[test]
    fn it_expires_when_its_headers_say_so() {
        for (expires, milliseconds) in [(60.0, "60000"), (-1.0, "0")] {
            let mut signature = Signature::new("t.add");
            signature.options.expires = Some(expires.into());
            let (headers, _) = task_message(signature, &Lineage::default(), "here");
            let rounded = headers.expiration().map(|left| left.parse::<f64>());
            let seconds = rounded.map(|left| left.map(|left| (left / 1e4).round() * 1e4));
            assert_eq!(seconds, Some(Ok(milliseconds.parse().unwrap_or(f64::NAN))));
        }
        assert_eq!(Headers::default().expiration(), None);
    }

    #[test]
    fn stamps_and_own_headers_travel() {
        let signature = Signature::new("t.add").stamp("tenant", "a").header("x", 1);
        let (headers, _) = task_message(signature, &Lineage::default(), "here");
        assert_eq!(headers.stamped_headers, Some(vec!["tenant".to_owned()]));
        assert_eq!(headers.stamps.unwrap_or_default()["tenant"], "a");
        assert_eq!(headers.extra["x"], 1);
    }
}
