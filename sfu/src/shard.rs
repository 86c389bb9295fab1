//! A shard: the rooms that one thread carries, without the thread. Time comes in with each input,
//! datagrams go out into a [`Sink`], and what others have to know is [polled](Shard::poll_event).
//!
//! ```text
//!  commands ─►┐                ┌─► publications (rings) ─► forwarders ─► pacers ─► sink
//!  datagrams ─► demultiplex ───┤
//!  timers ───►┘                └─► ICE, DTLS, RTCP
//! ```
//!
//! Whoever drives it takes what waits, has it [forwarded](Shard::forward), lets timers run, and then hands
//! everything to the kernel at once. A panic in it costs the room that was worked on.

mod allocate;
mod census;
mod commands;
mod faults;
mod feedback_in;
mod feedback_out;
mod forward;
#[cfg(test)]
mod hostile;
mod inspect;
mod lines;
mod media_in;
mod neighbours;
mod receive;
pub(crate) mod rooms;
mod sink;
mod transports;
mod voices;

pub use crate::entropy::SEED_BYTES;
pub use crate::peer::transport::{CONNECT, Path};
pub use census::{Census, Flow};
pub(crate) use neighbours::{Letter, Parcel};
pub use sink::Sink;

use crate::control::{Event, GoneReason, ParticipantId, PublicationId};
use crate::core::forward::SourceKey;
use crate::core::ice::{Credentials, Ufrag};
use crate::core::negotiate::VideoCodecs;
use crate::dtls::Identity;
use crate::entropy::Entropy;
use crate::inspect::record::Second;
use crate::metrics::Counts;
use crate::peer::Peer;
use crate::table::{Key, Table};
use crate::timers::Timers;
use crate::track::Track;
use crate::unit::{Bitrate, NtpTime, SeqNo};
use crate::wire::sdp::Candidate;
use faults::Leaving;
use kaiwa_common::id::RoomId;
use neighbours::Neighbours;
use rooms::RoomState;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a shard is started with, and keeps.
pub struct Setup {
    /// Which of the shards it is.
    pub index: usize,
    /// How many there are, 1 to 64: a user fragment's first letter leads to each.
    pub shards: usize,
    /// Sounds that a subscriber is sent at once.
    pub audio_slots: u8,
    /// Send in the subscriber's estimated rate instead of at once.
    pub is_paced: bool,
    /// What a path is taken to carry whose subscriber gives no transport-wide feedback.
    pub assumed: Bitrate,
    /// Seconds of each participant that are kept; 0 keeps none.
    pub inspect_s: u8,
    /// Codecs of pictures that are taken, the most wanted first.
    pub video_codecs: VideoCodecs,
    /// Who the server is in DTLS.
    pub identity: Arc<Identity>,
    /// Where clients are told to send to.
    pub candidates: Vec<Candidate>,
    /// Whoever checks with these is answered and nothing more: they show that a client reaches us.
    pub probe: Option<Credentials>,
    /// When the clock said `started_ntp`.
    pub started: Instant,
    /// Our clock as reports have it.
    pub started_ntp: NtpTime,
    /// All randomness of the shard follows from it: what can't be foreseen in a call, such as ICE
    /// passwords, can't without it. DTLS has its own.
    pub seed: [u8; SEED_BYTES],
}

/// All of one shard, with the sink that its datagrams go into.
pub struct Shard<S> {
    setup: Setup,
    sink: S,
    events: VecDeque<Event>,
    neighbours: Neighbours,
    entropy: Entropy,

    peers: Table<Peer>,
    tracks: Table<Track>,
    rooms: Table<RoomState>,
    by_participant: HashMap<ParticipantId, Key<Peer>>,
    by_room: HashMap<RoomId, Key<RoomState>>,
    by_path: HashMap<Path, Key<Peer>>,
    by_ufrag: HashMap<Ufrag, Key<Peer>>,
    by_source: HashMap<SourceKey, Key<Track>>,
    by_publication: HashMap<PublicationId, Key<Track>>,

    timers: Timers<Key<Peer>>,
    room_timers: Timers<Key<RoomState>>,
    /// Tracks with packets that were not shown to their subscribers yet.
    touched: Vec<Key<Track>>,
    /// When the first of those that are held is to be shown in any case.
    held_until: Option<Instant>,
    /// Whose room a panic is charged to.
    focus: Option<Key<RoomState>>,
    /// Who is being removed, and was not told of yet.
    leaving: Option<Leaving>,
    counts: Counts,
    /// Of participants, that nobody has taken yet.
    seconds: Vec<Second>,
    /// The last frame was answered as a probe.
    is_probed: bool,
    scratch: Scratch,
    next_id: u64,
    next_source: u32,
}

/// The shard that a user fragment leads to, of so many.
pub(crate) fn shard_of(ufrag: &str, shards: usize) -> usize {
    let first = ufrag.bytes().next().unwrap_or_default();
    usize::from(first) % shards.max(1)
}

/// What need not be on time waits for the end of such a step, so that the thread wakes up once for many peers: to wake
/// up costs more than what is done then for one. Reports, allocations, consent and estimates are such.
const GRID_NS: u64 = 20_000_000;

/// Buffers that are used again and again.
#[derive(Default)]
struct Scratch {
    /// RTCP or STUN that is being written.
    bytes: Vec<u8>,
    nacks: Vec<SeqNo>,
    wanted: Vec<allocate::Wanted>,
}

impl<S: Sink> Shard<S> {
    /// A shard without rooms.
    #[must_use]
    pub fn new(setup: Setup, sink: S) -> Self {
        Self {
            sink,
            events: VecDeque::new(),
            neighbours: Neighbours::new(setup.index, setup.shards),
            entropy: Entropy::new(&setup.seed),
            setup,
            peers: Table::default(),
            tracks: Table::default(),
            rooms: Table::default(),
            by_participant: HashMap::new(),
            by_room: HashMap::new(),
            by_path: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_source: HashMap::new(),
            by_publication: HashMap::new(),
            timers: Timers::new(),
            room_timers: Timers::new(),
            touched: Vec::new(),
            held_until: None,
            focus: None,
            leaving: None,
            counts: Counts::default(),
            seconds: Vec::new(),
            is_probed: false,
            scratch: Scratch::default(),
            next_id: 0,
            next_source: 0,
        }
    }

    /// What happened, until there is nothing more. To be asked after each input.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::forward`] or [`Self::handle_timeout`] have something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = [self.timers.next(), self.room_timers.next(), self.held_until];
        next.into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((due, key)) = self.timers.pop_due(now) {
            let Some(peer) = self.peers.get_mut(key) else {
                continue;
            };
            if peer.scheduled == Some(due) {
                peer.scheduled = None;
                self.focus = Some(peer.room);
                self.attend(now, key);
            }
        }
        while let Some((due, key)) = self.room_timers.pop_due(now) {
            let Some(room) = self.rooms.get_mut(key) else {
                continue;
            };
            if room.scheduled == Some(due) {
                room.scheduled = None;
                self.focus = Some(key);
                self.attend_voices(now, key);
            }
        }
        self.focus = None;
        let (peers, rooms) = (&self.peers, &self.rooms);
        self.timers.prune(peers.len(), |key, due| {
            peers
                .get(key)
                .is_some_and(|peer| peer.scheduled == Some(due))
        });
        self.room_timers.prune(rooms.len(), |key, due| {
            rooms
                .get(key)
                .is_some_and(|room| room.scheduled == Some(due))
        });
    }

    /// Ends all rooms.
    pub fn end(&mut self, now: Instant) {
        for room in self.rooms.keys() {
            self.end_room(now, room, GoneReason::Fault);
        }
    }

    /// Where its datagrams go.
    pub fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// What it has counted.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Datagrams and notes for other shards that found no room here.
    pub(crate) fn undelivered(&self) -> u64 {
        self.neighbours.dropped
    }

    /// What there is for other shards, by shard. Whoever drives them takes it after each turn.
    pub(crate) fn outgoing(&mut self) -> &mut [Parcel] {
        self.neighbours.outgoing()
    }

    /// The end of the step of [`GRID_NS`] that a time is in: never before it.
    fn coarse(&self, due: Instant) -> Instant {
        let since = due.saturating_duration_since(self.setup.started);
        let since_ns = u64::try_from(since.as_nanos()).expect("a clock of less than 500 years");
        let left_ns = (GRID_NS - since_ns % GRID_NS) % GRID_NS;
        due + Duration::from_nanos(left_ns)
    }

    /// Has a peer attended to then.
    fn schedule(&mut self, key: Key<Peer>, due: Instant) {
        if let Some(peer) = self.peers.get_mut(key) {
            self.timers.schedule(key, due, &mut peer.scheduled);
        }
    }

    fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Our clock as reports have it.
    fn ntp(&self, now: Instant) -> NtpTime {
        let since = now.saturating_duration_since(self.setup.started);
        self.setup.started_ntp.plus(since)
    }

    /// New ICE credentials whose fragment leads to this shard: see [`neighbours`].
    fn new_credentials(&mut self) -> Credentials {
        loop {
            let credentials = Credentials::from_random(&self.entropy.bytes());
            if self.shard_of(credentials.ufrag().as_str()) == self.setup.index {
                return credentials;
            }
        }
    }

    /// The shard that a fragment leads to.
    fn shard_of(&self, ufrag: &str) -> usize {
        shard_of(ufrag, self.setup.shards)
    }

    fn end_room(&mut self, now: Instant, key: Key<RoomState>, reason: GoneReason) {
        let members = self.rooms.get(key).map(|room| room.members.clone());
        for member in members.unwrap_or_default() {
            self.remove_peer(now, member, reason);
        }
    }
}
