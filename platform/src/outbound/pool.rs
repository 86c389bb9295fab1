//! The connections to one host: opened one at a time, bounded, shared.
//!
//! HTTP/2: a call takes the connection that carries fewest; past [`Bounds::streams`] on each another is
//! opened, and past [`Bounds::connections`] it waits. HTTP/1.1: a connection carries one call at a time.

use super::connect::Wire;
use super::error::OutboundError;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use kaiwa_common::limits::OUTBOUND_IDLE;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How much one host is used at once.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections.
    pub connections: usize,
    /// Calls on one HTTP/2 connection.
    pub streams: usize,
}

/// The connections to one host.
pub(super) struct Host {
    bounds: Bounds,
    state: Mutex<State>,
    /// Something was released, opened, or failed.
    changed: Notify,
}

struct State {
    shared: Vec<Shared>,
    idle: Vec<(http1::SendRequest<Full<Bytes>>, Instant)>,
    /// HTTP/1.1 connections that carry a call.
    busy: usize,
    is_opening: bool,
    /// How often opening failed, and how the last time: who waited for it need not try again.
    failures: u64,
    failure: Option<OutboundError>,
    used: Instant,
    next: u64,
}

struct Shared {
    id: u64,
    send: http2::SendRequest<Full<Bytes>>,
    streams: usize,
    used: Instant,
}

enum Turn {
    Take(Lease),
    Open(Opening),
    Wait,
}

impl Host {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            state: Mutex::new(State {
                shared: Vec::new(),
                idle: Vec::new(),
                busy: 0,
                is_opening: false,
                failures: 0,
                failure: None,
                used: Instant::now(),
                next: 0,
            }),
            changed: Notify::new(),
        })
    }

    /// A connection for one call; `open` makes one when it must. Waits at the bound: give it a time-out.
    pub(super) async fn lease<F, O>(self: &Arc<Self>, open: F) -> Result<Lease, OutboundError>
    where
        F: Fn() -> O,
        O: Future<Output = Result<Wire, OutboundError>>,
    {
        let failures = self.lock().failures;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.turn(failures)? {
                Turn::Take(lease) => return Ok(lease),
                Turn::Open(opening) => {
                    let wire = open().await;
                    return opening.done(wire);
                }
                Turn::Wait => changed.await,
            }
        }
    }

    fn turn(self: &Arc<Self>, failures: u64) -> Result<Turn, OutboundError> {
        let mut state = self.lock();
        state.used = Instant::now();
        state.close_old();
        let streams = self.bounds.streams;
        let free = state
            .shared
            .iter_mut()
            .filter(|shared| shared.streams < streams);
        if let Some(shared) = free.min_by_key(|shared| shared.streams) {
            shared.streams += 1;
            shared.used = Instant::now();
            let (id, send) = (shared.id, shared.send.clone());
            return Ok(Turn::Take(Lease {
                host: Arc::clone(self),
                wire: Leased::Http2 { id, send },
            }));
        }
        if let Some((send, _)) = state.idle.pop() {
            state.busy += 1;
            let wire = Leased::Http1 {
                send: Some(send),
                is_reusable: false,
            };
            return Ok(Turn::Take(Lease {
                host: Arc::clone(self),
                wire,
            }));
        }
        if state.failures != failures {
            return Err(state.failure.unwrap_or(OutboundError::Connect));
        }
        let open = state.shared.len() + state.idle.len() + state.busy;
        if !state.is_opening && open < self.bounds.connections {
            state.is_opening = true;
            return Ok(Turn::Open(Opening {
                host: Arc::clone(self),
                is_done: false,
            }));
        }
        Ok(Turn::Wait)
    }

    /// When it was last used; `None` while it is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        let is_used = state.is_opening
            || state.busy > 0
            || state.shared.iter().any(|shared| shared.streams > 0);
        (!is_used).then_some(state.used)
    }

    /// Connections that are open.
    pub(super) fn open(&self) -> usize {
        let mut state = self.lock();
        state.close_old();
        state.shared.len() + state.idle.len() + state.busy
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What it guards is true after each statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A new connection, with its first call.
    fn keep(&mut self, wire: Wire) -> Leased {
        match wire {
            Wire::Http2(send) => {
                let (id, used) = (self.next, Instant::now());
                self.next += 1;
                self.shared.push(Shared {
                    id,
                    send: send.clone(),
                    streams: 1,
                    used,
                });
                Leased::Http2 { id, send }
            }
            Wire::Http1(send) => {
                self.busy += 1;
                Leased::Http1 {
                    send: Some(send),
                    is_reusable: false,
                }
            }
        }
    }

    /// Forgets what is closed (GOAWAY has come, the other side hung up) or idle for long.
    fn close_old(&mut self) {
        self.shared.retain(|shared| {
            let is_old = shared.streams == 0 && shared.used.elapsed() > OUTBOUND_IDLE;
            !shared.send.is_closed() && !is_old
        });
        self.idle
            .retain(|(send, since)| !send.is_closed() && since.elapsed() < OUTBOUND_IDLE);
    }
}

/// The one who opens a connection. Dropped (its call has timed out), somebody else tries.
struct Opening {
    host: Arc<Host>,
    is_done: bool,
}

impl Opening {
    fn done(mut self, wire: Result<Wire, OutboundError>) -> Result<Lease, OutboundError> {
        self.is_done = true;
        let host = Arc::clone(&self.host);
        let mut state = host.lock();
        state.is_opening = false;
        let wire = wire.map(|wire| state.keep(wire)).inspect_err(|error| {
            state.failures += 1;
            state.failure = Some(*error);
        });
        drop(state);
        host.changed.notify_waiters();
        Ok(Lease { wire: wire?, host })
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if !self.is_done {
            self.host.lock().is_opening = false;
            self.host.changed.notify_waiters();
        }
    }
}

/// A connection for one call; given back when it is dropped.
pub(super) struct Lease {
    host: Arc<Host>,
    pub(super) wire: Leased,
}

pub(super) enum Leased {
    Http1 {
        send: Option<http1::SendRequest<Full<Bytes>>>,
        /// Set when the answer was read to its end.
        is_reusable: bool,
    },
    Http2 {
        id: u64,
        send: http2::SendRequest<Full<Bytes>>,
    },
}

impl Lease {
    /// No other call takes this connection: it is silent.
    pub(super) fn retire(&self) {
        if let Leased::Http2 { id, .. } = &self.wire {
            self.host.lock().shared.retain(|shared| shared.id != *id);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.host.lock();
        match &mut self.wire {
            Leased::Http1 { send, is_reusable } => {
                state.busy -= 1;
                if let Some(send) = send.take().filter(|send| *is_reusable && !send.is_closed()) {
                    state.idle.push((send, Instant::now()));
                }
            }
            Leased::Http2 { id, .. } => {
                if let Some(shared) = state.shared.iter_mut().find(|shared| shared.id == *id) {
                    shared.streams -= 1;
                    shared.used = Instant::now();
                }
            }
        }
        drop(state);
        self.host.changed.notify_one();
    }
}
