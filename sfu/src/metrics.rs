//! What is counted, declared in one place. The media path adds to plain integers; a shard publishes
//! them once a second.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// One shard's counts.
pub(crate) struct ShardCounts {
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) unsent: u64,
    /// Media packets that were forwarded, repairs not among them.
    pub(crate) forwarded: u64,
    /// Repairs that were sent.
    pub(crate) repaired: u64,
    /// Packets that were lost on the way in and came by repair.
    pub(crate) recovered: u64,
    /// Datagrams that were nobody's, or not authentic, or not what they seemed.
    pub(crate) refused: u64,
    /// Datagrams that were longer than any that is taken.
    pub(crate) truncated: u64,
    /// Key frames that publishers were asked for.
    pub(crate) keyframe_requests: u64,
    pub(crate) panics: u64,
    pub(crate) peers: usize,
    pub(crate) rooms: usize,
    series: Series,
}

struct Series {
    received: Counter,
    received_bytes: Counter,
    sent: Counter,
    sent_bytes: Counter,
    unsent: Counter,
    forwarded: Counter,
    repaired: Counter,
    recovered: Counter,
    refused: Counter,
    truncated: Counter,
    keyframe_requests: Counter,
    panics: Counter,
    peers: Gauge,
    rooms: Gauge,
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
        "kaiwa_sfu_panics_total",
        "Panics on the media path; each ended a call"
    );
    describe_gauge!("kaiwa_sfu_participants", "Participants of calls");
    describe_gauge!("kaiwa_sfu_rooms", "Calls");
}

impl ShardCounts {
    pub(crate) fn new(shard: usize) -> Self {
        let shard = shard.to_string();
        let series = Series {
            received: counter!("kaiwa_sfu_received_datagrams_total", "shard" => shard.clone()),
            received_bytes: counter!("kaiwa_sfu_received_bytes_total", "shard" => shard.clone()),
            sent: counter!("kaiwa_sfu_sent_datagrams_total", "shard" => shard.clone()),
            sent_bytes: counter!("kaiwa_sfu_sent_bytes_total", "shard" => shard.clone()),
            unsent: counter!("kaiwa_sfu_unsent_datagrams_total", "shard" => shard.clone()),
            forwarded: counter!("kaiwa_sfu_forwarded_packets_total", "shard" => shard.clone()),
            repaired: counter!("kaiwa_sfu_repaired_packets_total", "shard" => shard.clone()),
            recovered: counter!("kaiwa_sfu_recovered_packets_total", "shard" => shard.clone()),
            refused: counter!("kaiwa_sfu_refused_datagrams_total", "shard" => shard.clone()),
            truncated: counter!("kaiwa_sfu_truncated_datagrams_total", "shard" => shard.clone()),
            keyframe_requests: counter!("kaiwa_sfu_keyframe_requests_total", "shard" => shard.clone()),
            panics: counter!("kaiwa_sfu_panics_total", "shard" => shard.clone()),
            peers: gauge!("kaiwa_sfu_participants", "shard" => shard.clone()),
            rooms: gauge!("kaiwa_sfu_rooms", "shard" => shard),
        };
        Self {
            received: 0,
            received_bytes: 0,
            sent: 0,
            sent_bytes: 0,
            unsent: 0,
            forwarded: 0,
            repaired: 0,
            recovered: 0,
            refused: 0,
            truncated: 0,
            keyframe_requests: 0,
            panics: 0,
            peers: 0,
            rooms: 0,
            series,
        }
    }

    /// Makes the series what was counted.
    pub(crate) fn publish(&self) {
        let series = &self.series;
        series.received.absolute(self.received);
        series.received_bytes.absolute(self.received_bytes);
        series.sent.absolute(self.sent);
        series.sent_bytes.absolute(self.sent_bytes);
        series.unsent.absolute(self.unsent);
        series.forwarded.absolute(self.forwarded);
        series.repaired.absolute(self.repaired);
        series.recovered.absolute(self.recovered);
        series.refused.absolute(self.refused);
        series.truncated.absolute(self.truncated);
        series.keyframe_requests.absolute(self.keyframe_requests);
        series.panics.absolute(self.panics);
        series
            .peers
            .set(f64::from(u32::try_from(self.peers).unwrap_or(u32::MAX)));
        series
            .rooms
            .set(f64::from(u32::try_from(self.rooms).unwrap_or(u32::MAX)));
    }
}
