//! A run that ends at any point, or runs beside another, loses and doubles
//! nothing.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;

use futures::FutureExt;
use futures::future::poll_fn;
use sea_orm::{ConnectionTrait, Database};
use uuid::Uuid;

use crate::server::{Answer, Server};
use crate::support::{Bench, Queue, rows, url};

const ROWS: usize = 30;

/// The calls of an undisturbed run.
async fn expected() -> BTreeSet<Uuid> {
    let server = Server::start(rows(ROWS), |_| Answer::Live).await;
    let bench = Bench::new(&server.url).await;
    let queue = Queue::default();
    bench.ingestion().run(None, &queue).await.unwrap();
    queue.ids()
}

/// Runs to the end and compares.
async fn recovers(bench: &Bench, queue: &Queue, expected: &BTreeSet<Uuid>) {
    bench.ingestion().run(None, queue).await.unwrap();
    assert_eq!(&queue.ids(), expected);
    let counts = bench.store.counts().await.unwrap();
    assert_eq!((counts.pending, counts.queued), (0, ROWS as u64));
}

/// Lets a run go on for so many polls and then drops it, as a process that
/// dies would; says whether it had ended before.
async fn dies_after(polls: usize, bench: &Bench, queue: &Queue) -> bool {
    let ingestion = bench.ingestion();
    let mut run = pin!(ingestion.run(None, queue));
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        run.poll_unpin(context).map(|_| true)
    })
    .await
}

#[tokio::test]
async fn death_at_any_point_loses_and_doubles_nothing() {
    let expected = expected().await;
    let server = Server::start(rows(ROWS), |_| Answer::Live).await;
    for polls in 1.. {
        let bench = Bench::new(&server.url).await;
        let queue = Queue::default();
        let ended = dies_after(polls, &bench, &queue).await;
        recovers(&bench, &queue, &expected).await;
        // Only the page that was being sent at death may be sent once more.
        assert!(queue.calls().len() <= ROWS + 10, "after {polls} polls");
        if ended {
            println!("a run has {polls} polls; died after each");
            return;
        }
    }
}

#[tokio::test]
async fn a_queue_that_fails_gets_every_call_later() {
    let expected = expected().await;
    let server = Server::start(rows(ROWS), |_| Answer::Live).await;
    let bench = Bench::new(&server.url).await;
    let queue = Queue::default();

    queue.refuses.store(true, Ordering::SeqCst);
    bench.ingestion().run(None, &queue).await.unwrap_err();
    assert_eq!(bench.store.counts().await.unwrap().pending, 10);
    assert!(bench.raw_pages().contains(&"0000000000-10.json".to_owned()));
    queue.refuses.store(false, Ordering::SeqCst);
    queue.forgets_to_answer.store(true, Ordering::SeqCst);
    bench.ingestion().run(None, &queue).await.unwrap_err();
    queue.forgets_to_answer.store(false, Ordering::SeqCst);
    recovers(&bench, &queue, &expected).await;
}

#[tokio::test]
async fn runs_at_once_double_nothing() {
    let expected = expected().await;
    let server = Server::start(rows(ROWS), |_| Answer::Live).await;
    let bench = Bench::new(&server.url).await;
    let (ingestion, queue) = (bench.ingestion(), Queue::default());
    let runs = (0..4).map(|_| ingestion.run(None, &queue));
    for report in futures::future::join_all(runs).await {
        assert_eq!(report.unwrap().next_offset, ROWS as u64);
    }
    assert_eq!((queue.ids(), queue.calls().len()), (expected.clone(), ROWS));
    recovers(&bench, &queue, &expected).await;
}

#[tokio::test]
async fn runs_of_two_workers_with_other_pages_store_every_call_once() {
    let expected = expected().await;
    let server = Server::start(rows(ROWS), |_| Answer::Live).await;
    let mut bench = Bench::new(&server.url).await;
    let queue = Queue::default();
    let one = bench.ingestion();
    bench.settings.page_size = NonZeroU64::new(7).unwrap();
    let other = bench.ingestion();
    let (one, other) = futures::join!(one.run(None, &queue), other.run(None, &queue));
    assert_eq!(one.unwrap().stored + other.unwrap().stored, ROWS as u64);
    recovers(&bench, &queue, &expected).await;
}

#[tokio::test]
async fn a_store_that_fails_at_any_write_gets_every_call_later() {
    let expected = expected().await;
    let server = Server::start(rows(ROWS), |_| Answer::Live).await;
    for (write, raw_pages, sent) in [
        ("INSERT ON call", 1, 0),
        ("INSERT ON cursor", 1, 0),
        ("UPDATE ON call", 1, 10),
    ] {
        let bench = Bench::new(&server.url).await;
        let queue = Queue::default();
        let database = Database::connect(url(&bench.dir)).await.unwrap();
        let fault = format!(
            "CREATE TRIGGER fault BEFORE {write} BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        );
        database.execute_unprepared(&fault).await.unwrap();
        let error = bench.ingestion().run(None, &queue).await.unwrap_err();
        assert!(
            error.is_transient() && error.to_string().contains("disk full"),
            "{error}"
        );
        assert_eq!(
            (bench.raw_pages().len(), queue.calls().len()),
            (raw_pages, sent),
            "{write}"
        );
        database
            .execute_unprepared("DROP TRIGGER fault")
            .await
            .unwrap();
        recovers(&bench, &queue, &expected).await;
    }
}
