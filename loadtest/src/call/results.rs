//! What measurements of calls gave, for JSON and for people.

use super::host::Kind;
use super::measure::Round;
use super::srtp::Profile;
use crate::chat::stats::Spread;
use crate::proc::Host as Machine;
use serde::{Deserialize, Serialize};

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// One publisher's bursts to many.
    Fanout,
    /// The same in another codec than VP8.
    Codec,
    /// The same, everybody by TCP.
    Tcp,
    /// The same, and the server keeps nothing for its call inspector.
    Uninspected,
    /// The same, and it keeps what it does by itself, beside the one before.
    Inspected,
    /// One publisher's recorded frames to many, paced.
    Trace,
    /// Several publishers to all.
    Meeting,
    /// A room of voices, the loudest heard.
    Audio,
}

impl Scenario {
    /// A name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fanout => "fan-out",
            Self::Codec => "fan-out, other codec",
            Self::Tcp => "fan-out by TCP",
            Self::Uninspected => "fan-out, inspector off",
            Self::Inspected => "fan-out, inspector on",
            Self::Trace => "trace, paced",
            Self::Meeting => "meeting",
            Self::Audio => "audio room",
        }
    }
}

/// One server under one load, round by round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Case {
    /// The load.
    pub scenario: Scenario,
    /// The server.
    pub server: Kind,
    /// Who publish.
    pub publishers: usize,
    /// Who receive.
    pub subscribers: usize,
    /// The load in words.
    pub load: String,
    /// µs per packet, in the order of rounds; also the floor's.
    pub us: Vec<f64>,
    /// The rounds; none of the floor.
    pub rounds: Vec<Round>,
    /// The second opinion of each round that had one.
    pub opinions: Vec<Opinion>,
}

/// What a participant on the ordinary `webrtc` crate counted, beside a light one of the same round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// Different packets that it got.
    pub unique: u64,
    /// Those that it did not, from its first on.
    pub missing: u64,
    /// Those that it got twice.
    pub duplicates: u64,
    /// The last counter that came.
    pub last: u32,
    /// The last counter that the publisher sent.
    pub sent: u32,
}

impl Opinion {
    /// Whether it agrees with participants who miss nothing and get nothing twice.
    #[must_use]
    pub fn agrees(&self) -> bool {
        (self.missing, self.duplicates) == (0, 0) && self.last == self.sent && self.unique > 0
    }
}

impl Case {
    /// A case without rounds yet.
    #[must_use]
    pub fn new(
        scenario: Scenario,
        server: Kind,
        (publishers, subscribers): (usize, usize),
        load: String,
    ) -> Self {
        Self {
            scenario,
            server,
            publishers,
            subscribers,
            load,
            us: Vec::new(),
            rounds: Vec::new(),
            opinions: Vec::new(),
        }
    }

    /// Adds a round.
    pub fn add(&mut self, round: Round) {
        self.us.push(round.us_per_packet);
        self.rounds.push(round);
    }

    /// µs per packet.
    #[must_use]
    pub fn us_per_packet(&self) -> Spread {
        Spread::of(self.us.iter().copied())
    }

    /// Of every round.
    #[must_use]
    pub fn spread(&self, of: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(of))
    }

    /// The sum of every round.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&Round) -> u64) -> u64 {
        self.rounds.iter().map(of).sum()
    }

    /// This one's time to another's, round by round.
    #[must_use]
    pub fn ratio(&self, other: &Self) -> Spread {
        Spread::of(self.us.iter().zip(&other.us).map(|(us, other)| us / other))
    }
}

/// Joining, and what is left of many joins and leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Joins {
    /// From `call_join` to the first packet, in ms: median, and 95 of 100 are below.
    pub first_packet_ms: (f64, f64),
    /// The same to the first picture that can be shown.
    pub first_picture_ms: (f64, f64),
    /// How many were timed.
    pub timed: usize,
    /// Joins and leaves of the storm.
    pub storm: usize,
    /// How long it took, in seconds.
    pub storm_s: f64,
    /// Resident memory of the server before and after, in bytes.
    pub memory: (u64, u64),
    /// Its threads before and after.
    pub threads: (usize, usize),
    /// Its file descriptors before and after.
    pub files: (usize, usize),
    /// Its own gauges that did not come back: name, before, after.
    pub gauges: Vec<(String, f64, f64)>,
    /// Beginning by WHIP; earlier results have none.
    #[serde(default)]
    pub whip: Option<Whip>,
}

/// How long it takes to begin by WHIP.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Whip {
    /// Sessions that began, all in one call.
    pub sessions: usize,
    /// From a new TCP connection to the whole 201, in ms: median, and 99 of 100 are below.
    pub post_ms: (f64, f64),
}

/// All of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Calls {
    /// The machine.
    pub host: Machine,
    /// The SRTP profile.
    pub profile: Profile,
    /// Where the trace was from.
    pub trace: Option<String>,
    /// The cases.
    pub cases: Vec<Case>,
    /// Joining.
    pub joins: Option<Joins>,
}

impl Calls {
    /// No case yet.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            host: crate::proc::host(),
            profile,
            trace: None,
            cases: Vec::new(),
            joins: None,
        }
    }

    /// The case of this load and server.
    #[must_use]
    pub fn case(&self, scenario: Scenario, server: Kind, subscribers: usize) -> Option<&Case> {
        let is_it = |case: &&Case| {
            (case.scenario, case.server, case.subscribers) == (scenario, server, subscribers)
        };
        self.cases.iter().find(is_it)
    }
}
