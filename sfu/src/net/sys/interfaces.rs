//! The addresses of the machine's interfaces.

use super::checked;
use crate::net::address::{InterfaceAddress, RAW_ADDRESS_BYTES, parse};
use std::ffi::CStr;
use std::io;
use std::ptr;

/// Every IPv4 and IPv6 address of every interface, in the kernel's order.
pub(in crate::net) fn list() -> io::Result<Vec<InterfaceAddress>> {
    let mut first: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: on success `first` points at a list that is ours to free.
    checked(unsafe { libc::getifaddrs(&raw mut first) })?;
    let mut found = Vec::new();
    let mut next = first.cast_const();
    // SAFETY: `next` is null or an entry of the list, which is not freed before the loop ends.
    while let Some(entry) = unsafe { next.as_ref() } {
        found.extend(address(entry));
        next = entry.ifa_next;
    }
    // SAFETY: `first` comes from getifaddrs and is freed once; nothing borrowed from it is left.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

fn address(entry: &libc::ifaddrs) -> Option<InterfaceAddress> {
    if entry.ifa_addr.is_null() {
        return None;
    }
    // SAFETY: not null, so it points at a socket address, which begins with its family.
    let family = libc::c_int::from(unsafe { (*entry.ifa_addr).sa_family });
    let len = match family {
        libc::AF_INET => size_of::<libc::sockaddr_in>(),
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        _ => return None,
    };
    let mut raw = [0_u8; RAW_ADDRESS_BYTES];
    // SAFETY: an address of this family has `len` bytes, at most those of `raw` (asserted beside
    // its constant); the two do not overlap.
    unsafe { ptr::copy_nonoverlapping(entry.ifa_addr.cast(), raw.as_mut_ptr(), len) };
    // SAFETY: the list's names are C strings that live as long as it does.
    let name = unsafe { CStr::from_ptr(entry.ifa_name) };
    let has = |flag: libc::c_int| entry.ifa_flags & flag.cast_unsigned() != 0;
    Some(InterfaceAddress {
        interface: name.to_string_lossy().into_owned(),
        address: parse(&raw)?,
        is_up: has(libc::IFF_UP) && has(libc::IFF_RUNNING),
    })
}
