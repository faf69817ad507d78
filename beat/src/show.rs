//! The schedule as a person reads it.

use celeriac::beat::Listing;
use celeriac::schedule::Rules;

/// Every entry and how it stands.
pub fn list(entries: &[Listing], json: bool, rules: Rules) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(entries)?);
        return Ok(());
    }
    for entry in entries {
        let schedule = &entry.entry.schedule;
        println!(
            "{} ({}): {schedule}{}",
            entry.name,
            entry.entry.task,
            marks(entry)
        );
        match &entry.history {
            Some(history) if history.total_run_count > 0 => {
                let last = history.last_run_at.with_timezone(&rules.zone);
                let (last, count) = (last.format("%F %T %Z"), history.total_run_count);
                println!("    last run: {last}, runs: {count}");
            }
            _ => println!("    has not run yet"),
        }
    }
    Ok(())
}

/// The next runs of every entry.
pub fn check(entries: &[Listing], runs: usize, rules: Rules) {
    for entry in entries {
        println!("{} ({}){}", entry.name, entry.entry.schedule, marks(entry));
        for run in entry.runs(rules).take(runs) {
            match run {
                Ok(run) => println!(
                    "    {}",
                    run.with_timezone(&rules.zone).format("%a %F %T %Z")
                ),
                Err(error) => {
                    println!("    {error}");
                    break;
                }
            }
        }
    }
}

fn marks(entry: &Listing) -> String {
    let marks = [(entry.paused, ", paused"), (entry.added, ", added")];
    marks
        .iter()
        .filter(|mark| mark.0)
        .map(|mark| mark.1)
        .collect()
}
