//! What is written into a media packet, and its protection: the one place where media is written.

use crate::core::receive::ReceiveStream;
use crate::core::redundancy::{self, MAX_RED_BYTES, RedPlan};
use crate::srtp::Sealer;
use crate::unit::{ExtSeqNo, SeqNo, Ssrc};
use crate::wire::dependency_descriptor::{self, Active, MAX_GROWTH};
use crate::wire::{rtp, vp8, vp9};

/// What is put into a media packet.
pub(crate) struct Outgoing<'a> {
    pub(crate) header: &'a rtp::HeaderWriter,
    pub(crate) fields: rtp::Fields,
    pub(crate) values: rtp::Values,
    /// Its number and source for SRTP.
    pub(crate) index: ExtSeqNo,
    pub(crate) ssrc: Ssrc,
    pub(crate) descriptor: Option<Described<'a>>,
    pub(crate) body: Body<'a>,
}

/// A frame's dependency descriptor, and what the subscriber sees otherwise.
#[derive(Clone, Copy)]
pub(crate) struct Described<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) frame: u16,
    pub(crate) active: Option<Active>,
}

impl Described<'_> {
    /// The most bytes by which it makes a header longer.
    pub(crate) fn max_len(&self) -> usize {
        self.bytes.len() + MAX_GROWTH + rtp::MAX_DESCRIPTOR_GROWTH
    }
}

/// The longest descriptor: of an element of the two-byte form, and what it grows by. One that would be longer then
/// is left out.
const DESCRIPTOR_BYTES: usize = 255 + MAX_GROWTH;

/// What follows the header.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    /// A payload, with other numbers of pictures than the publisher's.
    Payload(&'a [u8], Option<Pictures>),
    /// The same behind its original number (RFC 4588, section 4).
    Repair(SeqNo, &'a [u8], Option<Pictures>),
    /// Opus and what went before it, written from a layer's ring (RFC 2198).
    Red(&'a ReceiveStream, ExtSeqNo, RedPlan),
    /// So many bytes of padding, 1 to 255 (RFC 3550, section 5.1).
    Padding(u8),
}

/// Picture id and TL0PICIDX as the subscriber sees them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pictures {
    pub(crate) form: Form,
    pub(crate) id: u16,
    pub(crate) tl0: u8,
}

/// Which descriptor has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Vp8,
    Vp9,
}

/// The padding bit of an RTP header (RFC 3550, section 5.1).
const PADDING_BIT: u8 = 0x20;

impl Outgoing<'_> {
    /// The most bytes that it has once it is sealed.
    pub(crate) fn max_len(&self, sealer: &Sealer) -> usize {
        let body = match self.body {
            Body::Payload(payload, _) => payload.len(),
            Body::Repair(_, payload, _) => payload.len() + 2,
            Body::Red(..) => MAX_RED_BYTES,
            Body::Padding(bytes) => usize::from(bytes),
        };
        let descriptor = self.descriptor.map_or(0, |descriptor| descriptor.max_len());
        self.header.header_len() + descriptor + body + sealer.profile().rtp_overhead()
    }

    /// Writes and seals; gives its length. `None` if `place` is too small.
    pub(crate) fn put(&self, place: &mut [u8], sealer: &Sealer) -> Option<usize> {
        let header_len = self.put_header(place)?;
        let len = match self.body {
            Body::Payload(payload, pictures) => put_payload(place, header_len, payload, pictures)?,
            Body::Repair(osn, payload, pictures) => {
                let at = header_len + 2;
                let osn = osn.0.to_be_bytes();
                place.get_mut(header_len..at)?.copy_from_slice(&osn);
                put_payload(place, at, payload, pictures)?
            }
            Body::Red(stream, seq, plan) => {
                let end = (header_len + MAX_RED_BYTES).min(place.len());
                let body = place.get_mut(header_len..end)?;
                header_len + redundancy::write(stream, seq, &plan, body).ok()?
            }
            Body::Padding(bytes) => {
                let end = header_len + usize::from(bytes);
                let padding = place.get_mut(header_len..end)?;
                padding.fill(0);
                *padding.last_mut()? = bytes;
                *place.first_mut()? |= PADDING_BIT;
                end
            }
        };
        Some(sealer.seal_rtp(place, header_len, len, self.index, self.ssrc))
    }
}

impl Outgoing<'_> {
    fn put_header(&self, place: &mut [u8]) -> Option<usize> {
        let described = self.descriptor.filter(|_| self.header.takes_descriptor());
        let Some(described) = described else {
            return self.header.write(place, &self.fields, &self.values);
        };
        let mut descriptor = [0; DESCRIPTOR_BYTES];
        let Described {
            bytes,
            frame,
            active,
        } = described;
        let len = dependency_descriptor::rewrite(bytes, frame, active, &mut descriptor);
        let descriptor = len
            .and_then(|len| descriptor.get(..len))
            .unwrap_or_default();
        self.header
            .write_described(place, &self.fields, &self.values, descriptor)
    }
}

fn put_payload(
    place: &mut [u8],
    at: usize,
    payload: &[u8],
    pictures: Option<Pictures>,
) -> Option<usize> {
    let end = at + payload.len();
    let body = place.get_mut(at..end)?;
    body.copy_from_slice(payload);
    match pictures {
        Some(Pictures {
            form: Form::Vp8,
            id,
            tl0,
        }) => {
            if let Ok(descriptor) = vp8::Descriptor::parse(payload) {
                vp8::rewrite(body, &descriptor, id, tl0);
            }
        }
        Some(Pictures {
            form: Form::Vp9,
            id,
            tl0,
        }) => {
            if let Ok(descriptor) = vp9::Descriptor::parse(payload) {
                vp9::rewrite(body, &descriptor, id, tl0);
            }
        }
        None => {}
    }
    Some(end)
}
