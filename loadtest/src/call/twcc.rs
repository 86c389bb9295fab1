//! Transport-wide feedback: what arrived when, for the sender's estimate of the path
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).

use super::rtp::{extend, wire};
use std::time::Instant;

/// Packets reported at once; at the bound a report is due. 2,000 packets/s for 100 ms, and some.
pub const REPORTED: usize = 400;

/// Arrival times count steps of this many µs.
const TICK_US: u64 = 250;

/// The reference time counts steps of this many ticks: 64 ms.
const REFERENCE_TICKS: u64 = 256;

/// The arrivals since the last report.
#[derive(Debug)]
pub struct Arrivals {
    epoch: Instant,
    highest: u64,
    /// By falling age; their numbers with rollovers, and ticks since the epoch.
    arrived: Vec<(u64, u64)>,
    /// The first number that no report has spoken of.
    next: Option<u64>,
    reports: u8,
}

impl Arrivals {
    /// None yet; times count from now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            highest: 0,
            arrived: Vec::with_capacity(REPORTED),
            next: None,
            reports: 0,
        }
    }

    /// A packet with this number arrived; true when a report is due at once.
    pub fn handle(&mut self, now: Instant, number: u16) -> bool {
        let number = extend(number, self.highest);
        self.highest = self.highest.max(number);
        let us = now.saturating_duration_since(self.epoch).as_micros();
        let ticks = u64::try_from(us).unwrap_or(0) / TICK_US;
        if self.arrived.len() < REPORTED {
            self.arrived.push((number, ticks));
        }
        self.arrived.len() >= REPORTED
    }

    /// Appends a report of all arrivals since the last one, as a packet of RTCP; false if there were none.
    pub fn report(&mut self, sender_ssrc: u32, media_ssrc: u32, out: &mut Vec<u8>) -> bool {
        self.arrived.sort_unstable();
        self.arrived.dedup_by_key(|(number, _)| *number);
        // What was reported as lost and came all the same is told again, with its neighbours.
        let Some(&(first, first_ticks)) = self.arrived.first() else {
            return false;
        };
        let base = self
            .next
            .filter(|&next| next <= first && first - next < 4_096)
            .unwrap_or(first);
        let last = self.arrived.last().map_or(base, |&(number, _)| number);
        let reference = first_ticks / REFERENCE_TICKS;
        let start = out.len();
        out.extend([0x8f, 205, 0, 0]);
        out.extend(sender_ssrc.to_be_bytes());
        out.extend(media_ssrc.to_be_bytes());
        out.extend(wire(base).to_be_bytes());
        out.extend(wire(last - base + 1).to_be_bytes());
        let [.., a, b, c] = reference.to_be_bytes();
        out.extend([a, b, c, self.reports]);
        self.reports = self.reports.wrapping_add(1);
        let mut deltas = Vec::with_capacity(2 * self.arrived.len());
        let symbols = symbols(
            &self.arrived,
            base,
            last,
            reference * REFERENCE_TICKS,
            &mut deltas,
        );
        put_chunks(&symbols, out);
        out.extend(deltas);
        pad(start, out);
        self.arrived.clear();
        self.next = Some(last + 1);
        true
    }
}

/// A status for every number: 0 not here, 1 a small difference, 2 a great or negative one.
fn symbols(
    arrived: &[(u64, u64)],
    base: u64,
    last: u64,
    mut ticks: u64,
    deltas: &mut Vec<u8>,
) -> Vec<u8> {
    let mut arrived = arrived.iter().peekable();
    let mut symbols = Vec::new();
    for number in base..=last {
        let Some(&(_, at)) = arrived.next_if(|(n, _)| *n == number) else {
            symbols.push(0);
            continue;
        };
        let delta = at.cast_signed() - ticks.cast_signed();
        ticks = at;
        if let Ok(small) = u8::try_from(delta) {
            symbols.push(1);
            deltas.push(small);
        } else {
            symbols.push(2);
            // More than eight seconds apart is as good as eight.
            let great = i16::try_from(delta).unwrap_or(if delta < 0 { i16::MIN } else { i16::MAX });
            deltas.extend(great.to_be_bytes());
        }
    }
    symbols
}

/// Run lengths where a run is long, else vectors of seven two-bit symbols.
fn put_chunks(symbols: &[u8], out: &mut Vec<u8>) {
    let mut rest = symbols;
    while let Some(&first) = rest.first() {
        let run = rest
            .iter()
            .take(0x1fff)
            .take_while(|&&s| s == first)
            .count();
        let chunk = if run > 7 || run == rest.len() {
            rest = &rest[run..];
            u16::from(first) << 13 | u16::try_from(run).unwrap_or(0)
        } else {
            let (seven, after) = rest.split_at(rest.len().min(7));
            rest = after;
            let bits = seven
                .iter()
                .fold(0, |bits, &symbol| bits << 2 | u16::from(symbol));
            let unused = 2 * (7 - seven.len());
            0xc000 | bits << unused
        };
        out.extend(chunk.to_be_bytes());
    }
}

/// To whole words, and the length into the header; the last byte of padding counts it.
fn pad(start: usize, out: &mut Vec<u8>) {
    let padding = (4 - (out.len() - start) % 4) % 4;
    if padding > 0 {
        out.resize(out.len() + padding, 0);
        out[start] |= 0x20;
        if let Some(last) = out.last_mut() {
            *last = u8::try_from(padding).unwrap_or(0);
        }
    }
    let words = u16::try_from((out.len() - start) / 4 - 1).unwrap_or(0);
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use rtc_rtcp::transport_feedbacks::transport_layer_cc::{
        PacketStatusChunk, SymbolTypeTcc, TransportLayerCc,
    };
    use std::time::Duration;

    /// The report as somebody else reads it: the numbers that arrived, and their times in µs.
    fn read(bytes: &[u8]) -> Vec<(u16, i64)> {
        let mut bytes = Bytes::copy_from_slice(bytes);
        let packets = rtc_rtcp::packet::unmarshal(&mut bytes).unwrap();
        let report: &TransportLayerCc = packets[0].as_any().downcast_ref().unwrap();
        let mut symbols = Vec::new();
        for chunk in &report.packet_chunks {
            match chunk {
                PacketStatusChunk::RunLengthChunk(run) => {
                    symbols.extend(vec![run.packet_status_symbol; run.run_length.into()]);
                }
                PacketStatusChunk::StatusVectorChunk(vector) => {
                    symbols.extend(&vector.symbol_list);
                }
            }
        }
        symbols.truncate(report.packet_status_count.into());
        let mut at = i64::from(report.reference_time) * 64_000;
        let mut deltas = report.recv_deltas.iter();
        let mut arrived = Vec::new();
        for (n, symbol) in (0_u16..).zip(symbols) {
            if symbol != SymbolTypeTcc::PacketNotReceived {
                at += deltas.next().unwrap().delta;
                arrived.push((report.base_sequence_number.wrapping_add(n), at));
            }
        }
        assert!(deltas.next().is_none());
        arrived
    }

    proptest! {
        #[test]
        fn another_implementation_reads_the_same(
            first in any::<u16>(),
            steps in prop::collection::vec((1_u16..12, 0_u64..90_000), 1..200),
            reports in 1_usize..4,
        ) {
            let start = Instant::now();
            let mut arrivals = Arrivals::new(start);
            let (mut number, mut us) = (first, 0);
            for steps in steps.chunks(steps.len().div_ceil(reports)) {
                let mut expected = Vec::new();
                for &(ahead, later) in steps {
                    number = number.wrapping_add(ahead);
                    us += later;
                    arrivals.handle(start + Duration::from_micros(us), number);
                    expected.push((number, i64::try_from(us / TICK_US * TICK_US).unwrap()));
                }
                let mut out = Vec::new();
                prop_assert!(arrivals.report(1, 2, &mut out));
                prop_assert_eq!(read(&out), expected);
            }
        }
    }

    #[test]
    fn reordered_packets_are_reported_in_the_order_of_their_numbers() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start);
        for (number, ms) in [(7, 10), (9, 20), (8, 30)] {
            arrivals.handle(start + Duration::from_millis(ms), number);
        }
        let mut out = Vec::new();
        arrivals.report(1, 2, &mut out);
        assert_eq!(read(&out), [(7, 10_000), (8, 30_000), (9, 20_000)]);
        assert!(!arrivals.report(1, 2, &mut out));
    }

    #[test]
    fn a_full_list_asks_for_a_report() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start);
        let full = (0_u16..).take_while(|&number| !arrivals.handle(start, number));
        assert_eq!(full.count(), REPORTED - 1);
    }
}
