//! `migrate`: brings the database's schema up to date, takes it back, or tells how it stands.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Bring the database's schema up to date, take it back, or tell how it stands.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// sqlite://PATH, or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = "sqlite://var/celeriac.db",
        global = true
    )]
    database_url: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Subcommand)]
enum Command {
    /// Apply every pending migration
    Up,
    /// Take back the newest migrations, with the data in their tables
    Down {
        /// How many to take back
        #[arg(long, default_value_t = 1)]
        steps: u32,
        /// Take back all of them
        #[arg(long, conflicts_with = "steps")]
        all: bool,
    },
    /// List the migrations and whether each is applied
    Status,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let db = migration::connect(&arguments.database_url)
        .await
        .context("cannot open the database")?;
    match arguments.command {
        Command::Up => migration::up(&db).await?,
        Command::Down { steps, all } => {
            migration::down(&db, (!all).then_some(steps)).await?;
        }
        Command::Status => {}
    }
    for (name, applied) in migration::status(&db).await? {
        println!("{:8} {name}", if applied { "applied" } else { "pending" });
    }
    Ok(())
}
