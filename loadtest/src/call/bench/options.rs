//! What is measured, from the command line.

use crate::call::coding::Coding;
use crate::call::host::janus::JanusPlan;
use crate::call::measure::Timing;
use crate::call::source::VideoPlan;
use crate::call::srtp::Profile;
use anyhow::Result;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::path::PathBuf;

/// What all measurements of calls share.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The one SRTP profile that participants offer.
    #[arg(long, value_enum, default_value_t = Profile::Gcm)]
    pub profile: Profile,
    /// Rounds, of which the median counts.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// The lengths of a round's parts.
    #[command(flatten)]
    pub timing: Timing,
    /// The core of the server.
    #[arg(long, default_value_t = 0)]
    pub core: usize,
    /// The core of the participants.
    #[arg(long, default_value_t = 1)]
    pub load_core: usize,
    /// Threads that run participants.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Between two transport-wide feedbacks of a participant; 0 for none.
    #[arg(long, default_value_t = 100)]
    pub feedback_ms: u64,
    /// Further variables of the server's environment, NAME=VALUE.
    #[arg(long = "env")]
    pub variables: Vec<String>,
    /// The program that measures the floor.
    #[arg(long)]
    pub floor: Option<PathBuf>,
    /// Where Debian's janus is unpacked.
    #[arg(long, default_value = "/")]
    pub janus_root: PathBuf,
    /// Event loops of Janus; 0 for a thread a handle, Debian's default.
    #[arg(long, default_value_t = 2)]
    pub janus_loops: u32,
    /// The size at which Janus is measured.
    #[arg(long, default_value_t = 100)]
    pub janus_subscribers: usize,
}

/// A publisher's pictures in bursts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Bursts {
    /// Packets a second.
    #[arg(long, default_value_t = 250)]
    pub pps: u32,
    /// Bytes of an RTP packet, header and all, without SRTP's tag.
    #[arg(long, default_value_t = 1_100)]
    pub bytes: usize,
    /// Packets of a burst.
    #[arg(long, default_value_t = 10)]
    pub burst: u16,
    /// The codec.
    #[arg(long, value_enum, default_value_t)]
    pub codec: Coding,
}

impl Default for Bursts {
    fn default() -> Self {
        Self {
            pps: 250,
            bytes: 1_100,
            burst: 10,
            codec: Coding::Vp8,
        }
    }
}

impl Bursts {
    /// What is published.
    #[must_use]
    pub fn plan(self) -> VideoPlan {
        VideoPlan::bursts(self.pps, self.bytes, self.burst)
    }

    /// A meeting's: 50 packets a second of each publisher.
    #[must_use]
    pub fn meeting() -> Self {
        Self {
            pps: 50,
            burst: 2,
            ..Self::default()
        }
    }
}

impl Options {
    /// How Janus is started.
    #[must_use]
    pub fn janus(&self) -> Option<JanusPlan> {
        Some(JanusPlan {
            root: self.janus_root.clone(),
            core: Some(self.core),
            event_loops: self.janus_loops,
        })
    }

    /// Pins this process to the participants' core, before it has other threads.
    ///
    /// # Errors
    /// When there is no such core.
    pub fn pin(&self) -> Result<()> {
        let mut cores = CpuSet::new();
        cores.set(self.load_core);
        sched_setaffinity(None, &cores)?;
        Ok(())
    }
}
