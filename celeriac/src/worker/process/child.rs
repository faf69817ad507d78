//! A child's side: it runs what its worker gives it, until there is no worker.
//!
//! A thread with a runtime of its own does the talking, so that it notices a
//! limit or the worker's end whatever the task does with the program's threads.

use std::fs::File;
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::{Outcome, limits};
use super::group;
use super::guard::FAREWELL;
use super::wire::{Ended, Line, Ready, Run};
use crate::client::App;
use crate::error::Error;
use crate::message::Message;
use crate::resident::resident_bytes;
use crate::task::{Context, Failure, Registry, Request};
use crate::trace::{self, TraceContext};
use crate::value::{DecodeError, json};

/// The inode of a child's end of its line, which is its standard input, and
/// which of the program's workers it is a child of: `4711:0`. Whatever a child
/// starts inherits the variable, but not the line.
pub(super) const VARIABLE: &str = crate::config::CHILD;

/// What a run that is to end has until it is taken for one that will not.
const GRACE: Duration = Duration::from_millis(500);

/// What a worker of this process is.
pub(in crate::worker) enum Role {
    /// A worker, the so manieth.
    Worker(usize),
    /// A child of one, and its line to it.
    Child(UnixStream),
    /// Beside a worker that this process is a child of: nothing.
    Onlooker,
}

/// How many workers have been run in this process.
static RUN: AtomicUsize = AtomicUsize::new(0);
/// If this process is a child: of which worker, and its line until it is taken.
static LINE: LazyLock<Option<(usize, Mutex<Option<UnixStream>>)>> = LazyLock::new(inherited);

/// What the worker is that is about to run.
pub(in crate::worker) fn role() -> Role {
    let index = RUN.fetch_add(1, Ordering::Relaxed);
    let Some((meant, line)) = &*LINE else {
        return Role::Worker(index);
    };
    let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
    match line.take_if(|_| *meant == index) {
        Some(line) => Role::Child(line),
        None => Role::Onlooker,
    }
}

/// Whether this process is a child of a worker, and runs its tasks alone.
#[cfg(feature = "log")]
pub(crate) fn is_child() -> bool {
    LINE.is_some()
}

/// The line in the place of the standard input, which is empty from then on:
/// what the task starts must not read what is meant for this process.
fn inherited() -> Option<(usize, Mutex<Option<UnixStream>>)> {
    let named = std::env::var(VARIABLE).ok()?;
    let (inode, index) = named.split_once(':')?;
    let file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    if file.metadata().ok()?.ino() != inode.parse::<u64>().ok()? {
        return None;
    }
    if let Ok(nothing) = File::open("/dev/null") {
        let _ = nix::unistd::dup2_stdin(nothing);
    }
    let line = UnixStream::from(OwnedFd::from(file));
    Some((index.parse().ok()?, Mutex::new(Some(line))))
}

/// Runs what comes over `line`, until it is closed.
pub(in crate::worker) async fn serve(
    app: App,
    registry: Registry,
    line: UnixStream,
) -> Result<(), Error> {
    let server = Server {
        app,
        registry,
        program: Handle::current(),
    };
    let (tell, told) = oneshot::channel();
    let talk = move || {
        let talked = server.talk(line);
        let _ = tell.send(talked);
        // Whatever else the program has to do, nobody waits for it.
        thread::sleep(FAREWELL);
        let _ = raise(Signal::SIGKILL);
    };
    let thread = thread::Builder::new().name("celeriac-child".to_owned());
    thread.spawn(talk).map_err(lost)?;
    let ended = told.await.unwrap_or(Ok(())).map_err(lost);
    trace::flush().await;
    ended
}

fn lost(error: io::Error) -> Error {
    Error::io("this child lost its worker")(error)
}

/// What a child runs tasks with.
struct Server {
    app: App,
    registry: Registry,
    /// The program's own runtime.
    program: Handle,
}

/// A task on the program's runtime.
struct Running {
    context: Context,
    body: JoinHandle<Outcome>,
}

impl Server {
    fn talk(&self, line: UnixStream) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.listen(line))
    }

    async fn listen(&self, line: UnixStream) -> io::Result<()> {
        // A Ctrl-C, and a service manager's TERM, go to all processes. They
        // are the worker's to follow; heard and not heeded, they do nothing.
        let _heard = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ];
        let mut line = Line::new(line)?;
        line.send(&Ready {}).await?;
        while let Some(run) = line.receive_run().await {
            let Some(message) = line.next().await else {
                break;
            };
            let ended = match self.begin(&run, &message) {
                Ok(mut running) => {
                    let struck = CancellationToken::new();
                    let (outcome, over) = tokio::select! {
                        ended = running.end(run.soft_limit, struck.cancelled()) => ended,
                        // The worker is gone, or has given up this run.
                        () = hear(&mut line, &struck) => return self.abandon(running).await,
                    };
                    self.ended(outcome, running.context.children(), over)
                }
                Err(failure) => self.ended(Outcome::Failure(failure), Vec::new(), true),
            };
            line.send(&ended).await?;
        }
        Ok(())
    }

    /// Starts a run.
    fn begin(&self, run: &Run, message: &[u8]) -> Result<Running, Failure> {
        self.app.clock().adjust(run.clock);
        let context = Context::new(
            self.app.clone(),
            self.read(run, message)?,
            self.registry.clone(),
        );
        let name = &context.headers().task;
        let task = context.task(name).cloned().ok_or_else(|| {
            let class = "celery.exceptions.NotRegistered";
            Failure::new(class, name.clone())
        })?;
        let own = context.clone();
        let body = async move {
            let run = task.run(own.clone());
            Outcome::from(own.scope(run).await)
        };
        Ok(Running {
            context,
            body: self.program.spawn(body),
        })
    }

    fn read(&self, run: &Run, message: &[u8]) -> Result<Request, Failure> {
        let accept = &self.app.settings().accept_content.0;
        let (queue, node) = (run.queue.as_str().into(), run.hostname.as_str().into());
        let request = json::from_slice::<Message>(message)
            .map_err(DecodeError::Envelope)
            .and_then(|mut message| {
                TraceContext::of(&run.trace).replace(&mut message.headers.extra);
                Request::new(message, accept, queue, node)
            });
        request.map_err(|error| Failure::from(Error::from(error)))
    }

    fn ended(&self, outcome: Outcome, children: Vec<serde_json::Value>, over: bool) -> Ended {
        Ended {
            outcome,
            children,
            memory: resident_bytes().map(|bytes| (bytes / 1024.0) as u64),
            over,
            clock: self.app.clock().value(),
        }
    }

    /// Ends with what it runs, and with all that this has started.
    async fn abandon(&self, mut running: Running) -> io::Result<()> {
        running.stop().await;
        group::signal(std::process::id(), Signal::SIGKILL);
        Ok(())
    }
}

impl Running {
    /// How the run ended, and whether nothing of it goes on.
    async fn end(
        &mut self,
        soft_limit: Option<f64>,
        told: impl Future<Output = ()>,
    ) -> (Outcome, bool) {
        tokio::select! {
            ended = &mut self.body => (outcome(ended).await, true),
            () = limits::soft_limit(&self.context, soft_limit, told) => {
                // What it has started goes on as well, unless it is gone.
                let over = self.stop().await && group::is_alone(std::process::id());
                (limits::soft_limit_exceeded(), over)
            }
        }
    }

    /// Drops the run at its next await; whether nothing of it goes on then.
    async fn stop(&mut self) -> bool {
        self.body.abort();
        let stopped = timeout(GRACE, &mut self.body).await.is_ok();
        // A function that blocks goes on, with the context.
        stopped && self.context.is_alone()
    }
}

/// Hears what the worker says of a run, until it is gone.
async fn hear(line: &mut Line, struck: &CancellationToken) {
    while line.next().await.is_some() {
        struck.cancel();
    }
}

async fn outcome(ended: Result<Outcome, JoinError>) -> Outcome {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(outcome) => outcome,
        Err(Ok(panic)) => Outcome::Failure(limits::panicked(&*panic)),
        // The program ends, and this thread with it; its worker sees how.
        Err(Err(_)) => pending().await,
    }
}
