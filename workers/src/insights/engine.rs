//! The models behind a thread of their own, for many callers.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use futures::future::{try_join, try_join_all};
use tokio::{sync::oneshot, task};

use super::{
    error::EngineError,
    jobs::{Job, Limits, serve},
    models::{Lane, Models, Tokenizers},
    sentiment::{mean, score},
    settings::InsightsSettings,
};

/// A handle to the thread that owns the models; cheap to clone. The thread
/// ends when the last handle is dropped.
#[derive(Clone)]
pub struct Engine {
    /// Texts are tokenized by their callers, many at a time.
    tokenizers: Arc<Tokenizers>,
    /// The way to the thread. It need not be bounded: whoever sends waits for
    /// the answer.
    queue: mpsc::Sender<Job>,
}

/// What the models say about one call.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// The embedding of the agent's text, a space and the customer's text; of
    /// length 1.
    pub embedding: Vec<f32>,
    /// The customer's mood, from -1 to 1 in hundredths.
    pub sentiment: f64,
}

impl Engine {
    /// Starts the thread and waits until the models are loaded.
    ///
    /// # Errors
    /// A setting or a model that cannot be used.
    pub async fn start(settings: &InsightsSettings) -> Result<Self, EngineError> {
        let (queue, jobs) = mpsc::channel();
        let (ready, loaded) = oneshot::channel();
        let settings = settings.clone();
        thread::Builder::new()
            .name("insights".to_owned())
            .spawn(move || own_models(&settings, ready, &jobs))
            .map_err(|_| EngineError::Stopped)?;
        let tokenizers = loaded.await.map_err(|_| EngineError::Stopped)??;
        Ok(Self {
            tokenizers: Arc::new(tokenizers),
            queue,
        })
    }

    /// Both insights into one call.
    ///
    /// # Errors
    /// [`EngineError::Inference`] when the model fails on this call's texts.
    pub async fn analyse(&self, customer: &str, agent: &str) -> Result<Analysis, EngineError> {
        let (embedding, sentiment) = try_join(
            self.embed(format!("{agent} {customer}")),
            self.sentiment(customer.to_owned()),
        )
        .await?;
        Ok(Analysis {
            embedding,
            sentiment,
        })
    }

    /// The embedding of a text: its first tokens, as many as the model takes,
    /// mean-pooled and normalised.
    ///
    /// # Errors
    /// As for [`Engine::analyse`].
    pub async fn embed(&self, text: impl Into<String>) -> Result<Vec<f32>, EngineError> {
        let text = text.into();
        let ids = self
            .tokenize(move |with| with.embedding.encode(&text))
            .await?;
        self.run(Lane::Embedding, ids).await
    }

    /// The sentiment of a text, from -1 to 1 in hundredths; 0 if it is blank.
    ///
    /// # Errors
    /// As for [`Engine::analyse`].
    pub async fn sentiment(&self, text: impl Into<String>) -> Result<f64, EngineError> {
        Ok(score(self.positivity(text).await?))
    }

    /// How positive a text is, from 0 to 1; None if it is blank. A text of more
    /// than a few sentences is judged sentence by sentence, and their mean by
    /// length counts.
    ///
    /// # Errors
    /// As for [`Engine::analyse`].
    pub async fn positivity(&self, text: impl Into<String>) -> Result<Option<f64>, EngineError> {
        let text = text.into();
        let windows = self
            .tokenize(move |with| with.sentiment.encode_windows(&text))
            .await?;
        let judged = windows.into_iter().map(async |ids| {
            let tokens = ids.len();
            Ok::<_, EngineError>((tokens, self.judged(ids).await?))
        });
        Ok(mean(&try_join_all(judged).await?))
    }

    /// How positive a text is as a whole, from 0 to 1: its first tokens, as
    /// many as the model takes.
    ///
    /// # Errors
    /// As for [`Engine::analyse`].
    pub async fn judge(&self, text: impl Into<String>) -> Result<f64, EngineError> {
        let text = text.into();
        let ids = self
            .tokenize(move |with| with.sentiment.encode(&text))
            .await?;
        self.judged(ids).await.map(f64::from)
    }

    async fn judged(&self, ids: Vec<i64>) -> Result<f32, EngineError> {
        let answer = self.run(Lane::Sentiment, ids).await?;
        let positivity = answer.first().copied();
        positivity.ok_or_else(|| EngineError::Inference("it gave no answer".to_owned()))
    }

    /// Tokenizing a long text takes a while, so it is kept off the async
    /// threads.
    async fn tokenize<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tokenizers) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        let tokenizers = Arc::clone(&self.tokenizers);
        task::spawn_blocking(move || work(&tokenizers))
            .await
            .map_err(|fault| EngineError::Inference(format!("tokenizing: {fault}")))
    }

    async fn run(&self, lane: Lane, ids: Vec<i64>) -> Result<Vec<f32>, EngineError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.send(Job { lane, ids, reply });
        sent.map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }
}

/// The life of the thread: load, tell, serve.
fn own_models(
    settings: &InsightsSettings,
    ready: oneshot::Sender<Result<Tokenizers, EngineError>>,
    jobs: &mpsc::Receiver<Job>,
) {
    tch::set_num_threads(i32::from(settings.torch_threads.max(1)));
    let _inference_only = tch::no_grad_guard();
    match Models::load(settings) {
        Ok((models, tokenizers)) => {
            let limits = Limits {
                texts: settings.max_batch.max(1),
                wait: settings.batch_wait(),
            };
            if ready.send(Ok(tokenizers)).is_ok() {
                serve(|lane, batch| models.run(lane, batch), jobs, limits);
            }
        }
        // An error means that the caller of `start` has gone.
        Err(fault) => drop(ready.send(Err(fault))),
    }
}
