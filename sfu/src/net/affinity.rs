//! Which core a thread runs on, and how much of it a thread used.

use super::sys;
use std::io;
use std::time::Duration;

/// Keeps the current thread on one core, counted from 0 as the kernel does.
///
/// # Errors
/// The core does not exist, or the process may not use it: go on without.
pub fn pin_current_thread(core: usize) -> io::Result<()> {
    if core >= sys::thread::CORES_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sys::thread::pin(core)
}

/// The cores that the current thread may run on, rising; in a container fewer than the machine has.
///
/// # Errors
/// The machine has more cores than the kernel's set has room for here (1,024).
pub fn allowed_cores() -> io::Result<Vec<usize>> {
    sys::thread::allowed()
}

/// CPU time that the current thread has used since it began, in user and kernel mode together.
///
/// # Errors
/// The kernel has no such clock, which Linux always has.
pub fn thread_cpu_time() -> io::Result<Duration> {
    sys::thread::cpu_time()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_its_core_alone() {
        let core = *allowed_cores().unwrap().last().unwrap();
        let left = std::thread::spawn(move || {
            pin_current_thread(core).unwrap();
            allowed_cores().unwrap()
        });
        assert_eq!(left.join().unwrap(), [core]);
    }

    #[test]
    fn a_core_that_is_not_there_is_an_error() {
        assert!(pin_current_thread(1_023).is_err());
        assert!(pin_current_thread(usize::MAX).is_err());
    }

    #[test]
    fn time_of_a_thread_that_works_grows() {
        let before = thread_cpu_time().unwrap();
        let mut sum = 0_u64;
        while thread_cpu_time().unwrap() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(thread_cpu_time().unwrap() > before);
    }
}
