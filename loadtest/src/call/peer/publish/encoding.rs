//! One encoding's RTP stream: its numbers, what can be sent again, and what its packets carry.

use crate::call::outlet::Outlet;
use crate::call::peer::transport::Transport;
use crate::call::rtp::{Element, Fields, wire};
use crate::call::sdp::{Extensions, PayloadTypes};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets that can be sent again: two seconds of 250 packets/s.
const HISTORY: usize = 512;

/// An encoding's RTP stream.
#[derive(Debug)]
pub struct Encoding {
    pub(super) ssrc: u32,
    rtx: Option<u32>,
    rid: Option<String>,
    /// The server has reported on it: it knows what it is.
    pub(super) is_known: bool,
    seq: u64,
    rtx_seq: u64,
    pub(super) counter: u32,
    pub(super) ticks_base: u32,
    pub(super) last: Option<(Instant, u32)>,
    pub(super) packets: u32,
    pub(super) octets: u32,
    history: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    seq: u64,
    pt: u8,
    marker: bool,
    timestamp: u32,
    payload: Vec<u8>,
}

impl Encoding {
    /// A stream that begins at these numbers.
    #[must_use]
    pub fn new(ssrc: u32, rtx: Option<u32>, rid: Option<String>, seq: u16, ticks: u32) -> Self {
        Self {
            ssrc,
            rtx,
            rid,
            is_known: false,
            seq: seq.into(),
            rtx_seq: 1,
            counter: 0,
            ticks_base: ticks,
            last: None,
            packets: 0,
            octets: 0,
            history: VecDeque::new(),
        }
    }

    fn keep(&mut self, fields: Fields, payload: &[u8]) {
        // The oldest one's memory serves the newest.
        let mut kept = if self.history.len() == HISTORY {
            self.history
                .pop_front()
                .map_or(Vec::new(), |kept| kept.payload)
        } else {
            Vec::new()
        };
        kept.clear();
        kept.extend(payload);
        self.history.push_back(Kept {
            seq: self.seq,
            pt: fields.pt,
            marker: fields.marker,
            timestamp: fields.timestamp,
            payload: kept,
        });
    }
}

/// Where packets go and when it is.
pub struct Wire<'a> {
    /// Seals and sends.
    pub transport: &'a mut Transport,
    /// Takes datagrams.
    pub outlet: &'a mut Outlet,
    /// The time.
    pub now: Instant,
    /// The same, in µs since the Unix epoch.
    pub now_us: u64,
}

/// What packets of an m-line carry beside their payload.
pub(super) struct Link<'a> {
    pub(super) mid: &'a str,
    pub(super) ids: Extensions,
    /// The last transport-wide number.
    pub(super) number: &'a mut u16,
}

/// Sends a new packet of an encoding, and keeps it.
pub(super) fn send(
    encoding: &mut Encoding,
    fields: Fields,
    level: Option<u8>,
    payload: &[u8],
    link: Link<'_>,
    wire: &mut Wire<'_>,
) {
    encoding.seq += 1;
    encoding.counter += 1;
    let fields = Fields {
        seq: self::wire(encoding.seq),
        ..fields
    };
    // An encoding without RTX is never asked for again, or sent again as it was: sound is not.
    if encoding.rtx.is_some() {
        encoding.keep(fields, payload);
    }
    encoding.last = Some((wire.now, fields.timestamp));
    encoding.packets = encoding.packets.wrapping_add(1);
    encoding.octets = encoding
        .octets
        .wrapping_add(u32::try_from(payload.len()).unwrap_or(0));
    let labels = Labels {
        // As browsers do: until the server shows that it knows the source.
        mid: (!encoding.is_known).then_some(link.mid),
        rid: encoding.rid.as_deref().filter(|_| !encoding.is_known),
        repaired: None,
        level,
    };
    put(fields, labels, payload, encoding.seq, link, wire);
}

/// Sends a kept packet again on the source for that (RFC 4588, section 4); false if it is gone.
pub(super) fn resend(
    encoding: &mut Encoding,
    number: u16,
    types: PayloadTypes,
    link: Link<'_>,
    wire: &mut Wire<'_>,
) -> bool {
    let kept = encoding
        .history
        .iter()
        .find(|kept| self::wire(kept.seq) == number);
    let (Some(kept), Some(rtx), Some(pt)) = (kept, encoding.rtx, types.rtx) else {
        return false;
    };
    debug_assert_ne!(kept.pt, pt);
    encoding.rtx_seq += 1;
    let mut payload = number.to_be_bytes().to_vec();
    payload.extend(&kept.payload);
    let fields = Fields {
        marker: kept.marker,
        pt,
        seq: self::wire(encoding.rtx_seq),
        timestamp: kept.timestamp,
        ssrc: rtx,
    };
    let labels = Labels {
        mid: Some(link.mid),
        rid: None,
        repaired: encoding.rid.as_deref(),
        level: None,
    };
    put(fields, labels, &payload, encoding.rtx_seq, link, wire);
    true
}

/// The extension elements of a packet.
struct Labels<'a> {
    mid: Option<&'a str>,
    rid: Option<&'a str>,
    repaired: Option<&'a str>,
    level: Option<u8>,
}

fn put(
    fields: Fields,
    labels: Labels<'_>,
    payload: &[u8],
    index: u64,
    link: Link<'_>,
    wire: &mut Wire<'_>,
) {
    *link.number = link.number.wrapping_add(1);
    let number = link.number.to_be_bytes();
    // 24 bits: 6 of seconds, 18 of their fractions.
    let [.., a, b, c] = ((wire.now_us % 64_000_000) * (1 << 18) / 1_000_000).to_be_bytes();
    let (sent, level) = ([a, b, c], [labels.level.unwrap_or(127) | 0x80]);
    let mut elements: [Element<'_>; 6] = [(0, &[]); 6];
    let all = [
        (link.ids.transport_cc, Some(&number[..])),
        (link.ids.abs_send_time, Some(&sent[..])),
        (link.ids.mid, labels.mid.map(str::as_bytes)),
        (link.ids.rid, labels.rid.map(str::as_bytes)),
        (link.ids.repaired_rid, labels.repaired.map(str::as_bytes)),
        (link.ids.audio_level, labels.level.map(|_| &level[..])),
    ];
    let mut count = 0;
    for (id, value) in all {
        if let (Some(id), Some(value)) = (id, value) {
            elements[count] = (id, value);
            count += 1;
        }
    }
    wire.transport
        .send_rtp(fields, &elements[..count], payload, index, wire.outlet);
}

/// Ticks of a clock, modulo 2^32.
pub(super) fn ticks_of(time: Duration, rate: u64) -> u32 {
    let us = u64::try_from(time.as_micros()).unwrap_or(0);
    let ticks = us / 1_000_000 * rate + us % 1_000_000 * rate / 1_000_000;
    u32::try_from(ticks & 0xffff_ffff).unwrap_or(0)
}
