//! Addresses as the kernel takes them, and those that this machine has.

use super::sys;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of the kernel's longer address, that of IPv6.
pub(in crate::net) const RAW_ADDRESS_BYTES: usize = 28;

const V4_BYTES: u8 = 16;
const V6_BYTES: u8 = 28;
const _: () = assert!(size_of::<libc::sockaddr_in6>() == RAW_ADDRESS_BYTES);
const _: () = assert!(size_of::<libc::sockaddr_in>() == V4_BYTES as usize);

/// An address in the kernel's layout, made once for each peer and not for each datagram.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Destination {
    raw: [u8; RAW_ADDRESS_BYTES],
    len: u8,
}

impl Destination {
    /// Its bytes; those beyond [`Self::raw_len`] are zero.
    pub(in crate::net) fn as_raw(&self) -> &[u8; RAW_ADDRESS_BYTES] {
        &self.raw
    }

    /// How many of them are meant.
    pub(in crate::net) fn raw_len(&self) -> u8 {
        self.len
    }

    /// The same address for people and maps.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        parse(&self.raw)
    }

    /// A name in Linux's namespace of Unix sockets, at most 25 bytes: its queues fill up, which
    /// those of UDP on a loopback never do.
    #[cfg(test)]
    pub(in crate::net) fn of_unix_name(name: &[u8]) -> Self {
        let mut raw = [0; RAW_ADDRESS_BYTES];
        raw[..2].copy_from_slice(&family(libc::AF_UNIX));
        raw[3..3 + name.len()].copy_from_slice(name);
        let len = u8::try_from(3 + name.len()).unwrap();
        Self { raw, len }
    }
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        let mut raw = [0; RAW_ADDRESS_BYTES];
        raw[2..4].copy_from_slice(&address.port().to_be_bytes());
        let len = match address {
            SocketAddr::V4(v4) => {
                raw[..2].copy_from_slice(&family(libc::AF_INET));
                raw[4..8].copy_from_slice(&v4.ip().octets());
                V4_BYTES
            }
            SocketAddr::V6(v6) => {
                raw[..2].copy_from_slice(&family(libc::AF_INET6));
                raw[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
                raw[8..24].copy_from_slice(&v6.ip().octets());
                raw[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                V6_BYTES
            }
        };
        Self { raw, len }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => write!(f, "Destination({address})"),
            None => f.write_str("Destination(of another family)"),
        }
    }
}

fn family(family: libc::c_int) -> [u8; 2] {
    u16::try_from(family)
        .expect("families are small")
        .to_ne_bytes()
}

/// Reads an address in the kernel's layout; `None` for other families than IPv4 and IPv6.
pub(in crate::net) fn parse(raw: &[u8; RAW_ADDRESS_BYTES]) -> Option<SocketAddr> {
    let [f0, f1, p0, p1, a, b, c, d, rest @ ..] = *raw;
    let port = u16::from_be_bytes([p0, p1]);
    match libc::c_int::from(u16::from_ne_bytes([f0, f1])) {
        libc::AF_INET => Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port).into()),
        libc::AF_INET6 => {
            let (octets, scope) = rest.split_first_chunk::<16>()?;
            let (scope, _) = scope.split_first_chunk::<4>()?;
            let flow = u32::from_ne_bytes([a, b, c, d]);
            let scope = u32::from_ne_bytes(*scope);
            Some(SocketAddrV6::new(Ipv6Addr::from(*octets), port, flow, scope).into())
        }
        _ => None,
    }
}

/// An address of one of the machine's interfaces. Its port is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The interface's name, as `eth0`.
    pub interface: String,
    /// The address, with the scope that a link-local IPv6 address needs.
    pub address: SocketAddr,
    /// The interface is switched on and has a carrier.
    pub is_up: bool,
}

/// Which of the machine's addresses to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loopback {
    /// Those that others can reach.
    #[default]
    Excluded,
    /// Those of the machine to itself too: for tests and for a proxy beside the server.
    Included,
}

/// The addresses to bind to and to offer as host candidates (RFC 8445, section 5.1.1.1), IPv4
/// first, without duplicates and in the order of their numbers. Ports are 0. A list of addresses
/// to advertise instead is the caller's.
///
/// # Errors
/// The kernel does not tell its interfaces: out of memory or descriptors.
pub fn local_addresses(loopback: Loopback) -> io::Result<Vec<InterfaceAddress>> {
    Ok(choose(sys::interfaces::list()?, loopback))
}

/// Link-local addresses reach one cable only and need a scope that a browser does not know: they
/// are taken when there are no others.
fn choose(found: Vec<InterfaceAddress>, loopback: Loopback) -> Vec<InterfaceAddress> {
    let usable = |found: &InterfaceAddress| {
        let ip = found.address.ip();
        let is_offered = loopback == Loopback::Included || !ip.is_loopback();
        found.is_up && is_offered && !ip.is_unspecified() && !ip.is_multicast()
    };
    let mut chosen: Vec<_> = found.into_iter().filter(usable).collect();
    let is_far = |found: &InterfaceAddress| !is_link_local(found.address.ip());
    if chosen
        .iter()
        .any(|found| is_far(found) && !found.address.ip().is_loopback())
    {
        chosen.retain(is_far);
    }
    chosen.sort_by(|a, b| (a.address, &a.interface).cmp(&(b.address, &b.interface)));
    chosen.dedup_by(|a, b| a.address == b.address);
    chosen
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(interface: &str, address: &str) -> InterfaceAddress {
        InterfaceAddress {
            interface: interface.into(),
            address: address.parse().unwrap(),
            is_up: true,
        }
    }

    fn chosen(found: Vec<InterfaceAddress>, loopback: Loopback) -> Vec<String> {
        let chosen = choose(found, loopback);
        chosen
            .into_iter()
            .map(|found| found.address.to_string())
            .collect()
    }

    #[test]
    fn addresses_that_others_reach_are_offered_in_order() {
        let machine = vec![
            found("lo", "127.0.0.1:0"),
            found("lo", "[::1]:0"),
            found("eth0", "[fe80::1%2]:0"),
            found("eth0", "[fd00::2]:0"),
            found("eth1", "10.0.0.9:0"),
            found("eth0", "10.0.0.2:0"),
            found("eth2", "169.254.7.7:0"),
            found("alias", "10.0.0.2:0"),
            InterfaceAddress {
                is_up: false,
                ..found("ifb0", "10.0.0.3:0")
            },
        ];
        let far = ["10.0.0.2:0", "10.0.0.9:0", "[fd00::2]:0"];
        assert_eq!(chosen(machine.clone(), Loopback::Excluded), far);
        let all = [
            "10.0.0.2:0",
            "10.0.0.9:0",
            "127.0.0.1:0",
            "[::1]:0",
            "[fd00::2]:0",
        ];
        assert_eq!(chosen(machine, Loopback::Included), all);
    }

    #[test]
    fn a_link_local_address_is_offered_when_there_is_no_other() {
        let machine = vec![found("lo", "127.0.0.1:0"), found("eth0", "[fe80::1%2]:0")];
        assert_eq!(chosen(machine, Loopback::Excluded), ["[fe80::1%2]:0"]);
    }

    #[test]
    fn this_machine_can_reach_itself() {
        let all = local_addresses(Loopback::Included).unwrap();
        assert!(all.iter().any(|found| found.address.ip().is_loopback()));
        let far = local_addresses(Loopback::Excluded).unwrap();
        assert!(far.iter().all(|found| !found.address.ip().is_loopback()));
        assert!(far.iter().all(|found| all.contains(found)));
    }

    proptest! {
        #[test]
        fn an_address_comes_back_as_it_went(
            v4 in any::<([u8; 4], u16)>(),
            v6 in any::<([u8; 16], u16, u32, u32)>(),
        ) {
            let v4 = SocketAddr::from((v4.0, v4.1));
            prop_assert_eq!(Destination::from(v4).address(), Some(v4));
            let v6 = SocketAddr::V6(SocketAddrV6::new(v6.0.into(), v6.1, v6.2, v6.3));
            prop_assert_eq!(Destination::from(v6).address(), Some(v6));
        }

        #[test]
        fn any_bytes_are_an_address_or_none(raw in any::<[u8; RAW_ADDRESS_BYTES]>()) {
            let _ = parse(&raw);
        }
    }
}
