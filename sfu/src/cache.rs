//! Telling the processor what will be read soon. A room's subscribers are visited one after the other, and what is
//! known of each has left the near caches since the last burst: the kernel has copied all of that through them.

#![expect(unsafe_code, reason = "std has no hints to the caches")]

/// Of a cache line, on what we run on; a wrong guess costs time and nothing else.
const LINE: usize = 64;

/// A value will be read or written in some hundred nanoseconds. Nothing waits for it.
#[inline]
pub(crate) fn expect<T>(value: &T) {
    expect_bytes(std::ptr::from_ref(value).cast(), size_of::<T>());
}

/// Some values in a row will be.
#[inline]
pub(crate) fn expect_all<T>(values: &[T]) {
    expect_bytes(values.as_ptr().cast(), size_of_val(values));
}

#[inline]
fn expect_bytes(from: *const u8, len: usize) {
    let first = from.addr() & !(LINE - 1);
    let mut at = first;
    while at < from.addr() + len {
        expect_line(from.with_addr(at));
        at += LINE;
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn expect_line(line: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint, which reads nothing and faults on no address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn expect_line(line: *const u8) {
    // SAFETY: a hint, which reads nothing and faults on no address.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) line, options(nostack, readonly, preserves_flags));
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline]
fn expect_line(_: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_changes_nothing_and_nothing_is_too_small_or_empty() {
        let values = [7_u8; 1_000];
        expect(&values);
        expect(&());
        expect_all(&values[999..]);
        expect_all::<u64>(&[]);
        assert_eq!(values, [7; 1_000]);
    }
}
