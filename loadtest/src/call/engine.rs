//! The threads that run participants: one plain UDP socket for each participant, no GRO, so that a server's
//! batches are not paid back by its receivers; or one TCP connection.

mod batch;
mod link;
mod thread;

use super::outlet::Outlet;
use super::peer::Peer;
use crate::chat::stats::histogram;
use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use link::{Link, Tcp};
use rustix::event::{EventfdFlags, eventfd};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;
use thread::Worker;
use tokio::sync::oneshot;

/// Looks at a thread's latencies, on that thread.
type LookAt = Box<dyn FnOnce(&mut Histogram<u64>) + Send>;

/// What a thread is asked to do with a participant.
type Task = Box<dyn FnOnce(&mut Peer, Instant, &mut Outlet) + Send>;

enum Order {
    Add {
        key: u64,
        peer: Box<Peer>,
        link: Link,
    },
    With {
        key: u64,
        task: Task,
    },
    Remove {
        key: u64,
    },
    Latency(LookAt),
    Stop,
}

/// A participant in an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerId {
    thread: usize,
    key: u64,
}

/// Threads with participants. Dropping it ends them, without goodbyes.
#[derive(Debug)]
pub struct Engine {
    threads: Vec<Thread>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Thread {
    orders: mpsc::Sender<Order>,
    wake: Arc<OwnedFd>,
    handle: Option<JoinHandle<()>>,
}

/// What a socket may hold until its thread has time: a second of 250 packets/s, where the system allows.
const RECEIVE_BUFFER: usize = 1 << 20;

impl Engine {
    /// Starts so many threads, where the caller may run.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start(threads: usize) -> Result<Self> {
        let threads: Result<Vec<Thread>> = (0..threads.max(1)).map(Thread::start).collect();
        Ok(Self {
            threads: threads?,
            next: AtomicUsize::new(0),
        })
    }

    /// Adds a participant with a socket at this address (port 0 for any).
    ///
    /// # Errors
    /// When there is no socket.
    pub fn add(&self, peer: Peer, bind: SocketAddr) -> Result<PeerId> {
        let link = if peer.is_by_tcp() {
            Link::Tcp(Tcp::default())
        } else {
            datagrams(bind)?
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = PeerId {
            thread: number % self.threads.len(),
            key: u64::try_from(number)?,
        };
        let peer = Box::new(peer);
        self.order(
            id,
            Order::Add {
                key: id.key,
                peer,
                link,
            },
        )?;
        Ok(id)
    }

    /// Does something with a participant, on its thread; `None` when it is gone.
    pub async fn with<R: Send + 'static>(
        &self,
        id: PeerId,
        task: impl FnOnce(&mut Peer, Instant, &mut Outlet) -> R + Send + 'static,
    ) -> Option<R> {
        let (answer, result) = oneshot::channel();
        let task: Task = Box::new(move |peer, now, outlet| {
            // Whoever asked may have gone.
            let _ = answer.send(task(peer, now, outlet));
        });
        self.order(id, Order::With { key: id.key, task }).ok()?;
        result.await.ok()
    }

    /// Removes a participant and its socket, without a goodbye.
    pub fn remove(&self, id: PeerId) {
        // A thread that has ended has none.
        let _ = self.order(id, Order::Remove { key: id.key });
    }

    /// Latencies since the last call, of all participants.
    pub async fn take_latency(&self) -> Histogram<u64> {
        let mut all = histogram();
        for thread in &self.threads {
            let (answer, result) = oneshot::channel();
            let take = move |latency: &mut Histogram<u64>| {
                let _ = answer.send(std::mem::replace(latency, histogram()));
            };
            if thread.send(Order::Latency(Box::new(take))).is_ok()
                && let Ok(latency) = result.await
            {
                // They have the same bounds.
                let _ = all.add(&latency);
            }
        }
        all
    }

    fn order(&self, id: PeerId, order: Order) -> Result<()> {
        let thread = self.threads.get(id.thread).context("no such thread")?;
        thread.send(order)
    }
}

fn datagrams(bind: SocketAddr) -> Result<Link> {
    let socket = UdpSocket::bind(bind).with_context(|| bind.to_string())?;
    socket.set_nonblocking(true)?;
    // More than the system's bound takes the right to; without it, the bound has to do.
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
    }
    let is_v6 = socket.local_addr()?.is_ipv6();
    Ok(Link::Udp { socket, is_v6 })
}

impl Drop for Engine {
    fn drop(&mut self) {
        for thread in &mut self.threads {
            // One that has ended is what is wanted.
            let _ = thread.send(Order::Stop);
            if let Some(handle) = thread.handle.take() {
                let _ = handle.join();
            }
        }
    }
}

impl Thread {
    fn start(number: usize) -> Result<Self> {
        let (orders, receiver) = mpsc::channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let mut worker = Worker::new(receiver, wake.clone())?;
        let handle = std::thread::Builder::new()
            .name(format!("call-{number}"))
            .spawn(move || worker.run())?;
        Ok(Self {
            orders,
            wake,
            handle: Some(handle),
        })
    }

    fn send(&self, order: Order) -> Result<()> {
        self.orders
            .send(order)
            .ok()
            .context("the thread has ended")?;
        // Full means that it is awake.
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
        Ok(())
    }
}
