//! conf and report: how the worker is set up.

use regex::RegexBuilder;
use serde_json::{Map, Value};

use super::command::{Answer, Arguments, Refusal};
use crate::config::Settings;
use crate::error::hide_password;
use crate::value::repr;
use crate::worker::Shared;

/// Settings whose values nobody is shown (`celery.app.utils.HIDDEN_SETTINGS`).
const HIDDEN: &str = "API|TOKEN|KEY|SECRET|PASS|PROFANITIES_LIST|SIGNATURE|DATABASE|BEAT_DBURI";

pub(super) fn conf(shared: &Shared, arguments: &Arguments) -> Result<Answer, Refusal> {
    Answer::now(table(
        shared.app.settings(),
        arguments.flag("with_defaults"),
    ))
}

/// The settings that differ from the defaults, or all; no secrets.
fn table(settings: &Settings, with_defaults: bool) -> Map<String, Value> {
    let as_map = |settings: &Settings| match serde_json::to_value(settings) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let defaults = as_map(&Settings::default());
    let mut table = as_map(settings);
    if !with_defaults {
        table.retain(|name, value| defaults.get(name) != Some(value));
    }
    censor(table)
}

fn censor(table: Map<String, Value>) -> Map<String, Value> {
    let hidden = RegexBuilder::new(HIDDEN).case_insensitive(true).build();
    // Of a pattern that is wrong everything is a secret.
    let is_secret = |name: &str| hidden.as_ref().map_or(true, |hidden| hidden.is_match(name));
    let shown = |(name, value): (String, Value)| {
        let value = match value {
            Value::Object(map) => censor(map).into(),
            _ if is_secret(&name) => "********".into(),
            Value::String(url) if name == "broker_url" || name.contains("backend") => {
                hide_password(&url).into()
            }
            value => value,
        };
        (name, value)
    };
    table.into_iter().map(shown).collect()
}

/// As `celery report`: for people, who look for the Celery that is spoken first.
pub(super) fn report(shared: &Shared) -> Result<Answer, Refusal> {
    let settings = shared.app.settings();
    let results = settings.result_backend.as_deref();
    let changed: Vec<String> = table(settings, false)
        .iter()
        .map(|(name, value)| format!("{name}: {}", repr::value(value)))
        .collect();
    Answer::ok(format!(
        "\nsoftware -> celery:5.7 celeriac:{}\nplatform -> system:{} arch:{}\n            \
         kernel version:{}\nsettings -> transport:{} results:{}\n\n{}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        kernel(),
        shared.app.broker_address(),
        results.map_or("disabled".to_owned(), hide_password),
        changed.join("\n"),
    ))
}

fn kernel() -> String {
    let version = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    version.map_or("unknown".to_owned(), |version| version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_changed_is_shown_and_no_secrets() {
        let settings = Settings {
            broker_url: "redis://me:secret@host/0".to_owned(),
            result_extended: true,
            ..Settings::default()
        };
        let shown = table(&settings, false);
        assert_eq!(
            shown.keys().collect::<Vec<_>>(),
            ["broker_url", "result_extended"]
        );
        assert!(!Value::from(shown).to_string().contains("secret"));
        assert!(table(&settings, true).contains_key("timezone"));
    }
}
