//! The layer that carries frames, and nothing else: what is written above it knows no protocol.
//!
//! A [`Connection`] is driven by one task through `poll_*`: it has no task, channel or timer of its
//! own, so an idle one costs its struct and its socket.

pub mod frame;
pub mod memory;
pub mod websocket;

pub use frame::{Format, Frame};

use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll};

/// One attachment of a peer.
///
/// # Contract
/// - Frames arrive whole, in order, each once, or the connection ends.
/// - [`poll_recv`](Self::poll_recv) yields `Ok(None)` once after the peer's orderly end; after that or
///   an error it is not called again.
/// - [`send`](Self::send) only queues. The caller keeps [`queued_bytes`](Self::queued_bytes) bounded by
///   not sending while [`poll_flush`](Self::poll_flush) is pending; this is where backpressure begins.
/// - [`close`](Self::close) lets queued frames out first. [`poll_closed`](Self::poll_closed) then drives
///   the end; the caller bounds its time.
pub trait Connection: Send + 'static {
    /// The next frame from the peer.
    ///
    /// # Errors
    /// [`RecvError`]; the connection is then unusable except for [`close`](Self::close) (where the
    /// error allows it) and [`poll_closed`](Self::poll_closed).
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, RecvError>>;

    /// A frame has begun and not ended: its sender can be held to a deadline.
    fn is_mid_frame(&self) -> bool;

    /// Queues a frame.
    fn send(&mut self, frame: &Frame);

    /// Bytes queued and not yet taken by the operating system.
    fn queued_bytes(&self) -> usize;

    /// Bytes that the operating system has taken since the beginning: it grows with progress.
    fn written_bytes(&self) -> u64;

    /// Writes what is queued; ready when nothing is left.
    ///
    /// # Errors
    /// The connection is lost.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>>;

    /// Begins the orderly end with a code and its name, after what is queued.
    fn close(&mut self, code: u16, reason: &str);

    /// Drives the end: ready when the peer agreed, or the connection is lost.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// A way to send whole frames from another task while nothing is queued here, if this transport
    /// has one: a fan-out then needs no task switch for each of its receivers.
    fn direct(&self) -> Option<Arc<dyn DirectWrite>> {
        None
    }

    /// Takes over the rest of a frame that was begun through [`Self::direct`]: it goes out before
    /// everything that is queued.
    fn resume_direct(&mut self, rest: Bytes);
}

/// Sends frames past a connection's own task. Its user sees to it that the two never write at once.
pub trait DirectWrite: Send + Sync {
    /// Sends a frame, or as much of it as the peer's window takes.
    fn try_send(&self, frame: &Frame) -> Direct;
}

/// What became of a frame that was to be sent at once.
#[derive(Debug, PartialEq, Eq)]
pub enum Direct {
    /// The operating system has it.
    Sent,
    /// This is left of it, perhaps all; nothing else may be written before.
    Left(Bytes),
}

/// Why nothing more can be received.
#[derive(Debug, thiserror::Error)]
pub enum RecvError {
    /// A frame over the bound: tell the peer and close.
    #[error("a frame of more than {limit} bytes")]
    TooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// A frame of the format that the codec doesn't use: tell the peer and close.
    #[error("a frame of the wrong format for this codec")]
    WrongFormat,
    /// The peer broke the transport's own rules; its own end is queued, only wait for it.
    #[error("the peer broke the transport's rules: {0}")]
    Protocol(&'static str),
    /// The connection is lost.
    #[error("the connection is lost")]
    Lost(#[source] std::io::Error),
}
