//! Headers that we write: a template for each stream, and per packet only what changes.

use super::extension::{Elements, ONE_BYTE, RESERVED, TWO_BYTE};
use super::{AudioLevel, ExtensionBlock, ExtensionIds, FIXED_HEADER_BYTES, VERSION};
use crate::unit::{Mid, PayloadType, Rid, RtpTime, SeqNo, Ssrc};

/// Bytes of the longest header that a [`HeaderWriter`] makes: the fixed part, the extension's four,
/// and every element that it knows in the two-byte form, three texts of sixteen bytes among them.
pub const MAX_HEADER_BYTES: usize = FIXED_HEADER_BYTES + 4 + 68;

/// Bytes by which a dependency descriptor makes a header longer than it has itself: the extension's four where
/// there was none, its own id and length, a byte more for each other element in the two-byte form, and padding.
pub const MAX_DESCRIPTOR_GROWTH: usize = 4 + 2 + 6 + 3;

/// The longest element of the one-byte form (RFC 8285, section 4.2).
const ONE_BYTE_MAX: usize = 16;

/// Which extensions the packets of a stream carry. One whose id was not negotiated is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carried {
    /// The m-line.
    pub mid: Option<Mid>,
    /// The encoding, of a stream of a simulcast.
    pub rid: Option<Rid>,
    /// The encoding that is repaired, of its RTX.
    pub rrid: Option<Rid>,
    /// A place for the number among all of the transport's packets.
    pub transport_seq: bool,
    /// A place for the time of sending.
    pub abs_send_time: bool,
    /// A place for the level.
    pub audio_level: bool,
}

/// What each packet has of its own in the fixed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// Which codec.
    pub payload_type: PayloadType,
    /// See [`super::Header::marker`].
    pub marker: bool,
    /// One more than the packet before.
    pub seq: SeqNo,
    /// When the first sample of the payload was taken.
    pub time: RtpTime,
}

/// What each packet has of its own in the extension; what the stream doesn't carry is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Values {
    /// The number among all of the transport's packets.
    pub transport_seq: u16,
    /// The lower 24 bits: seconds modulo 64 in 2⁻¹⁸ s.
    pub abs_send_time: u32,
    /// The level; without one a place that there is says silence.
    pub audio_level: Option<AudioLevel>,
}

/// Where values stand in the headers of a stream, counted from the packet's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offsets {
    /// See [`put_transport_seq`].
    pub transport_seq: Option<usize>,
    /// See [`put_abs_send_time`].
    pub abs_send_time: Option<usize>,
    /// One byte.
    pub audio_level: Option<usize>,
}

/// Writes the headers of one stream. All have the same length, which a run of equal datagrams
/// (UDP GSO) needs.
#[derive(Debug, Clone)]
pub struct HeaderWriter {
    template: [u8; MAX_HEADER_BYTES],
    len: usize,
    /// Where the last element ends.
    elements_end: usize,
    /// The id of dependency descriptors, where they were negotiated.
    descriptor_id: Option<u8>,
    offsets: Offsets,
}

impl HeaderWriter {
    /// For a stream that is sent to a peer with these ids. Elements have the one-byte form unless an
    /// id is 15 or more, which only the two-byte form can say (RFC 8285, section 4.3); a peer that
    /// negotiated such an id reads it.
    #[must_use]
    pub fn new(ssrc: Ssrc, ids: &ExtensionIds, carried: &Carried) -> Self {
        let mut template = Template::begin(ssrc, is_two_byte(ids, carried));
        let texts = [
            (ids.mid, carried.mid.as_ref().map(Mid::as_bytes)),
            (ids.rid, carried.rid.as_ref().map(Rid::as_bytes)),
            (ids.repaired_rid, carried.rrid.as_ref().map(Rid::as_bytes)),
        ];
        for (id, text) in texts {
            if let Some(text) = text {
                template.put(id, text);
            }
        }
        let mut place = |is_carried: bool, id, empty: &[u8]| {
            if is_carried {
                template.put(id, empty)
            } else {
                None
            }
        };
        let offsets = Offsets {
            transport_seq: place(carried.transport_seq, ids.transport_cc, &[0; 2]),
            abs_send_time: place(carried.abs_send_time, ids.abs_send_time, &[0; 3]),
            audio_level: place(carried.audio_level, ids.audio_level, &[SILENCE]),
        };
        let writer = template.finish(offsets);
        Self {
            descriptor_id: ids.dependency_descriptor.filter(|id| *id != 0),
            ..writer
        }
    }

    /// Whether its peer negotiated dependency descriptors.
    #[must_use]
    pub fn takes_descriptor(&self) -> bool {
        self.descriptor_id.is_some()
    }

    /// Bytes of every header that it writes, at most [`MAX_HEADER_BYTES`].
    #[must_use]
    pub fn header_len(&self) -> usize {
        self.len
    }

    /// Where the values stand that can be put in later.
    #[must_use]
    pub fn offsets(&self) -> Offsets {
        self.offsets
    }

    /// Writes a header to the front of `out` and returns its length; `None`, and nothing is written,
    /// when `out` is too short.
    #[must_use]
    pub fn write(&self, out: &mut [u8], fields: &Fields, values: &Values) -> Option<usize> {
        let header = out.get_mut(..self.len)?;
        header.copy_from_slice(&self.template[..self.len]);
        let marker = if fields.marker { 0x80 } else { 0 };
        header[1] = marker | (fields.payload_type.0 & 0x7f);
        header[2..4].copy_from_slice(&fields.seq.0.to_be_bytes());
        header[4..8].copy_from_slice(&fields.time.0.to_be_bytes());
        if let Some(at) = self.offsets.transport_seq {
            put_transport_seq(header, at, values.transport_seq);
        }
        if let Some(at) = self.offsets.abs_send_time {
            put_abs_send_time(header, at, values.abs_send_time);
        }
        if let (Some(at), Some(level)) = (self.offsets.audio_level, values.audio_level) {
            put(header, at, &[audio_level_byte(level)]);
        }
        Some(self.len)
    }
}

impl HeaderWriter {
    /// The same with a dependency descriptor behind the other elements, if its peer negotiated them. One of more
    /// than 16 bytes takes the two-byte form (RFC 8285, section 4.3), as a key frame's does; the peer reads
    /// both mixed, or it would not have been negotiated.
    #[must_use]
    pub fn write_described(
        &self,
        out: &mut [u8],
        fields: &Fields,
        values: &Values,
        descriptor: &[u8],
    ) -> Option<usize> {
        let len = self.write(out, fields, values)?;
        let Some(id) = self.descriptor_id.filter(|_| !descriptor.is_empty()) else {
            return Some(len);
        };
        let had_elements = self.elements_end > ELEMENTS_AT;
        let profile = self.template.get(12..14).map(|p| [p[0], p[1]]);
        let was_two_byte = had_elements && profile == Some(TWO_BYTE.to_be_bytes());
        let is_short = descriptor.len() <= ONE_BYTE_MAX && id < RESERVED;
        let mut elements = Growing {
            out,
            at: self.elements_end.max(ELEMENTS_AT),
            is_two_byte: was_two_byte || !is_short,
        };
        if elements.is_two_byte && !was_two_byte {
            elements.at = ELEMENTS_AT;
            let mut before = [0; MAX_HEADER_BYTES];
            let copy = before.get_mut(..self.elements_end)?;
            copy.copy_from_slice(elements.out.get(..self.elements_end)?);
            let block = ExtensionBlock {
                profile: ONE_BYTE,
                start: ELEMENTS_AT.min(self.elements_end),
                len: self.elements_end.saturating_sub(ELEMENTS_AT),
            };
            for (id, value) in Elements::new(Some(&block), &before) {
                elements.put(id, value)?;
            }
        }
        elements.put(id, descriptor)?;
        elements.finish()
    }
}

/// Elements that are put behind each other into a written header.
struct Growing<'a> {
    out: &'a mut [u8],
    at: usize,
    is_two_byte: bool,
}

impl Growing<'_> {
    fn put(&mut self, id: u8, value: &[u8]) -> Option<()> {
        let len = u8::try_from(value.len()).ok()?;
        if self.is_two_byte {
            self.push(&[id, len])?;
        } else {
            self.push(&[id << 4 | len.checked_sub(1)?])?;
        }
        self.push(value)
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.at + bytes.len();
        self.out.get_mut(self.at..end)?.copy_from_slice(bytes);
        self.at = end;
        Some(())
    }

    /// Pads, and writes the extension's own header; gives the whole header's length.
    fn finish(mut self) -> Option<usize> {
        let padding = self.at.next_multiple_of(4) - self.at;
        self.push([0; 3].get(..padding)?)?;
        let profile = if self.is_two_byte { TWO_BYTE } else { ONE_BYTE };
        let words = u16::try_from((self.at - ELEMENTS_AT) / 4).ok()?;
        *self.out.first_mut()? |= 0x10;
        self.out
            .get_mut(12..14)?
            .copy_from_slice(&profile.to_be_bytes());
        self.out
            .get_mut(14..16)?
            .copy_from_slice(&words.to_be_bytes());
        Some(self.at)
    }
}

/// RFC 6464, section 3: −127 dBov and no speech.
const SILENCE: u8 = 127;

fn audio_level_byte(level: AudioLevel) -> u8 {
    let voice = if level.voice { 0x80 } else { 0 };
    voice | level.level.min(SILENCE)
}

/// Whether an element that is carried needs the two-byte form.
fn is_two_byte(ids: &ExtensionIds, carried: &Carried) -> bool {
    [
        (ids.mid, carried.mid.is_some()),
        (ids.rid, carried.rid.is_some()),
        (ids.repaired_rid, carried.rrid.is_some()),
        (ids.transport_cc, carried.transport_seq),
        (ids.abs_send_time, carried.abs_send_time),
        (ids.audio_level, carried.audio_level),
    ]
    .into_iter()
    .any(|(id, is_carried)| is_carried && id.is_some_and(|id| id >= RESERVED))
}

/// A header that grows by its elements.
struct Template {
    bytes: [u8; MAX_HEADER_BYTES],
    len: usize,
    is_two_byte: bool,
}

/// Where the first element goes.
const ELEMENTS_AT: usize = FIXED_HEADER_BYTES + 4;

impl Template {
    fn begin(ssrc: Ssrc, is_two_byte: bool) -> Self {
        let mut bytes = [0; MAX_HEADER_BYTES];
        bytes[0] = VERSION << 6;
        bytes[8..12].copy_from_slice(&ssrc.0.to_be_bytes());
        Self {
            bytes,
            len: ELEMENTS_AT,
            is_two_byte,
        }
    }

    /// Adds an element and says where its value stands.
    fn put(&mut self, id: Option<u8>, value: &[u8]) -> Option<usize> {
        let id = id.filter(|&id| id != 0)?;
        let len = u8::try_from(value.len()).ok()?;
        if self.is_two_byte {
            self.push(&[id, len]);
        } else {
            self.push(&[id << 4 | len.checked_sub(1)?]);
        }
        let at = self.len;
        self.push(value);
        Some(at)
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn finish(mut self, offsets: Offsets) -> HeaderWriter {
        let elements_end = self.len;
        if self.len == ELEMENTS_AT {
            self.len = FIXED_HEADER_BYTES;
        } else {
            let profile = if self.is_two_byte { TWO_BYTE } else { ONE_BYTE };
            self.len = self.len.next_multiple_of(4);
            let words = u16::try_from((self.len - ELEMENTS_AT) / 4).expect("a header is short");
            self.bytes[0] |= 0x10;
            self.bytes[12..14].copy_from_slice(&profile.to_be_bytes());
            self.bytes[14..16].copy_from_slice(&words.to_be_bytes());
        }
        HeaderWriter {
            template: self.bytes,
            len: self.len,
            elements_end,
            descriptor_id: None,
            offsets,
        }
    }
}

/// Puts another sequence number into a written header.
pub fn put_seq(packet: &mut [u8], seq: SeqNo) {
    put(packet, 2, &seq.0.to_be_bytes());
}

/// Puts the number among all of the transport's packets into a written header, at
/// [`Offsets::transport_seq`].
pub fn put_transport_seq(packet: &mut [u8], offset: usize, transport_seq: u16) {
    put(packet, offset, &transport_seq.to_be_bytes());
}

/// Puts the time of sending, its lower 24 bits, into a written header, at
/// [`Offsets::abs_send_time`].
pub fn put_abs_send_time(packet: &mut [u8], offset: usize, abs_send_time: u32) {
    let [_, value @ ..] = abs_send_time.to_be_bytes();
    put(packet, offset, &value);
}

/// A place outside of the packet is the caller's mistake; nothing is written then.
fn put(packet: &mut [u8], offset: usize, value: &[u8]) {
    let place = packet
        .get_mut(offset..)
        .and_then(|rest| rest.get_mut(..value.len()));
    debug_assert!(place.is_some(), "the place is one of a written header");
    if let Some(place) = place {
        place.copy_from_slice(value);
    }
}
