//! Where media is received by TCP.

use crate::config::{Config, TcpListen};
use crate::net::tcp;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

/// Own listeners, and where clients reach us by TCP, over them or over HTTP's.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    pub(super) own: Vec<TcpListener>,
    pub(super) addresses: Vec<SocketAddr>,
}

/// Listens at what is configured; `udp` are the addresses of the media sockets, `expand` replaces unspecified addresses
/// by the host's. `None` when TCP is off.
///
/// # Errors
/// An address that was named can't be listened at.
pub(super) fn open(
    config: &Config,
    udp: &[SocketAddr],
    expand: impl FnOnce(&[SocketAddr]) -> io::Result<Vec<SocketAddr>>,
) -> io::Result<Option<Listeners>> {
    let mut listeners = Listeners::default();
    match &config.tcp.listen {
        TcpListen::Off => return Ok(None),
        TcpListen::Beside => listeners.open_beside(config, udp),
        TcpListen::At(addresses) => {
            for address in expand(addresses)? {
                let shared = config.tcp.shared.filter(|shared| {
                    covers(*shared, address.ip()) && shared.port() == address.port()
                });
                match shared {
                    Some(_) => listeners.addresses.push(address),
                    None => listeners.add(address).map_err(|error| {
                        io::Error::new(error.kind(), format!("TCP {address}: {error}"))
                    })?,
                }
            }
        }
    }
    Ok(Some(listeners))
}

impl Listeners {
    /// At each address of the media sockets: HTTP's port where HTTP is at that address, else one of its own with the
    /// same number.
    fn open_beside(&mut self, config: &Config, udp: &[SocketAddr]) {
        let any_port = config.listen.iter().any(|address| address.port() == 0);
        for &address in udp {
            if let Some(shared) = config.tcp.shared.filter(|s| covers(*s, address.ip())) {
                let shared = SocketAddr::new(address.ip(), shared.port());
                self.addresses.push(shared);
                continue;
            }
            let mut opened = self.add(address);
            if opened.is_err() && any_port {
                let mut free = address;
                free.set_port(0);
                opened = self.add(free);
            }
            if let Err(error) = opened {
                tracing::warn!(
                    %address, %error,
                    "media can't be received by TCP here: who has no UDP is not in calls (calls.tcp_listen names \
                     other addresses)"
                );
            }
        }
    }

    fn add(&mut self, address: SocketAddr) -> io::Result<()> {
        let listener = tcp::listen(address)?;
        self.addresses.push(listener.local_addr()?);
        self.own.push(listener);
        Ok(())
    }
}

/// Whether a listener is reached at an address. One at all addresses of IPv6 is at those of IPv4 as well.
fn covers(listener: SocketAddr, ip: IpAddr) -> bool {
    let all = listener.ip().is_unspecified() && (listener.is_ipv6() || ip.is_ipv4());
    all || listener.ip() == ip
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TcpConfig;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn opened(listen: TcpListen, shared: Option<&str>, udp: &[&str]) -> Listeners {
        let config = Config {
            listen: vec![at("127.0.0.1:0")],
            tcp: TcpConfig {
                listen,
                shared: shared.map(at),
            },
            ..Config::default()
        };
        let udp: Vec<SocketAddr> = udp.iter().map(|text| at(text)).collect();
        let expand = |addresses: &[SocketAddr]| Ok(addresses.to_vec());
        open(&config, &udp, expand).unwrap().unwrap_or_default()
    }

    #[test]
    fn where_http_is_its_port_is_shared_and_elsewhere_there_is_one_of_our_own() {
        let shared = opened(TcpListen::Beside, Some("0.0.0.0:443"), &["127.0.0.1:7000"]);
        assert_eq!(shared.addresses, [at("127.0.0.1:443")]);
        assert!(shared.own.is_empty());
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap().to_string();
        let own = opened(TcpListen::Beside, Some("192.0.2.1:443"), &[&address]);
        assert_eq!((own.own.len(), own.addresses.len()), (1, 1));
        assert_eq!(own.addresses[0].ip(), at(&address).ip());
    }

    #[test]
    fn a_port_that_is_taken_is_gone_without_unless_it_was_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let config = |listen| Config {
            listen: vec![address],
            tcp: TcpConfig {
                listen,
                shared: None,
            },
            ..Config::default()
        };
        let expand = |addresses: &[SocketAddr]| Ok(addresses.to_vec());
        let beside = open(&config(TcpListen::Beside), &[address], expand);
        assert!(beside.unwrap().unwrap().addresses.is_empty());
        let named = TcpListen::At(vec![address]);
        let error = open(&config(named), &[address], expand).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let shared = Some(address.to_string());
        let named = TcpListen::At(vec![address]);
        let shared = opened(named, shared.as_deref(), &[]);
        assert_eq!(shared.addresses, [address], "HTTP has it");
        assert!(
            opened(TcpListen::Off, None, &["127.0.0.1:1"])
                .addresses
                .is_empty()
        );
    }

    #[test]
    fn all_addresses_of_v6_are_those_of_v4_as_well() {
        assert!(covers(at("[::]:1"), at("192.0.2.1:1").ip()));
        assert!(covers(at("[::]:1"), at("[2001:db8::1]:1").ip()));
        assert!(!covers(at("0.0.0.0:1"), at("[2001:db8::1]:1").ip()));
        assert!(!covers(at("127.0.0.1:1"), at("192.0.2.1:1").ip()));
    }
}
