//! Imports run one way: a module of the library uses those before it, and none
//! after it. So each can be understood, and changed, by what lies below it.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// From the lowest to the highest.
const LAYERS: [&str; 31] = [
    // Alone.
    "stack", "durable", "glob", "clock", "nodename", "pidfile", "resident",
    // Plain data.
    "value", "rate", "failure", "fault", "canvas", "message", "error", "shutdown",
    // What is used, and how it is set.
    "broker", "schedule", "config", "trace", "results", "events", // Kinds of servers.
    "redis", "memory", // Those who use it.
    "client", "beat", "task", "stubs", "worker", "testing", "log", "command",
];

/// Every source file below a directory.
fn sources(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

fn place(module: &str) -> Outcome<usize> {
    let place = LAYERS.iter().position(|layer| *layer == module);
    Ok(place.ok_or_else(|| format!("`{module}` is in no layer: give it its place in LAYERS"))?)
}

#[test]
fn imports_run_one_way() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let comment = Regex::new("(?m)//.*$")?;
    let named = Regex::new(r"\bcrate::([a-z_]+)")?;
    let mut climbs = Vec::new();
    for path in sources(&root)? {
        let file = path.strip_prefix(&root)?;
        let top = file.iter().next().unwrap_or_default().to_string_lossy();
        let module = top.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        // Tests may use what they like.
        let code = text
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or_default();
        let code = comment.replace_all(code, "");
        for named in named.captures_iter(&code) {
            let other = named.get(1).map_or("", |name| name.as_str());
            // The root has names of its own: `crate::Error`, `crate::chain`.
            let is_module = root.join(other).is_dir() || root.join(format!("{other}.rs")).is_file();
            if is_module && place(other)? > place(module)? {
                climbs.push(format!("{}: {module} uses {other}", file.display()));
            }
        }
    }
    climbs.sort_unstable();
    climbs.dedup();
    assert!(climbs.is_empty(), "these climb:\n{}", climbs.join("\n"));
    Ok(())
}
