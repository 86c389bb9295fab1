//! A transcoding beside FFmpeg alone with the same flags, as the pipeline's example program tells.

use super::Plan;
use crate::chat::stats::Spread;
use crate::print;
use crate::proc::{self, Host};
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// The figures; times are in seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Transcode {
    /// The machine.
    pub host: Host,
    /// How long the film is.
    pub film_s: f64,
    /// FFmpeg alone.
    pub bare_wall_s: Spread,
    /// Its CPU.
    pub bare_cpu_s: Spread,
    /// Through the transcoder, up to its last file in the store.
    pub wall_s: Spread,
    /// CPU of the transcoder and all that it started.
    pub cpu_s: Spread,
    /// Round by round.
    pub wall_ratio: Spread,
    /// Round by round.
    pub cpu_ratio: Spread,
}

/// What the program's last line says.
#[derive(Debug, Deserialize)]
struct Told {
    film_s: f64,
    rounds: Vec<Round>,
}

#[derive(Debug, Deserialize)]
struct Round {
    bare_wall_s: f64,
    bare_cpu_s: f64,
    wall_s: f64,
    cpu_s: f64,
}

/// Measures.
///
/// # Errors
/// When the program fails.
pub async fn run(plan: &Plan) -> Result<Transcode> {
    let program = plan.examples.join("transcode_floor");
    print::progress(format_args!("{} …", program.display()));
    let about = || program.display().to_string();
    let output = Command::new(&program)
        .arg(plan.rounds.to_string())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(about)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {complaint}", about());
    let text = String::from_utf8(output.stdout).with_context(about)?;
    let line = text.lines().last().with_context(about)?;
    let told: Told = serde_json::from_str(line).with_context(about)?;
    let of = |value: fn(&Round) -> f64| Spread::of(told.rounds.iter().map(value));
    Ok(Transcode {
        host: proc::host(),
        film_s: told.film_s,
        bare_wall_s: of(|one| one.bare_wall_s),
        bare_cpu_s: of(|one| one.bare_cpu_s),
        wall_s: of(|one| one.wall_s),
        cpu_s: of(|one| one.cpu_s),
        wall_ratio: of(|one| one.wall_s / one.bare_wall_s),
        cpu_ratio: of(|one| one.cpu_s / one.bare_cpu_s),
    })
}
