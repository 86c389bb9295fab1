//! What becomes of each m-line of an offer.

use super::codecs::{self, Payload};
use super::extensions::{self, Way};
use super::{
    Config, Encoding, ExtensionIds, Line, MAX_ENCODINGS, MLine, MediaSource, NegotiateError,
    Receiving, Refusal, Rejection, Sending, SlotSources, State,
};
use crate::control::{Rights, Track};
use crate::unit::{MediaKind, Mid, Ssrc};
use crate::wire::sdp::{
    Description, Extension, Media, Msid, Protocol, SectionKind, SimulcastStream, SourceGroup,
};

/// What an offer is judged by.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) offer: &'a Description,
    pub(super) tracks: &'a [Track],
    pub(super) rights: Rights,
    pub(super) config: Config,
}

/// An m-line, and what its answer needs besides.
pub(super) struct Decided {
    pub(super) mline: MLine,
    pub(super) payloads: Vec<Payload>,
    pub(super) extensions: Vec<Extension>,
    /// Also of an m-line that is not in use: the client gives up for good what an answer leaves out.
    pub(super) encodings: Vec<Encoding>,
}

/// Decides all m-lines, and notes in `next` what is agreed on with them.
pub(super) fn decide(scene: &Scene<'_>, next: &mut State) -> Result<Vec<Decided>, NegotiateError> {
    next.slots.keep(|mid| {
        let media = scene.offer.by_mid(mid);
        media.is_some_and(|media| !media.is_stopped())
    });
    let mut decided = Vec::with_capacity(scene.offer.media.len());
    for (index, media) in scene.offer.media.iter().enumerate() {
        let one = decide_one(scene, next, index, media)?;
        next.payload_types.agree(&one.payloads)?;
        next.extensions.agree(&one.extensions)?;
        decided.push(one);
    }
    for (media, one) in scene.offer.media.iter().zip(&decided) {
        if !one.mline.line.is_rejected() {
            next.extensions.check(media)?;
        }
    }
    check_sources(&decided)?;
    Ok(decided)
}

fn decide_one(
    scene: &Scene<'_>,
    next: &mut State,
    index: usize,
    media: &Media,
) -> Result<Decided, NegotiateError> {
    let kind = media_kind(media);
    let mline = |line| MLine {
        index,
        mid: media.mid,
        kind,
        line,
    };
    let reject = |why| {
        Ok(Decided {
            mline: mline(Line::Rejected(why)),
            payloads: Vec::new(),
            extensions: Vec::new(),
            encodings: Vec::new(),
        })
    };
    if media.is_stopped() {
        return reject(Rejection::Stopped);
    }
    let Some(kind) = kind else {
        return reject(Rejection::NotMedia);
    };
    if media.protocol != Protocol::Savpf {
        return reject(Rejection::Protocol);
    }
    let mut payloads = codecs::choose(kind, &media.formats, &scene.config.video_codecs);
    if payloads.is_empty() {
        return reject(Rejection::NoCommonCodec);
    }
    let mid = media.mid.ok_or(NegotiateError::NoMid { index })?;
    let before = next.lines.get(index).filter(|old| old.mid == Some(mid));
    let usage = usage(scene, media, mid, kind);
    let allows_mixed = media.allows_mixed_extensions || scene.offer.allows_mixed_extensions;
    let (ids, extensions) = extensions::choose(kind, usage.way(), media, allows_mixed);
    let encodings = encodings(media, &payloads, ids);
    let line = match usage {
        Usage::Publication(track) => {
            if scene.config.prefers_redundancy {
                codecs::prefer_redundancy(&mut payloads);
            }
            codecs::prefer(&mut payloads, &scene.config.video_codecs);
            Line::Receiving(Receiving {
                track: begun(track, before),
                payloads: payloads.clone(),
                extensions: ids,
                encodings: encodings.clone(),
                sources: sources(media, &payloads),
                has_reduced_size: media.has_rtcp_rsize,
            })
        }
        Usage::Slot => {
            let sources = next.slots.of(mid, |ssrc| is_clients(scene.offer, ssrc));
            Line::Sending(sending(media, mid, sources, &payloads, ids))
        }
        Usage::Nothing => Line::Inactive,
        Usage::Unwanted(refusal) => Line::Refused(refusal),
    };
    if let Some(before) = before {
        codecs::check_kept(payloads_of(&before.line), &payloads)?;
    }
    Ok(Decided {
        mline: mline(line),
        payloads,
        extensions,
        encodings,
    })
}

/// Sound or pictures, or neither.
pub(super) fn media_kind(media: &Media) -> Option<MediaKind> {
    match media.kind {
        SectionKind::Audio => Some(MediaKind::Audio),
        SectionKind::Video => Some(MediaKind::Video),
        SectionKind::Application | SectionKind::Other(_) => None,
    }
}

enum Usage {
    Publication(Track),
    Slot,
    Nothing,
    Unwanted(Refusal),
}

impl Usage {
    fn way(&self) -> Way {
        match self {
            Self::Publication(_) => Way::Receives,
            Self::Slot => Way::Sends,
            Self::Nothing | Self::Unwanted(_) => Way::Neither,
        }
    }
}

/// What the client may have of what it wants. In a `sendrecv` m-line it publishes, and nothing is sent.
fn usage(scene: &Scene<'_>, media: &Media, mid: Mid, kind: MediaKind) -> Usage {
    let rights = scene.rights;
    if media.direction.sends() {
        match scene.tracks.iter().find(|track| track.mid == mid) {
            None => Usage::Unwanted(Refusal::NotNamed),
            Some(track) if track.source.kind() != kind => Usage::Unwanted(Refusal::WrongKind),
            Some(track) if !rights.may_publish(track.source) => Usage::Unwanted(Refusal::Forbidden),
            Some(&track) => Usage::Publication(track),
        }
    } else if !media.direction.receives() {
        Usage::Nothing
    } else if rights.subscribe {
        Usage::Slot
    } else {
        Usage::Unwanted(Refusal::Forbidden)
    }
}

/// Whether a track begins muted was said when it began; later that is another command's.
fn begun(track: Track, before: Option<&MLine>) -> Track {
    match before.map(|old| &old.line) {
        Some(Line::Receiving(old)) if old.track.source == track.source => old.track,
        _ => track,
    }
}

fn payloads_of(line: &Line) -> &[Payload] {
    match line {
        Line::Receiving(receiving) => &receiving.payloads,
        Line::Sending(sending) => &sending.payloads,
        Line::Inactive | Line::Refused(_) | Line::Rejected(_) => &[],
    }
}

/// The offered simulcast: of each stream the first alternative that is declared and has a codec that is
/// forwarded (RFC 8853, section 5.3). None where both extensions are not there that tell them apart.
fn encodings(media: &Media, payloads: &[Payload], ids: ExtensionIds) -> Vec<Encoding> {
    if ids.mid.is_none() || ids.rid.is_none() {
        return Vec::new();
    }
    let is_usable = |stream: &&SimulcastStream| {
        let mut lines = media.rids.iter();
        lines.any(|line| {
            let mut formats = line.formats.iter();
            let has_format = line.formats.is_empty()
                || formats.any(|&pt| payloads.iter().any(|payload| payload.pt == pt));
            line.rid == stream.rid && line.is_sent && has_format
        })
    };
    let streams = media.simulcast.iter().flat_map(|simulcast| &simulcast.send);
    streams
        .filter_map(|choice| choice.iter().find(is_usable))
        .map(|stream| Encoding {
            rid: stream.rid,
            is_paused: stream.is_paused,
        })
        .take(MAX_ENCODINGS)
        .collect()
}

/// The announced sources of media, with those of their retransmissions. A simulcast without RIDs orders
/// its own (`SIM`).
fn sources(media: &Media, payloads: &[Payload]) -> Vec<MediaSource> {
    let groups = &media.source_groups;
    let layers = groups.iter().find_map(|group| match group {
        SourceGroup::Sim(layers) => Some(layers.clone()),
        SourceGroup::Fid { .. } | SourceGroup::FecFr { .. } => None,
    });
    let is_repair = |ssrc: Ssrc| {
        groups.iter().any(|group| match group {
            SourceGroup::Fid { rtx: repair, .. } | SourceGroup::FecFr { repair, .. } => {
                *repair == ssrc
            }
            SourceGroup::Sim(_) => false,
        })
    };
    let all = || media.sources.iter().map(|source| source.ssrc).collect();
    let primaries: Vec<Ssrc> = layers.unwrap_or_else(all);
    let has_rtx = payloads.iter().any(|payload| payload.rtx.is_some());
    let rtx_of = |ssrc: Ssrc| {
        groups.iter().find_map(|group| match group {
            SourceGroup::Fid { primary, rtx } if *primary == ssrc && has_rtx => Some(*rtx),
            SourceGroup::Fid { .. } | SourceGroup::FecFr { .. } | SourceGroup::Sim(_) => None,
        })
    };
    primaries
        .into_iter()
        .filter(|&ssrc| !is_repair(ssrc))
        .take(MAX_ENCODINGS)
        .map(|primary| MediaSource {
            primary,
            rtx: rtx_of(primary),
        })
        .collect()
}

fn sending(
    media: &Media,
    mid: Mid,
    (primary, rtx): (Ssrc, Ssrc),
    payloads: &[Payload],
    extensions: ExtensionIds,
) -> Sending {
    let has_rtx = payloads.iter().any(|payload| payload.rtx.is_some());
    Sending {
        sources: SlotSources {
            primary,
            rtx: has_rtx.then_some(rtx),
        },
        payloads: payloads.to_vec(),
        extensions,
        // A stream of its own for each: one in common would have the client delay sound until the
        // pictures of somebody else are there.
        msid: Msid {
            stream: format!("slot-{mid}"),
            track: Some(format!("track-{mid}")),
        },
        has_reduced_size: media.has_rtcp_rsize,
    }
}

fn is_clients(offer: &Description, ssrc: Ssrc) -> bool {
    let mut sources = offer.media.iter().flat_map(|media| &media.sources);
    sources.any(|source| source.ssrc == ssrc)
}

/// No two publications have a source in common.
fn check_sources(decided: &[Decided]) -> Result<(), NegotiateError> {
    let mut seen = std::collections::BTreeSet::new();
    for one in decided {
        let Line::Receiving(receiving) = &one.mline.line else {
            continue;
        };
        for source in &receiving.sources {
            for ssrc in [Some(source.primary), source.rtx].into_iter().flatten() {
                if !seen.insert(ssrc) {
                    return Err(NegotiateError::SourceTwice(ssrc));
                }
            }
        }
    }
    Ok(())
}
