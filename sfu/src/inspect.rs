//! The contract of the call inspector: what a shard has noted of its participants, second by second, and how each
//! stands now.
//!
//! Each participant has a ring of [`Sample`]s, one a second, and one of [`Change`]s; both are filled with the reports
//! of RTCP, from counters. Who asks gets a [`RoomReport`], whose times are all of the shard's one clock.

pub(crate) mod record;
pub(crate) mod ring;
pub(crate) mod watch;

pub use crate::control::trace::Protocol;

use crate::control::trace::JoinTrace;
use crate::control::{LimitedBy, ParticipantId, PublicationId, Source};
use crate::unit::{Bitrate, Mid, Rid};
use kaiwa_common::id::RoomId;
use kaiwa_common::time::UnixMs;
use std::net::SocketAddr;
use std::time::Duration;

/// Samples of a participant that are kept at most: one minute. Twice as many would be 2.4 KB more for each.
pub const SAMPLES_MAX: u8 = 60;

/// Changes of a participant that are kept; older ones are forgotten.
pub const CHANGES_MAX: u8 = 64;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspect {
    /// Of which room's call.
    pub room: RoomId,
    /// Of whom. Who is not in the call is passed over.
    pub participants: Vec<ParticipantId>,
    /// Samples of the last so many seconds.
    pub seconds: u8,
}

/// What is known of a call's participants.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomReport {
    /// Now, by the clock that all times of the report have.
    pub at: UnixMs,
    /// In the order in which they were asked for.
    pub participants: Vec<ParticipantReport>,
}

/// What is known of one participant's media.
#[derive(Debug, Clone, PartialEq)]
pub struct ParticipantReport {
    /// Who.
    pub participant: ParticipantId,
    /// How their transport is.
    pub state: MediaState,
    /// Where their media goes; `None` before ICE has found a path, and when it has lost it.
    pub path: Option<PathReport>,
    /// The oldest first.
    pub samples: Vec<Sample>,
    /// What they publish.
    pub publications: Vec<PublicationReport>,
    /// What their receiving m-lines carry; free ones are left out.
    pub subscriptions: Vec<SubscriptionReport>,
    /// The oldest first, at most [`CHANGES_MAX`].
    pub changes: Vec<Change>,
    /// What was seen of their way in.
    pub trace: JoinTrace,
}

/// How a transport is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaState {
    /// There were no keys yet.
    Connecting,
    /// Media flows.
    Connected,
    /// There are keys, but nothing was heard for some seconds.
    Interrupted,
}

/// Between which addresses media goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathReport {
    /// Over what.
    pub protocol: Protocol,
    /// Ours, where it is known.
    pub local: Option<SocketAddr>,
    /// Theirs, as it comes here.
    pub remote: SocketAddr,
}

/// One second of a participant's media.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When the second ended.
    pub at: UnixMs,
    /// What came from them: media and repairs, as datagrams.
    pub incoming: Bitrate,
    /// What left for them: media, repairs and probes.
    pub outgoing: Bitrate,
    /// What their path carries.
    pub estimate: Bitrate,
    /// What of it is divided among sounds and pictures.
    pub allocated: Bitrate,
    /// Of the packets that they sent, the share that did not come at first; 0–1.
    pub in_loss: f32,
    /// Of the packets that left for them, the share that did not reach them; 0–1.
    pub out_loss: f32,
    /// The round trip; `None` of who only publishes: they report nothing that would tell it.
    pub rtt: Option<Duration>,
    /// Of the arrivals of what they send, the worst; `None` when nothing comes.
    pub jitter: Option<Duration>,
    /// The same at them of what they are sent, as they report it.
    pub out_jitter: Option<Duration>,
    /// Pictures of theirs that froze in this second: a picture is wanted, its publisher sends or should, and no frame
    /// of it was sent for more than [`watch::FREEZE`].
    pub freezes: u8,
    /// Key frames that they asked for.
    pub keyframe_requests: u8,
    /// Key frames that they sent.
    pub keyframes_sent: u8,
    /// Packets that they asked for again.
    pub nacks: u16,
    /// Packets that waited for their time when the second ended.
    pub queued: u16,
    /// Packets that had waited too long and were given up.
    pub dropped: u16,
}

/// Somebody's media from its beginning to its end. Of those times in which seconds were kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MediaSummary {
    /// Over what it went last; `None` before there was a path.
    pub protocol: Option<Protocol>,
    /// From the answer to their first offer until it got through; `None` when it never did.
    pub connected_after: Option<Duration>,
    /// The worst second of their link to us: packets that did not come at first, in ten-thousandths.
    pub worst_in_loss: u16,
    /// The worst second of our link to them, likewise.
    pub worst_out_loss: u16,
    /// The longest round trip of a second.
    pub worst_rtt: Option<Duration>,
    /// Pictures of theirs that froze.
    pub freezes: u32,
    /// Seconds of pictures that their path was too narrow for.
    pub limited_s: u32,
}

/// What somebody publishes.
#[derive(Debug, Clone, PartialEq)]
pub struct PublicationReport {
    /// Which.
    pub id: PublicationId,
    /// Where it comes from.
    pub source: Source,
    /// As in `a=rtpmap`; `None` before its first packet.
    pub codec: Option<&'static str>,
    /// Nothing of it is forwarded.
    pub is_muted: bool,
    /// Of its packets of the last second, the share that did not come at first; 0–1.
    pub loss: f32,
    /// Its encodings; the spatial layers of one that has more than one.
    pub layers: Vec<LayerReport>,
}

/// One encoding of a publication, or a spatial layer of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerReport {
    /// The encoding's name; `None` where there is one.
    pub rid: Option<Rid>,
    /// The spatial layer within it, 0 the smallest.
    pub spatial: u8,
    /// What it takes, with the spatial layers that it rests on.
    pub bitrate: Bitrate,
    /// Pictures in a second.
    pub fps: u8,
    /// The size of its pictures in pixels; 0 where it is not known.
    pub size: (u16, u16),
    /// When its last key frame began to come.
    pub keyframe_at: Option<UnixMs>,
    /// Requests for a key frame that its publisher was sent since the last one came.
    pub keyframe_requests: u32,
}

/// What a receiving m-line of somebody carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionReport {
    /// The m-line.
    pub mid: Mid,
    /// What it carries.
    pub publication: PublicationId,
    /// Whose that is.
    pub publisher: ParticipantId,
    /// Of pictures: the layer that is sent, 0 the smallest; `None` while nothing is sent.
    pub layer: Option<u8>,
    /// The one that is to be sent, from its next key frame on; `None` where none fits or is wanted.
    pub target: Option<SentLayer>,
    /// The size in which it is wanted, in pixels of the device; 0 for sound.
    pub wanted: (u16, u16),
    /// Of pictures: why less is sent than is wanted.
    pub limited_by: Option<LimitedBy>,
    /// Of pictures: since when layer and limit are these.
    pub since: Option<UnixMs>,
    /// Of pictures: frames that were sent in the last second.
    pub fps: u8,
    /// It is frozen now, as [`Sample::freezes`] has it.
    pub is_frozen: bool,
}

/// Something that changed for a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: UnixMs,
    /// What.
    pub what: Changed,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Another layer of a picture is to be sent.
    Layer {
        /// The m-line; `None` if it is no more.
        mid: Option<Mid>,
        /// From this.
        from: Option<SentLayer>,
        /// To this.
        to: Option<SentLayer>,
        /// What stands against more.
        why: Option<LimitedBy>,
    },
    /// A picture froze.
    Freeze {
        /// The m-line; `None` if it is no more.
        mid: Option<Mid>,
        /// What stood against more.
        why: Option<LimitedBy>,
    },
    /// Media goes over another protocol.
    Protocol {
        /// From this.
        from: Protocol,
        /// To this.
        to: Protocol,
    },
    /// Nothing was heard of them for some seconds.
    Interrupted,
    /// They were heard again.
    Recovered,
}

/// A layer as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentLayer {
    /// Among encodings, or within the only one; 0 the smallest.
    pub layer: u8,
    /// The highest temporal layer, 0 the slowest.
    pub temporal: u8,
}
