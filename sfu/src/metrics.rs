//! What is counted, declared in one place. The media path adds to plain integers; a shard publishes
//! them once a second.

mod media;

pub use media::HISTOGRAMS;
use media::MediaSeries;

use crate::control::{LimitedBy, Quality};
use crate::inspect::record::Second;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// What the rules of one shard count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Media packets that were forwarded, repairs not among them.
    pub forwarded: u64,
    /// Repairs that were sent.
    pub repaired: u64,
    /// Packets that were lost on the way in and came by repair.
    pub recovered: u64,
    /// Datagrams that were nobody's, or not authentic, or not what they seemed.
    pub refused: u64,
    /// Key frames that publishers were asked for.
    pub keyframe_requests: u64,
    /// Participants who left or were given up after they had waited in vain for media to get through once.
    pub never_connected: u64,
    /// Pictures that froze for somebody who watched them.
    pub freezes: u64,
    /// Seconds of pictures that somebody was sent less of than they wanted, by
    /// [`LimitedBy::ALL`](crate::control::LimitedBy::ALL).
    pub limited_s: [u64; LimitedBy::ALL.len()],
    /// Panics; each ended a room.
    pub panics: u64,
}

/// What its sockets count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Traffic {
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    /// Datagrams that were longer than any that is taken.
    pub(crate) truncated: u64,
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) unsent: u64,
    /// What other shards had no room for.
    pub(crate) undelivered: u64,
}

/// What its TCP connections count.
pub(crate) use crate::streams::StreamCounters;

/// Why a TCP connection was closed before it became anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too many waited, in all, from its address, or for a shard.
    Busy,
    /// Its first check did not come in time.
    Silent,
    /// It began with something else than a check.
    Malformed,
    /// The other side closed it.
    Ended,
    /// Its check was for nobody, or not authentic.
    Unauthentic,
}

impl Refused {
    fn label(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Silent => "silent",
            Self::Malformed => "malformed",
            Self::Ended => "ended",
            Self::Unauthentic => "unauthentic",
        }
    }
}

/// Those of TCP connections on their way to a shard; not on the media path.
#[derive(Clone)]
pub(crate) struct Arrivals {
    accepted: Counter,
    refused: [Counter; 5],
}

impl Arrivals {
    pub(crate) fn new() -> Self {
        let refused =
            |why: Refused| counter!("kaiwa_sfu_tcp_refused_total", "reason" => why.label());
        Self {
            accepted: counter!("kaiwa_sfu_tcp_accepted_total"),
            refused: [
                refused(Refused::Busy),
                refused(Refused::Silent),
                refused(Refused::Malformed),
                refused(Refused::Ended),
                refused(Refused::Unauthentic),
            ],
        }
    }

    /// A connection came.
    pub(crate) fn accepted(&self) {
        self.accepted.increment(1);
    }

    /// It became nobody's.
    pub(crate) fn refused(&self, why: Refused) {
        self.refused[why as usize].increment(1);
    }
}

/// The series of one shard.
pub(crate) struct Series {
    received: Counter,
    received_bytes: Counter,
    sent: Counter,
    sent_bytes: Counter,
    unsent: Counter,
    undelivered: Counter,
    forwarded: Counter,
    repaired: Counter,
    recovered: Counter,
    refused: Counter,
    truncated: Counter,
    keyframe_requests: Counter,
    never_connected: Counter,
    panics: Counter,
    peers: Gauge,
    rooms: Gauge,
    tcp: TcpSeries,
    media: MediaSeries,
}

/// Those of its TCP connections.
struct TcpSeries {
    connections: Gauge,
    received: Counter,
    received_bytes: Counter,
    sent_bytes: Counter,
    dropped: Counter,
    stalled: Counter,
}

/// Says what the series mean.
pub fn describe() {
    describe_counter!("kaiwa_sfu_received_datagrams_total", "Datagrams that came");
    describe_counter!("kaiwa_sfu_received_bytes_total", "Their bytes");
    describe_counter!(
        "kaiwa_sfu_sent_datagrams_total",
        "Datagrams that the kernel took"
    );
    describe_counter!("kaiwa_sfu_sent_bytes_total", "Their bytes");
    describe_counter!(
        "kaiwa_sfu_unsent_datagrams_total",
        "Datagrams that the kernel refused or had no room for"
    );
    describe_counter!(
        "kaiwa_sfu_undelivered_datagrams_total",
        "Datagrams that came to another shard's socket, and notes about them, that found no room on their way to it"
    );
    describe_counter!(
        "kaiwa_sfu_forwarded_packets_total",
        "Media packets that were sent to subscribers, without repairs"
    );
    describe_counter!(
        "kaiwa_sfu_repaired_packets_total",
        "Packets that were sent again"
    );
    describe_counter!(
        "kaiwa_sfu_recovered_packets_total",
        "Packets that were lost from a publisher and came by repair"
    );
    describe_counter!(
        "kaiwa_sfu_refused_datagrams_total",
        "Datagrams of nobody, without authenticity or malformed"
    );
    describe_counter!(
        "kaiwa_sfu_truncated_datagrams_total",
        "Datagrams longer than any that is taken"
    );
    describe_counter!(
        "kaiwa_sfu_keyframe_requests_total",
        "Key frames that publishers were asked for"
    );
    describe_counter!(
        "kaiwa_sfu_never_connected_total",
        "Participants who were gone before media got through once, seconds after their offer"
    );
    describe_counter!(
        "kaiwa_sfu_panics_total",
        "Panics on the media path; each ended a call"
    );
    describe_gauge!("kaiwa_sfu_participants", "Participants of calls");
    describe_gauge!("kaiwa_sfu_rooms", "Calls");
    describe_tcp();
    media::describe();
}

fn describe_tcp() {
    describe_counter!(
        "kaiwa_sfu_tcp_accepted_total",
        "TCP connections for media that came"
    );
    describe_counter!(
        "kaiwa_sfu_tcp_refused_total",
        "Those that were closed before they were known to be a participant's, by reason"
    );
    describe_gauge!(
        "kaiwa_sfu_tcp_connections",
        "TCP connections of participants"
    );
    describe_counter!(
        "kaiwa_sfu_tcp_received_frames_total",
        "Frames that came on them"
    );
    describe_counter!(
        "kaiwa_sfu_tcp_received_bytes_total",
        "Bytes that came on them"
    );
    describe_counter!(
        "kaiwa_sfu_tcp_sent_bytes_total",
        "Bytes that the kernel took for them"
    );
    describe_counter!(
        "kaiwa_sfu_tcp_dropped_frames_total",
        "Media frames that were dropped since their reader was too slow"
    );
    describe_counter!(
        "kaiwa_sfu_tcp_stalled_total",
        "Connections that were closed since nothing was read from them for long"
    );
}

impl Series {
    pub(crate) fn new(shard: usize) -> Self {
        let shard = shard.to_string();
        Self {
            received: counter!("kaiwa_sfu_received_datagrams_total", "shard" => shard.clone()),
            received_bytes: counter!("kaiwa_sfu_received_bytes_total", "shard" => shard.clone()),
            sent: counter!("kaiwa_sfu_sent_datagrams_total", "shard" => shard.clone()),
            sent_bytes: counter!("kaiwa_sfu_sent_bytes_total", "shard" => shard.clone()),
            unsent: counter!("kaiwa_sfu_unsent_datagrams_total", "shard" => shard.clone()),
            undelivered: counter!("kaiwa_sfu_undelivered_datagrams_total", "shard" => shard.clone()),
            forwarded: counter!("kaiwa_sfu_forwarded_packets_total", "shard" => shard.clone()),
            repaired: counter!("kaiwa_sfu_repaired_packets_total", "shard" => shard.clone()),
            recovered: counter!("kaiwa_sfu_recovered_packets_total", "shard" => shard.clone()),
            refused: counter!("kaiwa_sfu_refused_datagrams_total", "shard" => shard.clone()),
            truncated: counter!("kaiwa_sfu_truncated_datagrams_total", "shard" => shard.clone()),
            keyframe_requests: counter!("kaiwa_sfu_keyframe_requests_total", "shard" => shard.clone()),
            never_connected: counter!("kaiwa_sfu_never_connected_total", "shard" => shard.clone()),
            panics: counter!("kaiwa_sfu_panics_total", "shard" => shard.clone()),
            peers: gauge!("kaiwa_sfu_participants", "shard" => shard.clone()),
            rooms: gauge!("kaiwa_sfu_rooms", "shard" => shard.clone()),
            tcp: TcpSeries::new(&shard),
            media: MediaSeries::new(&shard),
        }
    }

    /// Makes those of TCP what was counted.
    pub(crate) fn publish_tcp(&self, counters: &StreamCounters, connections: usize) {
        let tcp = &self.tcp;
        tcp.received.absolute(counters.received);
        tcp.received_bytes.absolute(counters.received_bytes);
        tcp.sent_bytes.absolute(counters.sent_bytes);
        tcp.dropped.absolute(counters.dropped);
        tcp.stalled.absolute(counters.stalled);
        tcp.connections.set(as_gauge(connections));
    }

    /// Shows how media was since the last time: each participant's seconds, and how many have which quality.
    pub(crate) fn publish_media(
        &self,
        counts: &Counts,
        seconds: impl Iterator<Item = Second>,
        qualities: [usize; Quality::ALL.len()],
    ) {
        self.media.publish(counts, seconds, qualities);
    }

    /// Makes the series what was counted.
    pub(crate) fn publish(&self, counts: &Counts, traffic: &Traffic, peers: usize, rooms: usize) {
        self.received.absolute(traffic.received);
        self.received_bytes.absolute(traffic.received_bytes);
        self.sent.absolute(traffic.sent);
        self.sent_bytes.absolute(traffic.sent_bytes);
        self.unsent.absolute(traffic.unsent);
        self.undelivered.absolute(traffic.undelivered);
        self.forwarded.absolute(counts.forwarded);
        self.repaired.absolute(counts.repaired);
        self.recovered.absolute(counts.recovered);
        self.refused.absolute(counts.refused);
        self.truncated.absolute(traffic.truncated);
        self.keyframe_requests.absolute(counts.keyframe_requests);
        self.never_connected.absolute(counts.never_connected);
        self.panics.absolute(counts.panics);
        self.peers.set(as_gauge(peers));
        self.rooms.set(as_gauge(rooms));
    }
}

impl TcpSeries {
    fn new(shard: &str) -> Self {
        let shard = || shard.to_owned();
        Self {
            connections: gauge!("kaiwa_sfu_tcp_connections", "shard" => shard()),
            received: counter!("kaiwa_sfu_tcp_received_frames_total", "shard" => shard()),
            received_bytes: counter!("kaiwa_sfu_tcp_received_bytes_total", "shard" => shard()),
            sent_bytes: counter!("kaiwa_sfu_tcp_sent_bytes_total", "shard" => shard()),
            dropped: counter!("kaiwa_sfu_tcp_dropped_frames_total", "shard" => shard()),
            stalled: counter!("kaiwa_sfu_tcp_stalled_total", "shard" => shard()),
        }
    }
}

/// For a gauge.
fn as_gauge(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A shard that has ended, by a panic too, has nobody any more. What it has counted stays counted.
impl Drop for Series {
    fn drop(&mut self) {
        self.peers.set(0.0);
        self.rooms.set(0.0);
        self.tcp.connections.set(0.0);
        self.media.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::{Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct Gauges(Mutex<Vec<Arc<AtomicU64>>>);

    impl Gauges {
        fn values(&self) -> Vec<f64> {
            let gauges = self.0.lock().expect("no panic");
            let bits = gauges.iter().map(|gauge| gauge.load(Ordering::Relaxed));
            bits.map(f64::from_bits).collect()
        }
    }

    impl Recorder for Gauges {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            let gauge = Arc::<AtomicU64>::default();
            self.0.lock().expect("no panic").push(Arc::clone(&gauge));
            Gauge::from_arc(gauge)
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn a_shard_that_has_ended_has_nobody_any_more() {
        let gauges = Gauges::default();
        let series = metrics::with_local_recorder(&gauges, || Series::new(0));
        series.publish(&Counts::default(), &Traffic::default(), 3, 2);
        series.publish_tcp(&StreamCounters::default(), 1);
        series.publish_media(&Counts::default(), std::iter::empty(), [4, 5, 6, 7]);
        assert_eq!(gauges.values(), [3.0, 2.0, 1.0, 4.0, 5.0, 6.0, 7.0]);
        drop(series);
        assert_eq!(gauges.values(), [0.0; 7]);
    }
}
