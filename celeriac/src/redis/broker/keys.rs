//! The names of kombu's keys.

use regex::Regex;

use crate::broker::{Binding, Outgoing};
use crate::config::{ExchangeType, QueueOrder, TransportOptions};
use crate::redis::link::Server;

/// What is between the parts of a note of Celeriac's own.
const NOTE_SEPARATOR: &str = "\u{6}\u{16}";

/// Names keys under the options of the broker.
#[derive(Clone, Debug)]
pub(in crate::redis) struct Keys {
    prefix: String,
    separator: String,
    steps: Vec<u8>,
    order: QueueOrder,
    unacked: String,
    unacked_index: String,
    unacked_mutex: String,
    /// What channels begin with.
    fanout_prefix: String,
    fanout_patterns: bool,
}

impl Keys {
    /// Of the server's database.
    pub fn of(server: &Server, options: &TransportOptions) -> Self {
        Self::new(server.database(), options)
    }

    fn new(database: i64, options: &TransportOptions) -> Self {
        let mut steps = options.priority_steps.clone();
        steps.sort_unstable();
        if steps.is_empty() {
            steps.push(0);
        }
        Self {
            prefix: options.global_keyprefix.clone(),
            separator: options.sep.clone(),
            steps,
            order: options.queue_order_strategy,
            unacked: options.unacked_key.clone(),
            unacked_index: options.unacked_index_key.clone(),
            unacked_mutex: options.unacked_mutex_key.clone(),
            fanout_prefix: options.fanout_prefix.replace("{db}", &database.to_string()),
            fanout_patterns: options.fanout_patterns,
        }
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The list that a message of this priority goes to: that of the highest
    /// step that is not above it.
    pub fn queue(&self, queue: &str, priority: u8) -> String {
        let below = self.steps.iter().rev().find(|&&step| step <= priority);
        self.step(queue, below.or(self.steps.last()).copied().unwrap_or(0))
    }

    /// The list of a queue that a message goes to.
    pub fn list_of(&self, queue: &str, message: &Outgoing) -> String {
        self.queue(queue, message.message.properties.priority.unwrap_or(0))
    }

    fn step(&self, queue: &str, step: u8) -> String {
        match step {
            0 => self.named(queue),
            step => format!("{}{queue}{}{step}", self.prefix, self.separator),
        }
    }

    /// Every list of `queues` in the order in which they are read, each with
    /// its queue's place. `turn` counts fetches, for round robin.
    pub fn lists(&self, queues: &[impl AsRef<str>], turn: usize) -> Vec<(String, usize)> {
        let mut order: Vec<usize> = (0..queues.len()).collect();
        match self.order {
            QueueOrder::RoundRobin => order.rotate_left(turn % queues.len().max(1)),
            QueueOrder::Sorted => order.sort_by_key(|&i| queues.get(i).map(AsRef::as_ref)),
            QueueOrder::Priority => {}
        }
        let list = |step, place: usize| {
            queues
                .get(place)
                .map(|queue| (self.step(queue.as_ref(), step), place))
        };
        let of_step = |&step| order.iter().filter_map(move |&place| list(step, place));
        self.steps.iter().flat_map(of_step).collect()
    }

    pub fn unacked(&self) -> String {
        self.named(&self.unacked)
    }

    pub fn unacked_index(&self) -> String {
        self.named(&self.unacked_index)
    }

    pub fn unacked_mutex(&self) -> String {
        self.named(&self.unacked_mutex)
    }

    pub fn dead_letter(&self) -> String {
        self.named("celeriac.dead_letter")
    }

    pub fn refused(&self) -> String {
        self.named("celeriac.refused")
    }

    /// How far a journal has been published.
    pub fn journal(&self, journal: &str) -> String {
        self.named(&format!("celeriac.journal:{journal}"))
    }

    /// What beats share under this name.
    pub fn beat(&self, name: &str) -> String {
        self.named(&format!("celeriac.beat.{name}"))
    }

    pub fn workers(&self) -> String {
        self.named("celeriac.workers")
    }

    pub fn sent(&self, mark: &str) -> String {
        self.named(&format!("celeriac.sent:{mark}"))
    }

    pub fn lease(&self, worker: &str) -> String {
        self.named(&format!("celeriac.lease:{worker}"))
    }

    /// By what Redis knows a worker.
    pub fn known(&self, worker: &str) -> String {
        self.named(&format!("celeriac.known:{worker}"))
    }

    /// Which of a worker's fetchers may take messages.
    pub fn fetcher(&self, worker: &str) -> String {
        self.named(&format!("celeriac.fetcher:{worker}"))
    }

    /// The tables of an exchange's bindings. The second keeps kombu 5.7's
    /// sweep from deleting the first.
    pub fn binding_tables(&self, exchange: &str) -> [String; 2] {
        [
            self.named(&format!("_kombu.binding.{exchange}")),
            self.named(&format!("_kombu.binding_permanent.{exchange}")),
        ]
    }

    /// A binding, as it lies in an exchange's table.
    pub fn bound(&self, binding: &Binding) -> String {
        let pattern = match binding.exchange_type {
            ExchangeType::Topic => topic_pattern(&binding.routing_key),
            _ => String::new(),
        };
        [&*binding.routing_key, &pattern, &binding.queue].join(&self.separator)
    }

    /// The binding of a queue to a routing key.
    pub fn binding(&self, routing_key: &str, queue: &str) -> String {
        [routing_key, "", queue].join(&self.separator)
    }

    /// The broadcasts that a worker has heard, so that what it leaves can be
    /// found.
    pub fn broadcasts(&self, worker: &str) -> String {
        self.named(&format!("celeriac.broadcasts:{worker}"))
    }

    /// A broadcast, as it is noted there.
    pub fn note(broadcast: &Binding) -> String {
        let parts = [
            &broadcast.exchange,
            &broadcast.routing_key,
            &broadcast.queue,
        ];
        parts.map(|part| &**part).join(NOTE_SEPARATOR)
    }

    /// The broadcast of a note.
    pub fn noted(note: &str) -> Option<Binding> {
        let mut parts = note.split(NOTE_SEPARATOR).map(Into::into);
        Some(Binding {
            exchange_type: ExchangeType::Fanout,
            exchange: parts.next()?,
            routing_key: parts.next()?,
            queue: parts.next()?,
        })
    }

    /// When tables whose bindings all expire are deleted.
    pub fn binding_deadlines(&self) -> String {
        self.named("_kombu.binding_deadlines")
    }

    /// The channel of a fanout exchange, as kombu's `_get_publish_topic`.
    pub fn channel(&self, exchange: &str, routing_key: &str) -> String {
        let prefix = &self.fanout_prefix;
        let key = if self.fanout_patterns {
            routing_key
        } else {
            ""
        };
        let slash = if key.is_empty() { "" } else { "/" };
        self.named(&format!("{prefix}{exchange}{slash}{key}"))
    }

    /// The queue of a binding that fits this routing key: is the same, or, on a
    /// topic exchange, matches the pattern that kombu has made of it.
    pub fn bound_queue<'a>(&self, member: &'a str, routing_key: &str) -> Option<&'a str> {
        let mut parts = member.split(&*self.separator);
        let (key, pattern, queue) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = match pattern {
            "" => key == routing_key,
            pattern => Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(routing_key)),
        };
        fits.then_some(queue)
    }
}

/// The expression for a topic's routing key: kombu's `key_to_pattern`.
fn topic_pattern(routing_key: &str) -> String {
    let escape = |character: char| match character {
        '\0' => r"\000".to_owned(),
        plain if plain.is_alphanumeric() || plain == '#' || plain == '*' => plain.to_string(),
        special => format!("\\{special}"),
    };
    let words = routing_key.split('.').map(|word| match word {
        "*" => r"[^\.]+".to_owned(),
        "#" => ".*?".to_owned(),
        word => word.chars().map(escape).collect(),
    });
    let words: Vec<String> = words.collect();
    format!("^{}$", words.join(r"\."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Channel._q_for_pri` of kombu 5.7.
    #[test]
    fn priorities_share_the_list_of_their_step() {
        let keys = Keys::new(0, &TransportOptions::default());
        let list = |priority| keys.queue("q", priority);
        assert_eq!([list(0), list(2)], ["q", "q"]);
        assert_eq!([list(3), list(5)], ["q\u{6}\u{16}3", "q\u{6}\u{16}3"]);
        assert_eq!(list(200), "q\u{6}\u{16}9");
    }

    /// Patterns as `TopicExchange.key_to_pattern` of kombu 5.7 makes them.
    #[test]
    fn a_binding_fits_by_its_pattern_if_it_has_one() {
        let keys = Keys::new(0, &TransportOptions::default());
        let fits = |member: &str, key| keys.bound_queue(member, key).is_some();
        let exact = keys.binding("a.b", "q");
        assert!(fits(&exact, "a.b") && !fits(&exact, "a.c"));
        let topic = "orders.#\u{6}\u{16}^orders\\..*?$\u{6}\u{16}q";
        let binding = |routing_key: &str| Binding {
            exchange_type: ExchangeType::Topic,
            routing_key: routing_key.into(),
            ..Binding::own(&"q".into())
        };
        assert_eq!(keys.bound(&binding("orders.#")), topic);
        assert_eq!(topic_pattern("a_b.*.c"), r"^a\_b\.[^\.]+\.c$");
        assert!(fits(&keys.bound(&binding("a_b.*")), "a_b.c"));
        assert!(fits(topic, "orders.new.now") && !fits(topic, "orders"));
        assert!(!fits("(\u{6}\u{16}(\u{6}\u{16}q", "("));
    }

    #[test]
    fn steps_go_before_queues_and_queues_take_turns() {
        let options = TransportOptions {
            priority_steps: vec![0, 5],
            sep: ":".to_owned(),
            ..TransportOptions::default()
        };
        let lists = |turn| {
            let lists = Keys::new(0, &options).lists(&["a", "b"], turn);
            lists
                .into_iter()
                .map(|(key, _)| key)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(lists(0), "a b a:5 b:5");
        assert_eq!(lists(1), "b a b:5 a:5");
    }
}
