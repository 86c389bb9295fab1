//! Measurements of clips: a real server, its HTTP API and its embedded store, beside the least that the machine needs
//! for the same bytes in the same rounds.

pub mod api;
pub mod calls;
pub mod floor;
pub mod grpc;
pub mod memory;
pub mod sender;
pub mod sum;
pub mod transcode;
pub mod upload;

use crate::chat::Setup;
use crate::report;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Uploads into the embedded store, beside a plain write and fsync of the same bytes.
    Upload,
    /// The server's memory while four large uploads run.
    Memory,
    /// `GetClip` and `IssueUploadCredentials` by many callers at once.
    Calls,
    /// A transcoding, beside FFmpeg alone with the same flags.
    Transcode,
    /// All of these.
    All,
}

/// The size of the measurements.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// The folder with the program `transcode_floor`.
    #[arg(long)]
    pub examples: PathBuf,
    /// Rounds of `upload`, `calls` and `transcode`.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Bytes of an upload whose time is taken, in MiB.
    #[arg(long, default_value_t = 1024)]
    pub mib: u64,
    /// Connections over which one upload's parts go at once.
    #[arg(long, default_value_t = 4)]
    pub lanes: usize,
    /// Bytes of each of four uploads of `memory`, in MiB.
    #[arg(long, default_value_t = 2048)]
    pub memory_mib: u64,
    /// Callers of `calls` at once.
    #[arg(long, default_value_t = 100)]
    pub callers: usize,
    /// How long a round of `calls` takes for each call, in seconds.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
}

/// Measures, and writes each result as `clips-….json` and `.md`.
///
/// # Errors
/// When a program or the server fails, or refuses what it should take.
pub async fn run(setup: &Setup, what: What, plan: &Plan, out: &Path) -> Result<()> {
    let is_wanted = |one| what == one || what == What::All;
    if is_wanted(What::Upload) {
        report::save(out, "clips-upload", &upload::run(setup, plan).await?)?;
    }
    if is_wanted(What::Memory) {
        report::save(out, "clips-memory", &memory::run(setup, plan).await?)?;
    }
    if is_wanted(What::Calls) {
        report::save(out, "clips-calls", &calls::run(setup, plan).await?)?;
    }
    if is_wanted(What::Transcode) {
        report::save(out, "clips-transcode", &transcode::run(plan).await?)?;
    }
    Ok(())
}
