//! One function for each parser: what has to hold for any bytes. The fuzz targets and the replay of
//! their corpus call them; nothing else does. They panic where something doesn't hold.

use super::client_hello::{ClientHelloReader, MAX_PROFILES};
use super::dependency_descriptor::{self as dd, Active, MAX_GROWTH};
use super::framing::{Deframer, FRAME_BYTES_MAX, LENGTH_BYTES};
use super::reader::Reader;
use super::rtcp::{self, MAX_REPORT_BLOCKS, MAX_STATUSES, Packet};
use super::rtp::{
    Carried, ExtensionIds, Extensions, Fields, Header, HeaderWriter, MAX_HEADER_BYTES, Values,
};
use super::stun::{IntegrityKey, Message, Refusal};
use super::{
    av1 as av1_wire, h264 as h264_wire, red, rtx, stun as stun_wire, vp8 as vp8_wire,
    vp9 as vp9_wire,
};
use crate::unit::SeqNo;
use std::net::{Ipv4Addr, SocketAddr};

/// The ids with which [`rtp`] reads extensions; the corpus is made for them.
pub const EXTENSION_IDS: ExtensionIds = ExtensionIds {
    mid: Some(4),
    rid: Some(10),
    repaired_rid: Some(11),
    audio_level: Some(1),
    abs_send_time: Some(2),
    transport_cc: Some(3),
    dependency_descriptor: Some(13),
};

/// The password with which [`stun`] checks integrity; the corpus is made with it.
pub const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

/// A message of STUN: answers to what was read can be read themselves, and are authentic.
pub fn stun(data: &[u8]) {
    let Ok(message) = Message::parse(data) else {
        return;
    };
    let key = IntegrityKey::new(PASSWORD);
    let _ = message.check_integrity(&key);
    if let Some((ours, theirs)) = message.username_parts() {
        assert!(!ours.is_empty() && !theirs.is_empty());
    }
    let mut out = Vec::new();
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let mapped = message.mapped.unwrap_or(here);
    stun_wire::write_success(&mut out, message.transaction, mapped, &key);
    let answer = Message::parse(&out).expect("what we write is read");
    assert_eq!(answer.mapped, Some(mapped));
    assert_eq!(answer.transaction, message.transaction);
    let refusal = Refusal::UnknownAttributes(message.unknown);
    stun_wire::write_error(&mut out, message.transaction, refusal, Some(&key));
    let answer = Message::parse(&out).expect("what we write is read");
    assert_eq!(answer.error_code, Some(420));
    assert_eq!(answer.check_integrity(&key), Ok(()));
}

/// A packet of RTP: all that it has lies within it, and what we understand of its extensions can be
/// written and read again.
pub fn rtp(data: &[u8]) {
    let Ok(header) = Header::parse(data) else {
        return;
    };
    assert!(header.header_len <= data.len());
    if let Ok(payload) = header.payload(data) {
        assert!(header.header_len + payload.len() <= data.len());
        if let Some((_, original)) = rtx::split(payload) {
            assert_eq!(original.len() + rtx::OSN_BYTES, payload.len());
        }
    }
    let bytes: usize = header
        .extensions(data)
        .map(|(_, bytes)| bytes.len() + 1)
        .sum();
    assert!(bytes <= header.header_len);
    let read = Extensions::read(&EXTENSION_IDS, &header, data);
    let carried = Carried {
        mid: read.mid,
        rid: read.rid,
        rrid: read.rrid,
        transport_seq: read.transport_seq.is_some(),
        abs_send_time: read.abs_send_time.is_some(),
        audio_level: read.audio_level.is_some(),
    };
    let fields = Fields {
        payload_type: header.payload_type,
        marker: header.marker,
        seq: header.seq,
        time: header.time,
    };
    let values = Values {
        transport_seq: read.transport_seq.unwrap_or(0),
        abs_send_time: read.abs_send_time.unwrap_or(0),
        audio_level: read.audio_level,
    };
    let writer = HeaderWriter::new(header.ssrc, &EXTENSION_IDS, &carried);
    let mut out = [0; MAX_HEADER_BYTES];
    let len = writer.write(&mut out, &fields, &values).expect("it fits");
    let again = Header::parse(&out[..len]).expect("what we write is read");
    assert_eq!(
        (again.ssrc, again.seq, again.time),
        (header.ssrc, header.seq, header.time)
    );
    assert_eq!(
        (again.marker, again.payload_type),
        (header.marker, header.payload_type)
    );
    assert_eq!(Extensions::read(&EXTENSION_IDS, &again, &out[..len]), read);
}

/// A compound of RTCP: nothing it counts goes beyond its bytes or our bounds.
pub fn rtcp(data: &[u8]) {
    let packets = rtcp::Packets::new(data);
    assert!(packets.clone().count() <= data.len() / 4 + 1);
    for packet in packets.flatten() {
        match packet {
            Packet::SenderReport(report) => assert!(report.blocks.count() <= MAX_REPORT_BLOCKS),
            Packet::ReceiverReport(report) => assert!(report.blocks.count() <= MAX_REPORT_BLOCKS),
            Packet::Nack(nack) => check_nack(&nack, data.len()),
            Packet::Fir(fir) => assert!(fir.entries().count() <= data.len() / 8),
            Packet::Remb(remb) => assert!(remb.ssrcs().count() <= data.len() / 4),
            Packet::TransportFeedback(feedback) => {
                assert!(feedback.count <= MAX_STATUSES);
                let count = usize::from(feedback.count);
                assert_eq!(feedback.statuses().count(), count);
                let received = feedback.statuses().filter(|(_, delta)| delta.is_some());
                assert!(received.count() <= data.len());
            }
            Packet::Bye(bye) => assert!(bye.ssrcs().count() <= 31),
            Packet::Pli(_) | Packet::Other { .. } => {}
        }
    }
}

/// What a NACK names can be named again.
fn check_nack(nack: &rtcp::Nack<'_>, data_len: usize) {
    let numbers: Vec<SeqNo> = nack.numbers().collect();
    assert!(numbers.len() <= 17 * data_len / 4);
    let mut out = Vec::new();
    let named = rtcp::write_nack(&mut out, nack.sender, nack.media, &numbers);
    assert_eq!(named == 0, numbers.is_empty());
}

/// Datagrams, each behind its length in two bytes: never more profiles than there is room for, and the
/// same datagrams give the same offer.
pub fn client_hello(data: &[u8]) {
    let offer = || {
        let mut datagrams = Reader::new(data);
        let mut reader = ClientHelloReader::new();
        while let Some(datagram) = datagrams.prefixed_u16() {
            if let Ok(Some(offer)) = reader.handle_datagram(datagram) {
                return Some(offer);
            }
        }
        None
    };
    let first = offer();
    assert!(first.is_none_or(|offer| offer.profiles().len() <= MAX_PROFILES));
    assert_eq!(first, offer());
}

/// A payload of RED: its blocks are all of it, and those that we would write come out the same.
pub fn red(data: &[u8]) {
    let Ok(blocks) = red::Blocks::parse(data) else {
        return;
    };
    let blocks: Vec<_> = blocks.collect();
    let (primary, redundant) = blocks.split_last().expect("there is a primary");
    let headers = 1 + 4 * redundant.len();
    let bytes: usize = blocks.iter().map(|block| block.bytes.len()).sum();
    assert_eq!(headers + bytes, data.len());
    if redundant.len() <= red::MAX_REDUNDANT {
        let mut out = vec![0; data.len()];
        assert_eq!(red::write(&mut out, primary, redundant), Ok(data.len()));
        assert_eq!(out, data);
    }
}

/// A payload of VP8: a rewrite changes the two numbers and nothing else.
pub fn vp8(data: &[u8]) {
    let Ok(before) = vp8_wire::Descriptor::parse(data) else {
        return;
    };
    assert!(before.len <= data.len());
    let mut payload = data.to_vec();
    vp8_wire::rewrite(&mut payload, &before, 0x1234, 0x56);
    let after = vp8_wire::Descriptor::parse(&payload).expect("it keeps its shape");
    let id = after.picture_id.map(vp8_wire::PictureId::value);
    assert!(id.is_none_or(|id| id == 0x1234 || id == 0x34));
    assert_eq!(after.tl0, before.tl0.map(|_| 0x56));
    assert_eq!((after.len, after.temporal), (before.len, before.temporal));
    let back = before.picture_id.map_or(0, vp8_wire::PictureId::value);
    vp8_wire::rewrite(&mut payload, &after, back, before.tl0.unwrap_or(0));
    assert_eq!(payload, data);
}

/// A payload of VP9: a rewrite changes the two numbers and nothing else.
pub fn vp9(data: &[u8]) {
    let Ok(before) = vp9_wire::Descriptor::parse(data) else {
        return;
    };
    assert!(before.len <= data.len());
    let mut payload = data.to_vec();
    vp9_wire::rewrite(&mut payload, &before, 0x1234, 0x56);
    let after = vp9_wire::Descriptor::parse(&payload).expect("it keeps its shape");
    let id = after.picture_id.map(vp8_wire::PictureId::value);
    assert!(id.is_none_or(|id| id == 0x1234 || id == 0x34));
    assert_eq!(after.tl0(), before.tl0().map(|_| 0x56));
    let shape =
        |read: &vp9_wire::Descriptor| (read.len, read.spatial(), read.temporal(), read.size);
    assert_eq!(shape(&after), shape(&before));
    let back = before.picture_id.map_or(0, vp8_wire::PictureId::value);
    vp9_wire::rewrite(&mut payload, &after, back, before.tl0().unwrap_or(0));
    assert_eq!(payload, data);
}

/// A payload of H.264: only what has a parameter set or a slice begins something.
pub fn h264(data: &[u8]) {
    let Ok(read) = h264_wire::Payload::parse(data) else {
        return;
    };
    assert!(read.has_sps || read.size.is_none());
    assert!(read.starts_frame() || !read.is_keyframe());
    assert!(read.has_first_slice || !read.starts_frame() || read.has_sps);
}

/// A payload of AV1: what goes on from before begins nothing.
pub fn av1(data: &[u8]) {
    let Ok(read) = av1_wire::Payload::parse(data) else {
        return;
    };
    assert!(!(read.is_continuation && (read.is_keyframe() || read.starts_frame)));
    assert!(read.has_sequence_header || read.size.is_none());
}

/// Two dependency descriptors, the first behind its length in a byte: what the second refers to is of the
/// structure that the first has brought, and a rewrite keeps all but the number and the decode targets.
pub fn dependency_descriptor(data: &[u8]) {
    let mut reader = Reader::new(data);
    let mut structure = None;
    if let Some(first) = reader.prefixed_u8()
        && let Some(brought) = rewritten(first, None)
    {
        structure = Some(brought);
    }
    let _ = rewritten(reader.rest(), structure.as_ref());
}

fn rewritten(bytes: &[u8], known: Option<&dd::Structure>) -> Option<dd::Structure> {
    let (before, brought) = dd::Descriptor::parse(bytes, known).ok()?;
    let structure = brought.as_ref().or(known).expect("a template is of one");
    let targets = structure.decode_targets();
    assert!(targets <= dd::MAX_DECODE_TARGETS && structure.chains() <= targets);
    assert!(structure.templates().len() <= dd::MAX_TEMPLATES);
    let mut out = vec![0; bytes.len() + MAX_GROWTH];
    let active = Active { mask: 1, targets };
    let len = dd::rewrite(bytes, 0x1234, Some(active), &mut out).expect("there is room");
    let (after, again) = dd::Descriptor::parse(&out[..len], known).expect("what we write is read");
    let expected = dd::Descriptor {
        frame: 0x1234,
        active: Some(1),
        ..before
    };
    assert_eq!((after, &again), (expected, &brought));
    brought
}

/// How a connection is cut into pieces (the first byte) and what it brings: the frames are the same as in one piece,
/// and never more than one of them is held.
pub fn framing(data: &[u8]) {
    let Some((&cut, bytes)) = data.split_first() else {
        return;
    };
    let run = |piece: usize| {
        let mut deframer = Deframer::default();
        let mut frames = Vec::new();
        let outcome = bytes.chunks(piece).try_for_each(|piece| {
            let taken = deframer.take(&mut piece.to_vec(), |frame| frames.push(frame.to_vec()));
            assert!(deframer.held() < LENGTH_BYTES + FRAME_BYTES_MAX);
            taken
        });
        (frames, outcome)
    };
    let whole = run(bytes.len().max(1));
    assert_eq!(run(usize::from(cut).max(1)), whole);
    let framed: usize = whole.0.iter().map(|frame| LENGTH_BYTES + frame.len()).sum();
    assert!(framed <= bytes.len());
}
