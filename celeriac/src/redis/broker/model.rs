//! The invariants of [`held`](super::held), tried on the real scripts and a
//! real Redis: workers that take one step at a time, in any order, while time
//! passes only when a step says so.
//!
//! `PROPTEST_CASES` says how many interleavings are tried; what fails is
//! shrunk, kept and tried first the next time, as proptest has it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Script};

use super::consumer::RedisConsumer;
use super::fetch::Fetcher;
use super::{RedisBroker, held};
use crate::broker::{Binding, Consumer, Delivery, Leases, Queue, Tag};
use crate::config::Settings;
use crate::redis::link::RedisOfTest;

/// Interleavings that are tried unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 120;
const WORKERS: usize = 3;
/// Seconds.
const LEASE: f64 = 30.0;
const VISIBILITY: f64 = 300.0;
const QUEUE: &str = "model";

type Outcome<T = ()> = Result<T, TestCaseError>;

/// What one of the workers, a Python worker, the network or a clock does. Who
/// cannot do it does nothing.
#[derive(Clone, Debug)]
enum Step {
    /// So many messages are sent.
    Send(usize),
    /// So many are fetched at most, and known.
    Fetch(usize, usize),
    /// A fetch whose answer is lost.
    FetchInVain(usize, usize),
    /// A fetch is given up before Redis has seen it: its connection is cut, or
    /// remote control adds or cancels a queue.
    GiveUp(usize),
    /// Redis sees a fetch that was given up, whatever has become of its worker.
    Arrive(usize),
    /// One is given up, another follows it, and only then Redis sees the first.
    Overtake(usize, usize),
    /// The oldest that waits begins.
    Begin(usize),
    /// The oldest that runs ends; its acknowledgement is sent so often.
    Ack(usize, usize),
    /// The newest that waits goes back to its queue.
    Requeue(usize, usize),
    /// The newest that waits cannot be run.
    Bury(usize),
    /// The worker renews its lease.
    Tend(usize),
    /// It looks for what others lost.
    Recover(usize),
    /// It does nothing any more until it goes on, nor renews anything.
    Pause(usize),
    GoOn(usize),
    /// It is gone without a word.
    Kill(usize),
    /// It ends what runs, and gives back the rest.
    Term(usize),
    /// One comes, if there is none.
    Start(usize),
    /// Every connection is cut.
    Cut,
    /// So many seconds pass. Who is not paused tends meanwhile and, if so, looks
    /// for what others lost.
    Pass(u64, bool),
    /// A worker is paused for so long, and the others are not. The first thing
    /// that it does then is to begin what waits.
    Away(usize, u64),
    /// Redis takes no writes for so long, as in a failover or without its disk.
    ReadOnly(u64),
    /// A Python worker restores what nobody has renewed for too long.
    PeerRestores,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let worker = || 0..WORKERS;
    let time = || prop_oneof![Just(5_u64), Just(16), Just(31), Just(60), Just(301)];
    let step = prop_oneof![
        3 => (1..4_usize).prop_map(Step::Send),
        6 => (worker(), 1..4_usize).prop_map(|(w, max)| Step::Fetch(w, max)),
        2 => (worker(), 1..4_usize).prop_map(|(w, max)| Step::FetchInVain(w, max)),
        2 => worker().prop_map(Step::GiveUp),
        3 => (1..4_usize).prop_map(Step::Arrive),
        2 => (worker(), 1..4_usize).prop_map(|(w, max)| Step::Overtake(w, max)),
        4 => worker().prop_map(Step::Begin),
        4 => (worker(), 1..3_usize).prop_map(|(w, times)| Step::Ack(w, times)),
        2 => (worker(), 1..3_usize).prop_map(|(w, times)| Step::Requeue(w, times)),
        1 => worker().prop_map(Step::Bury),
        3 => worker().prop_map(Step::Tend),
        4 => worker().prop_map(Step::Recover),
        2 => worker().prop_map(Step::Pause),
        3 => worker().prop_map(Step::GoOn),
        1 => worker().prop_map(Step::Kill),
        1 => worker().prop_map(Step::Term),
        2 => worker().prop_map(Step::Start),
        1 => Just(Step::Cut),
        4 => (time(), any::<bool>()).prop_map(|(seconds, recover)| Step::Pass(seconds, recover)),
        3 => (worker(), time()).prop_map(|(w, seconds)| Step::Away(w, seconds)),
        1 => prop_oneof![Just(5_u64), Just(31), Just(60)].prop_map(Step::ReadOnly),
        1 => Just(Step::PeerRestores),
    ];
    prop::collection::vec(step, 1..50)
}

fn settings(redis: &RedisOfTest) -> Settings {
    let mut settings = redis.settings();
    let options = &mut settings.broker_transport_options;
    (options.worker_lease, options.visibility_timeout) = (LEASE, VISIBILITY);
    settings
}

/// A worker, one step at a time.
struct Worker {
    consumer: RedisConsumer,
    paused: bool,
    waiting: Vec<Delivery>,
    running: Vec<Delivery>,
}

/// All of them, and the truth about what they do.
struct World {
    settings: Settings,
    /// Harmed by nothing.
    redis: MultiplexedConnection,
    workers: Vec<Option<Worker>>,
    /// Fetches that were given up and that Redis has not seen, with their turns.
    stale: Vec<(Fetcher, usize)>,
    queue: Arc<str>,
    sent: usize,
    /// Acknowledged by who held it.
    done: HashSet<String>,
    buried: HashSet<String>,
    /// Which tag has begun each message last, and of which worker.
    begun: HashMap<String, Tag>,
    /// Those that ran when their worker died or lost them.
    interrupted: HashSet<String>,
    tags: HashSet<Tag>,
}

/// The id in a message.
fn id_of(message: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(message).unwrap_or_default();
    let headers = value.get(0).unwrap_or(&value).get("headers");
    let id = headers.and_then(|headers| headers.get("id"));
    id.and_then(|id| id.as_str()).unwrap_or_default().to_owned()
}

/// So many seconds in the steps, milliseconds, after which a worker tends.
fn rounds(seconds: u64) -> impl Iterator<Item = u64> {
    const STEP: usize = 9_000;
    let all = seconds * 1000;
    (0..all)
        .step_by(STEP)
        .map(move |passed| (all - passed).min(STEP as u64))
}

fn broken<E: std::fmt::Display>(error: E) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

impl World {
    async fn new(redis: &RedisOfTest) -> Outcome<Self> {
        let settings = settings(redis);
        let socket = redis.socket();
        let client = redis::Client::open(format!("redis+unix://{}", socket.display()));
        let client = client.map_err(broken)?;
        let redis = client.get_multiplexed_async_connection().await;
        let mut redis = redis.map_err(broken)?;
        let () = redis::cmd("FLUSHALL")
            .query_async(&mut redis)
            .await
            .map_err(broken)?;
        let mut world = Self {
            settings,
            redis,
            workers: Vec::new(),
            stale: Vec::new(),
            queue: QUEUE.into(),
            sent: 0,
            done: HashSet::new(),
            buried: HashSet::new(),
            begun: HashMap::new(),
            interrupted: HashSet::new(),
            tags: HashSet::new(),
        };
        for place in 0..WORKERS {
            world.workers.push(None);
            world.start(place).await?;
        }
        Ok(world)
    }

    async fn start(&mut self, place: usize) -> Outcome {
        if self.workers[place].is_none() {
            let broker = RedisBroker::new(&self.settings).map_err(broken)?;
            let consumer = RedisConsumer::new(&broker, "node");
            let _ = consumer.tend().await;
            let queue = Queue::of(Binding::own(&self.queue));
            let _ = consumer.subscribe(&[queue]).await;
            self.workers[place] = Some(Worker {
                consumer,
                paused: false,
                waiting: Vec::new(),
                running: Vec::new(),
            });
        }
        Ok(())
    }

    fn pause(&mut self, place: usize, paused: bool) {
        if let Some(worker) = &mut self.workers[place] {
            worker.paused = paused;
        }
    }

    /// The worker, if it does anything.
    fn awake(&mut self, place: usize) -> Option<&mut Worker> {
        self.workers[place].as_mut().filter(|worker| !worker.paused)
    }

    async fn take(&mut self, step: &Step) -> Outcome {
        match *step {
            Step::Send(count) => self.send(count).await?,
            Step::Fetch(place, max) => self.fetch(place, max).await?,
            Step::FetchInVain(place, max) => self.fetch_in_vain(place, max).await,
            Step::GiveUp(place) => self.give_up(place).await,
            Step::Overtake(place, max) => {
                self.give_up(place).await;
                self.fetch(place, 1).await?;
                self.arrive(max).await;
            }
            Step::Arrive(max) => self.arrive(max).await,
            Step::Begin(place) => self.begin(place).await?,
            Step::Ack(place, times) => self.ack(place, times).await?,
            Step::Requeue(place, times) => {
                if let Some(worker) = self.awake(place)
                    && let Some(delivery) = worker.waiting.pop()
                {
                    for _ in 0..times {
                        let _ = worker.consumer.requeue(&delivery.tag).await;
                    }
                }
            }
            Step::Bury(place) => self.bury(place).await?,
            Step::Tend(place) => self.tend(place).await,
            Step::Recover(place) => self.recover(place).await,
            Step::Pause(place) => self.pause(place, true),
            Step::GoOn(place) => self.pause(place, false),
            Step::Kill(place) => self.kill(place).await?,
            Step::Term(place) => self.term(place).await?,
            Step::Start(place) => self.start(place).await?,
            Step::Cut => {
                let mut cut = redis::cmd("CLIENT");
                cut.arg("KILL")
                    .arg("TYPE")
                    .arg("normal")
                    .arg("SKIPME")
                    .arg("yes");
                let _: usize = cut.query_async(&mut self.redis).await.map_err(broken)?;
            }
            Step::Pass(seconds, recover) => self.pass(seconds, recover).await?,
            Step::Away(place, seconds) => {
                self.pause(place, true);
                self.pass(seconds, true).await?;
                self.pause(place, false);
                self.begin(place).await?;
            }
            Step::ReadOnly(seconds) => self.read_only(seconds).await?,
            Step::PeerRestores => self.peer_restores().await?,
        }
        Ok(())
    }

    async fn send(&mut self, count: usize) -> Outcome {
        for _ in 0..count {
            self.sent += 1;
            let message = serde_json::json!({
                "body": "W1tdLCB7fSwge31d",
                "content-type": "application/json",
                "content-encoding": "utf-8",
                "headers": {"id": format!("m{}", self.sent), "task": "t", "lang": "py"},
                "properties": {
                    "body_encoding": "base64", "delivery_mode": 2, "delivery_tag": "x",
                    "delivery_info": {"exchange": "", "routing_key": QUEUE}, "priority": 0,
                },
            });
            let pushed = self.redis.lpush(QUEUE, message.to_string());
            let _: usize = pushed.await.map_err(broken)?;
        }
        Ok(())
    }

    async fn fetch(&mut self, place: usize, max: usize) -> Outcome {
        let Some(worker) = self.awake(place) else {
            return Ok(());
        };
        let fetched = worker.consumer.next(max, Duration::ZERO).await;
        let fetched = fetched.unwrap_or_default();
        worker.waiting.extend(fetched.iter().cloned());
        for delivery in fetched {
            prop_assert!(
                self.tags.insert(Arc::clone(&delivery.tag)),
                "the tag {} comes again",
                delivery.tag
            );
        }
        Ok(())
    }

    /// As [`Consumer::next`] when the connection fails before the answer.
    async fn fetch_in_vain(&mut self, place: usize, max: usize) {
        let queues = [Arc::clone(&self.queue)];
        let Some(worker) = self.awake(place) else {
            return;
        };
        let consumer = &worker.consumer;
        let mut slot = consumer.own.fetcher.lock().await;
        let fetcher = match slot.take() {
            Some(fetcher) => Ok(fetcher),
            None => consumer.fetcher().await,
        };
        if let Ok(mut fetcher) = fetcher {
            let fetched = consumer.fetch_with(&mut fetcher, &queues, max, Duration::ZERO);
            let _ = fetched.await;
        }
    }

    async fn give_up(&mut self, place: usize) {
        if let Some(worker) = self.awake(place) {
            let own = &worker.consumer.own;
            let given_up = own.fetcher.lock().await.take();
            let turn = own.turn();
            own.unswept.store(true, Ordering::Relaxed);
            self.stale.extend(given_up.map(|fetcher| (fetcher, turn)));
        }
    }

    /// Redis sees it, whatever its worker is doing.
    async fn arrive(&mut self, max: usize) {
        let queues = [Arc::clone(&self.queue)];
        if let Some((mut fetcher, turn)) = self.stale.pop() {
            let _ = fetcher.take_in(turn, &queues, max).await;
        }
    }

    /// Notes which runs others have been given: they may run again.
    async fn note_losses(&mut self) -> Outcome {
        let held: HashSet<String> = self.redis.hkeys("unacked").await.map_err(broken)?;
        let running = self.workers.iter().flatten().flat_map(|w| &w.running);
        let lost = running.filter(|run| !held.contains(&*run.tag));
        self.interrupted
            .extend(lost.map(|run| id_of(&run.content.bytes())));
        Ok(())
    }

    async fn begin(&mut self, place: usize) -> Outcome {
        self.note_losses().await?;
        let Some(worker) = self
            .awake(place)
            .filter(|worker| !worker.waiting.is_empty())
        else {
            return Ok(());
        };
        let delivery = worker.waiting.remove(0);
        match worker.consumer.begin(&delivery.tag) {
            None => worker.waiting.insert(0, delivery),
            Some(false) => {}
            Some(true) => {
                worker.running.push(delivery.clone());
                let id = id_of(&delivery.content.bytes());
                let held: bool = self
                    .redis
                    .hexists("unacked", &*delivery.tag)
                    .await
                    .map_err(broken)?;
                prop_assert!(held, "{id} begins and is not held");
                prop_assert!(!self.done.contains(&id), "{id} begins and is done");
                let before = self.begun.insert(id.clone(), Arc::clone(&delivery.tag));
                prop_assert!(
                    before.is_none() || self.interrupted.contains(&id),
                    "{id} begins again, and its first run was not interrupted"
                );
            }
        }
        Ok(())
    }

    async fn ack(&mut self, place: usize, times: usize) -> Outcome {
        let Some(worker) = self
            .awake(place)
            .filter(|worker| !worker.running.is_empty())
        else {
            return Ok(());
        };
        let delivery = worker.running.remove(0);
        let consumer = &worker.consumer;
        let mut answered = false;
        for _ in 0..times {
            answered |= consumer.ack(&delivery.tag).await.is_ok();
        }
        let id = id_of(&delivery.content.bytes());
        let held: bool = self
            .redis
            .hexists("unacked", &*delivery.tag)
            .await
            .map_err(broken)?;
        if held {
            // It was not heard, and is tried again.
            prop_assert!(!answered, "{id} is acknowledged and still held");
            if let Some(worker) = &mut self.workers[place] {
                worker.running.insert(0, delivery);
            }
        } else if !self.location().await?.contains_key(&id) {
            self.done.insert(id);
        } else {
            // Others have it: it had been taken from this one while it ran.
            self.interrupted.insert(id);
        }
        Ok(())
    }

    async fn bury(&mut self, place: usize) -> Outcome {
        let Some(worker) = self.awake(place) else {
            return Ok(());
        };
        let Some(delivery) = worker.waiting.pop() else {
            return Ok(());
        };
        if worker.consumer.bury(&delivery, "why").await.is_err() {
            worker.waiting.push(delivery);
        } else if !self
            .location()
            .await?
            .contains_key(&id_of(&delivery.content.bytes()))
        {
            self.buried.insert(id_of(&delivery.content.bytes()));
        }
        Ok(())
    }

    async fn tend(&mut self, place: usize) {
        if let Some(worker) = self.awake(place) {
            let _ = worker.consumer.tend().await;
        }
    }

    async fn kill(&mut self, place: usize) -> Outcome {
        if let Some(worker) = self.workers[place].take() {
            let running = worker.running.iter();
            self.interrupted
                .extend(running.map(|delivery| id_of(&delivery.content.bytes())));
        }
        Ok(())
    }

    async fn term(&mut self, place: usize) -> Outcome {
        while self
            .awake(place)
            .is_some_and(|worker| !worker.running.is_empty())
        {
            let before = self.workers[place]
                .as_ref()
                .map(|worker| worker.running.len());
            self.ack(place, 1).await?;
            if self.workers[place]
                .as_ref()
                .map(|worker| worker.running.len())
                == before
            {
                // Its connections were cut just now.
                return Ok(());
            }
        }
        if let Some(worker) = self.awake(place)
            && worker.consumer.leave().await.is_ok()
        {
            self.workers[place] = None;
        }
        Ok(())
    }

    /// Time passes for Redis and for the workers, of which those that are not
    /// paused tend as often as they should.
    async fn pass(&mut self, seconds: u64, recover: bool) -> Outcome {
        for step in rounds(seconds) {
            self.time_passes(step).await?;
            for place in 0..WORKERS {
                self.tend(place).await;
                if recover {
                    self.recover(place).await;
                }
            }
        }
        Ok(())
    }

    /// Nobody can renew anything for so long, and those that are awake lose
    /// nothing by it: they renew as soon as they can.
    async fn read_only(&mut self, seconds: u64) -> Outcome {
        for place in 0..WORKERS {
            self.tend(place).await;
        }
        let kept = self.sure_of();
        for step in rounds(seconds) {
            self.take_writes(false).await?;
            for place in 0..WORKERS {
                self.tend(place).await;
                self.recover(place).await;
            }
            self.take_writes(true).await?;
            self.time_passes(step).await?;
        }
        for place in (0..WORKERS).chain(0..WORKERS) {
            self.recover(place).await;
            self.tend(place).await;
        }
        let held: HashSet<String> = self.redis.hkeys("unacked").await.map_err(broken)?;
        for tag in kept {
            prop_assert!(
                held.contains(&*tag),
                "{tag} went back, and its worker lives"
            );
        }
        Ok(())
    }

    /// What those hold that are awake and sure of it.
    fn sure_of(&self) -> Vec<Tag> {
        let workers = self.workers.iter().flatten();
        let awake = workers.filter(|worker| !worker.paused);
        let own = awake.map(|worker| &worker.consumer.own);
        let sure = own.filter(|own| own.sureness.is_there());
        sure.flat_map(|own| own.held.tags()).collect()
    }

    async fn take_writes(&mut self, whether: bool) -> Outcome {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("min-replicas-to-write");
        set.arg(u8::from(!whether));
        let set = set.exec_async(&mut self.redis).await;
        set.map_err(broken)
    }

    async fn recover(&mut self, place: usize) {
        if let Some(worker) = self.awake(place) {
            let _ = worker.consumer.recover().await;
        }
    }

    async fn time_passes(&mut self, milliseconds: u64) -> Outcome {
        let call = SHIFT.arg(milliseconds);
        let () = call.invoke_async(&mut self.redis).await.map_err(broken)?;
        held::pass(milliseconds);
        Ok(())
    }

    async fn peer_restores(&mut self) -> Outcome {
        let mut call = PEER.arg(VISIBILITY);
        let () = call
            .arg(QUEUE)
            .invoke_async(&mut self.redis)
            .await
            .map_err(broken)?;
        Ok(())
    }

    /// Where each message is, and how often.
    async fn location(&mut self) -> Outcome<HashMap<String, usize>> {
        let queued: Vec<Vec<u8>> = self.redis.lrange(QUEUE, 0, -1).await.map_err(broken)?;
        let held: Vec<Vec<u8>> = self.redis.hvals("unacked").await.map_err(broken)?;
        let mut places = HashMap::new();
        for message in queued.iter().chain(&held) {
            *places.entry(id_of(message)).or_default() += 1;
        }
        Ok(places)
    }

    /// What must hold at every instant.
    async fn check(&mut self) -> Outcome {
        let places = self.location().await?;
        for (id, count) in &places {
            prop_assert_eq!(*count, 1, "{} is in several places", id);
            prop_assert!(!self.done.contains(id), "{id} is done and still there");
        }
        let letters: usize = self
            .redis
            .llen("celeriac.dead_letter")
            .await
            .map_err(broken)?;
        prop_assert!(letters >= self.buried.len(), "a dead letter is lost");
        for number in 1..=self.sent {
            let id = format!("m{number}");
            let kept = self.done.contains(&id) || self.buried.contains(&id);
            prop_assert!(kept || places.contains_key(&id), "{id} is lost");
        }
        let (held, index): (Vec<String>, Vec<String>) = (
            self.redis.hkeys("unacked").await.map_err(broken)?,
            self.redis
                .zrange("unacked_index", 0, -1)
                .await
                .map_err(broken)?,
        );
        let held: HashSet<String> = held.into_iter().collect();
        prop_assert_eq!(&held, &index.into_iter().collect());
        for worker in self.workers.iter().flatten() {
            let own = &worker.consumer.own;
            if own.sureness.is_there() {
                for tag in own.held.tags() {
                    let there = held.contains(&*tag) || worker.is_done_with(&tag);
                    prop_assert!(there, "a worker is sure of {tag}, which others have");
                }
            }
        }
        Ok(())
    }

    /// All faults cease: everything runs, and nothing is left.
    async fn settle(&mut self) -> Outcome {
        for place in 0..WORKERS {
            self.start(place).await?;
            if let Some(worker) = &mut self.workers[place] {
                worker.paused = false;
            }
        }
        for _ in 0..12 {
            for place in 0..WORKERS {
                self.tend(place).await;
                self.take(&Step::Recover(place)).await?;
                self.take(&Step::Fetch(place, 50)).await?;
                for _ in 0..2 * self.sent {
                    self.take(&Step::Begin(place)).await?;
                    self.take(&Step::Ack(place, 1)).await?;
                }
            }
            self.check().await?;
            if self.location().await?.is_empty() {
                return Ok(());
            }
            self.pass(11, false).await?;
        }
        let left: BTreeMap<_, _> = self.location().await?.into_iter().collect();
        let held: Vec<String> = self.redis.hkeys("unacked").await.map_err(broken)?;
        Err(TestCaseError::fail(format!(
            "left after twelve rounds: {left:?}, held: {held:?}"
        )))
    }
}

impl Worker {
    /// Whether it has told Redis that it is done with a delivery, or is about to.
    fn is_done_with(&self, tag: &Tag) -> bool {
        let known = self.waiting.iter().chain(&self.running);
        !known.into_iter().any(|delivery| delivery.tag == *tag)
    }
}

/// Time passes in Redis. `ARGV`: milliseconds.
static SHIFT: std::sync::LazyLock<Script> = std::sync::LazyLock::new(|| {
    Script::new(
        r"
for _, key in ipairs(redis.call('KEYS', 'celeriac.*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
end
for _, tag in ipairs(redis.call('ZRANGE', 'unacked_index', 0, -1)) do
  redis.call('ZINCRBY', 'unacked_index', -ARGV[1] / 1000, tag)
end
",
    )
});

/// What a Python worker does with what was delivered too long ago. `ARGV`:
/// seconds, the queue.
static PEER: std::sync::LazyLock<Script> = std::sync::LazyLock::new(|| {
    Script::new(
        r"
local since = redis.call('TIME')[1] - ARGV[1]
for _, tag in ipairs(redis.call('ZRANGEBYSCORE', 'unacked_index', '-inf', since)) do
  local entry = redis.call('HGET', 'unacked', tag)
  redis.call('ZREM', 'unacked_index', tag)
  redis.call('HDEL', 'unacked', tag)
  if entry then redis.call('RPUSH', ARGV[2], cjson.encode(cjson.decode(entry)[1])) end
end
",
    )
});

#[test]
fn whatever_happens_each_message_is_in_one_place_and_runs_once() -> Result<(), String> {
    let redis = RedisOfTest::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let mut runner = TestRunner::new(Config {
        source_file: Some(file!()),
        ..config
    });
    let tried = runner.run(&steps(), |steps| {
        runtime.block_on(async {
            let mut world = World::new(&redis).await?;
            for step in &steps {
                world.take(step).await?;
                world.check().await?;
            }
            world.settle().await
        })
    });
    tried.map_err(|failed| failed.to_string())
}

/// Redis loses its data, and the first renewal afterwards is not answered.
#[tokio::test]
async fn what_redis_has_lost_runs_where_it_is_held() -> Outcome {
    let redis = RedisOfTest::start();
    for lost_answers in 0..3 {
        let mut world = World::new(&redis).await?;
        world.send(1).await?;
        world.fetch(0, 1).await?;
        let worker = world.workers[0].take().expect("it was started");
        let tags: Vec<Tag> = worker.waiting.iter().map(|d| Arc::clone(&d.tag)).collect();
        prop_assert_eq!(tags.len(), 1);
        let flushed = redis::cmd("FLUSHALL").exec_async(&mut world.redis).await;
        flushed.map_err(broken)?;
        let number = *worker.consumer.own.renewing.lock().await;
        for _ in 0..lost_answers {
            let renewed = worker.consumer.renew_some(number, &tags).await;
            prop_assert_eq!(renewed.map_err(broken)?, (true, tags.clone()));
        }
        for _ in 0..2 {
            worker.consumer.tend().await.map_err(broken)?;
            prop_assert_eq!(worker.consumer.begin(&tags[0]), Some(true));
        }
    }
    Ok(())
}
