//! One thread: waits for datagrams, orders and time, and hands them to participants.

use super::Order;
use super::batch::Batch;
use super::link::Link;
use crate::call::outlet::Outlet;
use crate::call::peer::Peer;
use anyhow::Result;
use rustix::event::{Timespec, epoll};
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// The key of what wakes us for orders.
const WAKE: u64 = u64::MAX;

/// Sockets told of at once.
const EVENTS: usize = 128;

/// Timers are looked at this often at most: one look is over all participants.
const LOOK: Duration = Duration::from_micros(500);

/// Without anything due.
const IDLE: Duration = Duration::from_millis(100);

pub(super) struct Worker {
    orders: Receiver<Order>,
    wake: Arc<OwnedFd>,
    epoll: OwnedFd,
    members: BTreeMap<u64, Member>,
    outlet: Outlet,
    due: Instant,
}

struct Member {
    peer: Box<Peer>,
    link: Link,
}

impl Worker {
    pub(super) fn new(orders: Receiver<Order>, wake: Arc<OwnedFd>) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(WAKE);
        epoll::add(&epoll, &*wake, data, epoll::EventFlags::IN)?;
        Ok(Self {
            orders,
            wake,
            epoll,
            members: BTreeMap::new(),
            outlet: Outlet::default(),
            due: Instant::now(),
        })
    }

    /// Until told to stop, or everybody who could has gone.
    pub(super) fn run(&mut self) {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        let mut batch = Batch::new();
        loop {
            let wait = self.due.saturating_duration_since(Instant::now()).min(IDLE);
            let wait = Timespec::try_from(wait).ok();
            let Ok((ready, _)) = epoll::wait(&self.epoll, &mut events, wait.as_ref()) else {
                // Interrupted.
                continue;
            };
            let mut has_orders = false;
            for event in ready {
                match event.data.u64() {
                    WAKE => has_orders = true,
                    key => self.read(key, &mut batch),
                }
            }
            if has_orders && !self.obey() {
                return;
            }
            let now = Instant::now();
            if now >= self.due {
                self.look(now);
            }
        }
    }

    fn read(&mut self, key: u64, batch: &mut Batch) {
        let Some(Member { peer, link }) = self.members.get_mut(&key) else {
            return;
        };
        let now = Instant::now();
        let outlet = &mut self.outlet;
        link.read(batch, |from, bytes| {
            peer.handle_datagram(now, from, bytes, outlet)
        });
        flush(outlet, link, (&self.epoll, key));
        if let Some(due) = peer.poll_timeout() {
            self.due = self.due.min(due.max(now + LOOK));
        }
    }

    /// Takes all orders; false when it is over.
    fn obey(&mut self) -> bool {
        let mut count = [0; 8];
        // Nothing to read is fine: the orders are what counts.
        let _ = rustix::io::read(&*self.wake, &mut count);
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Add { key, peer, link } => {
                    if link.watch(&self.epoll, key).is_ok() {
                        self.members.insert(key, Member { peer, link });
                    }
                }
                Order::With { key, task } => {
                    if let Some(Member { peer, link }) = self.members.get_mut(&key) {
                        task(peer, Instant::now(), &mut self.outlet);
                        flush(&mut self.outlet, link, (&self.epoll, key));
                    }
                }
                // Its socket leaves the set when it is closed.
                Order::Remove { key } => drop(self.members.remove(&key)),
                Order::Latency(take) => take(&mut self.outlet.latency),
                Order::Stop => return false,
            }
        }
        self.due = Instant::now();
        true
    }

    /// Does what is due of everybody's.
    fn look(&mut self, now: Instant) {
        let mut next = now + IDLE;
        for (&key, Member { peer, link }) in &mut self.members {
            if peer.poll_timeout().is_some_and(|due| due <= now) {
                peer.handle_timeout(now, &mut self.outlet);
                flush(&mut self.outlet, link, (&self.epoll, key));
            }
            next = peer.poll_timeout().map_or(next, |due| due.min(next));
        }
        self.due = next.max(now + LOOK);
    }
}

/// Sends what a participant has put out. What the socket does not take is lost, as on a full link.
fn flush(outlet: &mut Outlet, link: &mut Link, watched: (&OwnedFd, u64)) {
    outlet.drain(|to, bytes| link.send(to, bytes, watched));
}
