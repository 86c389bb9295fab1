//! The contract with the rest of the house: commands in, events out, the same in one process and
//! between machines. Who a participant is, and what they may, is decided by the caller.

pub mod trace;

use crate::core::negotiate::VideoCodecs;
use crate::inspect::{Inspect, MediaSummary, RoomReport};
use crate::unit::{MediaKind, Mid};
use kaiwa_common::id::RoomId;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use trace::JoinTrace;

/// One person's part in one call, for as long as they are in it. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParticipantId(pub u64);

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p_{:x}", self.0)
    }
}

/// A track that is offered to a room. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicationId(pub u64);

impl fmt::Display for PublicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t_{:x}", self.0)
    }
}

/// Where a track comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A person's voice.
    Microphone,
    /// A person's picture.
    Camera,
    /// What is on a person's screen.
    Screen,
    /// The sound that belongs to it.
    ScreenAudio,
}

impl Source {
    /// Sound or pictures.
    #[must_use]
    pub fn kind(self) -> MediaKind {
        match self {
            Self::Microphone | Self::ScreenAudio => MediaKind::Audio,
            Self::Camera | Self::Screen => MediaKind::Video,
        }
    }
}

/// What a participant may do with media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// Publish sound from a microphone.
    pub microphone: bool,
    /// Publish pictures from a camera.
    pub camera: bool,
    /// Publish a screen and its sound.
    pub screen: bool,
    /// Receive what others publish.
    pub subscribe: bool,
}

impl Rights {
    /// Whether this source may be published.
    #[must_use]
    pub fn may_publish(self, source: Source) -> bool {
        match source {
            Source::Microphone => self.microphone,
            Source::Camera => self.camera,
            Source::Screen | Source::ScreenAudio => self.screen,
        }
    }
}

/// Enters a room. The room begins with its first participant and ends with its last.
#[derive(Debug, Clone)]
pub struct Join {
    /// The room.
    pub room: RoomId,
    /// Chosen by the caller.
    pub participant: ParticipantId,
    /// What they may.
    pub rights: Rights,
    /// Codecs of pictures, the most wanted first. Those that the server does not take are passed over; if none is left,
    /// and without any, the server's own list holds.
    pub video_codecs: Option<VideoCodecs>,
}

/// A client's session description, and what its sending m-lines are.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Whose.
    pub participant: ParticipantId,
    /// RFC 8866 text.
    pub sdp: String,
    /// What is published, by m-line. An m-line that sends and is not named here is refused.
    pub tracks: Vec<Track>,
}

/// What an m-line of an offer publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Track {
    /// The m-line.
    pub mid: Mid,
    /// Where it comes from.
    pub source: Source,
    /// Whether it begins muted.
    pub is_muted: bool,
}

/// The server's answer to an [`Offer`].
#[derive(Debug, Clone)]
pub struct Answer {
    /// RFC 8866 text, candidates included.
    pub sdp: String,
    /// The publications of the offer's tracks, in their order; or why one was refused.
    pub tracks: Vec<(Mid, Result<PublicationId, SfuError>)>,
    /// M-lines of sound and pictures that have no codec in common with this server, whichever way they go.
    pub without_codec: Vec<Mid>,
}

/// How a subscriber wants to see publications. What is not named has the defaults: audio is heard, unless
/// [`Hears::Named`], and video is not sent.
#[derive(Debug, Clone)]
pub struct Prefer {
    /// The subscriber.
    pub participant: ParticipantId,
    /// All of their wishes; replaces the earlier ones. By falling importance.
    pub wishes: Vec<Wish>,
    /// Whose sounds.
    pub hears: Hears,
}

/// Which sounds a subscriber is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hears {
    /// The loudest of all but those that a wish pauses.
    #[default]
    Everybody,
    /// Those that a wish names, and nobody else's: a bounded list of wishes could not name all others of a large call.
    Named,
}

/// How one publication is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Which.
    pub publication: PublicationId,
    /// The size at which it is shown, in pixels of the device. Ignored for sound.
    pub width: u16,
    /// See `width`.
    pub height: u16,
    /// Keep the slot and send nothing.
    pub is_paused: bool,
}

/// Stops or starts the forwarding of a publication, by its owner or a moderator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mute {
    /// Its owner.
    pub participant: ParticipantId,
    /// Which.
    pub publication: PublicationId,
    /// Whether nothing of it is to be forwarded.
    pub is_muted: bool,
}

/// A publication as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publication {
    /// Which.
    pub id: PublicationId,
    /// Whose.
    pub participant: ParticipantId,
    /// Where it comes from.
    pub source: Source,
    /// Nothing of it is forwarded.
    pub is_muted: bool,
    /// How many encodings it comes in; 1 without simulcast.
    pub layers: u8,
}

/// A receiving m-line of a subscriber and what it carries at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The m-line.
    pub mid: Mid,
    /// What it carries; `None` when it is free.
    pub publication: Option<PublicationId>,
    /// Of a video publication: the layer that is sent, 0 the smallest; `None` while nothing is sent.
    pub layer: Option<u8>,
    /// Why less is sent than was asked for.
    pub limited_by: Option<LimitedBy>,
}

/// Why less is sent than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitedBy {
    /// The path to the subscriber does not carry more.
    Bandwidth,
    /// The publisher does not send more.
    Publisher,
    /// Muted by its owner or a moderator.
    Muted,
    /// It comes in a codec, or a profile of one, that the subscriber has not negotiated.
    Codec,
}

impl LimitedBy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bandwidth, Self::Publisher, Self::Muted, Self::Codec];

    /// Its word, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::Publisher => "publisher",
            Self::Muted => "muted",
            Self::Codec => "codec",
        }
    }
}

/// How well media gets through, as people are shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    /// Nothing gets through.
    Lost,
    /// Bad to use.
    Poor,
    /// Usable, with losses.
    Fair,
    /// As it should be.
    Good,
}

impl Quality {
    /// All, the worst first.
    pub const ALL: [Self; 4] = [Self::Lost, Self::Poor, Self::Fair, Self::Good];

    /// Its word, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Poor => "poor",
            Self::Fair => "fair",
            Self::Good => "good",
        }
    }
}

/// Whether a participant's transport works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// ICE and DTLS are done, and consent is fresh.
    Connected,
    /// Nothing was heard for some seconds (RFC 7675).
    Interrupted,
}

/// Why a participant is no longer in the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoneReason {
    /// They left, or were made to by the caller.
    Left,
    /// Nothing was heard for too long.
    TimedOut,
    /// They never connected.
    NeverConnected,
    /// The DTLS handshake failed: a certificate that is not the offer's, or no common ground.
    HandshakeFailed,
    /// A fault of the SFU; the participant may join again.
    Fault,
}

/// How loud somebody speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaker {
    /// Who.
    pub participant: ParticipantId,
    /// −dBov, 0 (loudest) to 127 (silence), as in RFC 6464.
    pub level: u8,
}

/// What happened, told to the caller. For one room events come in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A publication appeared or changed.
    Published {
        /// In which room.
        room: RoomId,
        /// As it is now.
        publication: Publication,
    },
    /// A publication ended.
    Unpublished {
        /// In which room.
        room: RoomId,
        /// Which.
        publication: PublicationId,
        /// Whose.
        participant: ParticipantId,
    },
    /// What a subscriber's slots carry changed.
    Slots {
        /// Whose.
        participant: ParticipantId,
        /// All of them.
        slots: Vec<Slot>,
        /// Receiving m-lines that are missing: the client should offer this many more.
        wanted: Wanted,
    },
    /// Who is heard, at most every 300 ms and only on a change.
    Speakers {
        /// In which room.
        room: RoomId,
        /// Who speaks now, the loudest first.
        speakers: Vec<Speaker>,
        /// Who has the floor; stays through their pauses.
        active: Option<ParticipantId>,
    },
    /// How well a participant's media gets through, on a change.
    Quality {
        /// In which room.
        room: RoomId,
        /// Whose.
        participant: ParticipantId,
        /// Both ways together.
        quality: Quality,
    },
    /// A participant's transport works, or stopped to.
    Connectivity {
        /// In which room.
        room: RoomId,
        /// Whose.
        participant: ParticipantId,
        /// What it is now.
        connectivity: Connectivity,
    },
    /// A participant is no longer in the call.
    Gone {
        /// From which room.
        room: RoomId,
        /// Who.
        participant: ParticipantId,
        /// Why.
        reason: GoneReason,
        /// What was seen of their way in; `None` where a fault has cost it.
        trace: Option<Box<JoinTrace>>,
        /// How their media was; `None` where it was not noted.
        media: Option<Box<MediaSummary>>,
    },
}

/// Receiving m-lines that a client should add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// For sound.
    pub audio: u8,
    /// For pictures.
    pub video: u8,
}

/// Why the SFU refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SfuError {
    /// The description can't be read or is not one that can be answered.
    #[error("the offer can't be answered: {0}")]
    BadOffer(String),
    /// None of an m-line's codecs is forwarded here.
    #[error("no codec in common")]
    NoCommonCodec,
    /// The right to do it is missing.
    #[error("not allowed")]
    Forbidden,
    /// No such participant: they left, or were never there.
    #[error("no such participant")]
    NoSuchParticipant,
    /// No such publication in the room.
    #[error("no such publication")]
    NoSuchPublication,
    /// A bound is reached.
    #[error("at most {limit} {what}")]
    LimitReached {
        /// Of what, in the plural.
        what: &'static str,
        /// How many there may be.
        limit: u32,
    },
    /// The SFU stops or its queue is full; nothing happened.
    #[error("the SFU does not take commands now")]
    Unavailable,
}

/// A command's answer, later.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, SfuError>> + Send>>;

/// Commands. Those of one participant are carried out in the order in which they were given.
pub trait SfuControl: Send + Sync {
    /// Enters a room.
    fn join(&self, join: Join) -> Pending<()>;

    /// Changes what somebody may do. What they publish without the right ends; to use a right that they
    /// have gained, their client offers again.
    fn set_rights(&self, participant: ParticipantId, rights: Rights) -> Pending<()>;

    /// Leaves it; ends with [`Event::Gone`]. Leaving twice is no error.
    fn leave(&self, participant: ParticipantId) -> Pending<()>;

    /// Answers an offer, the first one or one of a renegotiation.
    fn offer(&self, offer: Offer) -> Pending<Answer>;

    /// Says how publications are wanted.
    fn prefer(&self, prefer: Prefer) -> Pending<()>;

    /// Mutes or unmutes.
    fn mute(&self, mute: Mute) -> Pending<()>;

    /// What was seen of somebody's way in until now.
    fn trace(&self, participant: ParticipantId) -> Pending<JoinTrace>;

    /// Says how media of a call's participants is and was. Of a room without a call there is nothing to say.
    fn inspect(&self, inspect: Inspect) -> Pending<RoomReport>;
}

/// Takes events. Called on media threads: it must return at once and never wait.
pub trait SfuEvents: Send + Sync {
    /// One event.
    fn handle(&self, event: Event);
}

/// Shared by whoever commands.
pub type Sfu = Arc<dyn SfuControl>;
