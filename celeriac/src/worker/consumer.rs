//! Taking messages, for as long as the worker lives.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::outage::Outage;
use super::{Shared, life, mingle};
use crate::broker::{Delivery, Leases};
use crate::error::Error;

/// A fetch comes back after this even if nothing has happened: a wait without
/// end is how a consumer stops without a word.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause after a renewal that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// Leaving may not hold up the end for longer.
const FAREWELL: Duration = Duration::from_secs(5);

/// Waits until the broker answers, or the shutdown begins.
///
/// # Errors
/// What the broker lacks or refuses for good, or what there is if it is not to
/// be waited for.
pub(super) async fn connect(shared: &Shared) -> Result<(), Error> {
    let mut outage = Outage::at_start();
    let queues = shared.queues.names();
    loop {
        let connected = tokio::select! {
            connected = subscribe(shared, &queues) => connected,
            () = shared.shutdown.warm() => return Ok(()),
        };
        let Err(error) = connected else {
            break;
        };
        outage.wait(shared, error).await?;
    }
    shared.link.set_fetched(true);
    tracing::info!("Connected to {}", shared.app.broker_address());
    Ok(())
}

/// Takes messages and starts their lives until the shutdown begins.
///
/// # Errors
/// What there is if a lost broker is not to be waited for.
pub(super) async fn consume(shared: &Arc<Shared>) -> Result<(), Error> {
    let mut outage = Outage::of_none();
    let mut fetched_once = false;
    let mut subscribed = false;
    let mut queues = shared.queues.watch();
    while !shared.shutdown.is_warm() {
        let names = queues.borrow_and_update().clone();
        let fetched = tokio::select! {
            fetched = fetch(shared, &names, &mut subscribed) => fetched,
            // A fetch that is dropped puts back what it has taken.
            Ok(()) = queues.changed() => {
                subscribed = false;
                continue;
            }
            () = shared.shutdown.warm() => return Ok(()),
        };
        match fetched {
            Ok((deliveries, permits)) => {
                fetched_once = true;
                shared.link.set_fetched(true);
                start(shared, deliveries, permits);
                if outage.end() {
                    catch_up(shared);
                }
            }
            // What does not pass by itself at the start is for people to mend.
            Err(error) if !fetched_once && !error.passes() => return Err(error),
            Err(error) => {
                subscribed = false;
                outage.wait(shared, error).await?;
            }
        }
    }
    Ok(())
}

/// Consumes from these queues from now on.
async fn subscribe(shared: &Shared, queues: &[Arc<str>]) -> Result<(), Error> {
    let queues: Vec<_> = queues.iter().map(|name| shared.queues.get(name)).collect();
    shared.consumer.subscribe(&queues).await
}

/// Waits for room and then for messages that fill it.
async fn fetch(
    shared: &Shared,
    queues: &[Arc<str>],
    subscribed: &mut bool,
) -> Result<(Vec<Delivery>, OwnedSemaphorePermit), Error> {
    if !*subscribed {
        subscribe(shared, queues).await?;
        *subscribed = true;
    }
    if queues.is_empty() {
        // Until remote control names one.
        return std::future::pending().await;
    }
    let room = shared.pool.room().await;
    let _fetching = shared.link.fetching();
    let consumer = &shared.consumer;
    let deliveries = consumer.next(room.num_permits(), PATIENCE).await?;
    Ok((deliveries, room))
}

fn start(shared: &Arc<Shared>, deliveries: Vec<Delivery>, mut room: OwnedSemaphorePermit) {
    for delivery in deliveries {
        if let Some(permit) = room.split(1) {
            begin(shared, life::live(Arc::clone(shared), delivery, permit));
        }
    }
}

/// Starts a life. Its first steps are taken here, one life after the other, so
/// that they queue for slots in the order of delivery; tasks of a runtime
/// begin in any. A panic, which is none of the task's, ends this life alone.
fn begin(shared: &Shared, life: impl Future<Output = ()> + Send + 'static) {
    let life = AssertUnwindSafe(life).catch_unwind();
    let mut life = Box::pin(life.map(|ended| {
        if ended.is_err() {
            tracing::error!("a message is left as it is, by a fault of Celeriac: see the panic");
        }
    }));
    if (&mut life).now_or_never().is_none() {
        shared.lives.spawn(life);
    }
}

/// Learns what others were told while the connection was lost. Who hears
/// commands learns it when it hears again.
fn catch_up(shared: &Arc<Shared>) {
    shared.metrics.reconnects.inc();
    tracing::info!("Connected to {}", shared.app.broker_address());
    let hears = shared.app.settings().worker_enable_remote_control;
    if shared.society.mingle && !hears {
        let shared = Arc::clone(shared);
        tokio::spawn(async move { mingle::mingle(&shared).await });
    }
}

/// Keeps what is held, until aborted.
pub(super) async fn tend(shared: Arc<Shared>, leases: Arc<dyn Leases>) {
    let mut tended = true;
    loop {
        let renewed = leases.tend().await;
        shared.link.set_tended(renewed.is_ok());
        let before = std::mem::replace(&mut tended, renewed.is_ok());
        let interval = leases.tend_interval();
        match renewed {
            Ok(()) => sleep(interval).await,
            Err(error) => {
                if before {
                    tracing::warn!(%error, "cannot renew what is held; trying again");
                }
                // What waits to begin must know whether it is still held, and
                // others must not look twice before it is renewed.
                sleep((interval / 2).min(AGAIN)).await;
            }
        }
    }
}

/// Brings back what others lost, until aborted.
pub(super) async fn recover(leases: Arc<dyn Leases>) {
    loop {
        if let Err(error) = leases.recover().await {
            tracing::warn!(%error, "cannot restore what others held");
        }
        sleep(leases.recover_interval()).await;
    }
}

/// Gives back what is still held.
pub(super) async fn leave(shared: &Shared) {
    let consumer = &shared.consumer;
    let held = consumer.held();
    let reason = match shared.is_broker_lost() {
        true => "the broker is gone".to_owned(),
        false => match tokio::time::timeout(FAREWELL, consumer.leave()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the broker is too slow".to_owned(),
        },
    };
    if held > 0 {
        tracing::warn!(
            "cannot give back {held} message(s): {reason}. Other workers will restore them"
        );
    }
}
