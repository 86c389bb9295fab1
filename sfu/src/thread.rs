//! A shard's thread: the sockets, the clock and the queue of commands around the rules. Nothing of it is
//! shared.
//!
//! One turn takes what waits, has it forwarded, does what is due, and hands everything to the kernel at
//! once.

mod connections;
mod listeners;
mod lobby;
mod mailboxes;
mod orders;
mod setup;
mod unreached;

pub(crate) use lobby::{Arrival, Door, LobbySetup};
pub(crate) use orders::{OrderQueue, Orders, queue};
pub(crate) use setup::{Opened, ThreadSetup};

use crate::control::trace::JoinTrace;
use crate::control::{
    Answer, Join, Mute, Offer, ParticipantId, Prefer, Rights, SfuError, SfuEvents,
};
use crate::inspect::{Inspect, RoomReport};
use crate::metrics::{Arrivals, Series, Traffic};
use crate::net::affinity;
use crate::net::poll::{Poller, ReadyStream, SocketKey, Waker};
use crate::net::receive::ReceiveBatch;
use crate::net::socket::LocalIndex;
use crate::shard::{Path, Shard};
use crate::sockets::Sockets;
use connections::Rota;
use mailboxes::Exchange;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use unreached::Unreached;

/// Where a command's outcome goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, SfuError>>;

/// What a shard is told to do.
pub(crate) enum Order {
    Join(Join, Reply<()>),
    Rights(ParticipantId, Rights, Reply<()>),
    Leave(ParticipantId, Reply<()>),
    Offer(Offer, Reply<Answer>),
    Prefer(Prefer, Reply<()>),
    Mute(Mute, Reply<()>),
    Trace(ParticipantId, Reply<JoinTrace>),
    Inspect(Inspect, Reply<RoomReport>),
    /// A TCP connection says that it is a peer's of this shard.
    Connection(Arrival),
    Stop,
}

/// Orders of one turn; the rest waits for the next, so that media does not.
const ORDERS_PER_TURN: usize = 64;

/// Batches of one socket in one turn: 512 datagrams. What waits beyond comes in the next turn, so that
/// what was received goes out first.
const BATCHES_PER_TURN: usize = 8;

/// The longest sleep, after which a thread looks whether it is to stop.
const SLEEP: Duration = Duration::from_secs(1);

/// Between two publications of what was counted.
const COUNTS_INTERVAL: Duration = Duration::from_secs(1);

/// A shard with what drives it.
struct Thread {
    shard: Shard<Sockets>,
    orders: OrderQueue,
    events: Arc<dyn SfuEvents>,
    poller: Poller,
    waker: Waker,
    batch: ReceiveBatch,
    /// TCP connections that are ready in this turn.
    ready: Vec<ReadyStream>,
    rota: Rota,
    exchange: Exchange,
    /// Datagrams and notes for which another shard's mailbox had no room.
    undelivered: u64,
    series: Series,
    arrivals: Arrivals,
    /// Shared by all shards.
    unreached: Arc<Unreached>,
    /// How many of this shard it was told of.
    told_unreached: u64,
    counts_due: Instant,
    is_stopping: bool,
}

/// Carries media until it is told to stop.
pub(crate) fn run(setup: ThreadSetup, orders: OrderQueue, events: Arc<dyn SfuEvents>) {
    let core = setup.core();
    let mut thread = setup.thread(orders, events);
    if let Some(core) = core
        && let Err(error) = affinity::pin_current_thread(core)
    {
        tracing::warn!(%error, core, "the thread can't be pinned");
    }
    while !thread.is_stopping {
        if catch_unwind(AssertUnwindSafe(|| thread.turn())).is_err() {
            thread.recover();
        }
    }
    thread.shard.end(Instant::now());
    thread.tell();
    thread.flush();
    thread.publish_counts();
}

impl Thread {
    /// After a panic in a turn. One that comes of this as well costs the shard's other rooms too, and one
    /// after that ends the thread.
    fn recover(&mut self) {
        tracing::error!("a panic on the media path; the room that was worked on ends");
        let given_up = catch_unwind(AssertUnwindSafe(|| {
            self.shard.handle_panic(Instant::now());
            self.tell();
        }));
        if given_up.is_err() {
            tracing::error!("another panic while a room was given up; all rooms of the shard end");
            self.shard.reset();
            self.tell();
        }
    }

    fn turn(&mut self) {
        let now = Instant::now();
        let due = self.shard.poll_timeout();
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
        self.ready.clear();
        self.ready.extend(self.poller.streams());
        self.shard.sink_mut().streams.begin(now);
        self.take_orders(now);
        for SocketKey(local) in ready.readable() {
            self.receive(now, LocalIndex(local));
        }
        self.serve_connections(now);
        let mut parcel = self.exchange.collect();
        self.shard.handle_parcel(now, &mut parcel);
        self.exchange.give_back(parcel);
        self.shard.forward(now);
        self.shard.handle_timeout(now);
        self.tell();
        self.flush();
        self.forget_connections(now);
        if now >= self.counts_due {
            self.counts_due = now + COUNTS_INTERVAL;
            self.publish_counts();
        }
    }

    fn take_orders(&mut self, now: Instant) {
        for _ in 0..ORDERS_PER_TURN {
            match self.orders.take() {
                Ok(order) => self.obey(now, order),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.is_stopping = true;
                    return;
                }
            }
        }
        // There may be more, and nobody will say so again.
        self.waker.wake();
    }

    /// Carries out a command.
    fn obey(&mut self, now: Instant, order: Order) {
        match order {
            Order::Join(join, reply) => {
                let joined = self.shard.handle_join(now, &join);
                self.answer(reply, joined);
            }
            Order::Rights(participant, rights, reply) => {
                let set = self.shard.handle_rights(now, participant, rights);
                self.answer(reply, set);
            }
            Order::Leave(participant, reply) => {
                self.shard.handle_leave(now, participant);
                self.answer(reply, Ok(()));
            }
            Order::Offer(offer, reply) => {
                let answer = self.shard.handle_offer(now, &offer);
                self.answer(reply, answer);
            }
            Order::Prefer(prefer, reply) => {
                let preferred = self.shard.handle_prefer(now, &prefer);
                self.answer(reply, preferred);
            }
            Order::Mute(mute, reply) => {
                let muted = self.shard.handle_mute(now, mute);
                self.answer(reply, muted);
            }
            Order::Trace(participant, reply) => {
                let trace = self.shard.handle_trace(now, participant);
                self.answer(reply, trace);
            }
            Order::Inspect(inspect, reply) => {
                let report = self.shard.inspect(now, &inspect);
                self.answer(reply, Ok(report));
            }
            Order::Connection(arrival) => self.admit(now, arrival),
            Order::Stop => self.is_stopping = true,
        }
    }

    /// Says what came of a command, after the events that it caused. Whoever gave it may have gone
    /// meanwhile: then nobody hears the answer.
    fn answer<T>(&mut self, reply: Reply<T>, outcome: Result<T, SfuError>) {
        self.tell();
        let _ = reply.send(outcome);
    }

    fn tell(&mut self) {
        while let Some(event) = self.shard.poll_event() {
            self.events.handle(event);
        }
    }

    /// Takes what waits at one socket.
    fn receive(&mut self, now: Instant, local: LocalIndex) {
        for _ in 0..BATCHES_PER_TURN {
            let Some(socket) = self.shard.sink_mut().socket(local) else {
                return;
            };
            let came = match self.batch.receive(socket) {
                Ok(0) => return,
                Ok(came) => came,
                Err(error) => {
                    tracing::error!(%error, "a media socket is broken");
                    self.is_stopping = true;
                    return;
                }
            };
            for datagram in self.batch.datagrams() {
                let path = Path {
                    remote: datagram.from,
                    local: datagram.local.into(),
                };
                let came = datagram.arrived.unwrap_or(now);
                self.shard.handle_waited((now, came), path, datagram.bytes);
            }
            if came < ReceiveBatch::PLACES {
                return;
            }
        }
    }

    fn flush(&mut self) {
        self.undelivered += self.exchange.send(self.shard.outgoing());
        let Self { poller, shard, .. } = self;
        shard.sink_mut().flush(|at, socket, is_blocked| {
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
        self.flush_connections();
    }

    fn publish_counts(&mut self) {
        let (sent, sent_bytes, unsent) = self.shard.sink_mut().sent();
        let received = self.batch.counters();
        let traffic = Traffic {
            received: received.datagrams,
            received_bytes: received.bytes,
            truncated: received.truncated,
            sent,
            sent_bytes,
            unsent,
            undelivered: self.undelivered + self.shard.undelivered(),
        };
        let streams = &self.shard.sink_mut().streams;
        let tcp = (streams.counters(), streams.len());
        self.series.publish_tcp(&tcp.0, tcp.1);
        self.tell_unreached();
        let census = self.shard.census();
        let (counts, qualities) = (*self.shard.counts(), self.shard.qualities());
        self.series
            .publish(&counts, &traffic, census.peers, census.rooms);
        self.series
            .publish_media(&counts, self.shard.take_seconds(), qualities);
    }

    fn tell_unreached(&mut self) {
        let count = self.shard.counts().never_connected;
        let more = count - std::mem::replace(&mut self.told_unreached, count);
        if let Some(people) = self.unreached.handle_more(Instant::now(), more) {
            unreached::warn(people);
        }
    }
}
