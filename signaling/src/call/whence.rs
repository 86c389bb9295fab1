//! How somebody reaches this server over HTTP: what it takes to tell a wrong address from a blocked one.

use kaiwa_common::limits::CALL_AGENT_BYTES;
use kaiwa_sfu::exchange;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// By which door somebody comes into a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Way {
    /// Over a connection of the protocol.
    #[default]
    Socket,
    /// An encoder, by HTTP.
    Whip,
    /// A player, by HTTP.
    Whep,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Socket, Self::Whip, Self::Whep];

    /// The word for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Whip => "whip",
            Self::Whep => "whep",
        }
    }
}

impl From<exchange::Way> for Way {
    fn from(way: exchange::Way) -> Self {
        match way {
            exchange::Way::In => Self::Whip,
            exchange::Way::Out => Self::Whep,
        }
    }
}

/// Both ends of the way over HTTP, as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// Where the person is.
    pub client: Option<IpAddr>,
    /// Our address as the person uses it. Not known behind a proxy or NAT, unless they name it.
    pub reached: Option<IpAddr>,
    /// They named it. Else it is what their connection came to, which may be an address that only a container has.
    pub is_named: bool,
}

/// What a request says of its way.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The address that counts as the client's.
    pub client: IpAddr,
    /// Ours, of the TCP connection.
    pub local: IpAddr,
    /// The host that it names.
    pub host: &'a str,
    /// A proxy is in between.
    pub is_forwarded: bool,
}

impl Origin {
    /// From a request.
    #[must_use]
    pub fn of(request: Request<'_>) -> Self {
        let client = request.client.to_canonical();
        let local = request.local.to_canonical();
        let named = request.host.trim_matches(['[', ']']).parse::<IpAddr>();
        let named = named.ok().map(|ip| ip.to_canonical());
        // A proxy names us by what it calls us itself, which is seldom what the person does.
        let named = named.filter(|ip| !request.is_forwarded || is_public(*ip));
        let is_behind_nat = is_public(client) && !is_public(local);
        let seen = (!request.is_forwarded && !is_behind_nat).then_some(local);
        let is_address = |ip: &IpAddr| !ip.is_unspecified();
        let named = named.filter(is_address);
        Self {
            client: Some(client),
            reached: named.or(seen.filter(is_address)),
            is_named: named.is_some(),
        }
    }
}

/// Who comes, by which door and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whence {
    /// By which door.
    pub way: Way,
    /// From where.
    pub origin: Origin,
    /// What the client calls itself, cut.
    pub agent: Option<Box<str>>,
}

impl Whence {
    /// What is kept of a client's own name.
    #[must_use]
    pub fn agent(text: &str) -> Option<Box<str>> {
        let printable: String = text.chars().filter(|c| !c.is_control()).collect();
        let cut = printable.floor_char_boundary(CALL_AGENT_BYTES);
        let kept = printable.get(..cut).unwrap_or_default().trim();
        (!kept.is_empty()).then(|| kept.into())
    }
}

/// Whether an address can be reached from anywhere.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, ..] = v4.octets();
    // RFC 6598: between a provider and its customers.
    let is_shared = a == 100 && (64..128).contains(&b);
    !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || is_shared)
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let is_local = v6.is_loopback() || v6.is_unspecified();
    !(is_local || v6.is_unique_local() || v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(client: &str, local: &str, host: &str, is_forwarded: bool) -> Option<String> {
        let ip = |text: &str| text.parse().expect("an address");
        let origin = Origin::of(Request {
            client: ip(client),
            local: ip(local),
            host,
            is_forwarded,
        });
        origin.reached.map(|ip| ip.to_string())
    }

    #[test]
    fn the_address_that_somebody_uses_is_known_unless_a_proxy_or_nat_hides_it() {
        let some = |text: &str| Some(text.to_owned());
        let lan = "192.168.1.7";
        assert_eq!(
            reached(lan, "192.168.1.2", "chat.example", false),
            some("192.168.1.2")
        );
        assert_eq!(
            reached("203.0.113.9", "10.0.0.5", "chat.example", false),
            None
        );
        assert_eq!(
            reached("203.0.113.9", "10.0.0.5", "198.51.100.4", false),
            some("198.51.100.4")
        );
        assert_eq!(reached(lan, "127.0.0.1", "chat.example", true), None);
        assert_eq!(
            reached(lan, "127.0.0.1", "127.0.0.1", true),
            None,
            "the proxy's own name for us"
        );
        assert_eq!(reached("::1", "::1", "[::1]", false), some("::1"));
        assert_eq!(
            reached("::ffff:127.0.0.1", "::ffff:127.0.0.1", "localhost", false),
            some("127.0.0.1")
        );
    }

    #[test]
    fn what_a_client_calls_itself_is_cut_and_printable() {
        assert_eq!(Whence::agent("a\r\nb").as_deref(), Some("ab"));
        assert_eq!(Whence::agent(" \t "), None);
        let long = Whence::agent(&"é".repeat(100)).expect("something");
        assert!(long.len() <= CALL_AGENT_BYTES);
    }
}
