//! Doing together what is asked for at the same time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::error::Fault;

/// Requests in one batch, at most; Lua's `unpack` has its bounds.
const MOST: usize = 256;

/// What can be done to many as well as to one.
#[async_trait]
pub(crate) trait Batched: Send + Sync + 'static {
    /// What is asked for.
    type Request: Send + Sync;
    /// What comes of one request.
    type Answer: Send;

    /// Does them all, in one round trip if it can: an answer for each, in
    /// order.
    async fn perform(&self, requests: &[Self::Request]) -> Result<Vec<Self::Answer>, Fault>;
}

/// Gathers requests while those before them are under way. One that comes
/// alone waits for nobody; the more come at once, the less each of them costs.
pub(crate) struct Batcher<B: Batched>(Arc<Inner<B>>);

struct Inner<B: Batched> {
    batched: B,
    waiting: Mutex<Waiting<B>>,
}

struct Waiting<B: Batched> {
    requests: VecDeque<Asked<B>>,
    /// Whether somebody is at work on them.
    flying: bool,
}

/// A request, and who waits for its answer.
type Asked<B> = (
    <B as Batched>::Request,
    oneshot::Sender<Result<<B as Batched>::Answer, Fault>>,
);

impl<B: Batched> Batcher<B> {
    pub fn new(batched: B) -> Self {
        let waiting = Waiting {
            requests: VecDeque::new(),
            flying: false,
        };
        Self(Arc::new(Inner {
            batched,
            waiting: Mutex::new(waiting),
        }))
    }

    /// Asks for it and waits for the answer. It is done even if nobody waits
    /// any more.
    pub async fn ask(&self, request: B::Request) -> Result<B::Answer, Fault> {
        let (sender, answer) = oneshot::channel();
        if self.0.enter(request, sender) {
            tokio::spawn(fly(Flight::over(&self.0)));
        }
        answer.await.unwrap_or_else(|_| Err(unanswered()))
    }
}

impl<B: Batched> Inner<B> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<B>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a request; whether nobody is at work yet.
    fn enter(
        &self,
        request: B::Request,
        answer: oneshot::Sender<Result<B::Answer, Fault>>,
    ) -> bool {
        let mut waiting = self.waiting();
        waiting.requests.push_back((request, answer));
        !std::mem::replace(&mut waiting.flying, true)
    }

    /// The next batch; if there is none, nobody is at work any more.
    fn next(&self) -> Vec<Asked<B>> {
        let mut waiting = self.waiting();
        let many = waiting.requests.len().min(MOST);
        waiting.flying = many > 0;
        waiting.requests.drain(..many).collect()
    }
}

/// Being at work. Should that end too early, with its runtime or by a panic,
/// who waits is told, and who asks next begins anew.
struct Flight<B: Batched> {
    inner: Arc<Inner<B>>,
    /// Whether there was nothing more to do.
    landed: bool,
}

impl<B: Batched> Flight<B> {
    fn over(inner: &Arc<Inner<B>>) -> Self {
        Self {
            inner: Arc::clone(inner),
            landed: false,
        }
    }
}

impl<B: Batched> Drop for Flight<B> {
    fn drop(&mut self) {
        if !self.landed {
            let mut waiting = self.inner.waiting();
            waiting.flying = false;
            waiting.requests.clear();
        }
    }
}

/// Works until nothing is left to do.
async fn fly<B: Batched>(mut flight: Flight<B>) {
    loop {
        // What else is about to ask does so first.
        tokio::task::yield_now().await;
        let (requests, waiters): (Vec<_>, Vec<_>) = flight.inner.next().into_iter().unzip();
        if requests.is_empty() {
            flight.landed = true;
            return;
        }
        let answers = answers(&flight.inner.batched, &requests).await;
        for (waiter, answer) in waiters.into_iter().zip(answers) {
            // Whoever has gone needs no answer.
            let _ = waiter.send(answer);
        }
    }
}

/// An answer for each request. One that the server refuses for good does not
/// take the others along: its batch is split.
async fn answers<B: Batched>(
    batched: &B,
    requests: &[B::Request],
) -> Vec<Result<B::Answer, Fault>> {
    match batched.perform(requests).await {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) if requests.len() > 1 && !error.cause().passes() => {
            let (some, others) = requests.split_at(requests.len() / 2);
            let mut all = Box::pin(answers(batched, some)).await;
            all.extend(Box::pin(answers(batched, others)).await);
            all
        }
        Err(error) => requests.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// Fewer answers came than were asked for.
fn unanswered() -> Fault {
    std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;

    /// Doubles numbers, and tells how many came at once.
    struct Double(UnboundedSender<usize>);

    #[async_trait]
    impl Batched for Double {
        type Request = u32;
        type Answer = u32;

        async fn perform(&self, numbers: &[u32]) -> Result<Vec<u32>, Fault> {
            let _ = self.0.send(numbers.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
            match numbers.contains(&13) {
                true => Err(unanswered()),
                false => Ok(numbers.iter().map(|number| number * 2).collect()),
            }
        }
    }

    fn double() -> (Batcher<Double>, UnboundedReceiver<usize>) {
        let (sender, sizes) = unbounded_channel();
        (Batcher::new(Double(sender)), sizes)
    }

    async fn all(mut sizes: UnboundedReceiver<usize>, many: usize) -> Vec<usize> {
        let mut all = Vec::new();
        sizes.recv_many(&mut all, many).await;
        all
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_meanwhile_goes_together() -> Result<(), Fault> {
        let (batcher, sizes) = double();
        let later = async |number: u32| {
            tokio::time::sleep(Duration::from_millis(number.into())).await;
            batcher.ask(number).await
        };
        let answers = futures::future::try_join_all((0..5).map(later)).await?;
        assert_eq!(answers, [0, 2, 4, 6, 8]);
        assert_eq!(all(sizes, 9).await, [1, 4]);
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_is_told_to_all_and_ends_nothing() -> Result<(), Fault> {
        let (batcher, _sizes) = double();
        let both = futures::join!(batcher.ask(13), batcher.ask(1));
        assert!(both.0.is_err() && both.1.is_err());
        assert_eq!(batcher.ask(1).await?, 2);
        Ok(())
    }

    #[test]
    fn a_runtime_that_ends_holds_nobody_up() -> std::io::Result<()> {
        let (batcher, _sizes) = double();
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
        };
        // Gone while the batch is under way.
        let at_once = Duration::from_millis(1);
        let left = runtime()?
            .block_on(async { tokio::time::timeout(at_once, batcher.ask(1)).await.is_err() });
        assert!(left);
        let answer = runtime()?.block_on(batcher.ask(2));
        assert_eq!(answer.ok(), Some(4));
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn no_batch_is_larger_than_allowed() -> Result<(), Fault> {
        let (batcher, sizes) = double();
        let asked = (100..700).map(|number| batcher.ask(number));
        futures::future::try_join_all(asked).await?;
        assert_eq!(all(sizes, 9).await, [256, 256, 88]);
        Ok(())
    }
}
