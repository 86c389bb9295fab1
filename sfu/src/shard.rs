//! A shard: one thread with its sockets, and the rooms that it carries. Nothing of it is shared.
//!
//! ```text
//!  orders ─►┐                ┌─► publications (rings) ─► forwarders ─► pacers ─► arena ─► sockets
//!  sockets ─► demultiplex ───┤
//!  timers ─►┘                └─► ICE, DTLS, RTCP
//! ```
//!
//! One turn takes what waits, applies it, forwards what came, does what is due, and hands everything to
//! the kernel at once. A panic in it costs the room that was worked on.

pub(crate) mod rooms;

mod allocate;
mod feedback_in;
mod feedback_out;
mod forward;
mod handover;
#[cfg(test)]
mod hostile;
mod lines;
mod media_in;
mod orders;
mod receive;
mod setup;
mod voices;

pub(crate) use setup::ShardSetup;

use crate::control::{
    Answer, Event, GoneReason, Join, Mute, Offer, ParticipantId, Prefer, PublicationId, SfuError,
    SfuEvents,
};
use crate::core::forward::SourceKey;
use crate::core::ice::Ufrag;
use crate::metrics::ShardCounts;
use crate::net::poll::{Poller, SocketKey};
use crate::net::receive::ReceiveBatch;
use crate::peer::Peer;
use crate::peer::transport::Path;
use crate::sockets::Sockets;
use crate::table::{Key, Table};
use crate::timers::Timers;
use crate::track::Track;
use crate::unit::{NtpTime, SeqNo};
use handover::Handover;
use kaiwa_common::id::RoomId;
use rooms::RoomState;
use setup::Fixed;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Where a command's outcome goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, SfuError>>;

/// What a shard is told to do.
pub(crate) enum Order {
    Join(Join, Reply<()>),
    Leave(ParticipantId, Reply<()>),
    Offer(Offer, Reply<Answer>),
    Prefer(Prefer, Reply<()>),
    Mute(Mute, Reply<()>),
    Stop,
}

/// Orders of one turn; the rest waits for the next, so that media does not.
const ORDERS_PER_TURN: usize = 64;

/// The longest sleep, after which a shard looks whether it is to stop.
const SLEEP: Duration = Duration::from_secs(1);

/// Between two publications of what was counted.
const COUNTS_INTERVAL: Duration = Duration::from_secs(1);

/// All of one shard.
pub(crate) struct Shard {
    fixed: Fixed,
    orders: Receiver<Order>,
    events: Arc<dyn SfuEvents>,
    poller: Poller,
    sockets: Sockets,
    /// Taken out while its datagrams are worked on.
    batch: Option<ReceiveBatch>,
    handover: Handover,

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
    /// Tracks with packets of this turn.
    touched: Vec<Key<Track>>,
    /// Whose room a panic is charged to.
    focus: Option<Key<RoomState>>,
    counts: ShardCounts,
    counts_due: Instant,
    scratch: Scratch,
    next_id: u64,
    next_source: u32,
    is_stopping: bool,
}

/// Buffers that are used again and again.
#[derive(Default)]
struct Scratch {
    /// RTCP or STUN that is being written.
    bytes: Vec<u8>,
    nacks: Vec<SeqNo>,
    wanted: Vec<allocate::Wanted>,
}

/// Carries media until it is told to stop.
pub(crate) fn run(setup: ShardSetup, orders: Receiver<Order>, events: Arc<dyn SfuEvents>) {
    let mut shard = Shard::new(setup, orders, events);
    shard.fixed.pin();
    while !shard.is_stopping {
        let turn = catch_unwind(AssertUnwindSafe(|| shard.turn()));
        if turn.is_err() {
            shard.recover();
        }
    }
    shard.end_all();
}

impl Shard {
    fn turn(&mut self) {
        self.focus = None;
        let now = Instant::now();
        let next = [self.timers.next(), self.room_timers.next()];
        let due = next.into_iter().flatten().min();
        let sleep = due.map_or(SLEEP, |due| due.saturating_duration_since(now).min(SLEEP));
        let ready = match self.poller.wait(Some(sleep)) {
            Ok(ready) => ready,
            Err(error) => {
                tracing::error!(%error, "the sockets can't be waited for");
                self.is_stopping = true;
                return;
            }
        };
        let now = Instant::now();
        self.take_orders(now);
        for SocketKey(local) in ready.readable() {
            self.receive(now, local);
        }
        self.take_handed(now);
        self.forward(now);
        self.run_timers(now);
        self.flush();
        if now >= self.counts_due {
            self.counts_due = now + COUNTS_INTERVAL;
            self.publish_counts();
        }
    }

    fn take_orders(&mut self, now: Instant) {
        for _ in 0..ORDERS_PER_TURN {
            match self.orders.try_recv() {
                Ok(order) => self.obey(now, order),
                Err(std::sync::mpsc::TryRecvError::Empty) => return,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                    self.is_stopping = true;
                    return;
                }
            }
        }
        // There may be more, and nobody will say so again.
        self.fixed.waker.wake();
    }

    fn run_timers(&mut self, now: Instant) {
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
    }

    /// Has a peer attended to then.
    fn schedule(&mut self, key: Key<Peer>, due: Instant) {
        if let Some(peer) = self.peers.get_mut(key) {
            self.timers.schedule(key, due, &mut peer.scheduled);
        }
    }

    fn flush(&mut self) {
        self.handover.send();
        let Self {
            poller, sockets, ..
        } = self;
        sockets.flush(|at, socket, is_blocked| {
            let Ok(key) = u8::try_from(at).map(SocketKey) else {
                return;
            };
            let watched = if is_blocked {
                poller.await_writable(key, socket)
            } else {
                poller.ignore_writable(key, socket)
            };
            if let Err(error) = watched {
                tracing::error!(%error, "a full socket can't be watched");
            }
        });
    }

    fn tell(&self, event: Event) {
        self.events.handle(event);
    }

    /// Our clock as reports have it.
    fn ntp(&self, now: Instant) -> NtpTime {
        let since = now.saturating_duration_since(self.fixed.started);
        self.fixed.started_ntp.plus(since)
    }

    fn publish_counts(&mut self) {
        let (datagrams, bytes, lost) = self.sockets.sent();
        self.counts.sent = datagrams;
        self.counts.sent_bytes = bytes;
        self.counts.unsent = lost;
        if let Some(batch) = &self.batch {
            let received = batch.counters();
            self.counts.received = received.datagrams;
            self.counts.received_bytes = received.bytes;
            self.counts.truncated = received.truncated;
        }
        self.counts.peers = self.peers.len();
        self.counts.rooms = self.rooms.len();
        self.counts.publish();
    }

    /// After a panic: the room that was worked on is given up, since its state may be half changed.
    fn recover(&mut self) {
        self.counts.panics += 1;
        self.batch.get_or_insert_with(ReceiveBatch::new);
        let room = self.focus.take();
        tracing::error!(
            has_room = room.is_some(),
            "a panic on the media path; its room ends"
        );
        match room {
            Some(room) => self.end_room(room, GoneReason::Fault),
            // Not one room's work: nothing is left that can be trusted.
            None => self.end_all(),
        }
    }

    fn end_room(&mut self, key: Key<RoomState>, reason: GoneReason) {
        let members = self.rooms.get(key).map(|room| room.members.clone());
        for member in members.unwrap_or_default() {
            self.remove_peer(member, reason);
        }
    }

    fn end_all(&mut self) {
        for room in self.rooms.keys() {
            self.end_room(room, GoneReason::Fault);
        }
        self.flush();
        self.publish_counts();
    }
}
