//! A packet as it leaves: its size, its header, and what follows it.

use super::Way;
use crate::core::forward::Rewrite;
use crate::core::redundancy::{self, RedPlan};
use crate::core::ring::{Coding, Meta};
use crate::packet::{Body, Described, Form, Outgoing, Pictures};
use crate::peer::Peer;
use crate::peer::outflow::Queued;
use crate::peer::slot::SendSlot;
use crate::shard::Sink;
use crate::table::Table;
use crate::track::Track;
use crate::unit::MediaKind;
use crate::wire::red::MAX_REDUNDANT;
use crate::wire::rtp;

/// Packets before it that go along with a payload as redundancy. Two bring one in ten losses down to one
/// in a thousand, for three times the bytes of a voice.
const REDUNDANT: usize = if MAX_REDUNDANT < 2 { MAX_REDUNDANT } else { 2 };

/// Padding of a packet that fills in a number, in bytes.
const FILL: u8 = 1;

impl Peer {
    /// The datagram's bytes for a payload.
    pub(super) fn bytes_of(&self, at: usize, payload: usize) -> u16 {
        let overhead = self
            .transport
            .secure
            .as_ref()
            .map_or(0, |secure| secure.sealer.profile().rtp_overhead());
        let header = self
            .slots
            .get(at)
            .and_then(Option::as_ref)
            .map_or(0, |slot| slot.header.header_len());
        u16::try_from(header + payload + overhead).unwrap_or(u16::MAX)
    }

    pub(super) fn size_of(&self, tracks: &Table<Track>, item: &Queued) -> Option<u16> {
        let slot = self.slots.get(item.slot)?.as_ref()?;
        let track = tracks.get(slot.track?)?;
        let (meta, _) = track.layer(item.layer)?.stream.get(item.seq)?;
        let descriptor = usize::from(meta.descriptor_len);
        Some(self.bytes_of(item.slot, descriptor + usize::from(meta.payload_len) + 2))
    }

    /// A packet of padding under a number that was left open.
    pub(super) fn fill(
        &mut self,
        way: &mut Way<'_, impl Sink>,
        at: usize,
        level: Option<rtp::AudioLevel>,
        rewrite: &Rewrite,
    ) {
        let bytes = usize::from(self.bytes_of(at, usize::from(FILL)));
        let number = self.outflow.on_sent(way.now, bytes);
        let Some(Some(slot)) = self.slots.get_mut(at) else {
            return;
        };
        slot.forwarder.handle_filled(rewrite.seq);
        let packet = Outgoing {
            header: &slot.header,
            fields: fields(slot, rewrite),
            values: values(number, level),
            index: rewrite.seq,
            ssrc: slot.ssrc,
            descriptor: None,
            body: Body::Padding(FILL),
        };
        self.transport.send_media(way.sink, &packet);
    }

    /// Writes, seals and puts a packet where it will be sent from.
    pub(super) fn send(
        &mut self,
        way: &mut Way<'_, impl Sink>,
        track: &Track,
        item: &Queued,
        meta: &Meta,
        payload: &[u8],
    ) {
        let descriptor_len = usize::from(meta.descriptor_len);
        let bytes = usize::from(self.bytes_of(item.slot, descriptor_len + payload.len()));
        let number = self.outflow.on_sent(way.now, bytes);
        let Some(Some(slot)) = self.slots.get_mut(item.slot) else {
            return;
        };
        let rewrite = &item.rewrite;
        slot.keyframe.handle_sent(way.now, rewrite.time);
        let pictures = pictures(meta, rewrite);
        let descriptor = described(track, item, &mut slot.tells_targets);
        let sent_as = slot.sends_as(track, meta.pt);
        let values = values(number, meta.level);
        if let Some(rtx_seq) = item.repair {
            let pt = sent_as.and_then(|sent_as| sent_as.rtx);
            let (Some(rtx), Some(payload_type)) = (&slot.rtx, pt) else {
                return;
            };
            let packet = Outgoing {
                header: &rtx.header,
                fields: rtp::Fields {
                    payload_type,
                    marker: rewrite.marker,
                    seq: rtx_seq.wire(),
                    time: rewrite.time,
                },
                values,
                index: rtx_seq,
                ssrc: rtx.ssrc,
                descriptor,
                body: Body::Repair(rewrite.seq.wire(), payload, pictures),
            };
            let sent = self.transport.send_media(way.sink, &packet);
            way.counts.repaired += u64::from(sent.is_some());
            return;
        }
        let body = match body(slot, track, item, meta, payload, pictures) {
            Some(body) => body,
            None => return,
        };
        let mut fields = fields(slot, rewrite);
        if let Some(sent_as) = sent_as.filter(|_| slot.kind == MediaKind::Video) {
            fields.payload_type = sent_as.pt;
        }
        // Sealed or not: a number is never given again that may have been.
        slot.forwarder.handle_sent(rewrite.seq, meta.payload_len);
        let packet = Outgoing {
            header: &slot.header,
            fields,
            values,
            index: rewrite.seq,
            ssrc: slot.ssrc,
            descriptor,
            body,
        };
        if self.transport.send_media(way.sink, &packet).is_some() {
            way.counts.forwarded += 1;
            if meta.starts_frame && meta.coding.spatial() == 0 {
                slot.watch.handle_frame(way.now);
            }
            slot.history
                .handle_sent(way.now, item.source, item.layer, item.seq, rewrite);
        }
    }
}

/// A packet's dependency descriptor as the subscriber sees it. Which decode targets are whole is told from when some
/// were not, and goes on being told: it holds until something else is (RTP Payload Format For AV1, A.8.3).
fn described<'a>(
    track: &'a Track,
    item: &Queued,
    tells_targets: &mut bool,
) -> Option<Described<'a>> {
    let frame = item.rewrite.frame?;
    let stream = &track.layer(item.layer)?.stream;
    let choice = item.rewrite.choice;
    let active = choice.and_then(|choice| stream.active(choice));
    *tells_targets |= active.is_some_and(|active| !active.is_all());
    Some(Described {
        bytes: stream.descriptor(item.seq),
        frame,
        active: active.filter(|_| *tells_targets),
    })
}

/// The numbers of a packet's picture as the subscriber sees them.
fn pictures(meta: &Meta, rewrite: &Rewrite) -> Option<Pictures> {
    let form = match meta.coding {
        Coding::Plain => return None,
        Coding::Vp8(_) => Form::Vp8,
        Coding::Layered(_) => Form::Vp9,
    };
    Some(Pictures {
        form,
        id: rewrite.picture_id?,
        tl0: rewrite.tl0.unwrap_or_default(),
    })
}

/// What follows the header of a slot's packet: for sound as the subscriber takes it.
fn body<'a>(
    slot: &SendSlot,
    track: &'a Track,
    item: &Queued,
    meta: &Meta,
    payload: &'a [u8],
    pictures: Option<Pictures>,
) -> Option<Body<'a>> {
    if slot.kind == MediaKind::Video {
        return Some(Body::Payload(payload, pictures));
    }
    if slot.red.is_none() {
        let primary = redundancy::primary(meta, payload).ok()?;
        return Some(Body::Payload(primary, None));
    }
    let stream = &track.layer(item.layer)?.stream;
    let plan = RedPlan {
        opus: slot.pt,
        redundant: REDUNDANT,
        oldest: slot.forwarder.oldest().unwrap_or(item.seq),
    };
    Some(Body::Red(stream, item.seq, plan))
}

fn fields(slot: &SendSlot, rewrite: &Rewrite) -> rtp::Fields {
    rtp::Fields {
        payload_type: slot.red.unwrap_or(slot.pt),
        marker: rewrite.marker,
        seq: rewrite.seq.wire(),
        time: rewrite.time,
    }
}

pub(super) fn values(transport_seq: u16, level: Option<rtp::AudioLevel>) -> rtp::Values {
    rtp::Values {
        transport_seq,
        abs_send_time: 0,
        audio_level: level,
    }
}
