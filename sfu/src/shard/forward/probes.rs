//! What is sent beyond media, to see whether it gets through.

use super::{Way, write};
use crate::packet::{Body, Outgoing};
use crate::peer::Peer;
use crate::peer::outflow::Queued;
use crate::peer::slot::SendSlot;
use crate::shard::Sink;
use crate::table::Table;
use crate::track::Track;
use crate::unit::{ExtSeqNo, MediaKind, RtpTime};
use crate::wire::rtp;

impl Peer {
    /// As many packets as make up so many bytes: one of padding is small (RFC 3550, section 5.1, has a
    /// byte for its length), and what is not sent shows nothing of the path.
    pub(super) fn send_probes(
        &mut self,
        way: &mut Way<'_, impl Sink>,
        tracks: &Table<Track>,
        bytes: u16,
    ) {
        let mut left = bytes;
        while left > 0 {
            let Some(sent) = self.send_probe(way, tracks, left) else {
                return self.outflow.cancel_probe(way.now);
            };
            left = left.saturating_sub(sent.max(1));
        }
    }

    /// Something that the subscriber can do without, to see whether it gets through: the newest packet
    /// again over RTX where that is large enough, else padding there; without RTX, padding on a slot that
    /// carries no picture at present.
    pub(super) fn send_probe(
        &mut self,
        way: &mut Way<'_, impl Sink>,
        tracks: &Table<Track>,
        bytes: u16,
    ) -> Option<u16> {
        let has_rtx = |slot: &Option<SendSlot>| slot.as_ref().is_some_and(|s| s.rtx.is_some());
        let Some(any) = self.slots.iter().position(has_rtx) else {
            return self.pad_idle(way, bytes);
        };
        let mut slots = self.slots.iter().enumerate();
        let carries = |slot: &SendSlot| slot.rtx.is_some() && slot.forwarder.sent().packets > 0;
        let sending = slots.find(|(_, slot)| slot.as_ref().is_some_and(carries));
        let at = sending.map_or(any, |(at, _)| at);
        let slot = self.slots.get_mut(at)?.as_mut()?;
        let item = slot.history.poll_probe().map(|resend| Queued {
            slot: at,
            source: resend.source,
            layer: resend.layer,
            seq: resend.source_seq,
            rewrite: resend.rewrite,
            repair: Some(resend.rtx_seq),
        });
        if let Some(item) = item {
            let size = self.size_of(tracks, &item).unwrap_or_default();
            if size * 2 >= bytes {
                self.send_queued(way, tracks, &item);
                return Some(size);
            }
            let (seq, time) = (item.repair.unwrap_or(item.seq), item.rewrite.time);
            return self.pad(way, at, (seq, time), bytes);
        }
        let seq = slot.history.take_padding();
        self.pad(way, at, (seq, RtpTime(0)), bytes)
    }

    /// Padding on the source of a slot for pictures that carries none at present.
    pub(super) fn pad_idle(&mut self, way: &mut Way<'_, impl Sink>, bytes: u16) -> Option<u16> {
        let taken = self.slots.iter_mut().enumerate().find_map(|(at, slot)| {
            let slot = slot.as_mut().filter(|slot| slot.kind == MediaKind::Video)?;
            Some((at, slot.forwarder.take_padding()?))
        });
        let (at, number) = taken?;
        self.pad(way, at, number, bytes)
    }

    /// A packet of nothing but padding, of about so many bytes if it can be that long, on a slot's RTX
    /// source or its own if it has none. Returns its length.
    pub(super) fn pad(
        &mut self,
        way: &mut Way<'_, impl Sink>,
        at: usize,
        (seq, time): (ExtSeqNo, RtpTime),
        bytes: u16,
    ) -> Option<u16> {
        let padding = bytes.saturating_sub(self.bytes_of(at, 0));
        let padding = u8::try_from(padding.max(1)).unwrap_or(u8::MAX);
        let bytes = self.bytes_of(at, padding.into());
        let slot = self.slots.get(at)?.as_ref()?;
        let (header, payload_type, ssrc) = match &slot.rtx {
            Some(rtx) => (&rtx.header, rtx.pt, rtx.ssrc),
            None => (&slot.header, slot.pt, slot.ssrc),
        };
        let number = self.outflow.on_sent(way.now, bytes.into());
        let packet = Outgoing {
            header,
            fields: rtp::Fields {
                payload_type,
                marker: false,
                seq: seq.wire(),
                time,
            },
            values: write::values(number, None),
            index: seq,
            ssrc,
            descriptor: None,
            body: Body::Padding(padding),
        };
        self.transport.send_media(way.sink, &packet)?;
        Some(bytes)
    }
}
