//! STUN binding messages as ICE uses them (RFC 8489, RFC 8445 section 7).
//!
//! Parsing checks the layout and the FINGERPRINT; whether MESSAGE-INTEGRITY is right is asked for
//! after the USERNAME has told which password applies.

mod crc;
mod write;

#[cfg(test)]
mod tests;

pub use write::{BindingRequest, Refusal, write_error, write_request, write_success};

use super::reader::Reader;
use ring::hmac;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The fifth to eighth byte of every message (RFC 8489, section 5).
pub(crate) const MAGIC: u32 = 0x2112_A442;

/// Bytes before the attributes (RFC 8489, section 5).
const HEADER_BYTES: usize = 20;

/// Bytes of a message, the header included. A browser's check has about 120, or a DTLS datagram more
/// where it carries one; what is longer than Ethernet's MTU is no check and is refused.
pub const MAX_BYTES: usize = 1_500;

/// Unknown attributes that a refusal can name; those after them go unnamed. An honest client has none.
pub const MAX_UNKNOWN: usize = 8;

/// Attribute types (RFC 8489, section 18.3; RFC 8445, section 20.1).
mod attribute {
    pub(super) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(super) const USERNAME: u16 = 0x0006;
    pub(super) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(super) const ERROR_CODE: u16 = 0x0009;
    pub(super) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(super) const REALM: u16 = 0x0014;
    pub(super) const NONCE: u16 = 0x0015;
    pub(super) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    pub(super) const PASSWORD_ALGORITHM: u16 = 0x001d;
    pub(super) const USERHASH: u16 = 0x001e;
    pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(super) const PRIORITY: u16 = 0x0024;
    pub(super) const USE_CANDIDATE: u16 = 0x0025;
    pub(super) const FINGERPRINT: u16 = 0x8028;
    pub(super) const ICE_CONTROLLED: u16 = 0x8029;
    pub(super) const ICE_CONTROLLING: u16 = 0x802a;
    /// Types below it have to be understood by who reads them (RFC 8489, section 14).
    pub(super) const OPTIONAL_FROM: u16 = 0x8000;
}

/// The four kinds of messages (RFC 8489, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Wants a response.
    Request,
    /// Wants none; browsers keep NAT bindings open with it (RFC 8445, section 11).
    Indication,
    /// The request was granted.
    Success,
    /// The request was refused.
    Error,
}

/// The 12 bit method of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method(pub u16);

impl Method {
    /// The one method of ICE.
    pub const BINDING: Self = Self(1);
}

/// Ties a response to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// The sender's role with its tie breaker (RFC 8445, section 7.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// ICE-CONTROLLING: it nominates.
    Controlling(u64),
    /// ICE-CONTROLLED: it waits for a nomination.
    Controlled(u64),
}

/// Why a datagram is no STUN message. It is dropped without an answer: nothing in it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StunError {
    /// Shorter than a header, or without the magic cookie.
    #[error("not a STUN message")]
    NotStun,
    /// The header's length is not the datagram's, or is not a multiple of four.
    #[error("the length is not that of the datagram")]
    Length,
    /// More than [`MAX_BYTES`].
    #[error("longer than {MAX_BYTES} bytes")]
    TooLong,
    /// This attribute doesn't fit in the message or isn't what its type says.
    #[error("attribute {0:#06x} is malformed")]
    Attribute(u16),
    /// The checksum is wrong (RFC 8489, section 14.7).
    #[error("wrong FINGERPRINT")]
    Fingerprint,
}

/// Why a message is not authentic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IntegrityError {
    /// There is no MESSAGE-INTEGRITY: a request is answered with 400 (RFC 8489, section 9.1.3).
    #[error("no MESSAGE-INTEGRITY")]
    Missing,
    /// It was made with another password: a request is answered with 401.
    #[error("wrong MESSAGE-INTEGRITY")]
    Wrong,
}

/// A password of short-term credentials, made ready once for all messages.
pub struct IntegrityKey(hmac::Key);

impl IntegrityKey {
    /// From an ICE password. ICE's characters need no preparation (RFC 8445, section 5.3).
    #[must_use]
    pub fn new(password: &str) -> Self {
        Self(hmac::Key::new(
            hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            password.as_bytes(),
        ))
    }
}

impl fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntegrityKey")
    }
}

/// Types of attributes that had to be understood and are not, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnknownAttributes {
    types: [u16; MAX_UNKNOWN],
    len: u8,
}

impl UnknownAttributes {
    /// The types, at most [`MAX_UNKNOWN`].
    #[must_use]
    pub fn types(&self) -> &[u16] {
        self.types.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn push(&mut self, kind: u16) {
        if let Some(place) = self.types.get_mut(usize::from(self.len)) {
            *place = kind;
            self.len += 1;
        }
    }
}

/// A STUN message whose layout and FINGERPRINT are right. Of an attribute that comes twice the first
/// counts; after MESSAGE-INTEGRITY only FINGERPRINT does (RFC 8489, section 14.5).
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// What kind of message.
    pub class: Class,
    /// What it is about; ICE knows [`Method::BINDING`] alone.
    pub method: Method,
    /// Goes into the response.
    pub transaction: TransactionId,
    /// Bytes of USERNAME, see [`Message::username_parts`].
    pub username: Option<&'a [u8]>,
    /// PRIORITY that a peer-reflexive candidate would have (RFC 8445, section 7.1.1).
    pub priority: Option<u32>,
    /// USE-CANDIDATE: the pair is nominated (RFC 8445, section 7.1.2).
    pub use_candidate: bool,
    /// ICE-CONTROLLING or ICE-CONTROLLED.
    pub role: Option<Role>,
    /// XOR-MAPPED-ADDRESS of a success.
    pub mapped: Option<SocketAddr>,
    /// The number of ERROR-CODE, 300 to 699.
    pub error_code: Option<u16>,
    /// What a request is refused for with 420 (RFC 8489, section 6.3.1).
    pub unknown: UnknownAttributes,
    /// Whether there was a FINGERPRINT. ICE demands one (RFC 8445, section 7.1).
    pub has_fingerprint: bool,
    bytes: &'a [u8],
    /// Where the attribute MESSAGE-INTEGRITY begins, and its value.
    integrity: Option<(usize, [u8; 20])>,
}

impl<'a> Message<'a> {
    /// Reads a datagram, all of which has to be one message.
    ///
    /// # Errors
    /// [`StunError`]; the datagram is to be dropped.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, StunError> {
        let mut reader = Reader::new(datagram);
        let mut message = Self::parse_header(&mut reader, datagram)?;
        while !reader.is_empty() {
            if message.has_fingerprint {
                return Err(StunError::Attribute(attribute::FINGERPRINT));
            }
            let at = datagram.len() - reader.len();
            let kind = reader.u16().ok_or(StunError::Length)?;
            let value = reader.prefixed_u16().ok_or(StunError::Attribute(kind))?;
            let padding = value.len().wrapping_neg() % 4;
            reader.take(padding).ok_or(StunError::Attribute(kind))?;
            message
                .take_attribute(kind, value, at)
                .ok_or(StunError::Attribute(kind))?;
            if kind == attribute::FINGERPRINT {
                message.check_fingerprint(value, at)?;
            }
        }
        Ok(message)
    }

    fn parse_header(reader: &mut Reader<'a>, datagram: &'a [u8]) -> Result<Self, StunError> {
        let not_stun = StunError::NotStun;
        let kind = reader.u16().ok_or(not_stun)?;
        let length = reader.u16().ok_or(not_stun)?;
        let magic = reader.u32().ok_or(not_stun)?;
        let transaction = TransactionId(reader.array().ok_or(not_stun)?);
        if magic != MAGIC || kind & 0xc000 != 0 {
            return Err(not_stun);
        }
        if usize::from(length) != reader.len() || length % 4 != 0 {
            return Err(StunError::Length);
        }
        if datagram.len() > MAX_BYTES {
            return Err(StunError::TooLong);
        }
        let (class, method) = class_and_method(kind);
        Ok(Self {
            class,
            method,
            transaction,
            username: None,
            priority: None,
            use_candidate: false,
            role: None,
            mapped: None,
            error_code: None,
            unknown: UnknownAttributes::default(),
            has_fingerprint: false,
            bytes: datagram,
            integrity: None,
        })
    }

    /// `None` when the value isn't what its type says.
    fn take_attribute(&mut self, kind: u16, value: &'a [u8], at: usize) -> Option<()> {
        if kind == attribute::FINGERPRINT {
            self.has_fingerprint = true;
            return (value.len() == 4).then_some(());
        }
        if self.integrity.is_some() {
            return Some(());
        }
        match kind {
            attribute::USERNAME => {
                self.username.get_or_insert(value);
            }
            attribute::MESSAGE_INTEGRITY => self.integrity = Some((at, value.try_into().ok()?)),
            attribute::PRIORITY => {
                let priority = u32::from_be_bytes(value.try_into().ok()?);
                self.priority.get_or_insert(priority);
            }
            attribute::USE_CANDIDATE => self.use_candidate = true,
            attribute::ICE_CONTROLLING => {
                let tie_breaker = u64::from_be_bytes(value.try_into().ok()?);
                self.role.get_or_insert(Role::Controlling(tie_breaker));
            }
            attribute::ICE_CONTROLLED => {
                let tie_breaker = u64::from_be_bytes(value.try_into().ok()?);
                self.role.get_or_insert(Role::Controlled(tie_breaker));
            }
            attribute::XOR_MAPPED_ADDRESS => {
                let mapped = parse_xor_address(value, self.transaction)?;
                self.mapped.get_or_insert(mapped);
            }
            attribute::ERROR_CODE => {
                let code = parse_error_code(value)?;
                self.error_code.get_or_insert(code);
            }
            attribute::MAPPED_ADDRESS
            | attribute::UNKNOWN_ATTRIBUTES
            | attribute::REALM
            | attribute::NONCE
            | attribute::MESSAGE_INTEGRITY_SHA256
            | attribute::PASSWORD_ALGORITHM
            | attribute::USERHASH
            | attribute::OPTIONAL_FROM.. => {}
            unknown => self.unknown.push(unknown),
        }
        Some(())
    }

    fn check_fingerprint(&self, value: &[u8], at: usize) -> Result<(), StunError> {
        let covered = self.bytes.get(..at).unwrap_or_default();
        if value == crc::fingerprint(covered).to_be_bytes() {
            Ok(())
        } else {
            Err(StunError::Fingerprint)
        }
    }

    /// Checks MESSAGE-INTEGRITY in a time that doesn't depend on how much of it is right (RFC 8489,
    /// section 14.5: HMAC-SHA1 over what stands before it, with the header's length as if it were
    /// the last attribute).
    ///
    /// # Errors
    /// [`IntegrityError`] when it is missing or made with another password.
    pub fn check_integrity(&self, key: &IntegrityKey) -> Result<(), IntegrityError> {
        let (at, value) = self.integrity.as_ref().ok_or(IntegrityError::Missing)?;
        let wrong = IntegrityError::Wrong;
        let mut covered = [0; MAX_BYTES];
        let covered = covered.get_mut(..*at).ok_or(wrong)?;
        covered.copy_from_slice(self.bytes.get(..*at).ok_or(wrong)?);
        let length =
            u16::try_from(at + write::INTEGRITY_BYTES - HEADER_BYTES).map_err(|_| wrong)?;
        covered
            .get_mut(2..4)
            .ok_or(wrong)?
            .copy_from_slice(&length.to_be_bytes());
        hmac::verify(&key.0, covered, value).map_err(|_| wrong)
    }

    /// USERNAME as `(ours, theirs)`: the reader's ufrag stands before the colon, the sender's after
    /// it (RFC 8445, section 7.2.2). `None` without a USERNAME or when it is not two ufrags of 1 to
    /// 256 of ICE's characters.
    #[must_use]
    pub fn username_parts(&self) -> Option<(&'a str, &'a str)> {
        let username = std::str::from_utf8(self.username?).ok()?;
        let (ours, theirs) = username.split_once(':')?;
        (is_ufrag(ours) && is_ufrag(theirs)).then_some((ours, theirs))
    }
}

/// RFC 8839, section 5.4: `ice-char`s; the lower bound of four is for who makes them.
fn is_ufrag(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// Takes the two bits of the class out of the type (RFC 8489, section 5).
fn class_and_method(kind: u16) -> (Class, Method) {
    let class = match (kind & 0x0100 != 0, kind & 0x0010 != 0) {
        (false, false) => Class::Request,
        (false, true) => Class::Indication,
        (true, false) => Class::Success,
        (true, true) => Class::Error,
    };
    let method = (kind & 0x000f) | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2;
    (class, Method(method))
}

/// RFC 8489, section 14.2.
fn parse_xor_address(value: &[u8], transaction: TransactionId) -> Option<SocketAddr> {
    let mut reader = Reader::new(value);
    let _reserved = reader.u8()?;
    let family = reader.u8()?;
    let port = reader.u16()? ^ port_mask();
    let ip = match family {
        1 => IpAddr::V4(Ipv4Addr::from(reader.u32()? ^ MAGIC)),
        2 => {
            let address = u128::from_be_bytes(reader.array()?) ^ v6_mask(transaction);
            IpAddr::V6(Ipv6Addr::from(address))
        }
        _ => return None,
    };
    reader.is_empty().then(|| SocketAddr::new(ip, port))
}

/// The upper half of the magic cookie.
fn port_mask() -> u16 {
    let [a, b, ..] = MAGIC.to_be_bytes();
    u16::from_be_bytes([a, b])
}

/// The magic cookie and the transaction.
fn v6_mask(transaction: TransactionId) -> u128 {
    let mut mask = [0; 16];
    let (cookie, rest) = mask.split_at_mut(4);
    cookie.copy_from_slice(&MAGIC.to_be_bytes());
    rest.copy_from_slice(&transaction.0);
    u128::from_be_bytes(mask)
}

/// RFC 8489, section 14.8: the class of hundreds in three bits, the rest in a byte.
fn parse_error_code(value: &[u8]) -> Option<u16> {
    let mut reader = Reader::new(value);
    let _reserved = reader.u16()?;
    let hundreds = reader.u8()? & 0x07;
    let rest = reader.u8()?;
    let is_valid = (3..=6).contains(&hundreds) && rest < 100;
    is_valid.then(|| u16::from(hundreds) * 100 + u16::from(rest))
}
