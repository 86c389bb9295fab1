//! TCP sockets for media: how they are set up.

use super::sys::options;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

/// What the kernel takes beyond what is on its way, in bytes: 220 ms at 600 kbit/s. The rest waits with us, where it can
/// still be dropped. It asks for more when half of it has gone: the other half is 1.3 ms at 50 Mbit/s, and less would let
/// the line run dry between two turns of a thread.
pub const UNSENT_BYTES: u16 = 16 * 1024;

/// Listens at an address that no other socket listens at; port 0 lets the kernel choose. Never blocks.
///
/// # Errors
/// What the kernel said: [`io::ErrorKind::AddrInUse`] when another one has it.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Sets a connection up for media: it never blocks, small frames leave at once, and little waits in the kernel.
///
/// # Errors
/// It has ended.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT);
    options::set(stream.as_fd(), level, name, UNSENT_BYTES.into())
}

/// Where a connection comes from. An IPv4 address that came to a socket of both families is one of IPv4: as such the
/// other side knows it.
///
/// # Errors
/// It has ended.
pub fn remote(stream: &TcpStream) -> io::Result<SocketAddr> {
    let remote = stream.peer_addr()?;
    Ok(SocketAddr::new(remote.ip().to_canonical(), remote.port()))
}
