//! `workers dead-letter`: the messages that no worker could run.

use anyhow::{Context, bail};
use celeriac::App;
use celeriac::broker::DeadLetter;

use crate::cli::{Chosen, DeadLetterCommand};

/// Does what is asked and prints what was done.
pub async fn handle(app: &App, command: DeadLetterCommand) -> anyhow::Result<()> {
    let kept = app.broker().dead_letters();
    let kept = kept.context("this broker's dead letters cannot be looked through")?;
    let letters = kept.list().await?;
    match command {
        DeadLetterCommand::List => letters.iter().for_each(print_line),
        DeadLetterCommand::Show { id } => {
            println!("{}", serde_json::to_string_pretty(find(&letters, &id)?)?);
        }
        DeadLetterCommand::Requeue(chosen) => {
            // The oldest first, as they came.
            for letter in choose(&letters, &chosen)?.into_iter().rev() {
                report(letter, kept.revive(letter).await?, "back in its queue");
            }
        }
        DeadLetterCommand::Drop(chosen) => {
            for letter in choose(&letters, &chosen)? {
                report(letter, kept.forget(letter).await?, "deleted");
            }
        }
    }
    Ok(())
}

fn print_line(letter: &DeadLetter) {
    let (name, _) = letter.task().unwrap_or_default();
    let DeadLetter {
        id,
        date,
        queue,
        reason,
        ..
    } = letter;
    println!("{id}\t{date}\t{queue}\t{name}\t{reason}");
}

fn report(letter: &DeadLetter, done: bool, what: &str) {
    let what = if done { what } else { "was not there any more" };
    println!("{}\t{what}", letter.id);
}

fn choose<'a>(letters: &'a [DeadLetter], chosen: &Chosen) -> anyhow::Result<Vec<&'a DeadLetter>> {
    match chosen.all {
        true => Ok(letters.iter().collect()),
        false => chosen.ids.iter().map(|id| find(letters, id)).collect(),
    }
}

fn find<'a>(letters: &'a [DeadLetter], id: &str) -> anyhow::Result<&'a DeadLetter> {
    let mut found = letters.iter().filter(|letter| letter.id.starts_with(id));
    let first = found
        .next()
        .with_context(|| format!("there is no dead letter {id}"))?;
    match found.next() {
        Some(_) => bail!("several dead letters begin with {id}"),
        None => Ok(first),
    }
}
