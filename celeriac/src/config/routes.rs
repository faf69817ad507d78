//! `task_routes`: where the messages of a task go.

use std::fmt;

use indexmap::IndexMap;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer as Writer};
use serde_json::{Map, Value};

use super::{ExchangeType, remark};
use crate::glob::Glob;
use crate::value::{Compression, DeliveryMode, Serializer};

/// Where a task's messages go, and how. What it leaves out, the call or the
/// settings say; what the call says, wins.
///
/// ```
/// use celeriac::config::Route;
///
/// let urgent = Route {
///     priority: Some(9),
///     ..Route::from("urgent")
/// };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Route {
    /// The queue.
    pub queue: Option<String>,
    /// The exchange. With a routing key, the queues that are bound to it by
    /// that one get the message.
    pub exchange: Option<String>,
    /// Its type; the queue's if not given.
    pub exchange_type: Option<ExchangeType>,
    /// The routing key. Without an exchange it says something only to a queue
    /// whose exchange is no direct one.
    pub routing_key: Option<String>,
    /// The priority.
    pub priority: Option<u8>,
    /// Whether the broker is to keep it over a restart.
    pub delivery_mode: Option<DeliveryMode>,
    /// What the body is written in.
    pub serializer: Option<Serializer>,
    /// How it is compressed.
    pub compression: Option<Compression>,
    /// Headers of the user's own, for calls that have none.
    pub headers: Option<Map<String, Value>>,
}

impl From<&str> for Route {
    /// To a queue; the rest is as the call or the settings say.
    fn from(queue: &str) -> Self {
        Self {
            queue: Some(queue.to_owned()),
            ..Self::default()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default, deserialize_with = "queue_name")]
    queue: Option<String>,
    #[serde(default, deserialize_with = "exchange_name")]
    exchange: Option<String>,
    exchange_type: Option<ExchangeType>,
    routing_key: Option<String>,
    priority: Option<u8>,
    delivery_mode: Option<DeliveryMode>,
    serializer: Option<Serializer>,
    compression: Option<Compression>,
    headers: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "no_retry")]
    #[expect(dead_code, reason = "an option that is only there to be refused")]
    retry: (),
    #[serde(default, deserialize_with = "no_retry")]
    #[expect(dead_code, reason = "an option that is only there to be refused")]
    retry_policy: (),
    mandatory: Option<IgnoredAny>,
    immediate: Option<IgnoredAny>,
    declare: Option<IgnoredAny>,
    timeout: Option<IgnoredAny>,
    confirm_timeout: Option<IgnoredAny>,
}

impl Table {
    /// What RabbitMQ heeds.
    fn idle(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            ("mandatory", self.mandatory.is_some()),
            ("immediate", self.immediate.is_some()),
            ("declare", self.declare.is_some()),
            ("timeout", self.timeout.is_some()),
            ("confirm_timeout", self.confirm_timeout.is_some()),
        ];
        given
            .into_iter()
            .filter(|(_, is)| *is)
            .map(|(name, _)| name)
    }

    fn into_route<E: Error>(self) -> Result<Route, E> {
        for name in self.idle() {
            remark(format!("`{name}` means nothing on Redis"));
        }
        let direct = self.exchange_type.unwrap_or_default() == ExchangeType::Direct;
        if self.exchange.is_some() && self.routing_key.is_none() && direct {
            return Err(E::custom(
                "in `task_routes`: `exchange` needs a `routing_key`, or no message would go there",
            ));
        }
        Ok(Route {
            queue: self.queue,
            exchange: self.exchange,
            exchange_type: self.exchange_type,
            routing_key: self.routing_key,
            priority: self.priority,
            delivery_mode: self.delivery_mode,
            serializer: self.serializer,
            compression: self.compression,
            headers: self.headers,
        })
    }
}

/// A text, with an error that says what is meant.
struct Name(&'static str);

impl Visitor<'_> for Name {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Some(name.to_owned()).filter(|name| !name.is_empty()))
    }
}

fn queue_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(Name(
        "a queue's name as `queue`; what else there is to say of it belongs to `task_queues`",
    ))
}

fn exchange_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(Name("an exchange's name as `exchange`"))
}

fn no_retry<'de, D: Deserializer<'de>>(_deserializer: D) -> Result<(), D::Error> {
    Err(Error::custom(
        "in `task_routes`: a route cannot say how often a publish is tried: see \
         `task_publish_retry` and `task_publish_retry_policy`",
    ))
}

/// Not `untagged`, which would only say that neither form fits.
impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RouteForm)
    }
}

struct RouteForm;

impl<'de> Visitor<'de> for RouteForm {
    type Value = Route;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a queue's name, or a table that says where the task's messages go")
    }

    fn visit_str<E: Error>(self, queue: &str) -> Result<Route, E> {
        Ok(queue.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Route, A::Error> {
        Table::deserialize(MapAccessDeserializer::new(map))?.into_route()
    }
}

/// Routes by task name or glob (`feed.*`). Of one table an exact name goes
/// before any glob, and globs go in the file's order; of several, the first
/// that has one decides. As `celery/app/routes.py` has it.
#[derive(Clone, Debug, Default)]
pub struct TaskRoutes(Vec<RouteMap>);

impl TaskRoutes {
    /// The route of `task`, if there is one.
    pub fn lookup(&self, task: &str) -> Option<&Route> {
        self.0.iter().find_map(|map| map.lookup(task))
    }
}

/// What Celery calls a `MapRoute`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
struct RouteMap {
    routes: IndexMap<String, Route>,
    /// Those with a `*`, and their places: without one, `?` and `[` mean
    /// themselves.
    #[serde(skip)]
    globs: Vec<(Glob, usize)>,
}

impl RouteMap {
    fn insert(&mut self, name: String, route: Route) {
        let glob = name.contains('*').then(|| Glob::new(&name));
        let (place, _) = self.routes.insert_full(name, route);
        self.globs.extend(glob.map(|glob| (glob, place)));
    }

    fn lookup(&self, task: &str) -> Option<&Route> {
        let exact = self.routes.get(task).filter(|_| !task.contains('*'));
        exact.or_else(|| {
            let mut globs = self.globs.iter();
            let (_, place) = globs.find(|(glob, _)| glob.matches(task))?;
            self.routes.get_index(*place).map(|(_, route)| route)
        })
    }
}

/// One table as itself, several as a list.
impl Serialize for TaskRoutes {
    fn serialize<W: Writer>(&self, writer: W) -> Result<W::Ok, W::Error> {
        match self.0.as_slice() {
            [] => RouteMap::default().serialize(writer),
            [one] => one.serialize(writer),
            many => {
                let mut list = writer.serialize_seq(Some(many.len()))?;
                many.iter()
                    .try_for_each(|map| list.serialize_element(map))?;
                list.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for TaskRoutes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RoutesForm)
    }
}

struct RoutesForm;

impl<'de> Visitor<'de> for RoutesForm {
    type Value = TaskRoutes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of routes by task name or pattern, or a list of such tables")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TaskRoutes, A::Error> {
        Ok(TaskRoutes(vec![read_map(map)?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<TaskRoutes, A::Error> {
        let (mut maps, mut pairs) = (Vec::new(), RouteMap::default());
        while let Some(item) = list.next_element()? {
            match item {
                Item::Map(map) => maps.push(map),
                Item::Pair(name, route) => pairs.insert(name, *route),
            }
        }
        maps.extend((!pairs.routes.is_empty()).then_some(pairs));
        Ok(TaskRoutes(maps))
    }
}

fn read_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<RouteMap, A::Error> {
    let mut routes = RouteMap::default();
    while let Some((name, route)) = map.next_entry()? {
        routes.insert(name, route);
    }
    Ok(routes)
}

/// What a list of routes may have in it.
enum Item {
    /// A table, or a list of pairs.
    Map(RouteMap),
    /// A name or pattern, and its route.
    Pair(String, Box<Route>),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemForm)
    }
}

struct ItemForm;

impl<'de> Visitor<'de> for ItemForm {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of routes, or a list of pairs: a name or pattern, and its route")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Item, E> {
        Err(E::custom(format_args!(
            "in `task_routes`: {name:?} would be a router in Python: write it in Rust, and add \
             it with `App::with_router`"
        )))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
        read_map(map).map(Item::Map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Item, A::Error> {
        let missing = || Error::custom("in `task_routes`: a pair is a name and its route");
        let mut map = RouteMap::default();
        while let Some(part) = list.next_element()? {
            match part {
                Part::Name(name) if map.routes.is_empty() => {
                    let route = list.next_element()?.ok_or_else(missing)?;
                    return match list.next_element::<IgnoredAny>()? {
                        None => Ok(Item::Pair(name, Box::new(route))),
                        Some(_) => Err(missing()),
                    };
                }
                Part::Name(_) => return Err(missing()),
                Part::Pair(name, route) => map.insert(name, *route),
            }
        }
        Ok(Item::Map(map))
    }
}

/// What begins a list within the list: the first of a pair, or a pair.
enum Part {
    Name(String),
    Pair(String, Box<Route>),
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = Part;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a task's name or pattern, or a pair of it and its route")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Part, E> {
                Ok(Part::Name(name.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Part, A::Error> {
                match (pair.next_element()?, pair.next_element()?) {
                    (Some(name), Some(route)) => Ok(Part::Pair(name, route)),
                    _ => Err(Error::invalid_length(0, &self)),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> Result<TaskRoutes, String> {
        let config = Config::parse("celeryconfig.toml", text.to_owned(), [], &[]);
        let config = config.map_err(|error| error.to_string())?;
        Ok(config.settings().task_routes.clone())
    }

    fn queue<'a>(routes: &'a TaskRoutes, task: &str) -> Option<&'a str> {
        routes.lookup(task).and_then(|route| route.queue.as_deref())
    }

    #[test]
    fn an_exact_name_goes_before_globs_and_globs_in_order() -> Result<(), String> {
        let routes = read(
            "[task_routes]\n'feed.*' = 'feeds'\n'[ai]*' = 'vowels'\n'a?' = 'literal'\n\
             '*' = { queue = 'rest', priority = 3 }\n'feed.now' = 'urgent'\n",
        )?;
        let queue = |task| queue(&routes, task);
        assert_eq!(queue("feed.now"), Some("urgent"));
        assert_eq!(queue("feed.old"), Some("feeds"));
        assert_eq!(
            (queue("add"), queue("[ai]x")),
            (Some("vowels"), Some("rest"))
        );
        assert_eq!((queue("a?"), queue("xa")), (Some("literal"), Some("rest")));
        Ok(())
    }

    #[test]
    fn routes_may_be_a_list() -> Result<(), String> {
        let tables = "task_routes = [{ 'a.*' = 'first' }, { 'a.b' = 'second', c = 'third' }]";
        let pairs = "task_routes = [['a.*', 'first'], ['c', { queue = 'third' }]]";
        let nested = "task_routes = [[['a.*', 'first'], ['c', { queue = 'third' }]]]";
        for text in [tables, pairs, nested] {
            let routes = read(text)?;
            assert_eq!(queue(&routes, "a.b"), Some("first"), "{text}");
            assert_eq!(queue(&routes, "c"), Some("third"), "{text}");
        }
        Ok(())
    }

    #[test]
    fn what_a_route_cannot_say_is_named() {
        let refused = |text: &str| read(text).err().unwrap_or_default();
        for (text, line, said) in [
            (
                "'t.*' = 'a'\n't.x' = { quue = 'b' }",
                3,
                "unknown field `quue`",
            ),
            (
                "'t.x' = { queue = { name = 'b' } }",
                2,
                "a queue's name as `queue`",
            ),
            (
                "'t.x' = { exchange = 'b' }",
                2,
                "`exchange` needs a `routing_key`",
            ),
            ("'t.x' = { retry = false }", 2, "see `task_publish_retry`"),
            (
                "'t.x' = { delivery_mode = 3 }",
                2,
                "no delivery mode is \"3\"",
            ),
        ] {
            let error = refused(&format!("[task_routes]\n{text}\n"));
            assert!(
                error.starts_with(&format!("celeryconfig.toml:{line}: ")),
                "{error}"
            );
            assert!(error.contains(said), "{error}");
        }
        let router = refused("task_routes = ['myapp.routers.route']");
        assert!(router.contains("App::with_router"), "{router}");
    }
}
