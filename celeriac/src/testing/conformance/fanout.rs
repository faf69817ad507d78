//! What is said to all, and what is answered to one.

use std::time::Duration;

use serde_json::Map;
use tokio::time::timeout;

use super::{Broken, Rule};
use crate::broker::{Broker, Notice, Subscription};
use crate::value::Serializer;

/// What was said is heard within this.
const SOON: Duration = Duration::from_secs(5);
/// What is not said is not waited for longer.
const MOMENT: Duration = Duration::from_millis(50);
/// A reply that nobody collects is forgotten after this.
const EXPIRES: Duration = Duration::from_secs(10);

pub(super) async fn tried(broker: &dyn Broker) -> Result<(), Broken> {
    heard(broker).await?;
    keyed(broker).await?;
    answered(broker).await
}

fn notice(exchange: &str, routing_key: &str, body: &str) -> Notice {
    Notice {
        exchange: exchange.to_owned(),
        routing_key: routing_key.to_owned(),
        headers: Map::new(),
        serializer: Serializer::Json,
        body: body.as_bytes().to_vec(),
    }
}

/// The next thing that is heard.
async fn next(subscription: &mut Subscription, patience: Duration) -> Option<String> {
    let heard = timeout(patience, subscription.next()).await.ok()??;
    Some(String::from_utf8_lossy(&heard.body).into_owned())
}

async fn heard(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("who has subscribed hears what is said from then on");
    for body in ["1", "2", "3"] {
        let mut one = rule.done(broker.subscribe("said", "").await)?;
        let mut two = rule.done(broker.subscribe("said", "").await)?;
        let count = rule.done(broker.broadcast(&[notice("said", "", body)]).await)?;
        for ear in [&mut one, &mut two] {
            let heard = next(ear, SOON).await;
            rule.same("it heard", &heard.as_deref(), &Some(body))?;
        }
        if let Some(count) = count {
            rule.holds("fewer than two heard it, it says", count >= 2)?;
        }
        let other = rule.done(broker.broadcast(&[notice("elsewhere", "", body)]).await);
        other.map(drop)?;
        rule.same("and then", &next(&mut one, MOMENT).await, &None)?;
    }
    Ok(())
}

async fn keyed(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("a pattern chooses what is heard");
    let mut workers = rule.done(broker.subscribe("events", "worker.#").await)?;
    let said = [
        ("task.sent", "1"),
        ("worker.online", "2"),
        ("worker.x.y", "3"),
    ];
    let said = said.map(|(key, body)| notice("events", key, body));
    rule.done(broker.broadcast(&said).await)?;
    let heard = [
        next(&mut workers, SOON).await,
        next(&mut workers, SOON).await,
        next(&mut workers, MOMENT).await,
    ];
    let wanted = [Some("2".to_owned()), Some("3".to_owned()), None];
    rule.same("it heard", &heard, &wanted)
}

async fn answered(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("a reply comes to who opened its address, and to nobody else");
    let mut mine = rule.done(broker.replies("answers", "mine", EXPIRES).await)?;
    let mut others = rule.done(broker.replies("answers", "others", EXPIRES).await)?;
    rule.done(broker.reply(&notice("answers", "mine", "1"), EXPIRES).await)?;
    rule.same(
        "it came",
        &next(&mut mine, SOON).await.as_deref(),
        &Some("1"),
    )?;
    rule.same("another heard", &next(&mut others, MOMENT).await, &None)?;
    let rule = Rule("nothing is left of replies that nobody collects");
    drop(mine);
    tokio::time::sleep(MOMENT * 2).await;
    rule.done(broker.reply(&notice("answers", "mine", "2"), EXPIRES).await)?;
    let mut again = rule.done(broker.replies("answers", "mine", EXPIRES).await)?;
    rule.same("it came", &next(&mut again, MOMENT).await, &None)
}
