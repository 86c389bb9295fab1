//! Threads: which cores they run on and how long they ran.

use super::checked;
use std::io;
use std::mem;
use std::time::Duration;

const SET_BYTES: usize = mem::size_of::<libc::cpu_set_t>();

/// Cores that a set of the kernel has room for.
pub(in crate::net) const CORES_MAX: usize = libc::CPU_SETSIZE as usize;

fn empty() -> libc::cpu_set_t {
    // SAFETY: the set is an array of integers; all zeros is the empty one.
    unsafe { mem::zeroed() }
}

/// Lets the current thread run on one core alone. `core` is less than [`CORES_MAX`].
pub(in crate::net) fn pin(core: usize) -> io::Result<()> {
    let mut set = empty();
    // SAFETY: `CPU_SET` indexes the set's array and panics beyond it.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the kernel reads `SET_BYTES` bytes of `set`; 0 is the current thread.
    checked(unsafe { libc::sched_setaffinity(0, SET_BYTES, &raw const set) })?;
    Ok(())
}

/// The cores that the current thread may run on, rising.
pub(in crate::net) fn allowed() -> io::Result<Vec<usize>> {
    let mut set = empty();
    // SAFETY: the kernel writes at most `SET_BYTES` bytes into `set`; 0 is the current thread.
    checked(unsafe { libc::sched_getaffinity(0, SET_BYTES, &raw mut set) })?;
    // SAFETY: `core` is within the set.
    Ok((0..CORES_MAX)
        .filter(|&core| unsafe { libc::CPU_ISSET(core, &set) })
        .collect())
}

/// CPU time that the current thread has used.
pub(in crate::net) fn cpu_time() -> io::Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec into `time`.
    checked(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) })?;
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Ok(Duration::new(seconds, nanos))
}
