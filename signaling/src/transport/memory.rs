//! A transport within the process, for tests: what a peer would see, without sockets.

use super::{Connection, Format, Frame, RecvError};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// How an in-memory connection behaves.
#[derive(Debug, Clone, Copy)]
pub struct MemoryConfig {
    /// The format of frames that are accepted.
    pub format: Format,
    /// The largest frame accepted, in bytes.
    pub frame_bytes: usize,
    /// How many bytes the "wire" takes before the peer reads them.
    pub window_bytes: usize,
}

#[derive(Default)]
struct Wire {
    to_server: VecDeque<(Format, Bytes)>,
    to_peer: VecDeque<Bytes>,
    to_peer_bytes: usize,
    closed_by_server: Option<(u16, String)>,
    closed_by_peer: bool,
    cut: bool,
    server: Option<Waker>,
    peer: Option<Waker>,
}

impl Wire {
    fn wake(&mut self) {
        for waker in [self.server.take(), self.peer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

/// Both ends of a new connection.
#[must_use]
pub fn pair(config: MemoryConfig) -> (MemoryConnection, MemoryPeer) {
    let wire = Arc::new(Mutex::new(Wire::default()));
    let connection = MemoryConnection {
        config,
        wire: Arc::clone(&wire),
        queue: VecDeque::new(),
        queued_bytes: 0,
        written_bytes: 0,
        closing: None,
    };
    (connection, MemoryPeer { wire })
}

fn lock(wire: &Mutex<Wire>) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server's end.
pub struct MemoryConnection {
    config: MemoryConfig,
    wire: Arc<Mutex<Wire>>,
    queue: VecDeque<Frame>,
    queued_bytes: usize,
    written_bytes: u64,
    closing: Option<(u16, String)>,
}

impl Connection for MemoryConnection {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, RecvError>> {
        let mut wire = lock(&self.wire);
        if wire.cut {
            let lost = io::Error::from(io::ErrorKind::ConnectionReset);
            return Poll::Ready(Err(RecvError::Lost(lost)));
        }
        match wire.to_server.pop_front() {
            Some((_, frame)) if frame.len() > self.config.frame_bytes => {
                Poll::Ready(Err(RecvError::TooLarge {
                    limit: self.config.frame_bytes,
                }))
            }
            Some((format, _)) if format != self.config.format => {
                Poll::Ready(Err(RecvError::WrongFormat))
            }
            Some((_, frame)) => Poll::Ready(Ok(Some(frame))),
            None if wire.closed_by_peer => Poll::Ready(Ok(None)),
            None => {
                wire.server = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_mid_frame(&self) -> bool {
        false
    }

    fn send(&mut self, frame: &Frame) {
        self.queued_bytes += frame.len();
        self.queue.push_back(frame.clone());
    }

    fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = lock(&self.wire);
        if wire.cut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        while let Some(frame) = self.queue.front() {
            if wire.to_peer_bytes > 0 && wire.to_peer_bytes + frame.len() > self.config.window_bytes
            {
                wire.server = Some(cx.waker().clone());
                return Poll::Pending;
            }
            wire.to_peer_bytes += frame.len();
            wire.to_peer.push_back(frame.payload());
            self.queued_bytes -= frame.len();
            self.written_bytes += frame.len() as u64;
            self.queue.pop_front();
            wire.peer.take().into_iter().for_each(Waker::wake);
        }
        if let Some(closing) = self.closing.take() {
            wire.closed_by_server = Some(closing);
            wire.wake();
        }
        Poll::Ready(Ok(()))
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.closing = Some((code, reason.to_owned()));
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.poll_flush(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Ready(Ok(())) => {}
        }
        let mut wire = lock(&self.wire);
        if wire.closed_by_peer || wire.cut {
            return Poll::Ready(());
        }
        wire.server = Some(cx.waker().clone());
        Poll::Pending
    }

    fn resume_direct(&mut self, _: Bytes) {
        unreachable!("this transport has no direct way");
    }
}

impl Drop for MemoryConnection {
    fn drop(&mut self) {
        let mut wire = lock(&self.wire);
        wire.cut = true;
        wire.wake();
    }
}

/// What a peer sees next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A frame.
    Frame(Bytes),
    /// The server's orderly end, with its code and reason.
    Closed(u16, String),
    /// The connection is gone.
    Lost,
}

/// The peer's end.
pub struct MemoryPeer {
    wire: Arc<Mutex<Wire>>,
}

impl MemoryPeer {
    /// Sends a frame.
    pub fn send(&self, format: Format, payload: impl Into<Bytes>) {
        let mut wire = lock(&self.wire);
        wire.to_server.push_back((format, payload.into()));
        wire.wake();
    }

    /// What comes next from the server.
    pub async fn next(&self) -> Seen {
        std::future::poll_fn(|cx| {
            let mut wire = lock(&self.wire);
            if let Some(frame) = wire.to_peer.pop_front() {
                wire.to_peer_bytes -= frame.len();
                wire.server.take().into_iter().for_each(Waker::wake);
                return Poll::Ready(Seen::Frame(frame));
            }
            if let Some((code, reason)) = &wire.closed_by_server {
                return Poll::Ready(Seen::Closed(*code, reason.clone()));
            }
            if wire.cut {
                return Poll::Ready(Seen::Lost);
            }
            wire.peer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Ends in an orderly way.
    pub fn close(&self) {
        let mut wire = lock(&self.wire);
        wire.closed_by_peer = true;
        wire.wake();
    }

    /// Is gone without a word.
    pub fn cut(&self) {
        let mut wire = lock(&self.wire);
        wire.cut = true;
        wire.wake();
    }
}
