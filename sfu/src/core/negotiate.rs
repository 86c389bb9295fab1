//! Answers offers: JSEP (RFC 9429) for one client that always offers and a server that always answers.
//!
//! ```text
//!            handle_offer             handle_offer, same credentials: Kept
//!  (new) ───────────────► New ─────► ┌──────────────────────────────────┐
//!                                    └─ both credentials new: Restarted ┘
//! ```
//!
//! All media shares one transport (BUNDLE with `rtcp-mux`); the server is ICE-lite, and the passive side
//! of DTLS unless the client can only be that. An m-line in which the client sends is answered `recvonly` and is a publication's; one in
//! which it only receives is answered `sendonly` and is a slot, whose SSRCs stay the same for its life.
//! M-lines keep their place and mid, payload types and extension ids their meaning, or the offer is
//! refused; whatever the reason, a refused offer leaves the negotiation as it was.

mod answer;
mod codecs;
mod error;
mod extensions;
mod h264;
mod lines;
mod slots;
mod transport;

#[cfg(test)]
mod tests;

pub use codecs::{Av1, Codec, Opus, Payload, VideoCodec, VideoCodecs, payload_for};
pub use error::NegotiateError;
pub use h264::{H264, Packetization, Profile};
pub use slots::SlotSources;
pub use transport::{DtlsRole, IceCredentials, LocalParameters, Remote, TransportChange};

pub use crate::wire::rtp::ExtensionIds;

use crate::control::{Rights, Track};
use crate::unit::{MediaKind, Mid, Rid, Ssrc};
use crate::wire::sdp::{Description, Msid};
use codecs::PayloadTypes;
use extensions::Extensions;
use lines::Scene;
use slots::Slots;

/// The most encodings of one publication. Of more that are offered the first three are answered, and
/// the client sends no others.
pub const MAX_ENCODINGS: usize = 3;

/// What is fixed for a negotiation.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Of the answers' `o=` line; unlike other sessions', below 2^63 (RFC 9429, section 5.2.1).
    pub session_id: u64,
    /// SSRCs of slots are drawn from it; random, one for each negotiation.
    pub seed: u64,
    /// Ask publishers of sound for RED where they offer it, by naming it before Opus. Slots are not
    /// concerned: what is sent there is the sender's to choose.
    pub prefers_redundancy: bool,
    /// Codecs of pictures that are answered. Publishers are asked for the first that they have.
    pub video_codecs: VideoCodecs,
}

/// One client's negotiation, over its whole session.
#[derive(Debug)]
pub struct Negotiator {
    config: Config,
    state: State,
}

/// What one offer leaves for the next.
#[derive(Debug, Clone, Default)]
struct State {
    version: u64,
    lines: Vec<MLine>,
    slots: Slots,
    payload_types: PayloadTypes,
    extensions: Extensions,
    transport: Option<transport::Agreed>,
}

/// The outcome of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Text for the client (RFC 8866).
    pub answer: String,
    /// What this means for the transport.
    pub transport: TransportChange,
    /// The server's ICE credentials that are in force.
    pub local: IceCredentials,
    /// The client's side of the transport.
    pub remote: Remote,
    /// The server's part of DTLS, the same with each offer.
    pub role: DtlsRole,
    /// All m-lines in their order.
    pub lines: Vec<MLine>,
    /// What is different from the last offer: whatever ended, then the rest, each in the m-lines' order.
    pub changes: Vec<Change>,
}

/// What an offer changed about an m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A publication or slot is no more; this is what it was.
    Ended(MLine),
    /// The m-line with this index became a publication or slot.
    Began(usize),
    /// The publication or slot with this index is the same and has other parameters.
    Changed(usize),
}

/// One m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MLine {
    /// Its place, from 0.
    pub index: usize,
    /// Only a stopped m-line may have none.
    pub mid: Option<Mid>,
    /// `None` where it is neither sound nor pictures.
    pub kind: Option<MediaKind>,
    /// Its use.
    pub line: Line,
}

/// The use of an m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The client sends: a publication. Answered `recvonly`.
    Receiving(Receiving),
    /// The client only receives: a slot. Answered `sendonly`.
    Sending(Sending),
    /// The client wants nothing of it at present. Answered `inactive`. Firefox offers a camera's layers
    /// no more once it did this: to switch one off, a client takes its track away and goes on sending.
    Inactive,
    /// Not wanted at present. Answered `inactive`: a later offer may bring it into use.
    Refused(Refusal),
    /// Not in use any more, or never. Answered with port 0: the client may put another in its place.
    Rejected(Rejection),
}

impl Line {
    fn is_in_use(&self) -> bool {
        matches!(self, Self::Receiving(_) | Self::Sending(_))
    }

    fn is_rejected(&self) -> bool {
        matches!(self, Self::Rejected(_))
    }
}

/// Why an m-line is not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The client sends, and does not say what.
    #[error("it is not said what is published")]
    NotNamed,
    /// The client says that it is sound and it is pictures, or the other way round.
    #[error("the source is of another kind than the m-line")]
    WrongKind,
    /// The client may not publish this, or not receive.
    #[error("not allowed")]
    Forbidden,
}

/// Why an m-line is not in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The client stopped it.
    #[error("stopped by the client")]
    Stopped,
    /// It is neither sound nor pictures; data channels are not answered.
    #[error("neither sound nor pictures")]
    NotMedia,
    /// It is not RTP over DTLS with feedback.
    #[error("another protocol than UDP/TLS/RTP/SAVPF")]
    Protocol,
    /// It has none of the codecs that are forwarded.
    #[error("no codec in common")]
    NoCommonCodec,
}

/// A publication: what the client sends in an m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiving {
    /// As the client named it; whether it begins muted is of the offer in which it began.
    pub track: Track,
    /// What may come, the most wanted first. Not empty.
    pub payloads: Vec<Payload>,
    /// Header extensions that may come.
    pub extensions: ExtensionIds,
    /// The encodings of a simulcast by RID, in the client's order, at most [`MAX_ENCODINGS`]. Empty
    /// where there is one encoding, or several without RIDs: then `sources` has them.
    pub encodings: Vec<Encoding>,
    /// Sources that the client announces, at most [`MAX_ENCODINGS`]. Which one has which RID is not
    /// said; those that are not announced are known by their MID and RID. May be empty.
    pub sources: Vec<MediaSource>,
    /// RTCP to the client need not be compound (RFC 5506).
    pub has_reduced_size: bool,
}

/// One encoding of a simulcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// Its name.
    pub rid: Rid,
    /// The client does not send it at first.
    pub is_paused: bool,
}

/// A source of media, and where its retransmissions come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaSource {
    /// Media itself.
    pub primary: Ssrc,
    /// Its retransmissions (RFC 4588).
    pub rtx: Option<Ssrc>,
}

/// A slot: an m-line in which the server sends what it likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// Its SSRCs, for as long as its m-line is not stopped.
    pub sources: SlotSources,
    /// What may be sent, the client's favourite first. Not empty.
    pub payloads: Vec<Payload>,
    /// Header extensions that may be sent. RIDs may be among them, and nothing needs them here.
    pub extensions: ExtensionIds,
    /// The stream and track that the client shows for it.
    pub msid: Msid,
    /// RTCP to the client need not be compound (RFC 5506).
    pub has_reduced_size: bool,
}

impl Negotiator {
    /// Before the first offer.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let state = State {
            slots: Slots::new(config.seed),
            ..State::default()
        };
        Self { config, state }
    }

    /// Answers an offer. `tracks` names all that is published, by m-line, each time; `rights` are
    /// those of now.
    ///
    /// # Errors
    /// [`NegotiateError`]: why it can't be answered. Nothing changed, and the client may offer again.
    pub fn handle_offer(
        &mut self,
        offer: &Description,
        local: &LocalParameters,
        tracks: &[Track],
        rights: Rights,
    ) -> Result<Negotiated, NegotiateError> {
        check_tracks(offer, tracks)?;
        check_continuity(&self.state.lines, offer)?;
        let mut next = self.state.clone();
        let scene = Scene {
            offer,
            tracks,
            rights,
            config: self.config,
        };
        let decided = lines::decide(&scene, &mut next)?;
        let (tag, agreed, change) = transport::agree(&scene, &decided, local, &next.transport)?;
        next.version += 1;
        next.lines = decided.iter().map(|one| one.mline.clone()).collect();
        let answer = answer::Answer {
            config: self.config,
            version: next.version,
            offer,
            decided: &decided,
            tag,
            local,
            credentials: &agreed.local,
            role: agreed.role,
        };
        let negotiated = Negotiated {
            answer: answer.describe().to_string(),
            transport: change,
            local: agreed.local.clone(),
            remote: agreed.remote.clone(),
            role: agreed.role,
            changes: changes(&self.state.lines, &next.lines),
            lines: next.lines.clone(),
        };
        next.transport = Some(agreed);
        self.state = next;
        Ok(negotiated)
    }

    /// The right to what an m-line publishes was taken away: it is as if it had been refused. Should the
    /// right come back, the next offer begins another publication there.
    pub fn handle_forbidden(&mut self, mid: Mid) {
        let mut lines = self.state.lines.iter_mut();
        if let Some(line) = lines.find(|line| line.mid == Some(mid))
            && matches!(line.line, Line::Receiving(_))
        {
            line.line = Line::Refused(Refusal::Forbidden);
        }
    }

    /// The canonical name of all slots' sources, as in the answers and as SDES reports have to carry it
    /// (RFC 3550, section 6.5.1).
    #[must_use]
    pub fn cname(&self) -> String {
        answer::cname(self.config)
    }
}

/// Tracks name m-lines, and each one once.
fn check_tracks(offer: &Description, tracks: &[Track]) -> Result<(), NegotiateError> {
    for (at, track) in tracks.iter().enumerate() {
        if offer.by_mid(track.mid).is_none() {
            return Err(NegotiateError::UnknownTrack(track.mid));
        }
        if tracks.iter().take(at).any(|other| other.mid == track.mid) {
            return Err(NegotiateError::TrackTwice(track.mid));
        }
    }
    Ok(())
}

/// M-lines stay where they are; only a stopped one gives its place to another (RFC 9429, 5.2.2).
fn check_continuity(lines: &[MLine], offer: &Description) -> Result<(), NegotiateError> {
    let (had, has) = (lines.len(), offer.media.len());
    if has < had {
        return Err(NegotiateError::FewerLines { had, has });
    }
    for (old, new) in lines.iter().zip(&offer.media) {
        let index = old.index;
        let may_lack_mid = new.is_stopped() && new.mid.is_none();
        if old.line.is_rejected() || may_lack_mid {
            continue;
        }
        if new.mid != old.mid {
            return Err(NegotiateError::MidChanged { index });
        }
        if lines::media_kind(new) != old.kind {
            return Err(NegotiateError::KindChanged { index });
        }
    }
    Ok(())
}

fn changes(old: &[MLine], new: &[MLine]) -> Vec<Change> {
    let mut changes = Vec::new();
    let goes_on = |mline: &MLine| old.get(mline.index).is_some_and(|was| is_same(was, mline));
    for (was, is) in old.iter().zip(new) {
        if was.line.is_in_use() && !goes_on(is) {
            changes.push(Change::Ended(was.clone()));
        }
    }
    for is in new.iter().filter(|is| is.line.is_in_use()) {
        if !goes_on(is) {
            changes.push(Change::Began(is.index));
        } else if old.get(is.index) != Some(is) {
            changes.push(Change::Changed(is.index));
        }
    }
    changes
}

/// Whether it is the same publication or slot.
fn is_same(was: &MLine, is: &MLine) -> bool {
    let same_use = match (&was.line, &is.line) {
        (Line::Receiving(was), Line::Receiving(is)) => was.track.source == is.track.source,
        (Line::Sending(_), Line::Sending(_)) => true,
        _ => false,
    };
    same_use && was.mid == is.mid
}

/// For fuzzing: whatever text is offered is answered or refused, and an answer can be read.
///
/// # Panics
/// When it can't.
pub fn fuzz_offer(data: &[u8]) {
    use crate::control::Source;
    let Some(offer) = std::str::from_utf8(data)
        .ok()
        .and_then(|text| Description::parse(text).ok())
    else {
        return;
    };
    let mut negotiator = Negotiator::new(Config {
        session_id: 1,
        seed: 1,
        prefers_redundancy: true,
        video_codecs: VideoCodecs::default(),
    });
    let local = LocalParameters::sample();
    let rights = Rights {
        microphone: true,
        camera: true,
        screen: true,
        subscribe: true,
    };
    let track = |mid, kind| Track {
        mid,
        source: match kind {
            MediaKind::Audio => Source::Microphone,
            MediaKind::Video => Source::Camera,
        },
        is_muted: false,
    };
    let tracks: Vec<Track> = offer
        .media
        .iter()
        .filter_map(|media| Some(track(media.mid?, lines::media_kind(media)?)))
        .collect();
    if let Ok(first) = negotiator.handle_offer(&offer, &local, &tracks, rights) {
        Description::parse(&first.answer).expect("an answer is a description");
        let second = negotiator
            .handle_offer(&offer, &local, &tracks, rights)
            .expect("the same offer can be answered again");
        assert_eq!(second.changes, [], "nothing changed");
        assert_eq!(second.lines, first.lines);
    }
}
