//! Those who read: each checks order and number of what it gets, and takes the latency.

use crate::chat::stats::histogram;
use crate::lean::Lean;
use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::{ClientMessage, Pong, ServerMessage, event, push, server_message};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Who writes to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The server: order and number are checked.
    Server,
    /// The bare loop, which repeats itself.
    Bare,
}

/// All readers of both sides.
#[derive(Debug, Default)]
pub struct Crowd {
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    epoch: Instant,
    server: Goal,
    bare: Goal,
    faults: AtomicU64,
    burst: AtomicBool,
    /// µs of single messages and of bursts.
    latencies: Mutex<(Histogram<u64>, Histogram<u64>)>,
    capture: Mutex<Vec<u8>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            server: Goal::default(),
            bare: Goal::default(),
            faults: AtomicU64::new(0),
            burst: AtomicBool::new(false),
            latencies: Mutex::new((histogram(), histogram())),
            capture: Mutex::default(),
        }
    }
}

/// Deliveries so far, and how many are waited for.
#[derive(Debug, Default)]
struct Goal {
    received: AtomicU64,
    wanted: AtomicU64,
    reached: Notify,
}

/// Waits for deliveries that were announced.
#[derive(Debug)]
pub struct Done {
    shared: Arc<Shared>,
    side: Side,
}

/// For one message to everybody.
const DELIVERED: Duration = Duration::from_secs(30);

impl Done {
    /// Until everybody has everything.
    ///
    /// # Errors
    /// When it takes too long.
    pub async fn wait(self) -> Result<()> {
        let goal = self.shared.goal(self.side);
        let reached = async {
            while goal.received.load(Ordering::Acquire) < goal.wanted.load(Ordering::Acquire) {
                goal.reached.notified().await;
            }
        };
        tokio::time::timeout(DELIVERED, reached)
            .await
            .with_context(|| {
                let received = goal.received.load(Ordering::Acquire);
                let wanted = goal.wanted.load(Ordering::Acquire);
                format!("{received} deliveries of {wanted}")
            })
    }
}

impl Shared {
    fn goal(&self, side: Side) -> &Goal {
        match side {
            Side::Server => &self.server,
            Side::Bare => &self.bare,
        }
    }

    fn latencies(&self) -> MutexGuard<'_, (Histogram<u64>, Histogram<u64>)> {
        self.latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn captured(&self) -> MutexGuard<'_, Vec<u8>> {
        self.capture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Crowd {
    /// One more reader; one of them takes the bytes as they come.
    pub fn add(&mut self, side: Side, lean: Lean, captures: bool) {
        let shared = Arc::clone(&self.shared);
        let reader = Reader {
            lean,
            side,
            captures,
            shared,
            last: 0,
            count: 0,
        };
        self.tasks.spawn(reader.run());
    }

    /// So many deliveries more are to come; to be called before they can.
    #[must_use]
    pub fn expect(&self, side: Side, deliveries: usize) -> Done {
        let more = u64::try_from(deliveries).unwrap_or(u64::MAX);
        self.shared
            .goal(side)
            .wanted
            .fetch_add(more, Ordering::AcqRel);
        Done {
            shared: Arc::clone(&self.shared),
            side,
        }
    }

    /// Latencies from now on are those of bursts, or not.
    pub fn burst(&self, burst: bool) {
        self.shared.burst.store(burst, Ordering::Relaxed);
    }

    /// A text of so many bytes that says when it was made.
    #[must_use]
    pub fn stamp(&self, bytes: usize) -> String {
        format!("{:<bytes$}", format!("{:016x}", self.shared.now_us()))
    }

    /// Begins to take bytes.
    pub fn capture(&self) {
        self.shared.captured().clear();
    }

    /// The bytes taken since.
    #[must_use]
    pub fn captured(&self) -> Vec<u8> {
        self.shared.captured().clone()
    }

    /// Deliveries lost, doubled or out of order.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.shared.faults.load(Ordering::Acquire)
    }

    /// Deliveries so far.
    #[must_use]
    pub fn received(&self, side: Side) -> u64 {
        self.shared.goal(side).received.load(Ordering::Acquire)
    }

    /// Latencies of single messages, or of bursts, in µs.
    #[must_use]
    pub fn latencies(&self, burst: bool) -> Histogram<u64> {
        let latencies = self.shared.latencies();
        if burst {
            latencies.1.clone()
        } else {
            latencies.0.clone()
        }
    }

    /// Latencies so far don't count.
    pub fn forget_latencies(&self) {
        let mut latencies = self.shared.latencies();
        latencies.0.clear();
        latencies.1.clear();
    }
}

struct Reader {
    lean: Lean,
    side: Side,
    captures: bool,
    shared: Arc<Shared>,
    /// The seq of the last event.
    last: u64,
    /// Reliable pushes, for pongs.
    count: u64,
}

/// What one read brought.
#[derive(Default)]
struct Catch {
    events: u64,
    faults: u64,
    pinged: bool,
    latencies: Vec<u64>,
}

impl Reader {
    async fn run(mut self) {
        while let Ok(()) = self.lean.readable().await {
            let Ok(Some(catch)) = self.read() else { break };
            if catch.pinged {
                let command = Some(Command::Pong(Pong { count: self.count }));
                // The next read tells if it is gone.
                let _ = self.lean.send(&[ClientMessage { id: 0, command }]).await;
            }
        }
        self.shared.faults.fetch_add(1, Ordering::AcqRel);
    }

    fn read(&mut self) -> Result<Option<Catch>> {
        let Self {
            lean,
            side,
            captures,
            shared,
            last,
            count,
        } = self;
        let mut catch = Catch::default();
        let now = shared.now_us();
        let alive = if *captures {
            let mut raw = shared.captured();
            lean.read(Some(&mut raw), |m| take(m, *side, now, last, &mut catch))?
        } else {
            lean.read(None, |m| take(m, *side, now, last, &mut catch))?
        };
        *count += catch.events;
        if catch.faults > 0 {
            shared.faults.fetch_add(catch.faults, Ordering::AcqRel);
        }
        if !catch.latencies.is_empty() {
            let mut latencies = shared.latencies();
            let (single, bursts) = &mut *latencies;
            let of = if shared.burst.load(Ordering::Relaxed) {
                bursts
            } else {
                single
            };
            catch
                .latencies
                .iter()
                .for_each(|&us| of.saturating_record(us));
        }
        if catch.events > 0 {
            let goal = shared.goal(*side);
            let received = goal.received.fetch_add(catch.events, Ordering::AcqRel) + catch.events;
            if received >= goal.wanted.load(Ordering::Acquire) {
                goal.reached.notify_one();
            }
        }
        Ok(alive.then_some(catch))
    }
}

fn take(message: ServerMessage, side: Side, now_us: u64, last: &mut u64, catch: &mut Catch) {
    let Some(server_message::Message::Push(push)) = message.message else {
        return;
    };
    match push.push {
        Some(push::Push::Event(event)) => {
            catch.events += 1;
            let sent = if let Some(event::Body::Message(posted)) = &event.body {
                posted
                    .text
                    .get(..16)
                    .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            } else {
                None
            };
            let in_order = *last == 0 || event.seq == *last + 1;
            *last = event.seq;
            if side == Side::Server {
                catch.faults += u64::from(!in_order || sent.is_none());
                catch
                    .latencies
                    .extend(sent.map(|sent| now_us.saturating_sub(sent)));
            }
        }
        Some(push::Push::Ping(_)) => catch.pinged = true,
        // Left out because we read too slowly: not a measurement of fan-out any more.
        Some(push::Push::Gap(_) | push::Push::Bye(_)) => catch.faults += 1,
        Some(
            push::Push::State(_)
            | push::Push::ClipProgress(_)
            | push::Push::Marked(_)
            | push::Push::CallRoster(_)
            | push::Push::CallSlots(_)
            | push::Push::CallRinging(_)
            | push::Push::CallEnded(_)
            | push::Push::CallRightsChanged(_)
            | push::Push::CallSpeakers(_)
            | push::Push::CallQuality(_),
        )
        | None => {}
    }
}
