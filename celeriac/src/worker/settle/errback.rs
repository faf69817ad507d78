//! What happens to others when a task has failed: those that would have
//! followed it fail, and errbacks are called (`celery/backends/base.py`,
//! `mark_as_failure` and `chord_error_from_stack`).

use std::borrow::Cow;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use serde_json::Value;

use super::Settlement;
use super::chord::Member;
use super::store::store;
use crate::canvas::{Canvas, LaterSteps, Options, Place, Promises, Signature, group};
use crate::results::{TaskMeta, states};
use crate::task::{FailedRequest, Failure, Task};
use crate::worker::insist::{Undone, insist_on_result};

/// How a task failed, for those that depend on it.
pub(super) struct Failed<'a> {
    pub state: &'a str,
    pub failure: &'a Failure,
    pub traceback: Option<&'a str>,
}

impl Settlement<'_> {
    /// Fails every step of a chain that will not run any more, so that whoever
    /// waits for its last hears of it. As `_fail_chain`.
    pub(super) async fn fail_chain(
        &self,
        chain: &LaterSteps,
        failed: &Failed<'_>,
        store_errors: bool,
    ) -> Result<(), Undone> {
        let exception = failed.failure.to_meta();
        let unread = |step: &Result<_, _>| {
            if let Err(error) = step {
                tracing::error!("cannot fail what comes later: {error}");
            }
        };
        let steps = chain.iter().inspect(unread).flatten().map(Cow::into_owned);
        let mut steps: VecDeque<Signature> = steps.collect();
        while let Some(step) = steps.pop_front() {
            let member = match Member::of(&step) {
                Some(member) if !self.has_failed(member.task_id).await? => Some(member),
                _ => None,
            };
            if let Some(id) = step.id().filter(|_| store_errors) {
                let extended = self.shared().app.settings().result_extended;
                let traceback = failed.traceback.map(str::to_owned);
                let result = exception.clone();
                let meta = TaskMeta::of_signature(&step, id, extended, failed.state, result);
                store(self.shared(), &TaskMeta { traceback, ..meta }).await?;
            }
            // Boxed: a chord's failure may fail the chain that goes on with it.
            Box::pin(self.count(member, failed.state, &exception)).await?;
            // A chord has ended when its body has.
            if let Canvas::Chord {
                body: Some(body), ..
            } = step.canvas
            {
                steps.push_back(*body);
            }
        }
        Ok(())
    }

    async fn has_failed(&self, task_id: &str) -> Result<bool, Undone> {
        // Where nothing can be looked up, nothing is known.
        let Ok(store) = self.shared().app.lookup() else {
            return Ok(false);
        };
        let get = || store.get(task_id);
        let meta = insist_on_result(self.shared(), "read a result", get).await?;
        Ok(meta.is_some_and(|meta| states::is_failure(&meta.status)))
    }

    /// Fails a chord's body that will not run, and calls its errbacks but for
    /// those of `called`, which know of it. As `chord_error_from_stack`; which,
    /// though, leaves the chord around it to wait for ever.
    pub(super) async fn fail_body(
        &self,
        body: &Signature,
        failure: &Failure,
        called: &[Signature],
    ) -> Result<(), Undone> {
        let mut body = body.clone();
        Promises::default().freeze(&mut body, Place::default());
        let parts = match &body.canvas {
            Canvas::Group(tasks) => tasks.iter().collect(),
            _ => vec![&body],
        };
        // The members of a group fail as the header's did.
        let shown = match (&failure.cause, &body.canvas) {
            (Some(cause), Canvas::Group(_)) => cause.as_ref(),
            _ => failure,
        };
        for part in parts {
            let mut errbacks = errbacks_of(part, &body);
            errbacks.retain(|errback| !called.contains(errback));
            self.fail_unsent(part, &errbacks, shown).await?;
        }
        if let (Canvas::Group(_), Some(id)) = (&body.canvas, body.id()) {
            self.store_failure(id, shown).await?;
        }
        let failed = Failed {
            state: states::FAILURE,
            failure,
            traceback: None,
        };
        match &body.options.chain {
            Some(chain) => self.fail_chain(chain, &failed, true).await,
            None => Ok(()),
        }
    }

    /// Fails a signature that will not be sent, and the chord that it is a
    /// member of.
    async fn fail_unsent(
        &self,
        signature: &Signature,
        errbacks: &[Signature],
        failure: &Failure,
    ) -> Result<(), Undone> {
        let Some(id) = signature.id() else {
            return Ok(());
        };
        let request = FailedRequest {
            id: id.to_owned(),
            task: signature.task.clone(),
            args: signature.args.clone(),
            kwargs: signature.kwargs.clone(),
            ..FailedRequest::default()
        };
        self.call_errbacks(&request, errbacks, failure, None)
            .await?;
        self.store_failure(id, failure).await?;
        let exception = failure.to_meta();
        for end in ends(signature) {
            if let Some(id) = end.id().filter(|_| !std::ptr::eq(end, signature)) {
                self.store_failure(id, failure).await?;
            }
            let member = Member::of(end);
            Box::pin(self.count_after(member, states::FAILURE, &exception, errbacks)).await?;
        }
        Ok(())
    }

    async fn store_failure(&self, id: &str, failure: &Failure) -> Result<(), Undone> {
        let meta = TaskMeta {
            children: self.children(),
            traceback: Some(failure.traceback()),
            ..TaskMeta::bare(id, states::FAILURE, failure.to_meta())
        };
        store(self.shared(), &meta).await
    }

    /// Calls the errbacks of a failed task: those that take more than an id
    /// here and now, with request, exception and traceback; the others by a
    /// message, with the id. As `_call_task_errbacks`.
    pub(super) async fn call_errbacks(
        &self,
        request: &FailedRequest,
        errbacks: &[Signature],
        failure: &Failure,
        traceback: Option<&str>,
    ) -> Result<(), Undone> {
        let mut by_message = Vec::new();
        for errback in errbacks {
            match self.shared().tasks.get(&errback.task) {
                Some(task) if task.is_new_style_errback(errback) => {
                    let args = [
                        serde_json::to_value(request).unwrap_or_default(),
                        failure.to_meta(),
                        traceback.into(),
                    ];
                    self.call_here(task, errback, &args).await;
                }
                _ => by_message.push(errback.clone()),
            }
        }
        if by_message.is_empty() {
            return Ok(());
        }
        let root_id = request.root_id.clone().or_else(|| Some(request.id.clone()));
        let options = Options {
            parent_id: Some(request.id.clone()),
            root_id,
            ..Options::default()
        };
        let id = Value::from(request.id.clone());
        let sent = self.send_as_parent(|plan| {
            plan.apply(group(by_message), &[id], options)?;
            Ok(())
        });
        if let Err(error) = sent.await? {
            tracing::error!("cannot send the errbacks of {}: {error}", request.id);
        }
        Ok(())
    }

    /// Runs an errback in this task's place. Its failure is only logged.
    async fn call_here(&self, task: &Task, errback: &Signature, args: &[Value]) {
        let mut request = self.request().clone();
        let own_args = errback.args.iter().cloned();
        let given = args.iter().filter(|_| !errback.immutable).cloned();
        request.body.args = given.chain(own_args).collect();
        request.body.kwargs = errback.kwargs.clone();
        let context = self.context().with_request(request);
        let run = AssertUnwindSafe(context.scope(task.run(context.clone()))).catch_unwind();
        match run.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::error!("Errback '{}' raised an exception: {error:?}", errback.task);
            }
            Err(_) => tracing::error!("Errback '{}' panicked", errback.task),
        }
    }
}

/// The errbacks of a part of a chord's body, and those of the whole body; each
/// of them once.
fn errbacks_of(part: &Signature, body: &Signature) -> Vec<Signature> {
    let mut errbacks = Vec::new();
    let mut add = |signature: &Signature| {
        for errback in signature.options.link_error.iter().flatten() {
            if !errbacks.contains(errback) {
                errbacks.push(errback.clone());
            }
        }
    };
    let mut part = part;
    add(part);
    while let Canvas::Chord {
        body: Some(inner), ..
    } = &part.canvas
    {
        part = inner;
        add(part);
    }
    add(body);
    errbacks
}

/// Those whose end is the end of the whole: the last of a chain, all of a
/// group, the body of a chord.
fn ends(signature: &Signature) -> Vec<&Signature> {
    match &signature.canvas {
        Canvas::Chain(steps) => steps.last().map(ends).unwrap_or_default(),
        Canvas::Group(tasks) => tasks.iter().flat_map(ends).collect(),
        Canvas::Chord {
            body: Some(body), ..
        } => ends(body),
        _ => vec![signature],
    }
}
