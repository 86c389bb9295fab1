//! Commands of calls, checked.

use super::{Request, invalid, room, user};
use crate::call::command::Command as CallCommand;
use crate::call::wire::{participant, publication, source, video_codec};
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::limits::{
    CALL_CANDIDATE_BYTES, CALL_PREFERENCES, CALL_RING_USERS, CALL_SDP_BYTES, CALL_TRACKS,
};
use kaiwa_common::redact::Redacted;
use kaiwa_proto::client::v1 as wire;
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_sfu::control::{Hears, ParticipantId, PublicationId, Track, Wish};
use kaiwa_sfu::unit::Mid;
use std::collections::BTreeSet;

/// Checks a command of calls.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "`super::parse` names each command that it sends here"
)]
pub(super) fn parse(command: Command) -> Result<Request, Refusal> {
    let call = match command {
        Command::CallGet(c) => return Ok(Request::CallGet(room(&c.room)?)),
        Command::CallJoin(c) => CallCommand::Join {
            room: room(&c.room)?,
            video_codecs: c.video_codecs().filter_map(video_codec).collect(),
        },
        Command::CallLeave(c) => CallCommand::Leave {
            room: room(&c.room)?,
        },
        Command::CallOffer(c) => offer(c)?,
        Command::CallCandidate(c) => candidate(&c)?,
        Command::CallPrefer(c) => prefer(&c)?,
        Command::CallMute(c) => CallCommand::Mute {
            room: room(&c.room)?,
            publication: publication_id(&c.publication)?,
            is_muted: c.muted,
        },
        Command::CallRemove(c) => CallCommand::Remove {
            room: room(&c.room)?,
            participant: participant_id(&c.participant)?,
        },
        Command::CallRing(c) => {
            bounded("users", c.users.len(), CALL_RING_USERS)?;
            let users = c.users.iter().map(|id| user(id));
            CallCommand::Ring {
                room: room(&c.room)?,
                users: users.collect::<Result<_, _>>()?,
            }
        }
        Command::CallDecline(c) => CallCommand::Decline {
            room: room(&c.room)?,
        },
        _ => unreachable!("`super::parse` sends only commands of calls here"),
    };
    Ok(Request::Call(call))
}

fn offer(c: wire::CallOffer) -> Result<CallCommand, Refusal> {
    if c.sdp.len() > CALL_SDP_BYTES {
        let text = "the description is too long: offer fewer codecs";
        return Err(Refusal::new(ErrorCode::TooLarge, text).with("limit", CALL_SDP_BYTES));
    }
    if c.sdp.is_empty() {
        return Err(invalid("sdp", "a session description"));
    }
    bounded("tracks", c.tracks.len(), CALL_TRACKS)?;
    let tracks: Vec<Track> = c.tracks.iter().map(track).collect::<Result<_, _>>()?;
    let mids: BTreeSet<Mid> = tracks.iter().map(|track| track.mid).collect();
    if mids.len() < tracks.len() {
        return Err(invalid("tracks", "each m-line once"));
    }
    Ok(CallCommand::Offer {
        room: room(&c.room)?,
        sdp: Redacted(c.sdp),
        tracks,
    })
}

fn track(track: &wire::CallTrack) -> Result<Track, Refusal> {
    let names = "microphone, camera, screen or screen audio";
    Ok(Track {
        mid: mid(&track.mid)?,
        source: source(track.source()).ok_or_else(|| invalid("source", names))?,
        is_muted: track.muted,
    })
}

/// Read and checked, and not used: the SFU learns addresses from checks.
fn candidate(c: &wire::CallCandidate) -> Result<CallCommand, Refusal> {
    if c.candidate.len() > CALL_CANDIDATE_BYTES {
        let refusal = Refusal::new(ErrorCode::TooLarge, "the candidate is too long");
        return Err(refusal.with("limit", CALL_CANDIDATE_BYTES));
    }
    let is_text = c
        .candidate
        .bytes()
        .all(|b| b == b' ' || b.is_ascii_graphic());
    let is_candidate = c.candidate.is_empty() || c.candidate.starts_with("candidate:");
    if !is_text || !is_candidate {
        return Err(invalid("candidate", "`candidate:…`, or nothing at the end"));
    }
    if !c.mid.is_empty() {
        mid(&c.mid)?;
    }
    Ok(CallCommand::Candidate {
        room: room(&c.room)?,
    })
}

fn prefer(c: &wire::CallPrefer) -> Result<CallCommand, Refusal> {
    bounded("preferences", c.preferences.len(), CALL_PREFERENCES)?;
    let side = |field, pixels: u32| {
        u16::try_from(pixels).map_err(|_| invalid(field, "at most 65535 pixels"))
    };
    let wish = |wish: &wire::CallPreference| {
        Ok(Wish {
            publication: publication_id(&wish.publication)?,
            width: side("width", wish.width)?,
            height: side("height", wish.height)?,
            is_paused: wish.paused,
        })
    };
    let wishes: Vec<Wish> = c
        .preferences
        .iter()
        .map(wish)
        .collect::<Result<_, Refusal>>()?;
    let named: BTreeSet<PublicationId> = wishes.iter().map(|wish| wish.publication).collect();
    if named.len() < wishes.len() {
        return Err(invalid("preferences", "each publication once"));
    }
    Ok(CallCommand::Prefer {
        room: room(&c.room)?,
        wishes,
        hears: Hears::Everybody,
    })
}

fn bounded(field: &'static str, len: usize, limit: usize) -> Result<(), Refusal> {
    if len <= limit {
        return Ok(());
    }
    Err(invalid(field, "too many").with("limit", limit))
}

fn mid(text: &str) -> Result<Mid, Refusal> {
    let rule = "1 to 16 printable ASCII characters without a space";
    Mid::parse(text.as_bytes()).ok_or_else(|| invalid("mid", rule))
}

fn publication_id(text: &str) -> Result<PublicationId, Refusal> {
    publication(text).ok_or_else(|| invalid("publication", "`t_…` as it was told"))
}

fn participant_id(text: &str) -> Result<ParticipantId, Refusal> {
    participant(text).ok_or_else(|| invalid("participant", "`p_…` as it was told"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(command: Command) -> (ErrorCode, String) {
        let refusal = parse(command).expect_err("a refusal");
        let field = refusal.details.iter().find(|(key, _)| *key == "field");
        (
            refusal.code,
            field.map(|(_, v)| v.clone()).unwrap_or_default(),
        )
    }

    fn offer_of(sdp: &str, mids: &[&str]) -> Command {
        let track = |mid: &&str| wire::CallTrack {
            mid: (*mid).to_owned(),
            source: wire::CallSource::Camera.into(),
            muted: false,
        };
        Command::CallOffer(wire::CallOffer {
            room: "r_1".to_owned(),
            sdp: sdp.to_owned(),
            tracks: mids.iter().map(track).collect(),
        })
    }

    #[test]
    fn an_offer_is_bounded_in_bytes_and_tracks_and_names_each_line_once() {
        use ErrorCode::{InvalidArgument, TooLarge};
        assert!(parse(offer_of(&"v".repeat(CALL_SDP_BYTES), &["0", "1"])).is_ok());
        let long = code(offer_of(&"v".repeat(CALL_SDP_BYTES + 1), &[]));
        assert_eq!(long.0, TooLarge);
        let field = |command| code(command).1;
        assert_eq!(field(offer_of("", &[])), "sdp");
        assert_eq!(field(offer_of("v", &["0", "0"])), "tracks");
        assert_eq!(field(offer_of("v", &["a b"])), "mid");
        assert_eq!(field(offer_of("v", &["0"; CALL_TRACKS + 1])), "tracks");
        let unknown = Command::CallOffer(wire::CallOffer {
            room: "r_1".to_owned(),
            sdp: "v".to_owned(),
            tracks: vec![wire::CallTrack {
                mid: "0".to_owned(),
                source: 77,
                muted: false,
            }],
        });
        assert_eq!(code(unknown), (InvalidArgument, "source".to_owned()));
    }

    #[test]
    fn wrong_ids_and_sizes_name_their_field() {
        let prefer = |id: &str, width| {
            Command::CallPrefer(wire::CallPrefer {
                room: "r_1".to_owned(),
                preferences: vec![wire::CallPreference {
                    publication: id.to_owned(),
                    width,
                    height: 1,
                    paused: false,
                }],
            })
        };
        assert_eq!(code(prefer("p_1", 1)).1, "publication");
        assert_eq!(code(prefer("t_1", 65_536)).1, "width");
        assert!(parse(prefer("t_1", 65_535)).is_ok());
        let remove = wire::CallRemove {
            room: "r_1".to_owned(),
            participant: "alice".to_owned(),
        };
        assert_eq!(code(Command::CallRemove(remove)).1, "participant");
        let ring = wire::CallRing {
            room: "r_1".to_owned(),
            users: vec!["a".to_owned(); CALL_RING_USERS + 1],
        };
        assert_eq!(code(Command::CallRing(ring)).1, "users");
    }

    #[test]
    fn a_candidate_is_text_of_its_kind_or_nothing() {
        let candidate = |text: &str| {
            parse(Command::CallCandidate(wire::CallCandidate {
                room: "r_1".to_owned(),
                candidate: text.to_owned(),
                mid: "0".to_owned(),
            }))
        };
        for fine in ["", "candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host"] {
            assert!(candidate(fine).is_ok(), "{fine}");
        }
        for wrong in ["typ host", "candidate:\n", &"candidate:".repeat(60)] {
            assert!(candidate(wrong).is_err(), "{wrong}");
        }
    }
}
