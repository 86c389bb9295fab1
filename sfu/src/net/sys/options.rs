//! Making sockets, and their options.

use super::checked;
use crate::net::address::{Destination, RAW_ADDRESS_BYTES};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const INT_BYTES: libc::socklen_t = 4;

/// A UDP socket, not bound: non-blocking, closed on exec.
pub(in crate::net) fn udp(is_v6: bool) -> io::Result<OwnedFd> {
    let family = if is_v6 { libc::AF_INET6 } else { libc::AF_INET };
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointers.
    let fd = checked(unsafe { libc::socket(family, kind, libc::IPPROTO_UDP) })?;
    // SAFETY: the kernel just gave this descriptor to us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds a socket to an address.
pub(in crate::net) fn bind(fd: BorrowedFd<'_>, address: &Destination) -> io::Result<()> {
    let raw = address.as_raw();
    let len = libc::socklen_t::from(address.raw_len());
    // SAFETY: `raw` holds at least `len` bytes and lives over the call, which only reads them.
    checked(unsafe { libc::bind(fd.as_raw_fd(), raw.as_ptr().cast(), len) })?;
    Ok(())
}

/// The address that a socket is bound to.
pub(in crate::net) fn local_address(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let mut raw = [0_u8; RAW_ADDRESS_BYTES];
    let mut len = libc::socklen_t::try_from(raw.len()).expect("a small constant");
    // SAFETY: the kernel writes at most `len` bytes into `raw`, and the length into `len`.
    checked(unsafe { libc::getsockname(fd.as_raw_fd(), raw.as_mut_ptr().cast(), &raw mut len) })?;
    crate::net::address::parse(&raw).ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Sets an option whose value is an int.
pub(in crate::net) fn set(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let value_at = (&raw const value).cast();
    // SAFETY: the kernel reads `INT_BYTES` bytes at `value`, which lives over the call.
    checked(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value_at, INT_BYTES) })?;
    Ok(())
}

/// Reads an option whose value is an int.
pub(in crate::net) fn get(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut len = INT_BYTES;
    let value_at = (&raw mut value).cast();
    // SAFETY: the kernel writes at most `len` bytes at `value`, and the length into `len`.
    checked(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value_at, &raw mut len) })?;
    Ok(value)
}
