//! Datagrams in batches: sendmmsg with UDP_SEGMENT, recvmmsg with UDP_GRO.

use super::checked;
use crate::net::address::{Destination, RAW_ADDRESS_BYTES};
use std::io;
use std::mem::{self, offset_of};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

/// Messages in one call, either way. The gain of more is below what can be measured; fewer is felt.
pub(in crate::net) const BATCH_MAX: usize = 64;

/// The same, as the calls take it.
const BATCH_MAX_U32: u32 = 64;
const _: () = assert!(BATCH_MAX == BATCH_MAX_U32 as usize);

/// What goes out to one address with one entry of the kernel's table: a datagram, or a run.
#[derive(Debug, Clone, Copy)]
pub(in crate::net) struct Message {
    /// Where to.
    pub(in crate::net) destination: Destination,
    /// Its first byte in the arena.
    pub(in crate::net) start: usize,
    /// All of its bytes.
    pub(in crate::net) len: usize,
    /// The bytes of each datagram but the last, which may be shorter; `None` when there is one.
    pub(in crate::net) segment: Option<u16>,
    /// How many datagrams it is.
    pub(in crate::net) datagrams: usize,
}

impl Message {
    fn bytes<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        &arena[self.start..self.start + self.len]
    }
}

/// A control message that carries one number, as the kernel lays it out (cmsg(3)).
#[repr(C)]
#[derive(Clone, Copy)]
struct Control<T> {
    header: libc::cmsghdr,
    value: T,
    /// The length of a control message is rounded up to that of a word.
    padding: [u8; 8],
}

// SAFETY: both functions only compute.
const SEGMENT_SPACE: usize = unsafe { libc::CMSG_SPACE(2) } as usize;
// SAFETY: as above.
const SEGMENT_LEN: usize = unsafe { libc::CMSG_LEN(2) } as usize;
// SAFETY: as above.
const GRO_SPACE: usize = unsafe { libc::CMSG_SPACE(4) } as usize;
// SAFETY: as above.
const STAMP_SPACE: usize = unsafe { libc::CMSG_SPACE(16) } as usize;
// SAFETY: as above.
const HEADER_LEN: usize = unsafe { libc::CMSG_LEN(0) } as usize;
const _: () = assert!(offset_of!(Control<u16>, value) == HEADER_LEN);
const _: () = assert!(mem::size_of::<Control<u16>>() >= SEGMENT_SPACE);

fn empty_header() -> libc::mmsghdr {
    // SAFETY: null pointers, zero lengths and flags are a message without anything.
    unsafe { mem::zeroed() }
}

const EMPTY_IOVEC: libc::iovec = libc::iovec {
    iov_base: ptr::null_mut(),
    iov_len: 0,
};

/// The kernel's table of what is sent, made once. Its pointers mean something only during a call.
pub(in crate::net) struct SendTable {
    headers: Box<[libc::mmsghdr; BATCH_MAX]>,
    iovecs: Box<[libc::iovec; BATCH_MAX]>,
    controls: Box<[Control<u16>; BATCH_MAX]>,
}

// SAFETY: pointers are written anew in each call before the kernel reads them, and never read by us.
unsafe impl Send for SendTable {}

impl SendTable {
    pub(in crate::net) fn new() -> Self {
        // SAFETY: integers alone, for which zero is a value.
        let mut header: libc::cmsghdr = unsafe { mem::zeroed() };
        header.cmsg_len = SEGMENT_LEN;
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = libc::UDP_SEGMENT;
        let control = Control {
            header,
            value: 0,
            padding: [0; 8],
        };
        Self {
            headers: Box::new([empty_header(); BATCH_MAX]),
            iovecs: Box::new([EMPTY_IOVEC; BATCH_MAX]),
            controls: Box::new([control; BATCH_MAX]),
        }
    }

    fn fill(&mut self, arena: &[u8], messages: &[Message]) -> u32 {
        let entries = self
            .headers
            .iter_mut()
            .zip(self.iovecs.iter_mut())
            .zip(self.controls.iter_mut());
        let mut count = 0;
        for (((entry, iovec), control), message) in entries.zip(messages) {
            let bytes = message.bytes(arena);
            iovec.iov_base = bytes.as_ptr().cast_mut().cast();
            iovec.iov_len = bytes.len();
            let header = &mut entry.msg_hdr;
            header.msg_name = message.destination.as_raw().as_ptr().cast_mut().cast();
            header.msg_namelen = message.destination.raw_len().into();
            header.msg_iov = iovec;
            header.msg_iovlen = 1;
            if let Some(segment) = message.segment {
                control.value = segment;
                header.msg_control = ptr::from_mut(control).cast();
                header.msg_controllen = SEGMENT_SPACE;
            } else {
                header.msg_control = ptr::null_mut();
                header.msg_controllen = 0;
            }
            count += 1;
        }
        count
    }
}

/// Sends up to [`BATCH_MAX`] messages whose bytes are in `arena`; how many the kernel took, from
/// the front, at least one.
///
/// # Errors
/// What the kernel said of the first message; none was taken.
pub(in crate::net) fn send_many(
    fd: BorrowedFd<'_>,
    table: &mut SendTable,
    arena: &[u8],
    messages: &[Message],
) -> io::Result<usize> {
    let count = table.fill(arena, messages);
    let headers = table.headers.as_mut_ptr();
    // SAFETY: `fill` made the first `count` headers point into `arena`, `messages` and the table, all
    // borrowed over the call. The kernel reads what they point at and writes into the headers alone.
    let sent = unsafe { libc::sendmmsg(fd.as_raw_fd(), headers, count, libc::MSG_DONTWAIT) };
    usize::try_from(checked(sent)?).map_err(|_| io::ErrorKind::Other.into())
}

/// Sends one datagram whose bytes are in `arena`; its `segment` is not looked at.
///
/// # Errors
/// What the kernel said.
pub(in crate::net) fn send_one(
    fd: BorrowedFd<'_>,
    arena: &[u8],
    message: &Message,
) -> io::Result<()> {
    let bytes = message.bytes(arena);
    let name = message.destination.as_raw();
    // SAFETY: the kernel reads `bytes` and the address, both borrowed over the call, at their lengths.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT,
            name.as_ptr().cast(),
            message.destination.raw_len().into(),
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The kernel's table of what is received, made once. Its pointers mean something only during a
/// call.
pub(in crate::net) struct ReceiveTable {
    headers: Box<[libc::mmsghdr; BATCH_MAX]>,
    iovecs: Box<[libc::iovec; BATCH_MAX]>,
    names: Box<[[u8; RAW_ADDRESS_BYTES]; BATCH_MAX]>,
    controls: Box<[Controls; BATCH_MAX]>,
}

/// Place for all that the kernel may say beside a message: of UDP_GRO and of SO_TIMESTAMPNS.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Controls([u8; GRO_SPACE + STAMP_SPACE]);

// SAFETY: pointers are written anew in each call before the kernel reads them, and never read by us.
unsafe impl Send for ReceiveTable {}

/// What the kernel says about one message that came.
#[derive(Debug, Clone, Copy)]
pub(in crate::net) struct Received<'a> {
    /// Where from, as the kernel lays it out.
    pub(in crate::net) name: &'a [u8; RAW_ADDRESS_BYTES],
    /// Bytes that are in its buffer.
    pub(in crate::net) len: usize,
    /// The bytes of each datagram but the last, when it is a run.
    pub(in crate::net) segment: Option<usize>,
    /// When it came, since the Unix epoch.
    pub(in crate::net) stamp: Option<Duration>,
    /// There was more than its buffer holds, or more to say about it than its table holds.
    pub(in crate::net) is_truncated: bool,
}

impl ReceiveTable {
    pub(in crate::net) fn new() -> Self {
        Self {
            headers: Box::new([empty_header(); BATCH_MAX]),
            iovecs: Box::new([EMPTY_IOVEC; BATCH_MAX]),
            names: Box::new([[0; RAW_ADDRESS_BYTES]; BATCH_MAX]),
            controls: Box::new([Controls([0; GRO_SPACE + STAMP_SPACE]); BATCH_MAX]),
        }
    }

    /// What came last, by its place; `index` is less than what [`receive_many`] gave.
    pub(in crate::net) fn received(&self, index: usize) -> Received<'_> {
        let entry = &self.headers[index];
        let flags = entry.msg_hdr.msg_flags;
        let mut received = Received {
            name: &self.names[index],
            len: entry.msg_len as usize,
            segment: None,
            stamp: None,
            is_truncated: flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
        };
        let all = &self.controls[index].0;
        let mut rest = &all[..entry.msg_hdr.msg_controllen.min(all.len())];
        while let Some((header, value, after)) = split_control(rest) {
            match (header.cmsg_level, header.cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => received.segment = segment(value),
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => received.stamp = stamp(value),
                _ => {}
            }
            rest = after;
        }
        received
    }

    fn fill(&mut self, buffers: &mut [u8], slot_bytes: usize) -> u32 {
        let entries = self.headers.iter_mut().zip(self.iovecs.iter_mut());
        let places = self.names.iter_mut().zip(self.controls.iter_mut());
        let slots = buffers.chunks_exact_mut(slot_bytes);
        let mut count = 0;
        for (((entry, iovec), (name, control)), slot) in entries.zip(places).zip(slots) {
            iovec.iov_base = slot.as_mut_ptr().cast();
            iovec.iov_len = slot.len();
            let header = &mut entry.msg_hdr;
            header.msg_name = name.as_mut_ptr().cast();
            header.msg_namelen = 28;
            header.msg_iov = iovec;
            header.msg_iovlen = 1;
            header.msg_control = ptr::from_mut(control).cast();
            header.msg_controllen = mem::size_of::<Controls>();
            header.msg_flags = 0;
            count += 1;
        }
        count
    }
}

/// The first control message, its value, and what comes after it; `None` at the end.
fn split_control(controls: &[u8]) -> Option<(libc::cmsghdr, &[u8], &[u8])> {
    if controls.len() < HEADER_LEN {
        return None;
    }
    // SAFETY: there are as many bytes as a header has, and any are integers.
    let header = unsafe { controls.as_ptr().cast::<libc::cmsghdr>().read_unaligned() };
    let len = header.cmsg_len;
    let value = controls.get(HEADER_LEN..len)?;
    let next = len.next_multiple_of(mem::size_of::<usize>());
    Some((header, value, controls.get(next..).unwrap_or_default()))
}

fn segment(value: &[u8]) -> Option<usize> {
    let bytes = value.first_chunk()?;
    usize::try_from(i32::from_ne_bytes(*bytes)).ok()
}

/// A timespec.
fn stamp(value: &[u8]) -> Option<Duration> {
    let (seconds, rest) = value.split_first_chunk()?;
    let seconds = u64::try_from(i64::from_ne_bytes(*seconds)).ok()?;
    let nanos = u32::try_from(i64::from_ne_bytes(*rest.first_chunk()?)).ok()?;
    Some(Duration::new(seconds, nanos))
}

const _: () = assert!(RAW_ADDRESS_BYTES == 28);

/// Receives up to [`BATCH_MAX`] messages, each into its `slot_bytes` of `buffers`; how many came.
///
/// # Errors
/// What the kernel said, `WouldBlock` when nothing waits.
pub(in crate::net) fn receive_many(
    fd: BorrowedFd<'_>,
    table: &mut ReceiveTable,
    buffers: &mut [u8],
    slot_bytes: usize,
) -> io::Result<usize> {
    let count = table.fill(buffers, slot_bytes);
    let headers = table.headers.as_mut_ptr();
    let fd = fd.as_raw_fd();
    // SAFETY: `fill` made the first `count` headers point at disjoint slots of `buffers` and at the
    // table's own places, all borrowed mutably over the call, each with its length. Any bytes that
    // the kernel writes are values of their types. A null timeout is none.
    let came = unsafe { libc::recvmmsg(fd, headers, count, libc::MSG_DONTWAIT, ptr::null_mut()) };
    usize::try_from(checked(came)?).map_err(|_| io::ErrorKind::Other.into())
}
