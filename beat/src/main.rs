//! `beat`: sends the entries of `beat_schedule` to the broker.

use std::path::PathBuf;

use celeriac::schedule::Beat;
use celeriac::worker::Shutdown;
use celeriac::{App, Config};
use clap::Parser;

/// Sends the periodic tasks of beat_schedule when they are due.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The configuration [default: celeryconfig.toml, if it exists]
    #[arg(long, env = "CELERIAC_CONFIG")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    celeriac::log::init();
    let sections = ["api", "store", "ingest", "insights"];
    let config = Config::load(cli.config.as_deref(), &sections)?;
    let app = App::new(config.settings().clone())?;
    let shutdown = Shutdown::on_signals(std::time::Duration::ZERO)?;
    Beat::new(app)?.run(&shutdown).await?;
    Ok(())
}
