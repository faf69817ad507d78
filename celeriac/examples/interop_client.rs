//! A client and no worker: does what it reads, a JSON object a line, and says
//! what came of it, for tests that compare it with Celery's own client.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use celeriac::client::Control;
use celeriac::value::Serializer;
use celeriac::{App, AsyncResult, Config, Signature};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// For results to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to do. A result is given, and answered, as its tuple.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Order {
    Send {
        signature: Box<Signature>,
    },
    GroupResult {
        id: String,
    },
    Control {
        command: String,
        arguments: Value,
        destination: Vec<String>,
    },
    #[serde(untagged)]
    With {
        #[serde(rename = "do")]
        what: String,
        result: Value,
    },
}

impl Order {
    async fn follow(self, app: &App) -> anyhow::Result<Value> {
        match self {
            Self::Send { signature } => Ok(app.send(*signature).await?.as_tuple()),
            Self::GroupResult { id } => {
                let group = app.group_result(&id).await?;
                Ok(group.map_or(Value::Null, |group| group.as_tuple()))
            }
            Self::Control {
                command,
                arguments,
                destination,
            } => {
                let control = Control::new(app).destination(destination).timeout(PATIENCE);
                Ok(json!(control.call(&command, arguments).await?))
            }
            Self::With { what, result } => {
                let result = AsyncResult::from_tuple(app, &result);
                ask(&what, result.context("no result tuple")?).await
            }
        }
    }
}

/// What a result can be asked for.
async fn ask(what: &str, result: AsyncResult) -> anyhow::Result<Value> {
    let done = |()| Value::Null;
    Ok(match what {
        "state" => result.state().await?.into(),
        "meta" => json!(result.meta().await?),
        "children" => tuples(&result.children().await?),
        "get" => result.get(PATIENCE).await?,
        "iter" => {
            let all = result.iter::<Value>(PATIENCE).map(|(place, value)| {
                let value = value.map_err(|error| error.to_string());
                json!([place, value])
            });
            all.collect::<Vec<_>>().await.into()
        }
        "forget" => result.forget().await.map(done)?,
        "revoke" => result.revoke().await.map(done)?,
        "terminate" => result.terminate().await.map(done)?,
        "save" => result.save().await.map(done)?,
        other => return Err(anyhow!("what is {other:?}?")),
    })
}

fn tuples(results: &[AsyncResult]) -> Value {
    results.iter().map(AsyncResult::as_tuple).collect()
}

/// As Python reads it.
fn write(answer: &Value) -> anyhow::Result<()> {
    let answer = Serializer::Json.dumps(answer)?;
    println!("{}", String::from_utf8(answer)?);
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let path = std::env::args()
        .nth(1)
        .context("which celeryconfig.toml?")?;
    let config = Config::load(Some(Path::new(&path)), &[])?;
    let app = App::new(config.settings().clone())?;
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let order: Value = Serializer::Json.loads(line.as_bytes()).context(line)?;
        let order: Order = serde_json::from_value(order)?;
        match order.follow(&app).await {
            Ok(answer) => write(&json!({"answer": answer}))?,
            Err(error) => write(&json!({"error": error.to_string()}))?,
        }
    }
    Ok(())
}
