//! The feedback that we send to publishers.

use super::{MAX_RUN, MAX_STATUSES, Status, VECTOR_BITS};
use crate::unit::Ssrc;
use crate::wire::rtcp::{append, finish, format, packet_type, put_ssrc};

/// Bytes of one feedback, so that what else is in the compound has room under 1,200. Packets beyond go
/// into the next one.
pub const MAX_FEEDBACK_BYTES: usize = 1_000;

/// Bytes before the chunks.
const HEADER_BYTES: usize = 20;

/// A chunk that is begun and one that it pushes out.
const PENDING_BYTES: usize = 4;

/// µs of a delta's tick.
const TICK_US: u64 = 250;

/// Ticks of the reference time's 64 ms.
const REFERENCE_TICKS: u64 = 256;

/// A packet of the transport: its number, and when it arrived in µs since some moment that stays the
/// same for the transport; `None` when it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The transport-wide number.
    pub transport_seq: u16,
    /// When.
    pub at_us: Option<u64>,
}

/// Appends feedback for these packets, whose numbers ascend (a wrap included; those between them count
/// as lost), and returns how many of them it tells of. Fewer than all when it would be longer than
/// [`MAX_FEEDBACK_BYTES`], tell of more than [`MAX_STATUSES`], or when a packet came more than 8 s
/// before or after the one before it: the rest goes into the next feedback. Packets before the first
/// that arrived are told of too; when none arrived, nothing is appended and all count as told.
pub fn write_transport_feedback(
    out: &mut Vec<u8>,
    sender: Ssrc,
    media: Ssrc,
    feedback_count: u8,
    arrivals: &[Arrival],
) -> usize {
    let Some(first_us) = arrivals.iter().find_map(|arrival| arrival.at_us) else {
        return arrivals.len();
    };
    let Some(base) = arrivals.first().map(|arrival| arrival.transport_seq) else {
        return 0;
    };
    let reference = first_us / TICK_US / REFERENCE_TICKS;
    let start = out.len();
    append(
        out,
        packet_type::TRANSPORT_FEEDBACK,
        format::TRANSPORT_CC,
        |out| {
            put_ssrc(out, sender);
            put_ssrc(out, media);
            out.extend_from_slice(&base.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
            let [.., a, b, c] = reference.to_be_bytes();
            out.extend_from_slice(&[a, b, c, feedback_count]);
        },
    );
    let told = put_chunks(out, start, reference, arrivals);
    let told_arrivals = arrivals.get(..told).unwrap_or_default();
    for (_, delta) in Deltas::new(reference, told_arrivals) {
        match delta {
            Some(Delta::Small(delta)) => out.push(delta),
            Some(Delta::Large(delta)) => out.extend_from_slice(&delta.to_be_bytes()),
            Some(Delta::TooFar) | None => {}
        }
    }
    finish(out, start);
    told
}

/// Appends the chunks for as many packets as fit with their deltas, counts them in the header, and
/// returns how many of `arrivals` these are.
fn put_chunks(out: &mut Vec<u8>, start: usize, reference: u64, arrivals: &[Arrival]) -> usize {
    let mut chunks = Chunks::default();
    let mut statuses: u16 = 0;
    let mut delta_bytes = 0;
    let mut told = 0;
    for (gap, delta) in Deltas::new(reference, arrivals) {
        let status = match delta {
            None => Status::Lost,
            Some(Delta::Small(_)) => Status::Small,
            Some(Delta::Large(_)) => Status::Large,
            Some(Delta::TooFar) => break,
        };
        let with_it = statuses.saturating_add(gap).saturating_add(1);
        let bytes = out.len() - start + delta_bytes + status.delta_bytes();
        // A gap may need two chunks of its own, when it pushes a vector out and begins a run.
        if with_it > MAX_STATUSES || bytes + 2 * PENDING_BYTES > MAX_FEEDBACK_BYTES {
            break;
        }
        for _ in 0..gap {
            chunks.push(out, Status::Lost);
        }
        chunks.push(out, status);
        delta_bytes += status.delta_bytes();
        statuses = with_it;
        told += 1;
    }
    chunks.flush(out);
    if let Some(place) = out.get_mut(start + HEADER_BYTES - 6..start + HEADER_BYTES - 4) {
        place.copy_from_slice(&statuses.to_be_bytes());
    }
    told
}

/// How long after the packet before it one came, in ticks.
#[derive(Debug, Clone, Copy)]
enum Delta {
    Small(u8),
    Large(i16),
    TooFar,
}

/// For each packet: how many before it are not in the list, and its delta if it arrived. Ticks are
/// rounded before they are subtracted, so that errors don't add up.
struct Deltas<'a> {
    arrivals: &'a [Arrival],
    expected: Option<u16>,
    last_tick: u64,
}

impl<'a> Deltas<'a> {
    fn new(reference: u64, arrivals: &'a [Arrival]) -> Self {
        Self {
            arrivals,
            expected: None,
            last_tick: reference * REFERENCE_TICKS,
        }
    }

    fn delta(&mut self, at_us: u64) -> Delta {
        let tick = at_us / TICK_US;
        let delta = i128::from(tick) - i128::from(self.last_tick);
        self.last_tick = tick;
        match (u8::try_from(delta), i16::try_from(delta)) {
            (Ok(small), _) => Delta::Small(small),
            (Err(_), Ok(large)) => Delta::Large(large),
            (Err(_), Err(_)) => Delta::TooFar,
        }
    }
}

impl Iterator for Deltas<'_> {
    type Item = (u16, Option<Delta>);

    fn next(&mut self) -> Option<Self::Item> {
        let (arrival, rest) = self.arrivals.split_first()?;
        self.arrivals = rest;
        let seq = arrival.transport_seq;
        let gap = seq.wrapping_sub(self.expected.unwrap_or(seq));
        self.expected = Some(seq.wrapping_add(1));
        Some((gap, arrival.at_us.map(|at_us| self.delta(at_us))))
    }
}

/// Statuses that no chunk says yet. They are all alike and any number up to [`MAX_RUN`], or mixed and
/// few enough for one vector.
#[derive(Debug, Default)]
struct Chunks {
    pending: [u16; VECTOR_BITS as usize],
    len: u16,
    is_mixed: bool,
    has_large: bool,
}

impl Chunks {
    fn push(&mut self, out: &mut Vec<u8>, status: Status) {
        let bits = status.bits();
        let is_alike = !self.is_mixed && (self.len == 0 || self.pending[0] == bits);
        if !is_alike {
            self.make_room(out, status);
        } else if self.len == MAX_RUN {
            self.flush(out);
        }
        self.is_mixed |= self.len > 0 && self.pending[0] != bits;
        self.has_large |= status == Status::Large;
        if let Some(place) = self.pending.get_mut(usize::from(self.len)) {
            *place = bits;
        }
        self.len += 1;
        if self.is_mixed && self.len == capacity(self.has_large) {
            self.flush(out);
        }
    }

    /// Before a status that differs from what is pending: a vector has to have a place for it.
    fn make_room(&mut self, out: &mut Vec<u8>, status: Status) {
        let is_wide = self.has_large || status == Status::Large;
        if !self.is_mixed && self.len >= capacity(is_wide) {
            self.flush(out);
        } else if is_wide && self.len >= capacity(true) {
            self.split(out);
        }
    }

    /// Says the first statuses in a wide vector, because what comes next needs wide ones, and keeps
    /// the others, fewer than half.
    fn split(&mut self, out: &mut Vec<u8>) {
        let said = capacity(true);
        put_vector(out, &self.pending[..usize::from(said)], true);
        self.pending.rotate_left(usize::from(said));
        self.len -= said;
        let kept = &self.pending[..usize::from(self.len)];
        self.is_mixed = kept.windows(2).any(|pair| pair[0] != pair[1]);
    }

    /// Says all that is pending. A vector that is not full is the last chunk: what stands behind its
    /// last status is beyond the header's count.
    fn flush(&mut self, out: &mut Vec<u8>) {
        if self.is_mixed {
            let statuses = &self.pending[..usize::from(self.len)];
            put_vector(out, statuses, self.has_large);
        } else if self.len > 0 {
            let chunk = self.pending[0] << 13 | self.len;
            out.extend_from_slice(&chunk.to_be_bytes());
        }
        *self = Self::default();
    }
}

/// Statuses in a vector of two bits or one bit each.
fn capacity(is_wide: bool) -> u16 {
    if is_wide {
        VECTOR_BITS / 2
    } else {
        VECTOR_BITS
    }
}

fn put_vector(out: &mut Vec<u8>, statuses: &[u16], is_wide: bool) {
    let (mark, width) = if is_wide { (0xc000, 2) } else { (0x8000, 1) };
    let shifts = (0..=VECTOR_BITS - width).rev().step_by(usize::from(width));
    let chunk = statuses
        .iter()
        .zip(shifts)
        .fold(mark, |chunk, (bits, shift)| chunk | bits << shift);
    out.extend_from_slice(&chunk.to_be_bytes());
}
