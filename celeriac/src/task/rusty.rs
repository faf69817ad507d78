//! The bridge to [rusty-celery](https://docs.rs/celery): runs
//! `#[celery::task]` functions under Celeriac's own worker. The only module
//! that names the `celery` crate.
//!
//! | rusty-celery | here |
//! | --- | --- |
//! | `ExpectedError("ValueError: …")` | a `ValueError`; `RuntimeError` for a text that names none |
//! | retries without end, backing off, unless `max_retries` says otherwise | the same |
//! | `time_limit`, `hard_time_limit` | the soft and the hard limit |
//! | `task.request.app.send_task(…)` | goes out through the running task's [`App`](crate::App) |
//! | `on_success`, `on_failure` | are called |

use std::sync::Arc;

use async_trait::async_trait;
use celery::broker::{Broker, Delivery, DeliveryStream};
use celery::error::{BrokerError, TaskError as RustyError};
use celery::protocol::{Message, MessageHeaders, MessageProperties};
use celery::task::{Request as RustyRequest, Task as RustyTask};
use celery::{Celery, CeleryBuilder};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Number, Value};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;

use super::given::encoded;
use super::hint::Hint;
use super::{Context, Failure, Invocation, Parameters, Retry, Task, TaskError, TaskOptions};
use crate::canvas::{Options, Signature};
use crate::message::Body;
use crate::value::{isoformat, json};

/// The task of a `#[celery::task]` function:
/// `worker.task(rusty::task::<add>())`.
pub fn task<T>() -> Task
where
    T: RustyTask + 'static,
    T::Returns: Serialize,
{
    let defaults = T::DEFAULTS;
    let options = TaskOptions {
        acks_late: defaults.acks_late,
        time_limit: defaults.hard_time_limit.map(f64::from),
        soft_time_limit: defaults.time_limit.map(f64::from),
        max_retries: defaults.max_retries,
        ..TaskOptions::default()
    };
    let body = Arc::new(|invocation| Box::pin(run::<T>(invocation)) as _);
    let parameters = Parameters::of_struct::<T::Params>(T::ARGS);
    let task = Task::from_parts(T::NAME.to_owned(), parameters, body);
    Task {
        returns: Some(Hint::of(std::any::type_name::<T::Returns>())),
        ..task.with(options)
    }
}

async fn run<T>(Invocation { context, arguments }: Invocation) -> Result<Value, TaskError>
where
    T: RustyTask,
    T::Returns: Serialize,
{
    let function = T::NAME.rsplit('.').next().unwrap_or(T::NAME);
    let params: T::Params = json::from_map(&arguments.named)
        .map_err(|error| Failure::new("TypeError", type_error(function, &error)))?;
    let app = Arc::clone(application().await?);
    let request = RustyRequest::<T>::new(app, message(&context), params.clone());
    let task = T::from_request(request, T::DEFAULTS);
    match task.run(params).await {
        Ok(returned) => {
            task.on_success(&returned).await;
            encoded(&returned)
        }
        Err(error) => {
            if !matches!(error, RustyError::Retry(_)) {
                task.on_failure(&error).await;
            }
            Err(translate(&task, error))
        }
    }
}

/// What `error` means to the worker. Whether retries are left, it knows itself.
fn translate<T: RustyTask>(task: &T, error: RustyError) -> TaskError {
    let retry = |eta, exc| {
        TaskError::from(Retry {
            eta,
            exc,
            ..Retry::default()
        })
    };
    match error {
        RustyError::Retry(eta) => retry(eta.or_else(|| task.retry_eta()), None),
        RustyError::ExpectedError(text) => retry(task.retry_eta(), Some(Failure::from_text(&text))),
        RustyError::UnexpectedError(text) if task.retry_for_unexpected() => {
            retry(task.retry_eta(), Some(Failure::from_text(&text)))
        }
        RustyError::UnexpectedError(text) => Failure::from_text(&text).into(),
        RustyError::TimeoutError => {
            let timeout = Failure::with_args("builtins.TimeoutError", Vec::new());
            retry(task.retry_eta(), Some(timeout))
        }
    }
}

/// serde's words for what Python would say of a call.
fn type_error(function: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next())
    {
        Some(name) => format!("{function}() missing 1 required positional argument: '{name}'"),
        None => format!("{function}() got an argument of the wrong type: {text}"),
    }
}

/// The message as rusty-celery's request wants it: headers alone.
fn message(context: &Context) -> Message {
    let request = context.request();
    let headers = context.headers();
    let whole = |limit: &Option<Number>| limit.as_ref()?.as_f64().map(|s| s.ceil() as u32);
    Message {
        properties: MessageProperties {
            correlation_id: headers.id.clone(),
            content_type: "application/json".to_owned(),
            content_encoding: "utf-8".to_owned(),
            reply_to: request.message.properties.reply_to.clone(),
        },
        headers: MessageHeaders {
            id: headers.id.clone(),
            task: headers.task.clone(),
            lang: headers.lang.clone(),
            root_id: headers.root_id.clone(),
            parent_id: headers.parent_id.clone(),
            group: headers.group.clone(),
            meth: None,
            shadow: headers.shadow.clone(),
            eta: request.eta,
            expires: request.expires,
            retries: Some(headers.retries),
            timelimit: (whole(&headers.timelimit.0), whole(&headers.timelimit.1)),
            argsrepr: headers.argsrepr.clone(),
            kwargsrepr: headers.kwargsrepr.clone(),
            origin: headers.origin.clone(),
        },
        raw_body: Vec::new(),
    }
}

/// The `Celery` that every request must hold. Its builder insists on a
/// connection; a listener that accepts and stays silent satisfies it, and the
/// broker is then replaced.
async fn application() -> Result<&'static Arc<Celery>, TaskError> {
    static APPLICATION: OnceCell<Arc<Celery>> = OnceCell::const_new();
    let build = || async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("redis://{}/", listener.local_addr()?);
        let silence = tokio::spawn(async move { listener.accept().await });
        let mut celery = CeleryBuilder::new("celeriac", &url)
            // One attempt: without retries it makes none at all.
            .broker_connection_max_retries(1)
            .build()
            .await
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        silence.abort();
        celery.broker = Box::new(Bridge);
        Ok::<_, std::io::Error>(Arc::new(celery))
    };
    Ok(APPLICATION.get_or_try_init(build).await?)
}

/// Sends through the application of the task that is running.
struct Bridge;

#[async_trait]
impl Broker for Bridge {
    fn safe_url(&self) -> String {
        "celeriac".to_owned()
    }

    async fn send(&self, message: &Message, queue: &str) -> Result<(), BrokerError> {
        let app = Context::current()
            .ok_or(BrokerError::NotConnected)?
            .app()
            .clone();
        // rusty-celery writes JSON; the settings may want another format.
        let body: Body = json::from_slice(&message.raw_body)?;
        let mut call = signature(message, body);
        // It always names a queue, if only the default one.
        let route = app.route(&call).unwrap_or_default();
        call.options.queue = Some(route.queue.unwrap_or_else(|| queue.to_owned()));
        app.send(call).await.map(drop).map_err(refused)
    }

    // Messages come to tasks by Celeriac's worker, never by this broker.

    async fn consume(
        &self,
        _queue: &str,
        _error_handler: Box<dyn Fn(BrokerError) + Send + Sync + 'static>,
    ) -> Result<(String, Box<dyn DeliveryStream>), BrokerError> {
        Err(BrokerError::NotConnected)
    }

    async fn cancel(&self, _consumer_tag: &str) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn ack(&self, _delivery: &dyn Delivery) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn retry(
        &self,
        _delivery: &dyn Delivery,
        _eta: Option<DateTime<Utc>>,
    ) -> Result<(), BrokerError> {
        Err(BrokerError::NotConnected)
    }

    async fn increase_prefetch_count(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn decrease_prefetch_count(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn reconnect(&self, _connection_timeout: u32) -> Result<(), BrokerError> {
        Ok(())
    }
}

fn refused(error: crate::Error) -> BrokerError {
    BrokerError::IoError(std::io::Error::other(error.to_string()))
}

/// The call that the message makes.
fn signature(message: &Message, body: Body) -> Signature {
    let theirs = &message.headers;
    // rusty-celery has the soft limit first, Celery the hard one.
    let (soft, hard) = theirs.timelimit;
    Signature {
        args: body.args,
        kwargs: body.kwargs,
        options: Options {
            task_id: Some(theirs.id.clone()),
            shadow: theirs.shadow.clone(),
            eta: theirs.eta.as_ref().map(isoformat),
            expires: theirs.expires.as_ref().map(isoformat).map(Value::from),
            retries: theirs.retries,
            time_limit: hard.map(Number::from),
            soft_time_limit: soft.map(Number::from),
            link: body.embed.callbacks,
            link_error: body.embed.errbacks,
            chain: body.embed.chain,
            chord: body.embed.chord.map(Box::new),
            ..Options::default()
        },
        ..Signature::new(&theirs.task)
    }
}
