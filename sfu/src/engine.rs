//! The SFU in this process: commands go to the shard that owns the room, events come back.

use crate::config::Config;
use crate::control::trace::{JoinTrace, Probe, Reach, Told};
use crate::control::{
    Answer, Event, GoneReason, Join, Mute, Offer, ParticipantId, Pending, Prefer, Rights,
    SfuControl, SfuError, SfuEvents,
};
use crate::core::ice::Credentials;
use crate::inspect::{Inspect, RoomReport};
use crate::net::poll::Waker;
use crate::thread::{self, Door, Opened, Order, OrderQueue, Orders, Reply, ThreadSetup};
use kaiwa_common::id::RoomId;
use kaiwa_common::time::UnixMs;
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The shards and who is where.
pub struct Engine {
    ports: Vec<Port>,
    placement: Arc<Mutex<Placement>>,
    addresses: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
    told: Vec<Told>,
    probe: Credentials,
    door: Option<Door>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Port {
    orders: Orders,
    waker: Waker,
}

/// Which shard has which room and participant.
#[derive(Default)]
struct Placement {
    rooms: HashMap<RoomId, Placed>,
    participants: HashMap<ParticipantId, RoomId>,
    /// Shards whose threads have ended; they get no rooms any more.
    ended: Vec<usize>,
}

struct Placed {
    shard: usize,
    participants: usize,
}

/// Events on their way out: who is gone, by themselves or not, has no place any more.
struct Events {
    outside: Arc<dyn SfuEvents>,
    placement: Arc<Mutex<Placement>>,
}

impl SfuEvents for Events {
    fn handle(&self, event: Event) {
        if let Event::Gone { participant, .. } = &event {
            lock(&self.placement).remove(*participant);
        }
        self.outside.handle(event);
    }
}

impl Events {
    /// A shard's thread has ended, for whatever reason: whoever still has a place there is gone.
    fn handle_end(&self, shard: usize) {
        let lost = lock(&self.placement).end(shard);
        for (participant, room) in lost {
            let gone = Event::Gone {
                room,
                participant,
                reason: GoneReason::Fault,
                trace: None,
                media: None,
            };
            // It may be what the thread has ended of, and the others are to be told all the same.
            if catch_unwind(AssertUnwindSafe(|| self.outside.handle(gone))).is_err() {
                tracing::error!(%participant, "a panic while it was told that somebody is gone");
            }
        }
    }
}

/// Runs a shard until it ends, and says so.
fn carry(setup: ThreadSetup, orders: OrderQueue, events: &Arc<Events>) {
    let shard = setup.index();
    let outside = Arc::clone(events) as Arc<dyn SfuEvents>;
    if catch_unwind(AssertUnwindSafe(|| thread::run(setup, orders, outside))).is_err() {
        tracing::error!(
            shard,
            "a media thread has ended by panics; it gets no calls any more"
        );
    }
    events.handle_end(shard);
}

impl Engine {
    /// Opens the sockets and starts a thread for each shard.
    ///
    /// # Errors
    /// When a socket can't be bound or a thread can't be started.
    pub fn start(config: &Config, events: Arc<dyn SfuEvents>) -> io::Result<Arc<Self>> {
        let opened = Opened::new(config)?;
        let placement = Arc::new(Mutex::<Placement>::default());
        let events = Arc::new(Events {
            outside: events,
            placement: Arc::clone(&placement),
        });
        let mut ports = Vec::new();
        let mut threads = Vec::new();
        for setup in opened.shards {
            let (orders, queue) = thread::queue();
            let waker = setup.waker();
            let name = format!("sfu-{}", setup.index());
            let events = Arc::clone(&events);
            let run = move || carry(setup, queue, &events);
            threads.push(std::thread::Builder::new().name(name).spawn(run)?);
            ports.push(Port { orders, waker });
        }
        let (lobby, door) = opened.lobby.unzip();
        if let Some(lobby) = lobby {
            let shards = ports.iter();
            let shards = shards.map(|port| (port.orders.clone(), port.waker.clone()));
            let shards = shards.collect();
            let thread = std::thread::Builder::new().name("sfu-lobby".to_owned());
            threads.push(thread.spawn(move || lobby.run(shards))?);
        }
        Ok(Arc::new(Self {
            ports,
            placement,
            addresses: opened.udp,
            tcp: opened.tcp,
            told: opened.told,
            probe: opened.probe,
            door,
            threads: Mutex::new(threads),
        }))
    }

    /// Where media is received by UDP, as bound.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where media is received by TCP; nowhere when it is off.
    #[must_use]
    pub fn tcp_addresses(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// How clients reach media. A check with the probe's credentials is answered at each of the addresses, without anybody
    /// being in a call: it shows that the address is reached.
    #[must_use]
    pub fn reach(&self) -> Reach {
        Reach {
            told: self.told.clone(),
            probe: Some(Probe {
                ufrag: self.probe.ufrag().as_str().to_owned(),
                password: self.probe.password().to_owned(),
            }),
        }
    }

    /// Takes a connection over that came to a shared listener and [begins as media
    /// does](crate::wire::framing::may_begin_with). Nothing of it was read yet. It is closed if nobody's check follows.
    pub fn take_connection(&self, connection: TcpStream) {
        if let Some(door) = &self.door {
            door.take(connection);
        }
    }

    /// How many rooms and participants have a place on a shard.
    #[must_use]
    pub fn placed(&self) -> (usize, usize) {
        let placement = lock(&self.placement);
        (placement.rooms.len(), placement.participants.len())
    }

    /// Ends every call and waits for the threads.
    pub fn stop(&self) {
        if let Some(door) = &self.door {
            door.close();
        }
        for port in &self.ports {
            // One that has ended need not be told.
            let _ = port.orders.put(Order::Stop);
            port.waker.wake();
        }
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // A shard that panicked has said so.
            let _ = thread.join();
        }
    }

    /// The shard of a participant's room.
    fn shard_of(&self, participant: ParticipantId) -> Result<usize, SfuError> {
        let placement = lock(&self.placement);
        let room = placement.participants.get(&participant);
        let placed = room.and_then(|room| placement.rooms.get(room));
        placed.map(|p| p.shard).ok_or(SfuError::NoSuchParticipant)
    }

    fn send<T: Send + 'static>(
        &self,
        shard: Result<usize, SfuError>,
        order: impl FnOnce(Reply<T>) -> Order,
    ) -> Pending<T> {
        let (reply, answer) = oneshot::channel();
        let sent = shard.and_then(|shard| {
            let port = self.ports.get(shard).ok_or(SfuError::Unavailable)?;
            port.orders
                .put(order(reply))
                .map_err(|_| SfuError::Unavailable)?;
            port.waker.wake();
            Ok(())
        });
        Box::pin(async move {
            sent?;
            answer.await.unwrap_or(Err(SfuError::Unavailable))
        })
    }
}

impl Placement {
    /// Puts a participant into their room, and the room onto the emptiest shard if it is new. Also
    /// says whether the participant is new.
    ///
    /// # Errors
    /// [`SfuError::Forbidden`] when they are in another room, [`SfuError::Unavailable`] when no shard is left.
    fn place(&mut self, join: &Join, shards: usize) -> Result<(usize, bool), SfuError> {
        if let Some(room) = self.participants.get(&join.participant)
            && let Some(placed) = self.rooms.get(room)
        {
            let is_theirs = *room == join.room;
            return is_theirs
                .then_some((placed.shard, false))
                .ok_or(SfuError::Forbidden);
        }
        let shard = match self.rooms.get(&join.room) {
            Some(placed) => placed.shard,
            None => self.emptiest(shards).ok_or(SfuError::Unavailable)?,
        };
        self.participants
            .insert(join.participant, join.room.clone());
        let placed = self.rooms.entry(join.room.clone()).or_insert(Placed {
            shard,
            participants: 0,
        });
        placed.participants += 1;
        Ok((shard, true))
    }

    fn emptiest(&self, shards: usize) -> Option<usize> {
        let mut load = vec![0_usize; shards];
        #[expect(clippy::iter_over_hash_type, reason = "a sum has no order")]
        for placed in self.rooms.values() {
            if let Some(load) = load.get_mut(placed.shard) {
                *load += placed.participants + 1;
            }
        }
        let load = load.into_iter().enumerate();
        let alive = load.filter(|(shard, _)| !self.ended.contains(shard));
        alive.min_by_key(|(_, load)| *load).map(|(shard, _)| shard)
    }

    /// A shard is no more. Gives whoever had a place there, and has none now.
    fn end(&mut self, shard: usize) -> Vec<(ParticipantId, RoomId)> {
        self.ended.push(shard);
        let rooms = &self.rooms;
        let is_there = |room: &RoomId| rooms.get(room).is_some_and(|placed| placed.shard == shard);
        let participants = self.participants.extract_if(|_, room| is_there(room));
        let mut lost: Vec<_> = participants.collect();
        lost.sort_unstable();
        self.rooms.retain(|_, placed| placed.shard != shard);
        lost
    }

    fn remove(&mut self, participant: ParticipantId) {
        let Some(room) = self.participants.remove(&participant) else {
            return;
        };
        if let Some(placed) = self.rooms.get_mut(&room) {
            placed.participants -= 1;
            if placed.participants == 0 {
                self.rooms.remove(&room);
            }
        }
    }
}

impl SfuControl for Engine {
    fn join(&self, join: Join) -> Pending<()> {
        let participant = join.participant;
        let placed = lock(&self.placement).place(&join, self.ports.len());
        let (shard, is_new) = match placed {
            Ok(placed) => placed,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let joined = self.send(Ok(shard), |reply| Order::Join(join, reply));
        let placement = Arc::clone(&self.placement);
        Box::pin(async move {
            let joined = joined.await;
            if joined.is_err() && is_new {
                lock(&placement).remove(participant);
            }
            joined
        })
    }

    fn set_rights(&self, participant: ParticipantId, rights: Rights) -> Pending<()> {
        let shard = self.shard_of(participant);
        self.send(shard, |reply| Order::Rights(participant, rights, reply))
    }

    fn leave(&self, participant: ParticipantId) -> Pending<()> {
        let shard = self.shard_of(participant);
        lock(&self.placement).remove(participant);
        match shard {
            Ok(shard) => self.send(Ok(shard), |reply| Order::Leave(participant, reply)),
            // Leaving twice is no error.
            Err(_) => Box::pin(async { Ok(()) }),
        }
    }

    fn offer(&self, offer: Offer) -> Pending<Answer> {
        let shard = self.shard_of(offer.participant);
        self.send(shard, |reply| Order::Offer(offer, reply))
    }

    fn prefer(&self, prefer: Prefer) -> Pending<()> {
        let shard = self.shard_of(prefer.participant);
        self.send(shard, |reply| Order::Prefer(prefer, reply))
    }

    fn mute(&self, mute: Mute) -> Pending<()> {
        let shard = self.shard_of(mute.participant);
        self.send(shard, |reply| Order::Mute(mute, reply))
    }

    fn trace(&self, participant: ParticipantId) -> Pending<JoinTrace> {
        let shard = self.shard_of(participant);
        self.send(shard, |reply| Order::Trace(participant, reply))
    }

    fn inspect(&self, inspect: Inspect) -> Pending<RoomReport> {
        let shard = lock(&self.placement)
            .rooms
            .get(&inspect.room)
            .map(|placed| placed.shard);
        match shard {
            Some(shard) => self.send(Ok(shard), |reply| Order::Inspect(inspect, reply)),
            None => Box::pin(async {
                Ok(RoomReport {
                    at: UnixMs::now(),
                    participants: Vec::new(),
                })
            }),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A panic elsewhere must not spread: each step leaves the maps whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
