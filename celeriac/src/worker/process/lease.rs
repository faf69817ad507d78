//! A child that has been given one run.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::super::limits::{self, Limits};
use super::super::{Outcome, requests::Place};
use super::guard::Child;
use super::wire::{Ended, Run};
use super::{Children, lost};
use crate::message::Message;
use crate::task::Context;

/// A child that has ended may have said something before, which is there.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A child that has been given one run. Dropped before the run, it goes back.
pub(in crate::worker) struct Lease {
    children: Children,
    child: Option<Child>,
    pid: u32,
}

impl Lease {
    pub(super) fn new(children: Children, child: Child) -> Self {
        Self {
            children,
            pid: child.pid,
            child: Some(child),
        }
    }

    /// The child's pid.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Runs a task in the child. It ends with the hard limit, and
    /// when this is dropped: by the signal that `place` was told, else by KILL.
    pub async fn run(mut self, context: &Context, limits: Limits, place: &Place<'_>) -> Outcome {
        let job = self.children.next_job();
        let child = self.child.take();
        let mut running = Running {
            children: &self.children,
            child,
            place,
        };
        let clock = context.app().clock();
        let request = context.request();
        let run = Run {
            queue: request.queue.to_string(),
            hostname: request.hostname.to_string(),
            soft_limit: limits.soft,
            clock: clock.value(),
            trace: context.trace().headers(),
        };
        tokio::select! {
            biased;
            ended = running.converse(&run, &request.message) => match ended {
                Some(ended) => {
                    clock.adjust(ended.clock);
                    running.end(&ended);
                    context.add_children(ended.children);
                    ended.outcome
                }
                None => Outcome::WorkerLost(lost::failure(running.death().await, job)),
            },
            () = limits::after(limits.hard) => {
                running.dismiss(Signal::SIGKILL);
                Outcome::TimeLimitExceeded(limits.hard.unwrap_or_default())
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            self.children.give_back(child, None);
        }
    }
}

/// A run in a child.
struct Running<'a> {
    children: &'a Children,
    child: Option<Child>,
    place: &'a Place<'a>,
}

impl Running<'_> {
    /// Has the child run it; how it ended. `None`: the child has.
    async fn converse(&mut self, run: &Run, message: &Message) -> Option<Ended> {
        let child = self.child.as_mut()?;
        child.begin_run();
        child.line.send_run(run, message).await.ok()?;
        // What the task has started may have the child's end of the line, too.
        let mut exit = child.exit();
        let mut struck = false;
        loop {
            tokio::select! {
                ended = child.line.receive() => return ended,
                () = self.place.softened(), if !struck => {
                    struck = true;
                    // If it cannot be told, it has ended.
                    let _ = child.line.strike().await;
                }
                () = async { drop(exit.wait_for(Option::is_some).await) } => break,
            }
        }
        timeout(LAST_WORDS, child.line.receive()).await.ok()?
    }

    fn end(&mut self, ended: &Ended) {
        self.children.proven();
        let Some(child) = self.child.take() else {
            return;
        };
        match ended.over {
            true => {
                child.end_run();
                self.children.give_back(child, ended.memory);
            }
            false => self.children.dismiss(child, Some(Signal::SIGKILL)),
        }
    }

    /// How the child has ended.
    async fn death(&mut self) -> Option<std::process::ExitStatus> {
        self.child.take()?.death().await
    }

    fn dismiss(&mut self, signal: Signal) {
        if let Some(child) = self.child.take() {
            self.children.dismiss(child, Some(signal));
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let told = self.place.signal().map(Signal::try_from);
        self.dismiss(told.and_then(Result::ok).unwrap_or(Signal::SIGKILL));
    }
}
