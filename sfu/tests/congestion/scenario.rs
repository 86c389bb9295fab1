//! What a simulation is given, and what it tells.

/// What sends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Source {
    /// So many cameras in layers of 150, 500 and 1,500 kbit/s, all wanted large, the allocator choosing.
    Cameras(u32),
    /// One that sends whatever the estimate is, up to this rate in kbit/s.
    Elastic(u64),
}

/// A network and what goes through it.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) seconds: u64,
    pub(crate) source: Source,
    /// From which second the link has how many kbit/s.
    pub(crate) link: Vec<(u64, u64)>,
    /// By TCP: nothing is lost on the link, and what is behind something that was waits for it.
    pub(crate) is_tcp: bool,
    /// What the link's queue holds, in ms at its rate; beyond that it drops.
    pub(crate) queue_ms: u64,
    pub(crate) delay_ms: u64,
    pub(crate) jitter_ms: u64,
    /// Of packets that are lost whatever the rate, 0–1.
    pub(crate) loss: f64,
    pub(crate) feedback_loss: f64,
    /// Seconds in which no feedback comes.
    pub(crate) silence: Option<(u64, u64)>,
    /// Seconds in which foreign traffic takes so many kbit/s.
    pub(crate) cross: Option<(u64, u64, u64)>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seconds: 30,
            source: Source::Cameras(1),
            link: vec![(0, 2_500)],
            is_tcp: false,
            queue_ms: 300,
            delay_ms: 25,
            jitter_ms: 2,
            loss: 0.0,
            feedback_loss: 0.0,
            silence: None,
            cross: None,
        }
    }
}

/// A tenth of a second.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    pub(crate) at_ms: u64,
    pub(crate) link_kbps: u64,
    pub(crate) estimate_kbps: u64,
    pub(crate) acknowledged_kbps: u64,
    /// What the allocator gave, sound included.
    pub(crate) allocated_kbps: u64,
    pub(crate) sent_kbps: u64,
    pub(crate) arrived_kbps: u64,
    /// Of sent bytes, what probes and their padding were.
    pub(crate) probe_kbps: u64,
    /// The longest that a packet waited in the link's queue, and in the pacer.
    pub(crate) queue_ms: u64,
    pub(crate) paced_ms: u64,
    /// Sums of layers, 1 for the lowest of one camera.
    pub(crate) layers: u32,
    /// Changes of a spatial layer in this tenth.
    pub(crate) switches: u32,
    pub(crate) dropped: u32,
    /// By TCP: the longest from when a packet was given to the connection to when it came.
    pub(crate) late_ms: u64,
}

impl Sample {
    /// What [`Self::csv`] has.
    pub(crate) const HEAD: &str = "at_ms,link_kbps,estimate_kbps,acknowledged_kbps,allocated_kbps,sent_kbps,\
                            arrived_kbps,probe_kbps,queue_ms,paced_ms,layers,switches,dropped,late_ms";

    /// A line.
    pub(crate) fn csv(&self) -> String {
        let columns = [
            self.at_ms,
            self.link_kbps,
            self.estimate_kbps,
            self.acknowledged_kbps,
            self.allocated_kbps,
            self.sent_kbps,
            self.arrived_kbps,
            self.probe_kbps,
            self.queue_ms,
            self.paced_ms,
            u64::from(self.layers),
            u64::from(self.switches),
            u64::from(self.dropped),
            self.late_ms,
        ];
        columns.map(|column| column.to_string()).join(",")
    }
}
