//! Measurements of notifications, each beside its bare parts in the same run.
//!
//! What is inside the server is measured by example programs of its crates, started as processes; the way of a
//! message from its commit to the push service's yes by a real server.

pub mod delay;
pub mod programs;
pub mod service;

use crate::chat::Setup;
use crate::report::Section;
use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Events through queue, router, ledger and a sender that says yes, beside the queue and SQLite alone.
    Router,
    /// Web Push messages encrypted and sent, beside the cryptography alone.
    WebPush,
    /// From a message's commit in a server to the push service's yes, at a steady rate.
    Delay,
    /// Memory and database with very many jobs waiting.
    Waiting,
    /// All of these.
    All,
}

/// The size of the measurements.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// The folder with the programs `router_rate`, `web_push` and `queue_floor`.
    #[arg(long)]
    pub examples: PathBuf,
    /// Rounds of each kind.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Events of a round of `router`.
    #[arg(long, default_value_t = 20_000)]
    pub events: u32,
    /// How long a round of `web-push` and of `delay` takes, in seconds.
    #[arg(long, default_value_t = 15)]
    pub seconds: u32,
    /// Messages a second of `delay`.
    #[arg(long, default_value_t = 1_000)]
    pub per_s: u32,
    /// Jobs of `waiting`.
    #[arg(long, default_value_t = 1_000_000)]
    pub waiting: u32,
}

/// Measures, and writes each result as `notify-….json` and `.md`.
///
/// # Errors
/// When a program or the server fails, or a push is lost.
pub async fn run(setup: &Setup, what: What, plan: &Plan, out: &Path) -> Result<()> {
    let is_wanted = |one| what == one || what == What::All;
    if is_wanted(What::Router) {
        save(out, "notify-router", &programs::router(setup, plan).await?)?;
    }
    if is_wanted(What::WebPush) {
        save(out, "notify-web-push", &programs::web_push(plan).await?)?;
    }
    if is_wanted(What::Delay) {
        save(out, "notify-delay", &delay::run(setup, plan).await?)?;
    }
    if is_wanted(What::Waiting) {
        save(
            out,
            "notify-waiting",
            &programs::waiting(setup, plan).await?,
        )?;
    }
    Ok(())
}

fn save(out: &Path, name: &str, result: &impl Section) -> Result<()> {
    crate::report::save(out, name, result)
}

/// Runs a program of these to its end; gives what its last line says, as JSON.
async fn figures<T: DeserializeOwned>(plan: &Plan, name: &str, args: &[String]) -> Result<T> {
    let program = plan.examples.join(name);
    let about = || program.display().to_string();
    let output = Command::new(&program)
        .args(args)
        .kill_on_drop(true)
        .output()
        .await
        .with_context(about)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {complaint}", about());
    let text = String::from_utf8(output.stdout).with_context(about)?;
    let line = text.lines().last().with_context(about)?;
    serde_json::from_str(line).with_context(|| format!("{}: {line}", about()))
}
