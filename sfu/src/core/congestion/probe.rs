//! Short bursts above the estimate, to find out whether the path carries more.

mod measure;
mod plan;

pub(super) use measure::Measurements;
pub(super) use plan::{Plans, Situation};

use crate::unit::Bitrate;
use std::num::NonZeroU8;

/// Packets that a probe has at least (libwebrtc's `min_probe_packets_sent`): with fewer, one packet's
/// delay decides the result.
pub const PROBE_PACKETS: u8 = 5;

/// A probe lasts at least so long (libwebrtc's `min_probe_duration`).
const PROBE_US: f64 = 15_000.0;

/// Names a probe's packets in the history and in their feedback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProbeCluster(pub(super) NonZeroU8);

impl ProbeCluster {
    pub(in crate::core) fn from_index(index: u8) -> Option<Self> {
        NonZeroU8::new(index).map(Self)
    }
}

/// A probe that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbePlan {
    /// Tags its packets in [`super::Estimator::on_sent`].
    pub cluster: ProbeCluster,
    /// The rate at which they are to leave.
    pub rate: Bitrate,
    /// How much is to be sent, media that leaves in the meantime included.
    pub bytes: u32,
    /// In at least so many packets.
    pub packets: u8,
}
