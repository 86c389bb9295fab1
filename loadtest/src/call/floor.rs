//! The floor: the program that seals, copies and sends without deciding anything, run in between.

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;
use tokio::process::Command;

/// What it showed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Floor {
    /// Its own time per packet, in µs.
    pub us_per_packet: f64,
    /// Packets that it sent in all.
    pub sent: u64,
    /// Packets that came.
    pub received: u64,
    /// What it is: `seal+copy+gso`.
    #[serde(rename = "floor")]
    pub name: String,
}

/// The load that it is to bear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Sockets.
    pub subscribers: usize,
    /// Packets a second to each.
    pub pps: u32,
    /// Bytes of a packet, without the tag.
    pub bytes: usize,
    /// Packets of a burst.
    pub burst: u16,
    /// How long.
    pub seconds: f64,
}

/// Runs it on one core, with its receivers on another.
///
/// # Errors
/// When it does not run, or says nothing.
pub async fn run(program: &Path, load: Load, core: usize, other: usize) -> Result<Floor> {
    let arguments = [
        ("--subscribers", load.subscribers.to_string()),
        ("--pps", load.pps.to_string()),
        ("--bytes", load.bytes.to_string()),
        ("--burst", load.burst.to_string()),
        ("--seconds", load.seconds.to_string()),
        ("--core", core.to_string()),
        ("--drain-core", other.to_string()),
        ("--mode", "gso".to_owned()),
        ("--pace", "real".to_owned()),
    ];
    let mut command = Command::new("setsid");
    // Not on our core alone: it pins its threads itself.
    command
        .args(["taskset", "-c", &format!("{core},{other}")])
        .arg(program);
    for (name, value) in &arguments {
        command.args([*name, value.as_str()]);
    }
    let output = command.output().await.context("setsid")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let line = text.lines().last().context("the floor said nothing")?;
    serde_json::from_str(line).with_context(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_read() {
        let line = "{\"floor\":\"seal+copy+gso\",\"gro_receivers\":false,\"pace\":\"real\",\"subscribers\":200,\
                    \"us_per_packet\":1.340,\"sent\":10,\"received\":10,\"errors\":0}";
        let floor: Floor = serde_json::from_str(line).unwrap();
        assert_eq!((floor.us_per_packet, floor.sent), (1.34, 10));
    }
}
