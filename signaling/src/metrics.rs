//! What this crate counts, declared in one place. Labels are of closed sets.

use crate::call::whence::Way;
use metrics::{Counter, Gauge, Histogram, Unit};

/// The histogram of joins and its buckets in seconds: below 2 s people don't notice, after 15 s they give up.
pub const JOIN: (&str, &[f64]) = (
    "kaiwa_call_join_seconds",
    &[0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 45.0],
);

/// Handles that cost one addition.
#[derive(Clone)]
pub struct Metrics {
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections that were accepted.
    pub accepted: Counter,
    /// Sessions that went on over another connection.
    pub resumed: Counter,
    /// Frames from clients.
    pub frames_in: Counter,
    /// Commands from clients.
    pub commands: Counter,
    /// Commands that were refused by the rate limit.
    pub rate_limited: Counter,
    /// Messages that could not be read.
    pub malformed: Counter,
    /// Events handed to sessions.
    pub deliveries: Counter,
    /// Batches of events that found a fan-out worker's queue full.
    pub fanout_lost: Counter,
    /// Calls that go on.
    pub calls: Gauge,
    /// Participants of calls, by [`Way::ALL`].
    pub call_participants: [Gauge; Way::ALL.len()],
    /// From the SFU's taking somebody to media that gets through, in seconds.
    pub call_join_seconds: Histogram,
    /// People who were rung.
    pub call_rings: Counter,
    /// Events of the SFU that found the queue full.
    pub call_events_lost: Counter,
    /// Sessions of encoders and players.
    pub whip_sessions: Gauge,
    /// Those that began.
    pub whip_begun: Counter,
}

fn call_participants() -> [Gauge; Way::ALL.len()] {
    let name = "kaiwa_call_participants";
    metrics::describe_gauge!(name, Unit::Count, "People in calls, by how they came");
    Way::ALL.map(|way| metrics::gauge!(name, "way" => way.as_str()))
}

fn call_join_seconds() -> Histogram {
    let text = "From the SFU's taking somebody to media that gets through";
    metrics::describe_histogram!(JOIN.0, Unit::Seconds, text);
    metrics::histogram!(JOIN.0)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Declares them with the recorder that is installed.
    #[must_use]
    pub fn new() -> Self {
        let counter = |name: &'static str, text: &'static str| {
            metrics::describe_counter!(name, Unit::Count, text);
            metrics::counter!(name)
        };
        let gauge = |name: &'static str, text: &'static str| {
            metrics::describe_gauge!(name, Unit::Count, text);
            metrics::gauge!(name)
        };
        metrics::describe_counter!(
            "kaiwa_signaling_call_refused_total",
            Unit::Count,
            "Commands of calls that were refused, by reason"
        );
        metrics::describe_counter!(
            "kaiwa_call_joins_total",
            Unit::Count,
            "Joins of calls, by way in and by result: ok, or the named cause of their failure"
        );
        metrics::describe_counter!(
            "kaiwa_signaling_closed_total",
            Unit::Count,
            "Connections closed by the server, by reason"
        );
        metrics::describe_counter!(
            "kaiwa_signaling_turned_away_total",
            Unit::Count,
            "TCP connections for which there was no place"
        );
        Self {
            connections: gauge("kaiwa_signaling_connections", "Connections that are open"),
            accepted: counter("kaiwa_signaling_accepted_total", "Connections accepted"),
            resumed: counter("kaiwa_signaling_resumed_total", "Sessions resumed"),
            frames_in: counter("kaiwa_signaling_frames_in_total", "Frames from clients"),
            commands: counter("kaiwa_signaling_commands_total", "Commands from clients"),
            rate_limited: counter(
                "kaiwa_signaling_rate_limited_total",
                "Commands refused by the rate limit",
            ),
            malformed: counter(
                "kaiwa_signaling_malformed_total",
                "Messages that can't be read",
            ),
            fanout_lost: counter(
                "kaiwa_signaling_fanout_lost_total",
                "Batches of events that found a fan-out worker's queue full; clients repair it",
            ),
            deliveries: counter(
                "kaiwa_signaling_deliveries_total",
                "Events handed to sessions",
            ),
            calls: gauge("kaiwa_calls", "Calls that go on"),
            call_participants: call_participants(),
            call_join_seconds: call_join_seconds(),
            call_rings: counter("kaiwa_signaling_call_rings_total", "People who were rung"),
            call_events_lost: counter(
                "kaiwa_signaling_call_events_lost_total",
                "Events of the SFU that found the queue full; rosters are then told whole",
            ),
            whip_sessions: gauge(
                "kaiwa_signaling_whip_sessions",
                "Sessions of encoders and players (WHIP, WHEP)",
            ),
            whip_begun: counter(
                "kaiwa_signaling_whip_begun_total",
                "Sessions of encoders and players that began",
            ),
        }
    }

    /// Counts a command of calls that was refused, by one of the reasons of the table of errors.
    pub fn call_refused(&self, reason: &'static str) {
        metrics::counter!("kaiwa_signaling_call_refused_total", "reason" => reason).increment(1);
    }

    /// Counts a join that came to its first end: media flows, or why it does not.
    pub fn call_join(&self, way: &'static str, result: &'static str) {
        metrics::counter!("kaiwa_call_joins_total", "way" => way, "result" => result).increment(1);
    }

    /// Counts a connection that the server closed.
    pub fn closed(&self, reason: &'static str) {
        metrics::counter!("kaiwa_signaling_closed_total", "reason" => reason).increment(1);
    }
}
