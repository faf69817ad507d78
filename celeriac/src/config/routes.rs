//! `task_routes`: which queue a task goes to.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Where a task's messages go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "RouteForm")]
pub struct Route {
    /// The queue.
    pub queue: Option<String>,
    /// The priority.
    pub priority: Option<u8>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RouteForm {
    Queue(String),
    Table {
        queue: Option<String>,
        priority: Option<u8>,
    },
}

impl From<&str> for Route {
    /// To a queue, with the priority that the call or the settings say.
    fn from(queue: &str) -> Self {
        Self {
            queue: Some(queue.to_owned()),
            priority: None,
        }
    }
}

impl From<RouteForm> for Route {
    fn from(form: RouteForm) -> Self {
        match form {
            RouteForm::Queue(queue) => Self {
                queue: Some(queue),
                priority: None,
            },
            RouteForm::Table { queue, priority } => Self { queue, priority },
        }
    }
}

/// Routes by task name or glob (`feed.*`), the first match in the file's
/// order, an exact name before any glob; as `celery/app/routes.py` decides.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct TaskRoutes(IndexMap<String, Route>);

impl TaskRoutes {
    /// The route of `task`, if there is one.
    pub fn lookup(&self, task: &str) -> Option<&Route> {
        self.0.get(task).or_else(|| {
            let matches = |pattern: &str| glob(pattern.as_bytes(), task.as_bytes());
            let found = self.0.iter().find(|(pattern, _)| matches(pattern));
            found.map(|(_, route)| route)
        })
    }
}

/// `fnmatch` with `*` and `?`, which is what routes are written with.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            glob(&pattern[1..], text) || (!text.is_empty() && glob(pattern, &text[1..]))
        }
        (Some(b'?'), Some(_)) => glob(&pattern[1..], &text[1..]),
        (Some(a), Some(b)) if a == b => glob(&pattern[1..], &text[1..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_goes_before_globs_and_globs_in_order() -> Result<(), toml::de::Error> {
        let routes: TaskRoutes = toml::from_str(
            "'feed.*' = 'feeds'\n'*' = { queue = 'rest', priority = 3 }\n'feed.now' = 'urgent'\n",
        )?;
        let queue = |task| routes.lookup(task).and_then(|route| route.queue.as_deref());
        assert_eq!(queue("feed.now"), Some("urgent"));
        assert_eq!(queue("feed.old"), Some("feeds"));
        assert_eq!(queue("x"), Some("rest"));
        Ok(())
    }
}
