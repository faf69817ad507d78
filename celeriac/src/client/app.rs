//! The application: configuration and connections
//! (`celery.app.base.Celery`).

use std::sync::Arc;

use uuid::Uuid;

use super::{AsyncResult, open};
use crate::broker::Broker;
use crate::canvas::Signature;
use crate::client::queue_table::QueueTable;
use crate::clock::Clock;
use crate::config::{BeatScheduler, Config, Route, Settings};
use crate::error::{Error, hide_password};
use crate::nodename::hostname;
use crate::results::{ChordStore, GroupStore, Lookup, ResultStore};
use crate::schedule::{FileStore, ScheduleStore};

/// An application. Cheap to clone; connects when first used.
///
/// ```no_run
/// use celeriac::{App, Settings, Signature};
/// # async fn example() -> Result<(), celeriac::Error> {
/// let app = App::new(Settings::default())?;
/// let result = app.send(Signature::new("tasks.add").arg(2).arg(2)).await?;
/// let four: i64 = result.get(std::time::Duration::from_secs(10)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// A function that knows where some tasks go.
type Router = Arc<dyn Fn(&Signature) -> Option<Route> + Send + Sync>;

#[derive(Clone)]
struct Inner {
    settings: Settings,
    broker: Arc<dyn Broker>,
    results: Option<Arc<dyn ResultStore>>,
    queues: QueueTable,
    /// Asked in this order, before `task_routes`.
    routers: Vec<Router>,
    /// `gen<pid>@<host>`, the `origin` of what is sent.
    origin: String,
    /// The `reply_to` of what is sent. Nobody replies to it while results go
    /// through a backend; a worker whose backend is `rpc` does.
    oid: String,
    clock: Clock,
}

impl App {
    /// An application with the settings of `celeryconfig.toml`, if there is one
    /// in the working directory, and of the environment, which wins
    /// (`CELERY_BROKER_URL` and the like). As `app.config_from_object` together
    /// with what Celery reads from the environment.
    ///
    /// A program with sections of its own in that file takes
    /// [`Config::load`], and [`App::new`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), celeriac::Error> {
    /// let app = celeriac::App::from_env()?;
    /// app.send(celeriac::Signature::new("tasks.add").arg(2).arg(2)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is wrong, with its place, and those of
    /// [`new`](Self::new).
    pub fn from_env() -> Result<Self, Error> {
        Self::new(Config::load(None, &[])?.settings().clone())
    }

    /// An application with these settings.
    ///
    /// # Errors
    /// [`Error::Url`] if the broker's or the backend's address is of no kind that
    /// Celeriac knows, or says what that kind does not have.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let (broker, results) = (open::broker(&settings)?, open::results(&settings)?);
        Ok(Self::of(settings, broker, results))
    }

    /// An application on these, whatever the settings say of their addresses.
    pub(crate) fn of(
        settings: Settings,
        broker: Arc<dyn Broker>,
        results: Option<Arc<dyn ResultStore>>,
    ) -> Self {
        Self(Arc::new(Inner {
            broker,
            results,
            queues: QueueTable::of(&settings),
            routers: Vec::new(),
            origin: format!("gen{}@{}", std::process::id(), hostname()),
            oid: Uuid::new_v4().to_string(),
            clock: Clock::default(),
            settings,
        }))
    }

    /// Sends through `broker`, whatever `broker_url` says: one's own, or one in
    /// this process, as in [`MemoryBroker`](crate::memory::MemoryBroker)'s
    /// example.
    #[must_use]
    pub fn with_broker(mut self, broker: Arc<dyn Broker>) -> Self {
        Arc::make_mut(&mut self.0).broker = broker;
        self
    }

    /// Keeps results in `results`, whatever `result_backend` says.
    #[must_use]
    pub fn with_results(mut self, results: Arc<dyn ResultStore>) -> Self {
        Arc::make_mut(&mut self.0).results = Some(results);
        self
    }

    /// Asks `router` where a task goes; as a function in Celery's
    /// `task_routes`. Of several the first that knows decides, and `task_routes`
    /// where none does. What the call itself says wins over any of them. A map
    /// goes where its task goes: `router` sees that one's name.
    ///
    /// For [`worker::Worker`](crate::Worker)s, too: what their tasks send, and
    /// what follows a task, goes where their application says.
    ///
    /// ```
    /// use celeriac::config::Route;
    /// use celeriac::{App, Settings};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), celeriac::Error> {
    /// let app = App::new(Settings::default())?.with_router(|signature| {
    ///     let (_, tenant) = signature.kwargs.iter().find(|(name, _)| *name == "tenant")?;
    ///     Some(Route::from(&*format!("tenant-{}", tenant.as_str()?)))
    /// });
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_router(
        mut self,
        router: impl Fn(&Signature) -> Option<Route> + Send + Sync + 'static,
    ) -> Self {
        Arc::make_mut(&mut self.0).routers.push(Arc::new(router));
        self
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The queues that the settings name.
    pub(crate) fn queue_table(&self) -> &QueueTable {
        &self.0.queues
    }

    /// The logical clock that it shares with other workers.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Where messages go.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.0.broker
    }

    /// Where results go, if they are kept.
    pub fn result_store(&self) -> Option<&Arc<dyn ResultStore>> {
        self.0.results.as_ref()
    }

    /// Where results go.
    ///
    /// # Errors
    /// [`Error::NoResultBackend`] if they are not kept.
    pub(crate) fn results(&self) -> Result<&Arc<dyn ResultStore>, Error> {
        self.result_store().ok_or(Error::NoResultBackend)
    }

    /// Where results are found by the ids of their tasks.
    ///
    /// # Errors
    /// [`Error::NoResultBackend`], and [`Error::Unsupported`] where they are not.
    pub(crate) fn lookup(&self) -> Result<&dyn Lookup, Error> {
        let lookup = self.results()?.lookup();
        lookup.ok_or_else(|| self.unsupported("find the result of a task by its id"))
    }

    /// Where chords are counted. Errors as [`lookup`](Self::lookup).
    pub(crate) fn chords(&self) -> Result<&dyn ChordStore, Error> {
        let chords = self.results()?.chords();
        chords.ok_or_else(|| self.unsupported("count the members of a chord"))
    }

    /// Where the results of groups are kept. Errors as [`lookup`](Self::lookup).
    pub(crate) fn groups(&self) -> Result<&dyn GroupStore, Error> {
        let groups = self.results()?.groups();
        groups.ok_or_else(|| self.unsupported("keep the results of a group"))
    }

    fn unsupported(&self, what: &'static str) -> Error {
        let url = self.settings().result_backend.as_deref();
        Error::Unsupported {
            url: hide_password(url.unwrap_or("the result backend")),
            what,
        }
    }

    /// Where beats keep their schedule, as `beat_scheduler` says. Each call
    /// opens it anew.
    ///
    /// # Errors
    /// [`Error::Url`] if the broker is of a kind that keeps no schedule.
    pub fn schedule_store(&self) -> Result<Arc<dyn ScheduleStore>, Error> {
        let settings = self.settings();
        Ok(match settings.beat_scheduler {
            BeatScheduler::Persistent => {
                let path = &settings.beat_schedule_filename;
                Arc::new(FileStore::new(path, Arc::clone(self.broker())))
            }
            BeatScheduler::Shared => open::schedule(settings)?,
        })
    }

    /// What routers say of a call, the first that knows.
    pub(crate) fn ask_routers(&self, signature: &Signature) -> Option<Route> {
        self.0.routers.iter().find_map(|router| router(signature))
    }

    /// Who sends, as messages name it.
    pub(crate) fn origin(&self) -> &str {
        &self.0.origin
    }

    /// What no other application sends replies to. As `app.oid`.
    pub(crate) fn oid(&self) -> &str {
        &self.0.oid
    }

    /// The broker's address without its password.
    pub fn broker_address(&self) -> String {
        self.broker().info().url
    }

    /// The handle of a task that was sent before.
    pub fn async_result(&self, task_id: impl Into<String>) -> AsyncResult {
        AsyncResult::new(self.clone(), task_id.into())
    }

    /// The results of a group that were kept by its id. As
    /// `GroupResult.restore`.
    pub async fn group_result(&self, group_id: &str) -> Result<Option<AsyncResult>, Error> {
        let tuple = self.groups()?.restore_group(group_id).await?;
        Ok(tuple.and_then(|tuple| AsyncResult::from_tuple(self, &tuple)))
    }
}
