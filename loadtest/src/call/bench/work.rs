//! The loads.

use super::options::Bursts;
use crate::call::coding::Coding;
use crate::call::host::Kind;
use crate::call::results::{Case, Scenario};
use crate::call::source::Trace;
use std::sync::Arc;

/// How a burst's way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// By UDP, as servers are by themselves.
    Plain,
    /// By TCP.
    Tcp,
    /// By UDP, and the server keeps so many seconds of everybody for its call inspector.
    Kept(u8),
}

/// The loads.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// One publishes to so many.
    Fanout {
        subscribers: usize,
        bursts: Bursts,
        how: How,
    },
    /// The same with a trace.
    Trace {
        subscribers: usize,
        trace: Arc<Trace>,
    },
    /// So many of so many publish.
    Meeting {
        publishers: usize,
        people: usize,
        bursts: Bursts,
    },
    /// So many of so many speak in turns, and so many are heard at once.
    Audio {
        speakers: usize,
        people: usize,
        voices: usize,
    },
}

impl Work {
    pub(super) fn scenario(&self) -> Scenario {
        match self {
            Self::Fanout { how: How::Tcp, .. } => Scenario::Tcp,
            Self::Fanout {
                how: How::Kept(0), ..
            } => Scenario::Uninspected,
            Self::Fanout {
                how: How::Kept(_), ..
            } => Scenario::Inspected,
            Self::Fanout { bursts, .. } if bursts.codec != Coding::Vp8 => Scenario::Codec,
            Self::Fanout { .. } => Scenario::Fanout,
            Self::Trace { .. } => Scenario::Trace,
            Self::Meeting { .. } => Scenario::Meeting,
            Self::Audio { .. } => Scenario::Audio,
        }
    }

    pub(super) fn people(&self) -> (usize, usize) {
        match *self {
            Self::Fanout { subscribers, .. } | Self::Trace { subscribers, .. } => (1, subscribers),
            Self::Meeting {
                publishers, people, ..
            } => (publishers, people),
            Self::Audio {
                speakers, people, ..
            } => (speakers, people),
        }
    }

    pub(super) fn words(&self) -> String {
        let bursts = |b: &Bursts| {
            let Bursts {
                pps,
                bytes,
                burst,
                codec,
            } = b;
            let codec = match codec {
                Coding::Vp8 => "",
                Coding::H264 => ", H.264",
                Coding::Vp9 => ", VP9 in three spatial layers",
            };
            format!("{pps} packets/s of {bytes} B in bursts of {burst}{codec}")
        };
        match self {
            Self::Fanout { bursts: b, .. } => bursts(b),
            Self::Trace { trace, .. } => trace.origin.clone(),
            Self::Meeting { bursts: b, .. } => format!("{} each", bursts(b)),
            Self::Audio { voices, .. } => format!("50 packets/s each, the loudest {voices} heard"),
        }
    }

    pub(super) fn case(&self, server: Kind) -> Case {
        Case::new(self.scenario(), server, self.people(), self.words())
    }
}
