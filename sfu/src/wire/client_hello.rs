//! What a DTLS client offers for SRTP, before DTLS itself sees its first message.
//!
//! A browser's ClientHello may span several records and datagrams, because of the size of its ML-KEM
//! key share (RFC 6347, section 4.2.3). It is put together here from copies: the same datagrams go to
//! the DTLS endpoint afterwards.

#[cfg(test)]
mod tests;

use super::reader::Reader;

/// Bytes of a ClientHello. With a key share of ML-KEM they are about 2,000; a longer one is refused.
pub const MAX_HELLO_BYTES: usize = 16 * 1024;

/// Datagrams that may each bring a part of one ClientHello. Those that bring nothing new don't count.
/// Two are usual; a client that needs more than this is refused.
pub const MAX_DATAGRAMS: usize = 8;

/// Profiles that an offer keeps, the first ones; browsers list four.
pub const MAX_PROFILES: usize = 16;

/// Parts with a hole between them, of one ClientHello. In order there is one; a client whose parts
/// leave more holes is refused.
const MAX_PARTS: usize = 16;

/// The content type of a record (RFC 6347, section 4.3.1; RFC 5246, section 6.2.1).
const HANDSHAKE: u8 = 22;

/// The type of a handshake message (RFC 5246, section 7.4).
const CLIENT_HELLO: u8 = 1;

/// The extension (RFC 5764, section 4.1.1).
const USE_SRTP: u16 = 14;

/// Why there is no offer to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientHelloError {
    /// A record, a part or the message isn't laid out as RFC 6347 says. The datagram is to be dropped;
    /// what came before it stays.
    #[error("not a DTLS handshake record")]
    Malformed,
    /// The message would have more than [`MAX_HELLO_BYTES`]. The client is to be given up.
    #[error("a ClientHello of more than {MAX_HELLO_BYTES} bytes")]
    TooLong,
    /// It came in more than [`MAX_DATAGRAMS`], or with too many holes. The client is to be given up.
    #[error("a ClientHello in too many parts")]
    TooManyParts,
}

/// The SRTP protection profiles of a client, by falling preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SrtpOffer {
    profiles: [u16; MAX_PROFILES],
    len: usize,
}

impl SrtpOffer {
    /// Their numbers (RFC 5764, section 4.1.2), at most [`MAX_PROFILES`]; none when the client doesn't offer SRTP.
    #[must_use]
    pub fn profiles(&self) -> &[u16] {
        self.profiles.get(..self.len).unwrap_or_default()
    }

    const NONE: Self = Self {
        profiles: [0; MAX_PROFILES],
        len: 0,
    };

    fn push(&mut self, profile: u16) {
        if let Some(place) = self.profiles.get_mut(self.len) {
            *place = profile;
            self.len += 1;
        }
    }
}

/// Puts a ClientHello together.
///
/// A part of another message than those before (another number or length: the client began anew)
/// throws these away.
#[derive(Debug, Default)]
pub struct ClientHelloReader {
    message_seq: u16,
    body: Vec<u8>,
    /// What of `body` is there: apart from each other, ascending, at most [`MAX_PARTS`].
    parts: Vec<(usize, usize)>,
    datagrams: usize,
}

impl ClientHelloReader {
    /// Without a part.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what a datagram has of a ClientHello, and gives the offer once all of it is there. Records
    /// of another content, of a later epoch and other handshake messages are passed over.
    ///
    /// # Errors
    /// [`ClientHelloError`].
    pub fn handle_datagram(
        &mut self,
        datagram: &[u8],
    ) -> Result<Option<SrtpOffer>, ClientHelloError> {
        let mut records = Reader::new(datagram);
        let mut brings_something = false;
        while !records.is_empty() {
            let record = Record::take(&mut records).ok_or(ClientHelloError::Malformed)?;
            if record.content_type != HANDSHAKE || record.epoch != 0 {
                continue;
            }
            let mut fragments = Reader::new(record.body);
            while !fragments.is_empty() {
                let fragment = Fragment::take(&mut fragments).ok_or(ClientHelloError::Malformed)?;
                if fragment.message_type == CLIENT_HELLO {
                    brings_something |= self.put(&fragment)?;
                }
            }
        }
        if brings_something {
            self.datagrams += 1;
        }
        if self.is_whole() {
            return parse(&self.body)
                .map(Some)
                .ok_or(ClientHelloError::Malformed);
        }
        if self.datagrams >= MAX_DATAGRAMS {
            return Err(ClientHelloError::TooManyParts);
        }
        Ok(None)
    }

    /// Whether it brings something new.
    fn put(&mut self, fragment: &Fragment<'_>) -> Result<bool, ClientHelloError> {
        if fragment.message_len > MAX_HELLO_BYTES {
            return Err(ClientHelloError::TooLong);
        }
        let is_another =
            fragment.message_seq != self.message_seq || fragment.message_len != self.body.len();
        if is_another {
            self.message_seq = fragment.message_seq;
            self.parts.clear();
            self.body.clear();
            self.body.resize(fragment.message_len, 0);
        }
        let end = fragment.start + fragment.bytes.len();
        let place = self
            .body
            .get_mut(fragment.start..end)
            .ok_or(ClientHelloError::Malformed)?;
        let is_there = |&(from, to): &(usize, usize)| from <= fragment.start && end <= to;
        if fragment.bytes.is_empty() || self.parts.iter().any(is_there) {
            return Ok(is_another);
        }
        place.copy_from_slice(fragment.bytes);
        self.join(fragment.start, end)?;
        Ok(true)
    }

    /// Adds a part and makes one of all that it touches.
    fn join(&mut self, mut from: usize, mut to: usize) -> Result<(), ClientHelloError> {
        self.parts.retain(|&(start, end)| {
            let is_apart = end < from || to < start;
            if !is_apart {
                from = from.min(start);
                to = to.max(end);
            }
            is_apart
        });
        if self.parts.len() == MAX_PARTS {
            return Err(ClientHelloError::TooManyParts);
        }
        let at = self.parts.partition_point(|&(start, _)| start < from);
        self.parts.insert(at, (from, to));
        Ok(())
    }

    fn is_whole(&self) -> bool {
        !self.body.is_empty() && self.parts == [(0, self.body.len())]
    }
}

/// RFC 6347, section 4.3.1.
struct Record<'a> {
    content_type: u8,
    epoch: u16,
    body: &'a [u8],
}

impl<'a> Record<'a> {
    fn take(reader: &mut Reader<'a>) -> Option<Self> {
        let content_type = reader.u8()?;
        let _version = reader.u16()?;
        let epoch = reader.u16()?;
        let _sequence_number = reader.take(6)?;
        Some(Self {
            content_type,
            epoch,
            body: reader.prefixed_u16()?,
        })
    }
}

/// RFC 6347, section 4.2.2.
struct Fragment<'a> {
    message_type: u8,
    message_len: usize,
    message_seq: u16,
    start: usize,
    bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    fn take(reader: &mut Reader<'a>) -> Option<Self> {
        let message_type = reader.u8()?;
        let message_len = usize_of(reader.u24()?)?;
        let message_seq = reader.u16()?;
        let start = usize_of(reader.u24()?)?;
        let len = usize_of(reader.u24()?)?;
        Some(Self {
            message_type,
            message_len,
            message_seq,
            start,
            bytes: reader.take(len)?,
        })
    }
}

fn usize_of(value: u32) -> Option<usize> {
    usize::try_from(value).ok()
}

/// RFC 6347, section 4.2.1, with the extensions of RFC 5246, section 7.4.1.4. `None` when a length is
/// not what follows it.
fn parse(body: &[u8]) -> Option<SrtpOffer> {
    let mut reader = Reader::new(body);
    let _version = reader.u16()?;
    let _random = reader.take(32)?;
    let _session_id = reader.prefixed_u8()?;
    let _cookie = reader.prefixed_u8()?;
    let _cipher_suites = reader.prefixed_u16()?;
    let _compression_methods = reader.prefixed_u8()?;
    if reader.is_empty() {
        return Some(SrtpOffer::NONE);
    }
    let mut extensions = Reader::new(reader.prefixed_u16()?);
    let mut offer = SrtpOffer::NONE;
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let value = extensions.prefixed_u16()?;
        if kind == USE_SRTP {
            offer = parse_use_srtp(value)?;
        }
    }
    reader.is_empty().then_some(offer)
}

/// RFC 5764, section 4.1.1: profiles, then an MKI that we have no use for.
fn parse_use_srtp(value: &[u8]) -> Option<SrtpOffer> {
    let mut reader = Reader::new(value);
    let mut profiles = Reader::new(reader.prefixed_u16()?);
    let _mki = reader.prefixed_u8()?;
    let mut offer = SrtpOffer::NONE;
    while !profiles.is_empty() {
        offer.push(profiles.u16()?);
    }
    reader.is_empty().then_some(offer)
}
