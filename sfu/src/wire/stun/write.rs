//! Writers of binding messages. Each begins its buffer anew.

use super::{
    Class, HEADER_BYTES, IntegrityKey, MAGIC, Method, Role, TransactionId, UnknownAttributes,
    attribute, crc, port_mask, v6_mask,
};
use ring::hmac;
use std::net::SocketAddr;

/// MESSAGE-INTEGRITY with its header.
pub(super) const INTEGRITY_BYTES: usize = 24;

/// FINGERPRINT with its header.
const FINGERPRINT_BYTES: usize = 8;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400: USERNAME or MESSAGE-INTEGRITY is missing (RFC 8489, section 9.1.3).
    BadRequest,
    /// 401: the credentials are not known or not right.
    Unauthenticated,
    /// 420: it has attributes that had to be understood (RFC 8489, section 6.3.1).
    UnknownAttributes(UnknownAttributes),
    /// 487: both are in the same role (RFC 8445, section 7.3.1.1).
    RoleConflict,
}

impl Refusal {
    /// Class of hundreds, the rest, and the reason phrase that RFC 8489 section 14.8 recommends.
    fn code(self) -> (u8, u8, &'static str) {
        match self {
            Self::BadRequest => (4, 0, "Bad Request"),
            Self::Unauthenticated => (4, 1, "Unauthenticated"),
            Self::UnknownAttributes(_) => (4, 20, "Unknown Attribute"),
            Self::RoleConflict => (4, 87, "Role Conflict"),
        }
    }
}

/// A connectivity check, as a client makes it.
#[derive(Debug, Clone, Copy)]
pub struct BindingRequest<'a> {
    /// New for each request.
    pub transaction: TransactionId,
    /// `theirs:ours`, as seen by the sender (RFC 8445, section 7.1.2 and 7.2.2).
    pub username: &'a str,
    /// PRIORITY.
    pub priority: u32,
    /// The sender's role.
    pub role: Role,
    /// Whether it nominates.
    pub use_candidate: bool,
}

/// Writes a binding success: the address that the request came from, integrity and fingerprint.
/// `out` is emptied first.
pub fn write_success(
    out: &mut Vec<u8>,
    transaction: TransactionId,
    mapped: SocketAddr,
    key: &IntegrityKey,
) {
    begin(out, Class::Success, transaction);
    put_xor_address(out, transaction, mapped);
    finish(out, Some(key));
}

/// Writes a binding error with a fingerprint, and with integrity when a key is given. Without valid
/// credentials there is none to give: 400 and 401 go out without (RFC 8489, section 9.1.3). `out` is
/// emptied first.
pub fn write_error(
    out: &mut Vec<u8>,
    transaction: TransactionId,
    refusal: Refusal,
    key: Option<&IntegrityKey>,
) {
    begin(out, Class::Error, transaction);
    let (hundreds, rest, reason) = refusal.code();
    put_attribute(
        out,
        attribute::ERROR_CODE,
        &[&[0, 0, hundreds, rest], reason.as_bytes()],
    );
    if let Refusal::UnknownAttributes(unknown) = refusal {
        put_unknown(out, &unknown);
    }
    finish(out, key);
}

/// Writes a binding request with integrity and fingerprint. `out` is emptied first.
pub fn write_request(out: &mut Vec<u8>, request: &BindingRequest<'_>, key: &IntegrityKey) {
    begin(out, Class::Request, request.transaction);
    put_attribute(out, attribute::USERNAME, &[request.username.as_bytes()]);
    put_attribute(out, attribute::PRIORITY, &[&request.priority.to_be_bytes()]);
    let (kind, tie_breaker) = match request.role {
        Role::Controlling(tie_breaker) => (attribute::ICE_CONTROLLING, tie_breaker),
        Role::Controlled(tie_breaker) => (attribute::ICE_CONTROLLED, tie_breaker),
    };
    put_attribute(out, kind, &[&tie_breaker.to_be_bytes()]);
    if request.use_candidate {
        put_attribute(out, attribute::USE_CANDIDATE, &[]);
    }
    finish(out, Some(key));
}

fn begin(out: &mut Vec<u8>, class: Class, transaction: TransactionId) {
    let class: u16 = match class {
        Class::Request => 0,
        Class::Indication => 0x0010,
        Class::Success => 0x0100,
        Class::Error => 0x0110,
    };
    out.clear();
    out.extend_from_slice(&(Method::BINDING.0 | class).to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&MAGIC.to_be_bytes());
    out.extend_from_slice(&transaction.0);
}

/// The parts make up the value. Padding is zero (RFC 8489, section 14).
fn put_attribute(out: &mut Vec<u8>, kind: u16, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let len = u16::try_from(len).expect("values written here are short");
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
}

fn put_unknown(out: &mut Vec<u8>, unknown: &UnknownAttributes) {
    let mut value = [0; 2 * super::MAX_UNKNOWN];
    let types = unknown.types();
    for (place, kind) in value.chunks_exact_mut(2).zip(types) {
        place.copy_from_slice(&kind.to_be_bytes());
    }
    let value = value.get(..2 * types.len()).unwrap_or_default();
    put_attribute(out, attribute::UNKNOWN_ATTRIBUTES, &[value]);
}

fn put_xor_address(out: &mut Vec<u8>, transaction: TransactionId, address: SocketAddr) {
    let port = (address.port() ^ port_mask()).to_be_bytes();
    match address {
        SocketAddr::V4(address) => {
            let ip = (address.ip().to_bits() ^ MAGIC).to_be_bytes();
            put_attribute(out, attribute::XOR_MAPPED_ADDRESS, &[&[0, 1], &port, &ip]);
        }
        SocketAddr::V6(address) => {
            let ip = (address.ip().to_bits() ^ v6_mask(transaction)).to_be_bytes();
            put_attribute(out, attribute::XOR_MAPPED_ADDRESS, &[&[0, 2], &port, &ip]);
        }
    }
}

/// Both check values cover a header whose length counts them, and nothing behind them.
fn finish(out: &mut Vec<u8>, key: Option<&IntegrityKey>) {
    if let Some(key) = key {
        put_length(out, INTEGRITY_BYTES);
        let tag = hmac::sign(&key.0, out);
        put_attribute(out, attribute::MESSAGE_INTEGRITY, &[tag.as_ref()]);
    }
    put_length(out, FINGERPRINT_BYTES);
    let fingerprint = crc::fingerprint(out);
    put_attribute(out, attribute::FINGERPRINT, &[&fingerprint.to_be_bytes()]);
}

fn put_length(out: &mut [u8], to_come: usize) {
    let length =
        u16::try_from(out.len() + to_come - HEADER_BYTES).expect("messages written here are short");
    if let Some(place) = out.get_mut(2..4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}
