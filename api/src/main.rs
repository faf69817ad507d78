//! `api`: serves the REST API of the call-analytics service.

use std::path::PathBuf;

use anyhow::{Context, Result};
use api::{ApiSettings, server};
use celeriac::Config;
use clap::Parser;
use store::{Store, StoreSettings};

/// Serve the REST API of the call-analytics service.
///
/// Sections [api] and [store] of the configuration apply; each setting can be overridden in the
/// environment, such as CELERIAC_API_PORT, CELERIAC_API_SECRET or CELERIAC_STORE_URL. RUST_LOG
/// filters the log, and CELERIAC_LOG_FORMAT=json writes it as JSON.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file; celeryconfig.toml if there is one
    #[arg(long, env = "CELERIAC_CONFIG")]
    config: Option<PathBuf>,
}

/// The sections of the configuration that belong to the service's programs.
const SECTIONS: [&str; 4] = ["api", "store", "ingest", "insights"];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    celeriac::log::init();
    let config = Config::load(arguments.config.as_deref(), &SECTIONS)?;
    let settings: ApiSettings = config.section("api")?;
    let store: StoreSettings = config.section("store")?;
    let store = Store::connect(&store.url)
        .await
        .context("cannot open the database")?;
    store
        .migrate()
        .await
        .context("cannot migrate the database")?;
    let served = server::serve(&settings, store).await;
    celeriac::trace::flush().await;
    served
}
