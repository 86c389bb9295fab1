//! UDP sockets of the shards: one for each local address and shard, all on one port.

use super::address::Destination;
use super::sys;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What is asked of the kernel for each direction of a socket: a quarter of a second at
/// 130 Mbit/s. The kernel gives less when `net.core.rmem_max` or `wmem_max` says so; see
/// [`UdpSocket::buffers`]. When one is full, the kernel drops what comes and refuses what goes.
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// How often another port is tried when the one that the kernel chose for the first address is
/// taken on another. Then binding fails as if a port had been asked for.
const PORT_ATTEMPTS: usize = 16;

/// A local address, by its place in the list given to [`bind_shards`]: small, and the same in all
/// shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalIndex(pub u8);

/// A TCP connection of a shard. Its place is given again once it is closed, with another generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    pub(crate) index: u16,
    pub(crate) generation: u16,
}

/// Our end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Local {
    /// A local address's UDP socket.
    Udp(LocalIndex),
    /// A TCP connection.
    Tcp(StreamKey),
}

impl From<LocalIndex> for Local {
    fn from(index: LocalIndex) -> Self {
        Self::Udp(index)
    }
}

/// What the kernel gave, in its own reckoning: twice the payload, as it counts its own overhead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketBuffers {
    /// For datagrams that wait to be read.
    pub receive_bytes: usize,
    /// For datagrams that wait to leave.
    pub send_bytes: usize,
}

/// Why a socket can't be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has the port: choose another, or end that process.
    #[error("{0} is in use")]
    InUse(SocketAddr),
    /// The machine has no such address: correct the configuration.
    #[error("{0} is no address of this machine")]
    NotLocal(SocketAddr),
    /// Such a port needs privileges.
    #[error("no permission to bind {0}")]
    NotPermitted(SocketAddr),
    /// A list with nothing in it, or with more addresses than a [`LocalIndex`] can tell.
    #[error("1 to 255 addresses and at least one shard are needed")]
    NothingToBind,
    /// The machine lacks descriptors, memory or the address family.
    #[error("binding {address} failed")]
    Other {
        /// To what.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

impl BindError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EADDRINUSE) => Self::InUse(address),
            Some(libc::EADDRNOTAVAIL) => Self::NotLocal(address),
            Some(libc::EACCES | libc::EPERM) => Self::NotPermitted(address),
            _ => Self::Other { address, source },
        }
    }
}

/// A bound UDP socket that never blocks. IPv6 sockets carry IPv6 alone.
#[derive(Debug)]
pub struct UdpSocket {
    fd: OwnedFd,
    local: LocalIndex,
    address: SocketAddr,
    has_gro: bool,
    has_stamps: bool,
}

impl UdpSocket {
    /// A socket on an address that no other socket has; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(address: SocketAddr, local: LocalIndex) -> Result<Self, BindError> {
        let socket = Self::open(address, local, Port::Own);
        socket.map_err(|source| BindError::new(address, source))
    }

    fn open(address: SocketAddr, local: LocalIndex, port: Port) -> io::Result<Self> {
        let fd = sys::options::udp(address.is_ipv6())?;
        let set = |level, name, value| sys::options::set(fd.as_fd(), level, name, value);
        if address.is_ipv6() {
            set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        }
        if port == Port::Shared {
            set(libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        }
        let bytes = libc::c_int::try_from(SOCKET_BUFFER_BYTES).expect("4 MiB");
        set(libc::SOL_SOCKET, libc::SO_RCVBUF, bytes)?;
        set(libc::SOL_SOCKET, libc::SO_SNDBUF, bytes)?;
        sys::options::bind(fd.as_fd(), &Destination::from(address))?;
        let address = sys::options::local_address(fd.as_fd())?;
        Ok(Self {
            fd,
            local,
            address,
            has_gro: false,
            has_stamps: false,
        })
    }

    /// Lets sockets of this user bind to the same address from now on.
    fn share(&self) -> io::Result<()> {
        sys::options::set(self.fd.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)
    }

    /// Has the kernel hand over runs of equally long datagrams of one sender in one piece, which
    /// `ReceiveBatch::for_runs` takes apart. Whether it does: not before Linux 5.0.
    pub fn enable_gro(&mut self) -> bool {
        self.has_gro = sys::options::set(self.fd.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1).is_ok();
        self.has_gro
    }

    /// Has the kernel say when each datagram came, which is before it was read: by as much as what came
    /// with it took. Whether it does.
    pub fn enable_stamps(&mut self) -> bool {
        let option = libc::SO_TIMESTAMPNS;
        self.has_stamps = sys::options::set(self.fd.as_fd(), libc::SOL_SOCKET, option, 1).is_ok();
        self.has_stamps
    }

    /// Whether the kernel says when datagrams came.
    #[must_use]
    pub fn has_stamps(&self) -> bool {
        self.has_stamps
    }

    /// Whether runs may come in one piece.
    #[must_use]
    pub fn has_gro(&self) -> bool {
        self.has_gro
    }

    /// Which of the local addresses it is bound to.
    #[must_use]
    pub fn local(&self) -> LocalIndex {
        self.local
    }

    /// The address it is bound to, with the port that the kernel chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The buffers that the kernel gave.
    ///
    /// # Errors
    /// The kernel does not tell, which Linux always does.
    pub fn buffers(&self) -> io::Result<SocketBuffers> {
        let get = |name| sys::options::get(self.fd.as_fd(), libc::SOL_SOCKET, name);
        Ok(SocketBuffers {
            receive_bytes: usize::try_from(get(libc::SO_RCVBUF)?).unwrap_or_default(),
            send_bytes: usize::try_from(get(libc::SO_SNDBUF)?).unwrap_or_default(),
        })
    }

    /// Any socket of datagrams, for tests of what UDP does not do on a loopback.
    #[cfg(test)]
    pub(in crate::net) fn from_fd(fd: OwnedFd) -> Self {
        Self {
            fd,
            local: LocalIndex(0),
            address: SocketAddr::from(([0; 4], 0)),
            has_gro: false,
            has_stamps: false,
        }
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Who may have the port too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Own,
    Shared,
}

/// For each shard one socket on each of the addresses. Addresses with port 0 get one port, which
/// the kernel chooses. The kernel spreads datagrams over an address's sockets by the sender's
/// address and port, so one sender's always come to the same shard while the set is unchanged.
///
/// Addresses should be those of interfaces and not 0.0.0.0 or ::. From a socket on the latter, answers
/// leave with whatever address the route prefers, and a browser takes only those that come from the
/// candidate it sent to (RFC 8445, section 7.2.5.2.1).
///
/// The first socket of each address is bound alone and shared afterwards: a second server on the
/// same port is refused instead of taking a part of the first one's datagrams, and the kernel does
/// not choose a port that another set of shared sockets has.
///
/// # Errors
/// See [`BindError`]; nothing stays bound.
pub fn bind_shards(
    addresses: &[SocketAddr],
    shards: usize,
) -> Result<Vec<Vec<UdpSocket>>, BindError> {
    if addresses.is_empty() || u8::try_from(addresses.len()).is_err() || shards == 0 {
        return Err(BindError::NothingToBind);
    }
    let chooses = addresses
        .iter()
        .filter(|address| address.port() == 0)
        .count();
    let attempts = if chooses > 1 { PORT_ATTEMPTS } else { 1 };
    let mut outcome = try_bind_shards(addresses, shards);
    for _ in 1..attempts {
        if !matches!(outcome, Err(BindError::InUse(_))) {
            break;
        }
        outcome = try_bind_shards(addresses, shards);
    }
    outcome
}

fn try_bind_shards(
    addresses: &[SocketAddr],
    shards: usize,
) -> Result<Vec<Vec<UdpSocket>>, BindError> {
    let mut sets: Vec<Vec<UdpSocket>> = (0..shards).map(|_| Vec::new()).collect();
    let mut chosen_port = 0;
    for (local, &address) in (0..).map(LocalIndex).zip(addresses) {
        let mut address = address;
        if address.port() == 0 {
            address.set_port(chosen_port);
        }
        let mut port = Port::Own;
        for set in &mut sets {
            let failed = |source| BindError::new(address, source);
            let socket = UdpSocket::open(address, local, port).map_err(failed)?;
            socket.share().map_err(failed)?;
            if address.port() == 0 {
                address.set_port(socket.address().port());
                chosen_port = address.port();
            }
            set.push(socket);
            port = Port::Shared;
        }
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::receive::ReceiveBatch;
    use std::collections::BTreeSet;

    fn any_port(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 0)
    }

    #[test]
    fn shards_share_the_port_that_the_kernel_chose_on_both_families() {
        let sets = bind_shards(&[any_port("127.0.0.1"), any_port("::1")], 3).unwrap();
        let all: Vec<_> = sets.iter().flatten().collect();
        let ports: BTreeSet<u16> = all.iter().map(|socket| socket.address().port()).collect();
        assert_eq!((all.len(), ports.len()), (6, 1));
        assert!(!ports.contains(&0));
        for set in &sets {
            assert!(set[0].address().is_ipv4() && set[1].address().is_ipv6());
            assert_eq!(
                (set[0].local(), set[1].local()),
                (LocalIndex(0), LocalIndex(1))
            );
        }
    }

    #[test]
    fn each_sender_stays_with_one_shard_and_all_shards_get_some() {
        let sets = bind_shards(&[any_port("127.0.0.1")], 2).unwrap();
        let to = sets[0][0].address();
        let senders: Vec<_> = (0..64)
            .map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect();
        for sender in senders.iter().chain(&senders) {
            sender.send_to(b"hello", to).unwrap();
        }
        let mut batch = ReceiveBatch::new();
        let mut from_of_shards = Vec::new();
        for set in &sets {
            let mut from = Vec::new();
            while batch.receive(&set[0]).unwrap() > 0 {
                from.extend(batch.datagrams().map(|datagram| datagram.from));
            }
            from_of_shards.push(from);
        }
        let counts: Vec<_> = from_of_shards.iter().map(Vec::len).collect();
        assert_eq!(counts.iter().sum::<usize>(), 128);
        // One in 2^64 that all of them hash to the same side.
        assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
        let one: BTreeSet<_> = from_of_shards[0].iter().collect();
        assert!(from_of_shards[1].iter().all(|from| !one.contains(from)));
    }

    #[test]
    fn a_second_server_on_the_same_port_is_refused() {
        let first = bind_shards(&[any_port("127.0.0.1")], 2).unwrap();
        let address = first[0][0].address();
        let second = bind_shards(&[address], 2).unwrap_err();
        assert!(matches!(second, BindError::InUse(taken) if taken == address));
        drop(first);
        bind_shards(&[address], 2).unwrap();
    }

    #[test]
    fn a_port_of_both_families_is_two_sockets() {
        let sets = bind_shards(&[any_port("0.0.0.0"), any_port("::")], 1).unwrap();
        let (v4, v6) = (&sets[0][0], &sets[0][1]);
        assert_eq!(v4.address().port(), v6.address().port());
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        sender
            .send_to(b"x", ("127.0.0.1", v4.address().port()))
            .unwrap();
        let mut batch = ReceiveBatch::new();
        assert_eq!(batch.receive(v6).unwrap(), 0);
        assert_eq!(batch.receive(v4).unwrap(), 1);
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let elsewhere = bind_shards(&[any_port("192.0.2.250")], 1).unwrap_err();
        assert!(matches!(elsewhere, BindError::NotLocal(_)));
        assert!(matches!(bind_shards(&[], 1), Err(BindError::NothingToBind)));
        let nowhere = bind_shards(&[any_port("127.0.0.1")], 0);
        assert!(matches!(nowhere, Err(BindError::NothingToBind)));
    }

    #[test]
    fn the_kernel_tells_what_it_gave() {
        let socket = UdpSocket::bind(any_port("::1"), LocalIndex(7)).unwrap();
        let buffers = socket.buffers().unwrap();
        assert!(buffers.receive_bytes > 0 && buffers.send_bytes > 0);
        assert_eq!(socket.local(), LocalIndex(7));
    }
}
