//! Where the server may call: https, public addresses, few ports, and what the operator allows besides.
//!
//! People name push endpoints, so without this guard anybody could make the server knock at its own private
//! network (request forgery). A name says nothing: what is checked is each address that it resolves to, at
//! the time of the connection, and the connection goes to a checked address.

use http::Uri;
use http::uri::{Authority, Scheme};
use ipnet::IpNet;
use kaiwa_common::limits::OUTBOUND_URL_BYTES;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why a URL or address may not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// It is longer than [`OUTBOUND_URL_BYTES`].
    #[error("the URL is longer than {OUTBOUND_URL_BYTES} bytes")]
    TooLong,
    /// It can't be read as an absolute URL.
    #[error("it is not an absolute URL")]
    Malformed,
    /// Not https.
    #[error("the scheme is not https")]
    Scheme,
    /// It carries a user name or password.
    #[error("a URL with a user name or password")]
    UserInfo,
    /// The host is empty or has characters that no host name has.
    #[error("not a host name")]
    Host,
    /// The host's address is private, local, or not of one host.
    #[error("the address is not public")]
    Address,
    /// Not one of the ports that push services have.
    #[error("the port is not allowed")]
    Port,
}

/// A host and its port, in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    host: String,
    port: u16,
}

impl Origin {
    /// The host: a name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, when the host is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// As a URL's origin (RFC 6454): the default port is left out.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(f, "https://{open}{}{close}", self.host)?;
        if self.port == 443 {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

/// A push endpoint's host may tell whose it is (self-hosted), so `Debug` doesn't.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin(…{}:{})", self.host.len(), self.port)
    }
}

/// What one line of the operator's allow list opens.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    /// A host by name, wherever it lies, on one port or any.
    Host { host: String, port: Option<u16> },
    /// Every host in a network, on any port.
    Net(IpNet),
}

/// A line of the allow list can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not HOST, HOST:PORT, ADDRESS or NETWORK: {0:?}")]
pub struct InvalidAllowed(pub String);

/// The rules. The default allows public addresses on ports 443 and 8443.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allowed: Vec<Allowed>,
}

/// Ports that push services on public addresses have: https's own, and the one that self-hosted ones take.
const PORTS: [u16; 2] = [443, 8443];

impl Guard {
    /// With what an operator allows besides: `HOST` or `HOST:PORT` (wherever it lies, any port if none is
    /// given), or a network such as `10.1.0.0/16` (any name in it, any port). Whoever may register a device
    /// can make the server send to what is listed here.
    ///
    /// # Errors
    /// [`InvalidAllowed`] names the line.
    pub fn new<S: AsRef<str>>(allowed: &[S]) -> Result<Self, InvalidAllowed> {
        let lines = allowed
            .iter()
            .map(|line| parse_allowed(line.as_ref().trim()));
        Ok(Self {
            allowed: lines.collect::<Result<_, _>>()?,
        })
    }

    /// Checks a URL by its text: all but the addresses of a name, which are checked when they are used.
    ///
    /// # Errors
    /// [`Forbidden`] says why.
    pub fn check_url(&self, url: &str) -> Result<(Uri, Origin), Forbidden> {
        if url.len() > OUTBOUND_URL_BYTES {
            return Err(Forbidden::TooLong);
        }
        // `Uri` would drop a fragment without a word.
        if url.contains('#') {
            return Err(Forbidden::Malformed);
        }
        let uri: Uri = url.parse().map_err(|_| Forbidden::Malformed)?;
        let origin = self.check_uri(&uri)?;
        Ok((uri, origin))
    }

    /// Checks a URL that is parsed already.
    ///
    /// # Errors
    /// [`Forbidden`] says why.
    pub fn check_uri(&self, uri: &Uri) -> Result<Origin, Forbidden> {
        match uri.scheme() {
            None => return Err(Forbidden::Malformed),
            Some(scheme) if *scheme != Scheme::HTTPS => return Err(Forbidden::Scheme),
            Some(_) => {}
        }
        let origin = origin_of(uri.authority().ok_or(Forbidden::Malformed)?)?;
        match origin.address() {
            Some(address) => self.check_address(&origin, address)?,
            None if !self.names(&origin) && !self.may_port(origin.port) => {
                return Err(Forbidden::Port);
            }
            None => {}
        }
        Ok(origin)
    }

    /// Checks one address of a host.
    ///
    /// # Errors
    /// [`Forbidden::Address`] or [`Forbidden::Port`].
    pub fn check_address(&self, origin: &Origin, address: IpAddr) -> Result<(), Forbidden> {
        let in_net = |allowed: &Allowed| matches!(allowed, Allowed::Net(net) if net.contains(&address.to_canonical()));
        if self.names(origin) || self.allowed.iter().any(in_net) {
            return Ok(());
        }
        if !is_public(address) {
            return Err(Forbidden::Address);
        }
        if PORTS.contains(&origin.port) {
            Ok(())
        } else {
            Err(Forbidden::Port)
        }
    }

    fn names(&self, origin: &Origin) -> bool {
        self.allowed.iter().any(|allowed| match allowed {
            Allowed::Host { host, port } => {
                *host == origin.host && port.is_none_or(|port| port == origin.port)
            }
            Allowed::Net(_) => false,
        })
    }

    /// A network on the list may hold the name, and then any port is good; its addresses will tell.
    fn may_port(&self, port: u16) -> bool {
        let has_net = self
            .allowed
            .iter()
            .any(|allowed| matches!(allowed, Allowed::Net(_)));
        has_net || PORTS.contains(&port)
    }
}

fn parse_allowed(line: &str) -> Result<Allowed, InvalidAllowed> {
    if let Ok(net) = line.parse::<IpNet>() {
        return Ok(Allowed::Net(net));
    }
    if let Ok(address) = line.parse::<IpAddr>() {
        return Ok(Allowed::Net(IpNet::from(address)));
    }
    let invalid = || InvalidAllowed(line.to_owned());
    let authority: Authority = line.parse().map_err(|_| invalid())?;
    let origin = origin_of(&authority).map_err(|_| invalid())?;
    Ok(Allowed::Host {
        port: authority.port_u16(),
        host: origin.host,
    })
}

fn origin_of(authority: &Authority) -> Result<Origin, Forbidden> {
    if authority.as_str().contains('@') {
        return Err(Forbidden::UserInfo);
    }
    let host = authority.host();
    let port = match authority.port() {
        Some(port) => port.as_str().parse().map_err(|_| Forbidden::Port)?,
        // "host:" without a number.
        None if authority.as_str().len() != host.len() => return Err(Forbidden::Port),
        None => 443,
    };
    let host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        // In the one spelling, so that a host has one name here.
        Some(host) => host
            .parse::<Ipv6Addr>()
            .map_err(|_| Forbidden::Host)?
            .to_string(),
        None => host.to_ascii_lowercase(),
    };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let is_host = host.contains(':') || host.bytes().all(is_name);
    if host.is_empty() || host.len() > 253 || !is_host || port == 0 {
        return Err(Forbidden::Host);
    }
    Ok(Origin { host, port })
}

/// Whether an address is of one host in the public internet (IANA's special-purpose registries, RFC 6890).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _) // this network, private, loopback, multicast, reserved, broadcast
            | (100, 64..=127, _)     // shared by carriers (RFC 6598)
            | (169, 254, _)          // link-local; the clouds' metadata services
            | (172, 16..=31, _)      // private
            | (192, 0, 0 | 2)        // protocol assignments, documentation
            | (192, 88, 99)          // relays of 6to4
            | (192, 168, _)          // private
            | (198, 18 | 19, _)      // benchmarks (RFC 2544)
            | (198, 51, 100)         // documentation
            | (203, 0, 113) // documentation
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Only 2000::/3 is given to hosts. What is outside it: unspecified, loopback, IPv4-mapped and
    // -translated, NAT64 (64:ff9b::/96, 64:ff9b:1::/48), discard-only, unique local, link-local,
    // site-local, multicast, segment routing.
    let is_global = a & 0xe000 == 0x2000;
    let is_special = matches!(
        (a, b),
        (0x2001, 0..=0x1ff)    // protocol assignments: Teredo, benchmarks, ORCHID (RFC 2928)
            | (0x2001, 0xdb8)  // documentation
            | (0x2002, _)      // 6to4, which carries an IPv4 address
            | (0x3ffe, _)      // the 6bone, given back
            | (0x3fff, 0..=0xfff) // documentation (RFC 9637)
    );
    is_global && !is_special
}

#[cfg(test)]
mod tests;
