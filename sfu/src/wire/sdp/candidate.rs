//! ICE candidates (RFC 8839, section 5.1; TCP: RFC 6544, section 4.5).

use super::attribute::is_ice_char;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A candidate. Its related address and extensions are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// 1 to 32 ICE characters; equal for candidates of one kind, base and protocol.
    pub foundation: String,
    /// 1 is RTP, 2 RTCP; up to 256.
    pub component: u16,
    /// Over what.
    pub transport: Transport,
    /// 1 to 2^31 − 1.
    pub priority: u32,
    /// An IP address, or a name: browsers hide addresses behind names of mDNS.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Where it comes from.
    pub kind: CandidateKind,
}

/// The greatest preference among TCP candidates: 13 bits of the local preference.
pub const TCP_PREFERENCE_MAX: u16 = (1 << 13) - 1;

/// The type preference of TCP's host candidates: below UDP's 126 and the 110 of what is learnt of peers, above relays
/// (RFC 6544, section 4.2, leaves it to us; browsers have the same).
const TCP_HOST: u32 = 90;

/// The direction preference of passive host candidates (RFC 6544, section 4.2).
const TCP_PASSIVE: u32 = 4;

/// What a candidate is reached over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP, and who opens it is the candidate's to say.
    Tcp(TcpKind),
}

/// Who opens a TCP connection (RFC 6544, section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpKind {
    /// The candidate's owner.
    Active,
    /// The other side.
    Passive,
    /// Both at once.
    SimultaneousOpen,
}

/// Where a candidate comes from (RFC 8445, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateKind {
    /// An interface of the host.
    Host,
    /// A server saw it.
    ServerReflexive,
    /// The other side saw it.
    PeerReflexive,
    /// It is a relay's.
    Relay,
}

impl Candidate {
    /// The candidate of an ICE-lite server: component 1, UDP, kind host. The more preferred of several
    /// has the greater `preference` (RFC 8445, section 5.1.2.1).
    #[must_use]
    pub fn host(address: SocketAddr, preference: u16) -> Self {
        let family = if address.is_ipv4() { "4" } else { "6" };
        Self {
            foundation: format!("{family}{preference}"),
            component: 1,
            transport: Transport::Udp,
            priority: (126 << 24) | (u32::from(preference) << 8) | 255,
            address: address.ip().to_string(),
            port: address.port(),
            kind: CandidateKind::Host,
        }
    }

    /// The same over TCP, which the client opens. Any of UDP goes before it: what is lost on TCP holds up what comes
    /// after it. The more preferred of several has the greater `preference`, up to [`TCP_PREFERENCE_MAX`] (RFC 6544,
    /// section 4.2).
    #[must_use]
    pub fn host_tcp_passive(address: SocketAddr, preference: u16) -> Self {
        let other = preference.min(TCP_PREFERENCE_MAX);
        let local = (TCP_PASSIVE << 13) | u32::from(other);
        let udp = Self::host(address, other);
        Self {
            foundation: format!("t{}", udp.foundation),
            transport: Transport::Tcp(TcpKind::Passive),
            priority: (TCP_HOST << 24) | (local << 8) | 255,
            ..udp
        }
    }

    /// Reads an attribute's value, what follows `candidate:`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::read(value).flatten()
    }

    /// `Some(None)` for one over or of something that is not known here: those are left out (RFC 8839,
    /// section 5.1).
    pub(super) fn read(value: &str) -> Option<Option<Self>> {
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let foundation = words.next()?;
        let component = words.next()?.parse().ok()?;
        let over = words.next()?;
        let priority = words.next()?.parse().ok()?;
        let address = words.next()?;
        let port = words.next()?.parse().ok()?;
        if words.next()? != "typ" {
            return None;
        }
        let kind = CandidateKind::parse(words.next()?);
        let mut tcp = None;
        while let Some(name) = words.next() {
            let value = words.next()?;
            if name == "tcptype" {
                tcp = TcpKind::parse(value);
            }
        }
        let transport = if over.eq_ignore_ascii_case("udp") {
            Some(Transport::Udp)
        } else if over.eq_ignore_ascii_case("tcp") {
            tcp.map(Transport::Tcp)
        } else {
            None
        };
        let fits = (1..=32).contains(&foundation.len())
            && foundation.bytes().all(is_ice_char)
            && (1..=256).contains(&component)
            && (1..=0x7fff_ffff).contains(&priority)
            && is_address(address);
        let read = transport.zip(kind).map(|(transport, kind)| Self {
            foundation: foundation.to_owned(),
            component,
            transport,
            priority,
            address: address.to_owned(),
            port,
            kind,
        });
        fits.then_some(read)
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (over, tcp) = match self.transport {
            Transport::Udp => ("udp", None),
            Transport::Tcp(kind) => ("tcp", Some(kind)),
        };
        write!(
            f,
            "{} {} {over} {} {} {} typ {}",
            self.foundation,
            self.component,
            self.priority,
            self.address,
            self.port,
            self.kind.as_str()
        )?;
        match tcp {
            Some(kind) => write!(f, " tcptype {}", kind.as_str()),
            None => Ok(()),
        }
    }
}

/// An IP address, or a name of the DNS or mDNS.
fn is_address(text: &str) -> bool {
    let is_name = text.len() <= 253
        && text.contains(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    is_name || text.parse::<IpAddr>().is_ok()
}

impl TcpKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::SimultaneousOpen => "so",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Passive, Self::SimultaneousOpen]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

impl CandidateKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relay => "relay",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [
            Self::Host,
            Self::ServerReflexive,
            Self::PeerReflexive,
            Self::Relay,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
    }
}
