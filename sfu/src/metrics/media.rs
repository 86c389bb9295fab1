//! How media gets through: of each participant a value a second, and how many have which quality.

use super::{Counts, as_gauge};
use crate::control::{LimitedBy, Quality};
use crate::inspect::record::Second;
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

/// Bounds of the buckets of round trips, in seconds: 300 and 800 ms are those of the quality that people are shown.
const RTT_BUCKETS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 2.0];

/// Of shares of packets: 2 and 10 % are those of the quality.
const LOSS_BUCKETS: [f64; 8] = [0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.75];

/// Of estimates, in kbit/s: a voice, the layers of a camera, several of them.
const ESTIMATE_BUCKETS: [f64; 9] = [
    50.0, 150.0, 300.0, 600.0, 1_200.0, 2_500.0, 5_000.0, 10_000.0, 20_000.0,
];

/// The histograms' names and their buckets, for whoever exports them.
pub const HISTOGRAMS: [(&str, &[f64]); 3] = [
    (RTT, &RTT_BUCKETS),
    (LOSS, &LOSS_BUCKETS),
    (ESTIMATE, &ESTIMATE_BUCKETS),
];

const RTT: &str = "kaiwa_call_rtt_seconds";
const LOSS: &str = "kaiwa_call_loss_ratio";
const ESTIMATE: &str = "kaiwa_call_estimate_kbps";

pub(super) fn describe() {
    describe_histogram!(
        RTT,
        "Round trips of participants who are sent something, one a second of each"
    );
    describe_histogram!(
        LOSS,
        "Shares of packets that were lost on participants' links, one a second of each, by direction"
    );
    describe_histogram!(
        ESTIMATE,
        "What participants' paths were estimated to carry, in kbit/s, one a second of each who is sent something"
    );
    describe_counter!(
        "kaiwa_sfu_freezes_total",
        "Pictures that froze for somebody who watched them"
    );
    describe_counter!(
        "kaiwa_sfu_limited_seconds_total",
        "Seconds of pictures that somebody was sent less of than they wanted, by what stood against it"
    );
    describe_gauge!(
        "kaiwa_sfu_quality",
        "Participants by how well media gets through to and from them"
    );
}

/// The series of one shard; histograms are all shards'.
pub(crate) struct MediaSeries {
    rtt: Histogram,
    lost_in: Histogram,
    lost_out: Histogram,
    estimate: Histogram,
    freezes: Counter,
    limited_s: [Counter; LimitedBy::ALL.len()],
    qualities: [Gauge; Quality::ALL.len()],
}

impl MediaSeries {
    pub(super) fn new(shard: &str) -> Self {
        let shard = || shard.to_owned();
        Self {
            rtt: histogram!(RTT),
            lost_in: histogram!(LOSS, "direction" => "in"),
            lost_out: histogram!(LOSS, "direction" => "out"),
            estimate: histogram!(ESTIMATE),
            freezes: counter!("kaiwa_sfu_freezes_total", "shard" => shard()),
            limited_s: LimitedBy::ALL.map(|by| {
                counter!("kaiwa_sfu_limited_seconds_total", "shard" => shard(), "by" => by.name())
            }),
            qualities: Quality::ALL.map(|quality| {
                gauge!("kaiwa_sfu_quality", "shard" => shard(), "quality" => quality.name())
            }),
        }
    }

    pub(super) fn publish(
        &self,
        counts: &Counts,
        seconds: impl Iterator<Item = Second>,
        qualities: [usize; Quality::ALL.len()],
    ) {
        for second in seconds {
            self.record(&second);
        }
        self.freezes.absolute(counts.freezes);
        for (series, count) in self.limited_s.iter().zip(counts.limited_s) {
            series.absolute(count);
        }
        for (series, count) in self.qualities.iter().zip(qualities) {
            series.set(as_gauge(count));
        }
    }

    fn record(&self, second: &Second) {
        // Who sends nothing loses nothing, and would hide those who do.
        if second.in_kbps > 0 {
            self.lost_in.record(f64::from(second.in_loss.share()));
        }
        if second.out_kbps > 0 {
            self.lost_out.record(f64::from(second.out_loss.share()));
            self.estimate.record(f64::from(second.estimate_kbps));
            if let Some(rtt) = second.rtt() {
                self.rtt.record(rtt.as_secs_f64());
            }
        }
    }

    /// Nobody is there any more.
    pub(super) fn end(&self) {
        for quality in &self.qualities {
            quality.set(0.0);
        }
    }
}
