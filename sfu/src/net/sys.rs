//! The system calls, each behind a safe function. All `unsafe` of the crate is in here,
//! but for the hints in `cache`.
#![expect(
    unsafe_code,
    reason = "std has neither batches of datagrams, nor epoll, nor affinity"
)]

pub(in crate::net) mod datagrams;
pub(in crate::net) mod events;
pub(in crate::net) mod interfaces;
pub(in crate::net) mod options;
pub(in crate::net) mod thread;

use std::io;

/// The call's result, or what errno says.
fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
