//! Media in: RTP from a publisher into its layers' rings.

use super::receive::When;
use super::{Shard, Sink};
use crate::core::negotiate::Codec;
use crate::core::receive::Arrival;
use crate::core::redundancy;
use crate::core::ring::Format;
use crate::peer::Peer;
use crate::peer::inbound::Carries;
use crate::peer::transport::Path;
use crate::table::Key;
use crate::track::{Fresh, Track};
use crate::unit::MediaKind;
use crate::wire::rtp::{Extensions, Header};
use crate::wire::{av1, h264, rtx, vp8, vp9};
use std::time::Instant;

/// An RTP packet that is authentic.
struct Packet<'a> {
    header: Header,
    extensions: Extensions,
    payload: &'a [u8],
    /// Its dependency descriptor; empty where it has none.
    descriptor: &'a [u8],
    wire_bytes: u16,
}

impl<'a> Packet<'a> {
    /// Its dependency descriptor, if it is gone by: VP8's own says more, since its numbers may have no gaps.
    fn descriptor_of(&self, codec: Codec) -> &'a [u8] {
        if codec == Codec::Vp8 {
            &[]
        } else {
            self.descriptor
        }
    }
}

impl<S: Sink> Shard<S> {
    /// Takes an RTP datagram of a peer. False when it is of no use.
    pub(super) fn take_rtp(
        &mut self,
        When { now, came }: When,
        key: Key<Peer>,
        path: Path,
        bytes: &mut [u8],
    ) -> bool {
        let wire_bytes = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        let Ok(header) = Header::parse(bytes) else {
            return false;
        };
        let Some(peer) = self.peers.get_mut(key) else {
            return false;
        };
        let Some(secure) = &mut peer.transport.secure else {
            return false;
        };
        let opened = secure
            .opener
            .open_rtp(bytes, header.header_len, header.ssrc, header.seq);
        let Ok((_, plain_len)) = opened else {
            return false;
        };
        peer.transport.handle_authentic(now, path);
        peer.counted.received_bytes += u64::from(wire_bytes);
        let plain = bytes.get(..plain_len).unwrap_or_default();
        let extensions = Extensions::read(&peer.inbound.ids, &header, plain);
        let descriptor_id = peer.inbound.ids.dependency_descriptor;
        if let Some(number) = extensions.transport_seq {
            peer.inbound.handle_arrival(came, number);
        }
        if let Some(due) = peer.inbound.feedback_due() {
            self.schedule(key, due);
        }
        let Ok(payload) = header.payload(plain) else {
            return false;
        };
        let packet = Packet {
            header,
            extensions,
            payload,
            descriptor: descriptor_id.map_or(&[], |id| header.element(plain, Some(id))),
            wire_bytes,
        };
        match self.carried(key, &packet) {
            Some(Carries::Media(track, layer)) => self.take_media(now, track, layer, &packet),
            Some(Carries::Rtx(track, layer)) => self.take_repair(now, track, layer, &packet),
            None => false,
        }
    }

    /// What a packet's SSRC carries; learned from its MID and RID when it is new.
    fn carried(&mut self, key: Key<Peer>, packet: &Packet<'_>) -> Option<Carries> {
        let ssrc = packet.header.ssrc;
        let peer = self.peers.get_mut(key)?;
        if let Some(known) = peer.inbound.find(ssrc) {
            return Some(known);
        }
        let pt = packet.header.payload_type;
        let extensions = &packet.extensions;
        let ended = peer
            .inbound
            .ended(ssrc)
            .filter(|_| extensions.mid.is_none());
        let mid = extensions.mid.or(ended.map(|(mid, _)| mid));
        let track_key = match mid {
            Some(mid) => peer.tracks.iter().find(|(of, _)| *of == mid)?.1,
            // Without a name it can only be the one track that has such packets.
            None => self.only_track(key, packet)?,
        };
        let track = self.tracks.get_mut(track_key)?;
        let carries = if let Some((_, carried)) = ended {
            carried.of(track_key, track)?
        } else if track.is_rtx(pt) {
            let layer = track.layer_of(extensions.rrid.or(extensions.rid))?;
            Carries::Rtx(track_key, layer)
        } else {
            track.codec(pt)?;
            let layer = track.layer_of(extensions.rid)?;
            Carries::Media(track_key, layer)
        };
        let peer = self.peers.get_mut(key)?;
        if !peer.inbound.learn(ssrc, carries) {
            return None;
        }
        // Requests go to it from now on: not to one that was refused.
        if let Carries::Media(_, layer) = carries
            && let Some(layer) = self.tracks.get_mut(track_key)?.layer_mut(layer)
        {
            layer.ssrc = Some(ssrc);
        }
        Some(carries)
    }

    fn only_track(&self, key: Key<Peer>, packet: &Packet<'_>) -> Option<Key<Track>> {
        let pt = packet.header.payload_type;
        let peer = self.peers.get(key)?;
        let mut fitting = peer.tracks.iter().filter(|(_, track)| {
            let track = self.tracks.get(*track);
            track.is_some_and(|track| track.codec(pt).is_some() || track.is_rtx(pt))
        });
        let (_, first) = fitting.next()?;
        fitting.next().is_none().then_some(*first)
    }

    fn take_media(
        &mut self,
        now: Instant,
        key: Key<Track>,
        layer: u8,
        packet: &Packet<'_>,
    ) -> bool {
        let Some(track) = self.tracks.get_mut(key) else {
            return false;
        };
        let pt = packet.header.payload_type;
        let Some(codec) = track.codec(pt) else {
            return false;
        };
        track.sent_as = Some(pt);
        let mut arrival = arrival(codec, packet, packet.payload);
        let Some(at) = track.layer_mut(layer) else {
            return false;
        };
        let descriptor = packet.descriptor_of(codec);
        at.stream.describe(&mut arrival, descriptor);
        let taken = at
            .stream
            .handle_described(now, &arrival, packet.payload, descriptor);
        let Ok(seq) = taken else {
            return true;
        };
        let is_keyframe = arrival.keyframe.is_some();
        if is_keyframe {
            at.keyframes.handle_keyframe();
        }
        let recovered = if arrival.format == Format::Red {
            redundancy::recover(&mut at.stream, now, &arrival, packet.payload).unwrap_or_default()
        } else {
            Default::default()
        };
        let nack_due = at.stream.next_due(super::feedback_out::NACK_RTT);
        let owner = track.owner;
        self.count_keyframe(owner, is_keyframe);
        self.counts.recovered += recovered.iter().flatten().count() as u64;
        let shown = recovered.into_iter().flatten().chain([seq]);
        self.show(now, key, shown.map(|seq| Fresh { layer, seq }));
        if let Some(due) = nack_due {
            self.schedule(owner, due);
        }
        self.hear(now, key, &arrival, packet.payload.len());
        true
    }

    fn take_repair(
        &mut self,
        now: Instant,
        key: Key<Track>,
        layer: u8,
        packet: &Packet<'_>,
    ) -> bool {
        let Some(track) = self.tracks.get_mut(key) else {
            return false;
        };
        // A payload of nothing is a probe of the publisher's (RFC 4588 has no such packets).
        let Some((osn, payload)) = rtx::split(packet.payload) else {
            return packet.payload.is_empty();
        };
        let original = track.repaired(packet.header.payload_type);
        let Some((pt, codec)) = original.and_then(|pt| Some((pt, track.codec(pt)?))) else {
            return false;
        };
        if track.kind() == MediaKind::Audio {
            return false;
        }
        let owner = track.owner;
        let mut arrival = arrival(codec, packet, payload).as_original(pt, osn);
        let Some(at) = track.layer_mut(layer) else {
            return false;
        };
        let descriptor = packet.descriptor_of(codec);
        at.stream.describe(&mut arrival, descriptor);
        let taken = at
            .stream
            .handle_described_repair(now, &arrival, payload, descriptor);
        if let Ok(seq) = taken {
            let is_keyframe = arrival.keyframe.is_some();
            if is_keyframe {
                at.keyframes.handle_keyframe();
            }
            self.count_keyframe(owner, is_keyframe);
            self.counts.recovered += 1;
            self.show(now, key, std::iter::once(Fresh { layer, seq }));
        }
        true
    }

    fn count_keyframe(&mut self, owner: Key<Peer>, is_keyframe: bool) {
        if is_keyframe && let Some(peer) = self.peers.get_mut(owner) {
            peer.counted.keyframes_sent += 1;
        }
    }

    /// Notes packets that are to be shown to the track's subscribers in this turn.
    pub(super) fn show(
        &mut self,
        now: Instant,
        key: Key<Track>,
        fresh: impl Iterator<Item = Fresh>,
    ) {
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        if track.fresh.is_empty() {
            self.touched.push(key);
            track.fresh_since = Some(now);
        }
        track.fresh.extend(fresh);
    }
}

/// A packet as its layer takes it; `payload` is the original's if it is a repair.
fn arrival(codec: Codec, packet: &Packet<'_>, payload: &[u8]) -> Arrival {
    let (header, level) = (&packet.header, packet.extensions.audio_level);
    let wire_bytes = packet.wire_bytes;
    // What can't be read goes on as it is, and begins nothing.
    let bare = |_| Arrival::bare(header, wire_bytes);
    match codec {
        Codec::Opus(_) => Arrival::audio(header, Format::Primary, level, wire_bytes),
        Codec::Red => Arrival::audio(header, Format::Red, level, wire_bytes),
        Codec::Vp8 => {
            let descriptor = vp8::Descriptor::parse(payload).ok();
            Arrival::vp8(header, descriptor.as_ref(), wire_bytes)
        }
        Codec::Vp9(_) => vp9::Descriptor::parse(payload).map_or_else(bare, |descriptor| {
            Arrival::vp9(header, &descriptor, wire_bytes)
        }),
        Codec::H264(_) => h264::Payload::parse(payload).map_or_else(
            |_| Arrival::bare(header, wire_bytes),
            |read| Arrival::h264(header, &read, wire_bytes),
        ),
        Codec::Av1(_) => av1::Payload::parse(payload).map_or_else(
            |_| Arrival::bare(header, wire_bytes),
            |read| Arrival::av1(header, &read, wire_bytes),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::hostile::Stand;
    use super::*;
    use crate::control::{Join, Offer, ParticipantId, Rights, Source, Track as Named};
    use crate::unit::{Mid, PayloadType, RtpTime, SeqNo, Ssrc};
    use kaiwa_common::id::RoomId;

    const MICROPHONE: u32 = 1;
    const SCREEN: u32 = 2;

    fn sound(ssrc: u32, mid: Option<Mid>) -> Packet<'static> {
        Packet {
            header: Header {
                marker: false,
                payload_type: PayloadType(111),
                seq: SeqNo(1),
                time: RtpTime(1),
                ssrc: Ssrc(ssrc),
                csrc_count: 0,
                has_padding: false,
                header_len: 12,
                extension: None,
            },
            extensions: Extensions {
                mid,
                ..Extensions::default()
            },
            payload: &[1; 20],
            descriptor: &[],
            wire_bytes: 60,
        }
    }

    /// Browsers leave the MID out once a report has told them that their SSRC is known.
    #[test]
    fn what_still_comes_of_a_track_that_was_forbidden_is_not_taken_for_another() {
        let mut stand = Stand::new(1);
        let all = Rights {
            microphone: true,
            camera: true,
            screen: true,
            subscribe: true,
        };
        let join = Join {
            room: RoomId::parse("r_1").expect("an id"),
            participant: ParticipantId(1),
            rights: all,
            video_codecs: None,
        };
        stand.shard.handle_join(stand.now, &join).expect("joined");
        let mid = |text: &str| Mid::parse(text.as_bytes()).expect("a mid");
        let line = |mid: &str| {
            format!(
                "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=sendonly\r\n\
                 a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
                 a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
            )
        };
        let sdp = format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
             a=ice-ufrag:them\r\na=ice-pwd:pppppppppppppppppppppppp\r\na=fingerprint:sha-256 \
             01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20\r\n\
             a=setup:actpass\r\n{}{}",
            line("0"),
            line("1")
        );
        let track = |text: &str, source| Named {
            mid: mid(text),
            source,
            is_muted: false,
        };
        let offer = Offer {
            participant: ParticipantId(1),
            sdp,
            tracks: vec![
                track("0", Source::Microphone),
                track("1", Source::ScreenAudio),
            ],
        };
        stand
            .shard
            .handle_offer(stand.now, &offer)
            .expect("answered");
        let key = stand.shard.by_participant[&ParticipantId(1)];
        let first = stand.shard.carried(key, &sound(MICROPHONE, Some(mid("0"))));
        stand.shard.carried(key, &sound(SCREEN, Some(mid("1"))));
        let rights = Rights {
            screen: false,
            ..all
        };
        stand
            .shard
            .handle_rights(stand.now, ParticipantId(1), rights)
            .expect("set");
        let after = stand.shard.carried(key, &sound(SCREEN, None));
        assert_eq!(after, None, "the microphone carries {first:?}");
        // The right comes back: it is the same m-line's again, and is still not named.
        stand
            .shard
            .handle_rights(stand.now, ParticipantId(1), all)
            .expect("set");
        stand
            .shard
            .handle_offer(stand.now, &offer)
            .expect("answered");
        let again = stand.shard.carried(key, &sound(SCREEN, None));
        assert!(again.is_some() && again != first, "{again:?}");
    }
}
