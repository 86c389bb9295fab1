//! epoll and eventfd.

use super::checked;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// One thing that is ready, as the kernel tells it.
pub(in crate::net) type Event = libc::epoll_event;

/// A new set of descriptors to wait for.
pub(in crate::net) fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: the kernel just gave this descriptor to us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A counter to be waited for; never blocks.
pub(in crate::net) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the kernel just gave this descriptor to us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds, changes or removes (`operation`) what is waited for on `fd`.
pub(in crate::net) fn control(
    epoll: BorrowedFd<'_>,
    operation: libc::c_int,
    fd: BorrowedFd<'_>,
    mut event: Event,
) -> io::Result<()> {
    let (epoll, fd) = (epoll.as_raw_fd(), fd.as_raw_fd());
    // SAFETY: the kernel reads one event, which lives over the call.
    checked(unsafe { libc::epoll_ctl(epoll, operation, fd, &raw mut event) })?;
    Ok(())
}

/// Waits, to the nanosecond, and fills `events` from the front; how many are ready.
///
/// # Errors
/// `ENOSYS` before Linux 5.11 and `EPERM` in sandboxes that do not know the call: use
/// [`wait_ms`].
pub(in crate::net) fn wait(
    epoll: BorrowedFd<'_>,
    events: &mut [Event],
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(timeout.subsec_nanos().cast_signed()),
    });
    let timeout_at = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let len = libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the kernel writes at most `len` events into `events` and reads the timespec, if there
    // is one; both live over the call. A null mask changes no signals.
    let ready = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            len,
            timeout_at,
            ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    usize::try_from(ready).map_err(|_| io::Error::last_os_error())
}

/// Waits up to so many milliseconds, −1 for ever, and fills `events`; how many are ready.
pub(in crate::net) fn wait_ms(
    epoll: BorrowedFd<'_>,
    events: &mut [Event],
    timeout_ms: libc::c_int,
) -> io::Result<usize> {
    let len = libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX);
    let fd = epoll.as_raw_fd();
    // SAFETY: the kernel writes at most `len` events into `events`, which lives over the call.
    let ready = unsafe { libc::epoll_wait(fd, events.as_mut_ptr(), len, timeout_ms) };
    usize::try_from(ready).map_err(|_| io::Error::last_os_error())
}
