//! Names of workers, and `%h`, `%n`, `%d` in them and in file names
//! (`celery.utils.nodenames`).

/// The name of a worker that is given none.
const NAME: &str = "celery";

/// A `%` sequence that stands for nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("%{key} in {template:?} stands for nothing (there are %h, %n, %d, %i and %I)")]
pub struct UnknownKey {
    key: char,
    template: String,
}

/// The whole nodename for what `-n` gives: a host alone is `celery@<host>`, a
/// name alone (`w1@`) is on this host, nothing is both.
pub fn default_nodename(given: Option<&str>) -> String {
    let (name, host) = split(given.unwrap_or_default());
    let name = name.filter(|name| !name.is_empty()).unwrap_or(NAME);
    match host {
        "" => format!("{name}@{}", hostname()),
        host => format!("{name}@{host}"),
    }
}

/// This machine's name. As `socket.gethostname()`.
pub(crate) fn hostname() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    match name.to_string_lossy().as_ref() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// Expands a nodename as `-n` takes it, by this host: `%h` is its name, `%n`
/// the part before the first dot and `%d` the part after it.
///
/// # Errors
/// [`UnknownKey`] for any other letter.
pub fn host_format(template: &str) -> Result<String, UnknownKey> {
    let host = hostname();
    let (name, domain) = host.split_once('.').unwrap_or((&host, ""));
    expand(template, &Keys::new(name, &host, domain, None))
}

/// Expands a file's name by a nodename: `%n` is what is before its `@`, `%h`
/// what is after it, `%d` the domain of that, `%p` all of it. `%i` and `%I`
/// number the process in a pool: this one has `0`, and nothing.
///
/// # Errors
/// [`UnknownKey`] for any other letter.
pub fn node_format(template: &str, nodename: &str) -> Result<String, UnknownKey> {
    let (name, host) = split(nodename);
    let domain = host.split_once('.').map_or("", |(_, domain)| domain);
    let name = name.unwrap_or(NAME);
    expand(template, &Keys::new(name, host, domain, Some(nodename)))
}

fn split(nodename: &str) -> (Option<&str>, &str) {
    match nodename.split_once('@') {
        Some((name, host)) => (Some(name), host),
        None => (None, nodename),
    }
}

/// What the letters stand for.
struct Keys<'a> {
    name: &'a str,
    host: &'a str,
    domain: &'a str,
    whole: Option<&'a str>,
}

impl<'a> Keys<'a> {
    fn new(name: &'a str, host: &'a str, domain: &'a str, whole: Option<&'a str>) -> Self {
        Self {
            name,
            host,
            domain,
            whole,
        }
    }

    fn get(&self, key: char) -> Option<&'a str> {
        match key {
            'n' => Some(self.name),
            'h' => Some(self.host),
            'd' => Some(self.domain),
            'i' => Some("0"),
            'I' => Some(""),
            'p' => self.whole,
            '%' => Some("%"),
            _ => None,
        }
    }
}

fn expand(template: &str, keys: &Keys<'_>) -> Result<String, UnknownKey> {
    let mut expanded = String::new();
    let mut rest = template.chars().peekable();
    while let Some(char) = rest.next() {
        // A sign that no letter follows is itself.
        let key = rest
            .next_if(|next| char == '%' && (next.is_alphanumeric() || "%_".contains(*next)))
            .map(|key| (key, keys.get(key)));
        match key {
            None => expanded.push(char),
            Some((_, Some(value))) => expanded.push_str(value),
            Some((key, None)) => {
                let template = template.to_owned();
                return Err(UnknownKey { key, template });
            }
        }
    }
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_added() {
        let here = hostname();
        assert_eq!(default_nodename(None), format!("celery@{here}"));
        assert_eq!(default_nodename(Some("w1@")), format!("w1@{here}"));
        assert_eq!(default_nodename(Some("box")), "celery@box");
        assert_eq!(default_nodename(Some("w1@box@x")), "w1@box@x");
    }

    #[test]
    fn files_are_named_by_the_node() -> Result<(), UnknownKey> {
        let node = "w1@box.example.com";
        let expanded = node_format("/run/%n-%h-%d%I.%i", node)?;
        assert_eq!(expanded, "/run/w1-box.example.com-example.com.0");
        assert_eq!(
            node_format("%p %%h 100%", node)?,
            "w1@box.example.com %h 100%"
        );
        let unknown = node_format("%x", node).map_err(|error| error.key);
        assert_eq!(unknown, Err('x'));
        Ok(())
    }
}
