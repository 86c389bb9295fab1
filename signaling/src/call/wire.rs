//! From calls to the client protocol, and its ids back.

use super::core::effect::{
    CallError, EndReason, Entry, Joined, Push, Reply, RingOutcome, RingState, Ringing, Roster,
    Signal, Summary,
};
use crate::session::wire::error;
use kaiwa_common::error::Refusal;
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::{CALL_AUDIO_SLOTS, CALL_VIDEO_SLOTS};
use kaiwa_proto::client::v1 as wire;
use kaiwa_proto::client::v1::reply::Result as ReplyResult;
use kaiwa_sfu::control::{
    Answer, LimitedBy, ParticipantId, Publication, PublicationId, Quality, Rights, SfuError, Slot,
    Source, Wanted,
};
use kaiwa_sfu::core::negotiate::VideoCodec;
use kaiwa_sfu::unit::Mid;

/// A participant's id from its text.
#[must_use]
pub fn participant(text: &str) -> Option<ParticipantId> {
    number(text.strip_prefix("p_")?).map(ParticipantId)
}

/// A publication's id from its text.
#[must_use]
pub fn publication(text: &str) -> Option<PublicationId> {
    number(text.strip_prefix("t_")?).map(PublicationId)
}

/// Hexadecimal as it is written: small, and without a sign or a zero in front.
fn number(text: &str) -> Option<u64> {
    let is_canonical = text == "0" || !text.starts_with('0');
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if !is_canonical || !text.bytes().all(is_digit) {
        return None;
    }
    u64::from_str_radix(text, 16).ok()
}

/// A source from the wire.
#[must_use]
pub fn source(source: wire::CallSource) -> Option<Source> {
    match source {
        wire::CallSource::Microphone => Some(Source::Microphone),
        wire::CallSource::Camera => Some(Source::Camera),
        wire::CallSource::Screen => Some(Source::Screen),
        wire::CallSource::ScreenAudio => Some(Source::ScreenAudio),
        wire::CallSource::Unspecified => None,
    }
}

/// A codec from the wire.
#[must_use]
pub fn video_codec(codec: wire::CallVideoCodec) -> Option<VideoCodec> {
    match codec {
        wire::CallVideoCodec::Vp8 => Some(VideoCodec::Vp8),
        wire::CallVideoCodec::Vp9 => Some(VideoCodec::Vp9),
        wire::CallVideoCodec::H264 => Some(VideoCodec::H264),
        wire::CallVideoCodec::Av1 => Some(VideoCodec::Av1),
        wire::CallVideoCodec::Unspecified => None,
    }
}

fn source_number(source: Source) -> i32 {
    match source {
        Source::Microphone => wire::CallSource::Microphone,
        Source::Camera => wire::CallSource::Camera,
        Source::Screen => wire::CallSource::Screen,
        Source::ScreenAudio => wire::CallSource::ScreenAudio,
    }
    .into()
}

/// A command's result.
#[must_use]
pub fn reply(result: Result<Reply, CallError>) -> ReplyResult {
    match result {
        Ok(Reply::Done) => ReplyResult::Done(wire::Done {}),
        Ok(Reply::Joined(joined)) => ReplyResult::CallJoined(call_joined(&joined)),
        Ok(Reply::Answer {
            room,
            answer,
            refused,
        }) => ReplyResult::CallAnswer(call_answer(&room, answer, &refused)),
        Err(refused) => ReplyResult::Error(error(&refused.into())),
    }
}

fn call_joined(joined: &Joined) -> wire::CallJoined {
    wire::CallJoined {
        room: joined.roster.room.to_string(),
        participant: joined.participant.to_string(),
        rights: Some(rights(joined.rights, joined.may_moderate)),
        roster: Some(roster(&joined.roster)),
        audio_slots: slots(joined.rights, CALL_AUDIO_SLOTS),
        video_slots: slots(joined.rights, CALL_VIDEO_SLOTS),
    }
}

/// Receiving m-lines that an offer should have.
fn slots(rights: Rights, count: u32) -> u32 {
    if rights.subscribe { count } else { 0 }
}

fn rights(rights: Rights, may_moderate: bool) -> wire::CallRights {
    let sources = [
        Source::Microphone,
        Source::Camera,
        Source::Screen,
        Source::ScreenAudio,
    ];
    let publish = sources.into_iter().filter(|s| rights.may_publish(*s));
    wire::CallRights {
        publish: publish.map(source_number).collect(),
        subscribe: rights.subscribe,
        moderate: may_moderate,
    }
}

fn call_answer(room: &RoomId, answer: Answer, refused: &[Mid]) -> wire::CallAnswer {
    let track = |mid: Mid, outcome: Result<PublicationId, SfuError>| wire::CallTrackAnswer {
        mid: mid.to_string(),
        outcome: Some(match outcome {
            Ok(id) => wire::call_track_answer::Outcome::Publication(id.to_string()),
            Err(why) => {
                let refusal = Refusal::from(CallError::from(why));
                wire::call_track_answer::Outcome::Error(error(&refusal))
            }
        }),
    };
    let forbidden = |mid: &Mid| track(*mid, Err(SfuError::Forbidden));
    let answered = answer
        .tracks
        .into_iter()
        .map(|(mid, result)| track(mid, result));
    wire::CallAnswer {
        room: room.to_string(),
        sdp: answer.sdp,
        tracks: answered.chain(refused.iter().map(forbidden)).collect(),
    }
}

/// A call in three numbers, for those who follow its room.
#[must_use]
pub fn summary(room: &RoomId, summary: Summary) -> wire::CallRoster {
    wire::CallRoster {
        room: room.to_string(),
        version: summary.version,
        count: summary.count,
        started_ms: summary.started.0,
        ..wire::CallRoster::default()
    }
}

/// Who is in a call, or what changed of it.
#[must_use]
pub fn roster(roster: &Roster) -> wire::CallRoster {
    let gone = |(id, reason): &(ParticipantId, EndReason)| wire::CallGone {
        participant: id.to_string(),
        reason: gone_reason(*reason).to_owned(),
    };
    wire::CallRoster {
        full: roster.is_full,
        participants: roster.entries.iter().map(entry).collect(),
        gone: roster.gone.iter().map(gone).collect(),
        ..summary(&roster.room, roster.summary)
    }
}

fn entry(entry: &Entry) -> wire::CallParticipant {
    let publication = |p: &Publication| wire::CallPublication {
        publication: p.id.to_string(),
        source: source_number(p.source),
        muted: p.is_muted,
        layers: p.layers.into(),
    };
    wire::CallParticipant {
        participant: entry.participant.to_string(),
        user: Some((&entry.user).into()),
        joined_ms: entry.joined.0,
        publications: entry.publications.iter().map(publication).collect(),
        interrupted: entry.is_interrupted,
    }
}

/// What others are told of somebody who is gone.
fn gone_reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Left | EndReason::Replaced => "left",
        EndReason::Removed | EndReason::NotAMember => "removed",
        EndReason::TimedOut => "timed_out",
        EndReason::Failed | EndReason::Server => "failed",
    }
}

/// What they are told themselves.
fn end_reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Left => "left",
        EndReason::Removed => "removed",
        EndReason::NotAMember => "not_a_member",
        EndReason::TimedOut => "timed_out",
        EndReason::Failed => "failed",
        EndReason::Server => "server",
        EndReason::Replaced => "replaced",
    }
}

/// A reliable push.
#[must_use]
pub fn push(push: &Push) -> wire::push::Push {
    match push {
        Push::Roster(changes) => wire::push::Push::CallRoster(roster(changes)),
        Push::Slots {
            room,
            slots,
            wanted,
        } => wire::push::Push::CallSlots(call_slots(room, slots, *wanted)),
        Push::Ringing(ring) => wire::push::Push::CallRinging(ringing(ring)),
        Push::Rights {
            room,
            participant,
            rights: now,
            may_moderate,
        } => wire::push::Push::CallRightsChanged(wire::CallRightsChanged {
            room: room.to_string(),
            participant: participant.to_string(),
            rights: Some(rights(*now, *may_moderate)),
            audio_slots: slots(*now, CALL_AUDIO_SLOTS),
            video_slots: slots(*now, CALL_VIDEO_SLOTS),
        }),
        Push::Ended {
            room,
            participant,
            reason,
        } => wire::push::Push::CallEnded(wire::CallEnded {
            room: room.to_string(),
            participant: participant.to_string(),
            reason: end_reason(*reason).to_owned(),
        }),
    }
}

fn call_slots(
    room: &RoomId,
    slots: &[(Slot, Option<ParticipantId>)],
    wanted: Wanted,
) -> wire::CallSlots {
    let slot = |(slot, owner): &(Slot, Option<ParticipantId>)| wire::CallSlot {
        mid: slot.mid.to_string(),
        publication: slot
            .publication
            .map(|id| id.to_string())
            .unwrap_or_default(),
        participant: owner.map(|id| id.to_string()).unwrap_or_default(),
        layer: slot.layer.map_or(0, |layer| u32::from(layer) + 1),
        limited_by: slot.limited_by.map_or("", limited_by).to_owned(),
    };
    wire::CallSlots {
        room: room.to_string(),
        slots: slots.iter().map(slot).collect(),
        want_audio: wanted.audio.into(),
        want_video: wanted.video.into(),
    }
}

fn limited_by(limit: LimitedBy) -> &'static str {
    match limit {
        LimitedBy::Bandwidth => "bandwidth",
        LimitedBy::Publisher => "publisher",
        LimitedBy::Muted => "muted",
        LimitedBy::Codec => "codec",
    }
}

/// A ring.
#[must_use]
pub fn ringing(ring: &Ringing) -> wire::CallRinging {
    let mut told = wire::CallRinging {
        room: ring.room.to_string(),
        from: Some((&ring.from).into()),
        ..wire::CallRinging::default()
    };
    match &ring.state {
        RingState::Rings(until) => told.until_ms = until.0,
        RingState::Over(outcome, user) => {
            told.outcome = match outcome {
                RingOutcome::Answered => "answered",
                RingOutcome::Declined => "declined",
                RingOutcome::Cancelled => "cancelled",
                RingOutcome::TimedOut => "timed_out",
            }
            .to_owned();
            told.user = user.as_ref().map(wire::User::from);
        }
    }
    told
}

/// A signal.
#[must_use]
pub fn signal(signal: &Signal) -> wire::push::Push {
    match signal {
        Signal::Speakers {
            room,
            speakers,
            active,
        } => {
            let speakers = speakers.iter().map(|speaker| wire::CallSpeaker {
                participant: speaker.participant.to_string(),
                level: speaker.level.into(),
            });
            wire::push::Push::CallSpeakers(wire::CallSpeakers {
                room: room.to_string(),
                speakers: speakers.collect(),
                active: active.map(|id| id.to_string()).unwrap_or_default(),
            })
        }
        Signal::Quality { room, qualities } => {
            let participants = qualities
                .iter()
                .map(|(id, how)| wire::CallParticipantQuality {
                    participant: id.to_string(),
                    quality: quality(*how).to_owned(),
                });
            wire::push::Push::CallQuality(wire::CallQuality {
                room: room.to_string(),
                participants: participants.collect(),
            })
        }
    }
}

fn quality(quality: Quality) -> &'static str {
    match quality {
        Quality::Good => "good",
        Quality::Fair => "fair",
        Quality::Poor => "poor",
        Quality::Lost => "lost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_as_they_were_written_and_in_no_other_form() {
        for id in [0, 1, 0xabc, u64::MAX] {
            let (p, t) = (ParticipantId(id), PublicationId(id));
            assert_eq!(participant(&p.to_string()), Some(p));
            assert_eq!(publication(&t.to_string()), Some(t));
        }
        for wrong in [
            "",
            "p_",
            "t_1",
            "p_+1",
            "p_01",
            "p_A",
            "p_-1",
            "p_1 ",
            "p_10000000000000000",
        ] {
            assert_eq!(participant(wrong), None, "{wrong}");
        }
    }
}
