//! How messages are sent, taken and settled.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::{sleep, timeout};

use super::{Broken, Rule, Subject};
use crate::broker::ExchangeType;
use crate::broker::{Binding, Broker, Consumer, Delivery, Leases, Outgoing, Queue, Settled, Tag};
use crate::error::Error;
use crate::message::{Body, Headers, Message};

/// What is there is taken within this.
const SOON: Duration = Duration::from_secs(5);
/// What does not come is not waited for longer.
const MOMENT: Duration = Duration::from_millis(50);

pub(super) async fn tried(subject: &dyn Subject) -> Result<(), Broken> {
    let broker = &*subject.broker();
    order(broker).await?;
    room(broker).await?;
    patience(broker).await?;
    cancelled(broker).await?;
    settled(broker).await?;
    lost(subject).await?;
    left(broker).await?;
    purged(broker).await?;
    bound(broker).await?;
    nowhere(broker).await?;
    broadcast(broker).await?;
    buried(broker).await?;
    journal(broker).await
}

/// A message of this id.
fn message(id: &str, priority: u8) -> Result<Message, Error> {
    let headers = Headers {
        id: id.to_owned(),
        task: "t".to_owned(),
        ..Headers::default()
    };
    Ok(Message::new(headers, &Body::default(), "", priority)?)
}

/// Messages of these ids for a queue.
fn messages(queue: &str, ids: &[&str]) -> Result<Vec<Outgoing>, Error> {
    let all = ids.iter().map(|id| {
        let mut message = message(id, 0)?;
        message.delivery_info.routing_key = Some(queue.to_owned());
        Ok(Outgoing::direct(queue.to_owned(), message))
    });
    all.collect()
}

async fn send(broker: &dyn Broker, queue: &str, ids: &[&str]) -> Result<(), Error> {
    broker.publish(&messages(queue, ids)?).await
}

/// A message for an exchange.
fn addressed(id: &str, exchange: &str, kind: ExchangeType, key: &str) -> Result<Outgoing, Error> {
    let mut message = message(id, 0)?;
    message.delivery_info.exchange = exchange.to_owned();
    message.delivery_info.routing_key = Some(key.to_owned());
    Ok(Outgoing {
        exchange_type: kind,
        ..Outgoing::direct(String::new(), message)
    })
}

/// A worker that takes messages.
struct Taker {
    consumer: Arc<dyn Consumer>,
    leases: Option<Arc<dyn Leases>>,
}

impl Taker {
    async fn of(broker: &dyn Broker, queues: &[Queue]) -> Result<Self, Error> {
        let consumer = broker.consumer("one@here")?;
        let leases = consumer.leases()?;
        let taker = Self { consumer, leases };
        taker.tend().await?;
        taker.consumer.subscribe(queues).await?;
        Ok(taker)
    }

    async fn from(broker: &dyn Broker, queue: &str) -> Result<Self, Error> {
        let queue = Queue::of(Binding::own(&queue.into()));
        Self::of(broker, &[queue]).await
    }

    /// Learns what it holds.
    async fn tend(&self) -> Result<(), Error> {
        match &self.leases {
            Some(leases) => leases.tend().await,
            None => Ok(()),
        }
    }

    /// So many deliveries.
    async fn take(&self, count: usize) -> Result<Vec<Delivery>, Error> {
        let mut taken = Vec::new();
        let all = async {
            while taken.len() < count {
                let room = count - taken.len();
                taken.extend(self.consumer.next(room, SOON).await?);
            }
            Ok::<_, Error>(())
        };
        // Fewer are seen for what they are.
        timeout(SOON, all).await.unwrap_or(Ok(()))?;
        Ok(taken)
    }

    /// What is there now, and settled.
    async fn empty(&self) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        loop {
            let taken = self.consumer.next(10, MOMENT).await?;
            if taken.is_empty() {
                return Ok(found);
            }
            found.extend(ids(&taken));
            for delivery in taken {
                let _ = self.consumer.ack(&delivery.tag).await?;
            }
        }
    }
}

fn ids(deliveries: &[Delivery]) -> Vec<String> {
    let read = deliveries.iter().map(|delivery| delivery.content.read());
    read.map(|message| message.map_or_else(|error| error.to_string(), |it| it.headers.id))
        .collect()
}

fn named(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

async fn order(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("messages of one queue come in the order in which they were sent");
    let many: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    rule.done(send(broker, "order", &many).await)?;
    let taker = rule.done(Taker::from(broker, "order").await)?;
    let taken = rule.done(taker.take(40).await)?;
    rule.same("they came", &ids(&taken), &named(&many))?;
    for delivery in &taken {
        let settled = rule.done(taker.consumer.ack(&delivery.tag).await)?;
        rule.same("acknowledged", &settled, &Settled::Done)?;
    }
    let rule = Rule("0 goes before 9");
    let both = [(9, "last"), (0, "first")]
        .map(|(priority, id)| Ok(Outgoing::direct("order".to_owned(), message(id, priority)?)));
    let both: Result<Vec<Outgoing>, Error> = both.into_iter().collect();
    rule.done(broker.publish(&rule.done(both)?).await)?;
    rule.same(
        "they came",
        &rule.done(taker.empty().await)?,
        &named(&["first", "last"]),
    )?;
    rule.done(taker.consumer.leave().await)
}

async fn room(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("no more is taken than there is room for");
    rule.done(send(broker, "room", &["a", "b", "c", "d"]).await)?;
    let taker = rule.done(Taker::from(broker, "room").await)?;
    let first = rule.done(taker.consumer.next(3, SOON).await)?;
    rule.holds("more than 3 were taken", (1..=3).contains(&first.len()))?;
    rule.same("held", &taker.consumer.held(), &first.len())?;
    let other = rule.done(Taker::from(broker, "room").await)?;
    let rest = rule.done(other.empty().await)?;
    rule.same("another found", &rest.len(), &(4 - first.len()))?;
    rule.done(taker.consumer.leave().await)?;
    rule.done(other.empty().await)?;
    rule.done(other.consumer.leave().await)
}

async fn patience(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("who waits is told at once, and waits no longer than it will");
    let taker = rule.done(Taker::from(broker, "patience").await)?;
    let nothing = timeout(SOON, taker.consumer.next(1, MOMENT)).await;
    let nothing = nothing.or_else(|_| rule.broken("it waits on".to_owned()))?;
    rule.same("it found", &ids(&rule.done(nothing)?), &Vec::new())?;
    let later = async {
        sleep(MOMENT).await;
        send(broker, "patience", &["late"]).await
    };
    let (taken, sent) = tokio::join!(timeout(SOON, taker.take(1)), later);
    rule.done(sent)?;
    let taken = taken.or_else(|_| rule.broken("it was not told".to_owned()))?;
    rule.same("it found", &ids(&rule.done(taken)?), &named(&["late"]))?;
    rule.done(taker.consumer.leave().await)?;
    rule.done(broker.purge(&["patience".into()]).await)
        .map(drop)
}

async fn cancelled(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("a fetch that is dropped loses nothing");
    let taker = rule.done(Taker::from(broker, "cancelled").await)?;
    let many: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let mut found = Vec::new();
    for id in &many {
        rule.done(send(broker, "cancelled", &[id]).await)?;
        // Polled once, or for a moment, and dropped.
        let fetched = taker.consumer.next(1, SOON).now_or_never();
        let fetched = match fetched {
            Some(fetched) => Some(fetched),
            None => timeout(Duration::from_micros(300), taker.consumer.next(1, SOON))
                .await
                .ok(),
        };
        let Some(fetched) = fetched else { continue };
        for delivery in rule.done(fetched)? {
            found.extend(ids(std::slice::from_ref(&delivery)));
            let _ = rule.done(taker.consumer.ack(&delivery.tag).await)?;
        }
    }
    rule.done(taker.tend().await)?;
    found.extend(rule.done(taker.empty().await)?);
    found.sort_by_key(|id| id.parse::<usize>().unwrap_or_default());
    rule.same("they came", &found, &many)?;
    rule.done(taker.consumer.leave().await)
}

async fn settled(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("what goes back comes next, and says so");
    rule.done(send(broker, "settled", &["a", "b"]).await)?;
    let taker = rule.done(Taker::from(broker, "settled").await)?;
    let taken = rule.done(taker.take(1).await)?;
    let Some(delivery) = taken.first() else {
        return rule.broken("nothing came".to_owned());
    };
    let read = delivery.content.read();
    let fresh = read.is_ok_and(|message| !message.redelivered());
    rule.holds("it was marked before it went back", fresh)?;
    rule.same(
        "it may begin",
        &taker.consumer.begin(&delivery.tag),
        &Some(true),
    )?;
    let back = rule.done(taker.consumer.requeue(&delivery.tag).await)?;
    rule.same("put back", &back, &Settled::Done)?;
    let again = rule.done(taker.take(2).await)?;
    rule.same("they came", &ids(&again), &named(&["a", "b"]))?;
    let marks = again.iter().map(|delivery| delivery.content.read());
    let marks: Vec<bool> = marks
        .map(|it| it.is_ok_and(|it| it.redelivered()))
        .collect();
    rule.same("marked", &marks, &vec![true, false])?;
    let rule = Rule("what is acknowledged is gone");
    for delivery in &again {
        let settled = rule.done(taker.consumer.ack(&delivery.tag).await)?;
        rule.same("acknowledged", &settled, &Settled::Done)?;
    }
    rule.same("held", &taker.consumer.held(), &0)?;
    rule.same("left", &rule.done(taker.empty().await)?, &Vec::new())?;
    rule.done(taker.consumer.leave().await)
}

async fn lost(subject: &dyn Subject) -> Result<(), Broken> {
    let rule = Rule("what has been given to others is not begun, and settling it does nothing");
    let broker = &*subject.broker();
    rule.done(send(broker, "lost", &["a", "b"]).await)?;
    let taker = rule.done(Taker::from(broker, "lost").await)?;
    let taken = rule.done(taker.take(2).await)?;
    let tags: Vec<Tag> = taken
        .iter()
        .map(|delivery| Arc::clone(&delivery.tag))
        .collect();
    let [begun, waiting] = &tags[..] else {
        return rule.broken(format!("{} came, not 2", tags.len()));
    };
    rule.same("it may begin", &taker.consumer.begin(begun), &Some(true))?;
    rule.done(subject.lose(&*taker.consumer).await)?;
    rule.done(taker.tend().await)?;
    let settled = rule.done(taker.consumer.ack(begun).await)?;
    rule.same("acknowledged", &settled, &Settled::Lost)?;
    rule.same("it may begin", &taker.consumer.begin(waiting), &Some(false))?;
    let other = rule.done(Taker::from(broker, "lost").await)?;
    let again = rule.done(other.take(2).await)?;
    let marked = |delivery: &Delivery| delivery.content.read().is_ok_and(|it| it.redelivered());
    rule.holds("they are not marked", again.iter().all(marked))?;
    let mut found = ids(&again);
    found.sort_unstable();
    rule.same("another found", &found, &named(&["a", "b"]))?;
    for delivery in &again {
        let settled = rule.done(other.consumer.ack(&delivery.tag).await)?;
        rule.same("acknowledged", &settled, &Settled::Done)?;
    }
    rule.done(taker.consumer.leave().await)?;
    rule.done(other.consumer.leave().await)
}

async fn left(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("who leaves gives back what it holds, in order");
    rule.done(send(broker, "left", &["a", "b", "c"]).await)?;
    let taker = rule.done(Taker::from(broker, "left").await)?;
    let taken = rule.done(taker.take(2).await)?;
    rule.same("taken", &taken.len(), &2)?;
    rule.done(taker.consumer.leave().await)?;
    let other = rule.done(Taker::from(broker, "left").await)?;
    rule.same(
        "they came",
        &rule.done(other.empty().await)?,
        &named(&["a", "b", "c"]),
    )?;
    rule.done(other.consumer.leave().await)
}

async fn purged(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("a purge counts what it deletes");
    rule.done(send(broker, "purged", &["a", "b", "c"]).await)?;
    rule.done(send(broker, "also purged", &["d"]).await)?;
    let queues = ["purged".into(), "also purged".into(), "empty".into()];
    rule.same("deleted", &rule.done(broker.purge(&queues).await)?, &4)?;
    rule.same("deleted", &rule.done(broker.purge(&queues).await)?, &0)
}

async fn bound(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("an exchange sends to the queues that are bound to it, once to each");
    let queue = |name: &str, kind, keys: &[&str]| {
        let binding = |key: &&str| Binding {
            queue: name.into(),
            exchange: format!("{kind:?}").into(),
            exchange_type: kind,
            routing_key: (*key).into(),
        };
        Queue {
            name: name.into(),
            main: None,
            others: keys.iter().map(binding).collect(),
            delivery_mode: None,
        }
    };
    let direct = queue("direct", ExchangeType::Direct, &["k"]);
    let topic = queue("topic", ExchangeType::Topic, &["orders.*", "#.new"]);
    let taker = rule.done(Taker::of(broker, &[direct, topic]).await)?;
    let exchange = |kind: ExchangeType| format!("{kind:?}");
    let sent = [
        ("direct", ExchangeType::Direct, "k"),
        ("missed", ExchangeType::Direct, "other"),
        ("both", ExchangeType::Topic, "orders.new"),
        ("neither", ExchangeType::Topic, "orders.old.paid"),
    ];
    // By its exchange, whatever its type: not straight into a queue.
    let sent = sent.map(|(id, kind, key)| addressed(id, &exchange(kind), ExchangeType::Topic, key));
    let sent: Result<Vec<Outgoing>, Error> = sent.into_iter().collect();
    rule.done(broker.publish(&rule.done(sent)?).await)?;
    let mut found = rule.done(taker.empty().await)?;
    found.sort_unstable();
    rule.same("they came", &found, &named(&["both", "direct"]))?;
    rule.done(taker.consumer.leave().await)
}

async fn nowhere(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("what no queue takes keeps back nothing that is sent with it");
    let lost = addressed("lost", "nobody", ExchangeType::Topic, "k");
    let mut sent = vec![rule.done(lost)?];
    sent.extend(rule.done(messages("nowhere", &["a"]))?);
    rule.done(broker.publish(&sent).await)?;
    let taker = rule.done(Taker::from(broker, "nowhere").await)?;
    rule.same(
        "they came",
        &rule.done(taker.empty().await)?,
        &named(&["a"]),
    )?;
    rule.done(taker.consumer.leave().await)
}

async fn broadcast(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("a broadcast comes to everybody that is there, once");
    let own = || Queue::of(Binding::broadcast("news", ""));
    let one = rule.done(Taker::of(broker, &[own()]).await)?;
    let two = rule.done(Taker::of(broker, &[own()]).await)?;
    let news = addressed("news", "news", ExchangeType::Fanout, "");
    rule.done(broker.publish(&[rule.done(news)?]).await)?;
    for taker in [&one, &two] {
        let taken = rule.done(taker.take(1).await)?;
        rule.same("it came", &ids(&taken), &named(&["news"]))?;
        for delivery in taken {
            let _ = rule.done(taker.consumer.ack(&delivery.tag).await)?;
        }
        rule.same("and then", &rule.done(taker.empty().await)?, &Vec::new())?;
    }
    rule.done(one.consumer.leave().await)?;
    rule.done(two.consumer.leave().await)
}

async fn buried(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("a dead letter is kept with its reason, until it is revived or forgotten");
    rule.done(send(broker, "buried", &["a", "b"]).await)?;
    let taker = rule.done(Taker::from(broker, "buried").await)?;
    for delivery in rule.done(taker.take(2).await)? {
        let settled = rule.done(taker.consumer.bury(&delivery, "why").await)?;
        rule.same("buried", &settled, &Settled::Done)?;
    }
    rule.same("held", &taker.consumer.held(), &0)?;
    rule.same("left", &rule.done(taker.empty().await)?, &Vec::new())?;
    if let Some(kept) = broker.dead_letters() {
        let letters = rule.done(kept.list().await)?;
        let shown = letters.iter().map(|letter| {
            let (_, id) = letter.task().unwrap_or_default();
            format!("{id} {} {}", letter.queue, letter.reason)
        });
        let shown: Vec<String> = shown.collect();
        rule.same("kept", &shown, &named(&["b buried why", "a buried why"]))?;
        let [newest, oldest] = &letters[..] else {
            return rule.broken("not two".to_owned());
        };
        rule.holds("it is not revived", rule.done(kept.revive(oldest).await)?)?;
        rule.holds(
            "it is revived twice",
            !rule.done(kept.revive(oldest).await)?,
        )?;
        rule.same(
            "they came",
            &rule.done(taker.empty().await)?,
            &named(&["a"]),
        )?;
        rule.holds("it is not forgotten", rule.done(kept.forget(newest).await)?)?;
        rule.same("kept", &rule.done(kept.list().await)?, &Vec::new())?;
    }
    rule.done(taker.consumer.leave().await)
}

async fn journal(broker: &dyn Broker) -> Result<(), Broken> {
    let rule = Rule("what has been sent under a number is not sent again");
    let Some(journals) = broker.journal() else {
        return Ok(());
    };
    for (number, id) in [(1, "a"), (1, "a"), (3, "b"), (2, "c"), (3, "b"), (4, "d")] {
        let sent = rule.done(messages("journal", &[id]))?;
        rule.done(journals.publish_once(&sent, "j", number).await)?;
    }
    let taker = rule.done(Taker::from(broker, "journal").await)?;
    rule.same(
        "they came",
        &rule.done(taker.empty().await)?,
        &named(&["a", "b", "d"]),
    )?;
    rule.done(taker.consumer.leave().await)
}
