//! Settings of the SFU.

use crate::core::negotiate::VideoCodecs;
use crate::inspect::SAMPLES_MAX;
use crate::unit::Bitrate;
use std::net::{IpAddr, SocketAddr};

/// How the SFU is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where media is received. Port 0 takes a free one; an unspecified address takes all of the host's
    /// of its family.
    pub listen: Vec<SocketAddr>,
    /// Where it is received by TCP, for who has no UDP.
    pub tcp: TcpConfig,
    /// Addresses that clients are told to send to, in place of those that are found. For a host behind
    /// one-to-one NAT.
    pub advertise: Vec<IpAddr>,
    /// Also advertise loopback addresses; for trying it on one machine.
    pub loopback: bool,
    /// Threads that carry media; each room is on one of them.
    pub shards: usize,
    /// The core of the first shard, for measurements; `None` leaves it to the scheduler.
    pub first_core: Option<usize>,
    /// Sounds that a subscriber is sent at once: the loudest of the room.
    pub audio_slots: u8,
    /// What a path is taken to carry whose subscriber gives no transport-wide feedback. Browsers give it.
    pub assumed: Bitrate,
    /// Send in the subscriber's estimated rate instead of at once.
    pub is_paced: bool,
    /// Seconds of each participant that are kept for who inspects a call, up to
    /// [`SAMPLES_MAX`](crate::inspect::SAMPLES_MAX); 0 keeps none.
    pub inspect_s: u8,
    /// Codecs of pictures that are taken, the most wanted first: publishers are asked for the first that
    /// they have. Others are not answered.
    pub video_codecs: VideoCodecs,
}

/// Where media is received by TCP (RFC 6544).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TcpConfig {
    /// Where the SFU listens itself.
    pub listen: TcpListen,
    /// Where another listener is that [hands over](crate::engine::Engine::take_connection) what begins as media does.
    pub shared: Option<SocketAddr>,
}

/// Which TCP addresses media has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TcpListen {
    /// None.
    #[default]
    Off,
    /// Those of UDP: the shared listener's port where that is reached at the address, else UDP's own number. One that
    /// can't be listened at is gone without.
    Beside,
    /// These. Port 0 takes a free one; an unspecified address takes all of the host's of its family.
    At(Vec<SocketAddr>),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            tcp: TcpConfig::default(),
            advertise: Vec::new(),
            loopback: false,
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            first_core: None,
            audio_slots: 3,
            // A picture of 720 lines and sound.
            assumed: Bitrate::kbps(2_000),
            is_paced: true,
            inspect_s: SAMPLES_MAX,
            video_codecs: VideoCodecs::default(),
        }
    }
}
