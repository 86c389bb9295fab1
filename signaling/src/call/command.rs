//! What a client asks of calls, checked.

use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_sfu::control::{Hears, ParticipantId, PublicationId, Track, Wish};
use kaiwa_sfu::core::negotiate::VideoCodec;

/// A command of a connected client. Those of one session are taken in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Enters the room's call.
    Join {
        /// Which room's.
        room: RoomId,
        /// Which codecs of pictures the call should take, the most wanted first.
        video_codecs: Vec<VideoCodec>,
    },
    /// Leaves it.
    Leave {
        /// Which room's.
        room: RoomId,
    },
    /// Describes one's media.
    Offer {
        /// Which room's call.
        room: RoomId,
        /// RFC 8866 text; it names the addresses of its sender.
        sdp: Redacted<String>,
        /// What its sending m-lines publish.
        tracks: Vec<Track>,
    },
    /// Names an address of one's own. The SFU learns addresses from checks and needs none.
    Candidate {
        /// Which room's call.
        room: RoomId,
    },
    /// Says how publications are wanted.
    Prefer {
        /// Which room's call.
        room: RoomId,
        /// All wishes, by falling importance.
        wishes: Vec<Wish>,
        /// Whose sounds.
        hears: Hears,
    },
    /// Mutes or unmutes a publication.
    Mute {
        /// Which room's call.
        room: RoomId,
        /// Which.
        publication: PublicationId,
        /// Whether nothing of it is to be forwarded.
        is_muted: bool,
    },
    /// Ends somebody's part.
    Remove {
        /// Which room's call.
        room: RoomId,
        /// Whose.
        participant: ParticipantId,
    },
    /// Calls people to the call.
    Ring {
        /// Which room's call.
        room: RoomId,
        /// Whom; nobody for everybody else in a direct room.
        users: Vec<UserId>,
    },
    /// Says no to a ring.
    Decline {
        /// Of which room.
        room: RoomId,
    },
}
