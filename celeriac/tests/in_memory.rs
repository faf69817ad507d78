//! A worker and its callers in one process, without a server, as users of the
//! library test their tasks: [`celeriac::testing`]. The clock is paused: nobody
//! waits for countdowns, retries or time-outs.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use celeriac::client::Control;
use celeriac::memory::MemoryBroker;
use celeriac::task::State;
use celeriac::testing::{RunningWorker, app, app_with, start_worker};
use celeriac::{App, Context, Error, Failure, Settings, Signature, TaskError, Worker};
use celeriac::{chain, chord, group};
use serde_json::{Value, json};
use tokio::time::Instant;

const SOON: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

#[celeriac::task(name = "add")]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[celeriac::task(name = "sum")]
async fn sum(numbers: Vec<i64>) -> Result<i64, TaskError> {
    Ok(numbers.into_iter().sum())
}

#[celeriac::task(name = "fail")]
async fn fail(reason: String) -> Result<(), TaskError> {
    Err(Failure::new("ValueError", reason).into())
}

/// Succeeds when it has been tried often enough.
#[celeriac::task(name = "flaky", max_retries = 3)]
async fn flaky(failures: u32, context: Context) -> Result<u32, TaskError> {
    let retries = context.headers().retries;
    match retries < failures {
        true => context.retry(celeriac::task::Retry::after(HOUR)),
        false => Ok(retries),
    }
}

#[celeriac::task(name = "endless", time_limit = 60)]
async fn endless() -> Result<(), TaskError> {
    std::future::pending().await
}

/// What tasks have done.
#[derive(Default)]
struct Done(Mutex<Vec<String>>);

impl Done {
    fn note(&self, what: &str) {
        let mut done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        done.push(what.to_owned());
    }

    fn all(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[celeriac::task(name = "note")]
async fn note(what: String, State(done): State<Done>) -> Result<String, TaskError> {
    done.note(&what);
    Ok(what)
}

/// How often `late` has begun, and when its first run may end.
#[derive(Default)]
struct Late {
    begun: AtomicU32,
    go_on: tokio::sync::Notify,
}

#[celeriac::task(name = "late", acks_late = true)]
async fn late(State(late): State<Late>) -> Result<u32, TaskError> {
    let run = late.begun.fetch_add(1, Ordering::SeqCst) + 1;
    if run == 1 {
        late.go_on.notified().await;
    }
    Ok(run)
}

fn worker(app: &App) -> Worker {
    Worker::new(app.clone()).tasks([
        add::task(),
        sum::task(),
        fail::task(),
        flaky::task(),
        endless::task(),
        note::task(),
        late::task(),
    ])
}

/// An application, a worker of it, and what its tasks have done.
async fn running() -> Result<(App, RunningWorker, Arc<Done>), Error> {
    let app = app();
    let done = Arc::new(Done::default());
    let running = start_worker(worker(&app).state(Arc::clone(&done))).await?;
    Ok((app, running, done))
}

#[tokio::test(start_paused = true)]
async fn a_canvas_runs_as_it_is_written() -> Result<(), Error> {
    let (app, worker, _) = running().await?;
    let sum_of = |numbers: [i64; 2]| add::s((numbers[0], numbers[1]));
    let steps = chain([sum_of([1, 2]).into(), Signature::new("add").arg(10)]);
    assert_eq!(app.send(steps).await?.get::<i64>(SOON).await?, 13);
    let members = || (0..20).map(|n| sum_of([n, n]));
    let results: Vec<i64> = app.send(group(members())).await?.get(SOON).await?;
    assert_eq!(results, (0..20).map(|n| 2 * n).collect::<Vec<_>>());
    let total = app.send(chord(members(), Signature::new("sum"))).await?;
    assert_eq!(total.get::<i64>(SOON).await?, 380);
    worker.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_its_callers_and_calls_its_errbacks() -> Result<(), Error> {
    let (app, worker, done) = running().await?;
    let errback = note::s(("told".to_owned(),)).immutable();
    let failed = fail::s(("no".to_owned(),))
        .link_error(errback)
        .delay(&app)
        .await?;
    let error = failed.get(SOON).await.err();
    let seen = match &error {
        Some(Error::TaskFailed(failed)) => failed.failure.repr(),
        other => format!("{other:?}"),
    };
    assert_eq!(seen, "ValueError('no')");
    let body = Signature::new("sum");
    let broken = chord(
        [
            Signature::from(fail::s(("no".to_owned(),))),
            add::s((1, 1)).into(),
        ],
        body,
    );
    let broken = app.send(broken).await?.get::<i64>(SOON).await;
    assert!(matches!(broken, Err(Error::TaskFailed(_))), "{broken:?}");
    tokio::time::sleep(SOON).await;
    assert_eq!(done.all(), ["told"]);
    worker.stop().await
}

/// Hours of countdown and of retries, in order, and no time at all.
#[tokio::test(start_paused = true)]
async fn time_is_the_tests() -> Result<(), Error> {
    let (app, worker, done) = running().await?;
    let (begun, really) = (Instant::now(), std::time::Instant::now());
    for (hours, what) in [(3, "third"), (1, "first"), (2, "second")] {
        let call = note::s((what.to_owned(),)).countdown(hours * HOUR);
        call.delay(&app).await?;
    }
    // Dates are by the system's clock, which nobody pauses.
    let tomorrow = std::time::SystemTime::now() + 24 * HOUR;
    let dated = note::s(("tomorrow".to_owned(),)).eta(tomorrow).delay(&app);
    let dated = dated.await?;
    let retried = flaky::s((3,)).delay(&app).await?;
    assert_eq!(retried.get(10 * HOUR).await?, 3);
    tokio::time::sleep(HOUR).await;
    assert_eq!(done.all(), ["first", "second", "third"]);
    assert_eq!(dated.get(24 * HOUR).await?, "tomorrow");
    let given_up = flaky::s((4,)).delay(&app).await?.get(10 * HOUR).await;
    let given_up = given_up.err().map(|error| error.to_string());
    let given_up = given_up.unwrap_or_default();
    assert!(given_up.contains("MaxRetriesExceededError"), "{given_up}");
    let cut_off = endless::s(()).delay(&app).await?.get(HOUR).await;
    let cut_off = cut_off.err().map(|error| error.to_string());
    let cut_off = cut_off.unwrap_or_default();
    assert!(cut_off.contains("TimeLimitExceeded"), "{cut_off}");
    assert!(begun.elapsed() > 6 * HOUR && really.elapsed() < Duration::from_secs(30));
    worker.stop().await
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_run_is_kept_and_can_be_revived() -> Result<(), Error> {
    let (app, worker_without, _) = running().await?;
    let unknown = app.send(Signature::new("unknown").arg(1)).await?;
    let error = unknown.get::<Value>(SOON).await.err();
    assert!(matches!(error, Some(Error::TaskFailed(_))), "{error:?}");
    let letters = app.broker().dead_letters();
    let letters = letters.ok_or(Error::NoResultBackend)?;
    let kept = letters.list().await?;
    let named: Vec<_> = kept.iter().filter_map(|letter| letter.task()).collect();
    assert_eq!(named, [("unknown", unknown.id())]);
    worker_without.stop().await?;
    unknown.forget().await?;
    for letter in &kept {
        assert!(letters.revive(letter).await?);
    }
    let known = celeriac::task::Task::new(
        "unknown(n)",
        |celeriac::task::Args((n,)): celeriac::task::Args<(i64,)>| async move { Ok::<_, TaskError>(n) },
    );
    let known = known.map_err(|error| Error::Unsupported {
        url: error.to_string(),
        what: "be",
    })?;
    let worker = start_worker(worker(&app).tasks([known])).await?;
    assert_eq!(unknown.get::<i64>(SOON).await?, 1);
    worker.stop().await
}

/// On a thread of its own, whose clock goes on.
#[tokio::test]
async fn remote_control_answers() -> Result<(), Error> {
    let (app, worker, done) = running().await?;
    let control = Control::new(&app);
    let pong = control.call("ping", json!({})).await?;
    let pong: Vec<&Value> = pong.values().collect();
    assert_eq!(pong, [&json!({"ok": "pong"})]);
    let later = note::s(("never".to_owned(),))
        .countdown(HOUR)
        .delay(&app)
        .await?;
    let mut scheduled = Vec::new();
    while scheduled != [1] {
        let answers = control.call("scheduled", json!({})).await?;
        let lists = answers.values().filter_map(Value::as_array);
        scheduled = lists.map(Vec::len).collect();
    }
    later.revoke().await?;
    let revoked = later.get(SOON).await.err().map(|error| error.to_string());
    let revoked = revoked.unwrap_or_default();
    assert!(revoked.contains("revoked"), "{revoked}");
    assert_eq!(done.all(), Vec::<String>::new());
    worker.stop().await
}

/// A late acknowledgement runs again when its connection is cut, and the worker
/// that lost it says so, and goes on.
#[tokio::test(start_paused = true)]
async fn what_is_lost_while_it_runs_runs_again() -> Result<(), Error> {
    let broker = MemoryBroker::new();
    let app = app_with(Settings::default()).with_broker(Arc::new(broker.clone()));
    let state = Arc::new(Late::default());
    let worker = start_worker(worker(&app).state(Arc::clone(&state))).await?;
    let result = late::s(()).delay(&app).await?;
    while state.begun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    broker.disconnect();
    assert_eq!(result.get(SOON).await?, 2);
    state.go_on.notify_one();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(add::s((1, 1)).delay(&app).await?.get(SOON).await?, 2);
    worker.stop().await
}

/// Who leaves finishes what runs and gives back the rest; the next finds it.
#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_leaves_nothing_behind() -> Result<(), Error> {
    let (app, worker_before, _) = running().await?;
    let held = note::s(("held".to_owned(),))
        .countdown(HOUR)
        .delay(&app)
        .await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    worker_before.stop().await?;
    assert_eq!(app.broker().living().await?, Some(Vec::new()));
    let done = Arc::new(Done::default());
    let next = start_worker(worker(&app).state(Arc::clone(&done))).await?;
    assert_eq!(held.get(2 * HOUR).await?, "held");
    assert_eq!(done.all(), ["held"]);
    next.stop().await
}

/// Applications that name the same address share what is there.
#[tokio::test(start_paused = true)]
async fn an_address_in_this_process_is_shared() -> Result<(), Error> {
    let settings = Settings {
        broker_url: "memory://shared".to_owned(),
        result_backend: Some("cache+memory://shared".to_owned()),
        ..Settings::default()
    };
    let (producer, consumer) = (App::new(settings.clone())?, App::new(settings)?);
    let sent = add::s((2, 3)).delay(&producer).await?;
    let worker = start_worker(worker(&consumer)).await?;
    assert_eq!(sent.get(SOON).await?, 5);
    worker.stop().await
}
