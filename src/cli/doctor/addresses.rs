//! Where clients are told to send media, and whether they can.

use super::findings::Finding;
use crate::config::Config;
use kaiwa_sfu::net::address::{Loopback, local_addresses};
use kaiwa_signaling::call::whence::is_public;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

const CHECK: &str = "addresses";

/// What is known without asking anybody.
pub(super) struct Known {
    /// This machine's, the loopback's included.
    pub(super) own: Vec<IpAddr>,
    /// Where media will be received.
    pub(super) bound: Vec<SocketAddr>,
    /// What clients will be told.
    pub(super) told: Vec<IpAddr>,
}

impl Known {
    pub(super) fn of(config: &Config) -> Self {
        let of_machine = |loopback| -> Vec<IpAddr> {
            let found = local_addresses(loopback).unwrap_or_default();
            found.iter().map(|found| found.address.ip()).collect()
        };
        let offered = of_machine(if config.calls.loopback {
            Loopback::Included
        } else {
            Loopback::Excluded
        });
        let port = config.http.listen.port();
        let everywhere = [
            SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
        ];
        let listen = if config.calls.listen.is_empty() {
            everywhere.to_vec()
        } else {
            config.calls.listen.clone()
        };
        let bound = expand(&listen, &offered);
        let told = if config.calls.advertise.is_empty() {
            bound.iter().map(SocketAddr::ip).collect()
        } else {
            config.calls.advertise.clone()
        };
        Self {
            own: of_machine(Loopback::Included),
            bound,
            told,
        }
    }
}

/// An unspecified address is all of the machine's of its family; without any, the loopback's.
fn expand(listen: &[SocketAddr], own: &[IpAddr]) -> Vec<SocketAddr> {
    let mut bound = Vec::new();
    for wanted in listen {
        if !wanted.ip().is_unspecified() {
            bound.push(*wanted);
            continue;
        }
        let family = own.iter().filter(|ip| ip.is_ipv4() == wanted.is_ipv4());
        bound.extend(family.map(|ip| SocketAddr::new(*ip, wanted.port())));
    }
    if bound.is_empty() {
        let port = listen.first().map_or(0, SocketAddr::port);
        bound.push(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    bound
}

/// Whether others can reach what they are told.
pub(super) fn check(told: &[IpAddr], own: &[IpAddr], config: &Config) -> Vec<Finding> {
    let listed: Vec<String> = told.iter().map(IpAddr::to_string).collect();
    let listed = listed.join(", ");
    let advertise =
        "set calls.advertise (--advertise) to the address at which people reach this server";
    let is_for_others = !config.http.listen.ip().is_loopback() || !config.http.hosts.is_empty();
    let has_public = own.iter().any(|ip| is_public(*ip));
    if told.iter().all(|ip| ip.is_loopback()) {
        let text = format!("clients are told {listed}: nobody but this machine can be in a call");
        return vec![if is_for_others {
            Finding::fail(CHECK, text, advertise)
        } else {
            Finding::warn(
                CHECK,
                text,
                "nothing, to try it here; else listen at another address (--listen)",
            )
        }];
    }
    if !told.iter().any(|ip| is_public(*ip)) {
        let text = format!("clients are told {listed}: private addresses, for this network alone");
        if has_public && is_for_others {
            return vec![Finding::fail(CHECK, text, advertise)];
        }
        if !config.http.hosts.is_empty() {
            return vec![Finding::warn(CHECK, text, advertise)];
        }
        return vec![Finding::ok(CHECK, text)];
    }
    let strange = told.iter().filter(|ip| !own.contains(ip));
    let strange: Vec<String> = strange.map(IpAddr::to_string).collect();
    if strange.is_empty() {
        return vec![Finding::ok(CHECK, format!("clients are told {listed}"))];
    }
    let text = format!(
        "clients are told {listed}, of which {} is not this machine's",
        strange.join(", ")
    );
    vec![if has_public {
        Finding::warn(
            CHECK,
            text,
            "right behind one-to-one NAT; else correct calls.advertise",
        )
    } else {
        Finding::ok(CHECK, text + ": taken for one-to-one NAT")
    }]
}

/// Whether the ports can be had, or are the running server's.
pub(super) fn ports(bound: &[SocketAddr], is_running: bool) -> Vec<Finding> {
    let check = "UDP port";
    let tried = bound.iter().filter(|address| address.port() != 0);
    let found = tried.map(|address| match UdpSocket::bind(address) {
        Ok(_) if is_running => Finding::warn(
            check,
            format!("{address} is not taken, while a server runs"),
            "is it the one of these settings? It takes new addresses after a restart",
        ),
        Ok(_) => Finding::ok(check, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_running => {
            Finding::ok(check, format!("{address} is the running server's"))
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => Finding::fail(
            check,
            format!("{address} is in use by another program"),
            "end that program, or name another port with --media-bind",
        ),
        Err(error) => Finding::fail(
            check,
            format!("{address} can't be bound: {error}"),
            "correct calls.listen (--media-bind): it has to be an address of this machine",
        ),
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::super::findings::Status;
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect()
    }

    #[test]
    fn what_nobody_can_reach_is_found() {
        let mut config = Config::default();
        let judge = |told: &[&str], own: &[&str], config: &Config| {
            check(&ips(told), &ips(own), config)[0].status
        };
        let lan = ["127.0.0.1", "10.0.0.5"];
        assert_eq!(
            judge(&["127.0.0.1"], &lan, &config),
            Status::Warn,
            "to try it"
        );
        assert_eq!(judge(&["10.0.0.5"], &lan, &config), Status::Ok);
        config.http.listen = SocketAddr::from(([0, 0, 0, 0], 8443));
        assert_eq!(judge(&["127.0.0.1"], &lan, &config), Status::Fail);
        assert_eq!(
            judge(&["10.0.0.5"], &lan, &config),
            Status::Ok,
            "a LAN's server"
        );
        let both = ["10.0.0.5", "203.0.113.5"];
        assert_eq!(judge(&["10.0.0.5"], &both, &config), Status::Fail);
        assert_eq!(judge(&both, &both, &config), Status::Ok);
        assert_eq!(
            judge(&["203.0.113.5"], &lan, &config),
            Status::Ok,
            "one-to-one NAT"
        );
        assert_eq!(
            judge(&["198.51.100.4"], &both, &config),
            Status::Warn,
            "whose is that?"
        );
        config.http.hosts = vec!["chat.example".to_owned()];
        assert_eq!(judge(&["10.0.0.5"], &lan, &config), Status::Warn);
    }

    #[test]
    fn a_port_is_free_or_the_servers_or_in_the_way() {
        let taken = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let at = [taken.local_addr().expect("an address")];
        assert_eq!(ports(&at, true)[0].status, Status::Ok);
        assert_eq!(ports(&at, false)[0].status, Status::Fail);
        drop(taken);
        assert_eq!(ports(&at, false)[0].status, Status::Ok);
        let strange = [SocketAddr::from(([192, 0, 2, 1], 9))];
        assert_eq!(ports(&strange, false)[0].status, Status::Fail);
    }
}
