//! WebSocket (RFC 6455), the server's side, over any byte stream.
//!
//! Our own framing, because this is the fan-out path: a frame for many peers is framed once and
//! shared, everything queued goes out in one vectored write, and an idle connection holds no buffer
//! (reads go through one scratch buffer per thread; only the unfinished rest of a message is kept).
//! `docs/adr/0001-own-websocket-framing.md` has the figures.

pub mod handshake;
mod header;
mod reader;

use super::{Connection, DirectWrite, Format, Frame, RecvError};
use bytes::{BufMut, Bytes, BytesMut};
use header::OpCode;
use reader::{Item, Reader, Violation};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Slices handed to one vectored write. Linux takes 1,024 (`IOV_MAX`); a stack array of 64 carries
/// 64 KiB in frames of a usual message's size, which is what a socket takes at once.
const SLICES: usize = 64;

/// The scratch buffer for reading: as much as one TLS record or the usual receive burst.
const SCRATCH: usize = 16 * 1024;

/// Answers to pings are dropped while this many bytes wait: only the most recent ping needs its
/// answer (RFC 6455, section 5.5.3), and a peer that pings without reading must not fill memory.
const PONG_QUEUE_BYTES: usize = 16 * 1024;

/// What a WebSocket connection accepts.
#[derive(Debug, Clone, Copy)]
pub struct WebSocketConfig {
    /// The format of data frames; `None` for both.
    pub format: Option<Format>,
    /// The largest message, in bytes.
    pub frame_bytes: usize,
}

/// How far the closing handshake (RFC 6455, section 7.1) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// Not begun.
    Open,
    /// Our close frame is queued or sent; the peer's is awaited.
    Sent,
    /// Both have said it (or the peer can't be understood any more): flush, then our half ends.
    Agreed,
    /// Our half is shut down, and what the peer still sends is thrown away: closing over unread bytes
    /// would reset the connection, and the peer might never read why.
    Discarding,
    /// The stream is at its end.
    Done,
}

/// A server's end of a WebSocket.
pub struct WebSocket<S> {
    stream: S,
    reader: Reader,
    queue: VecDeque<Bytes>,
    /// How much of the queue's first entry is written.
    head_written: usize,
    queued_bytes: usize,
    written_bytes: u64,
    closing: Closing,
    received_format: Option<Format>,
    direct: Option<Arc<dyn DirectWrite>>,
}

thread_local! {
    static SCRATCH_BUFFER: std::cell::RefCell<Box<[u8; SCRATCH]>> =
        std::cell::RefCell::new(Box::new([0; SCRATCH]));
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocket<S> {
    /// Speaks WebSocket over a stream whose handshake is done; `already_read` came with it.
    #[must_use]
    pub fn new(stream: S, config: WebSocketConfig, already_read: &[u8]) -> Self {
        let mut reader = Reader::new(config);
        reader.feed(already_read);
        Self {
            stream,
            reader,
            queue: VecDeque::new(),
            head_written: 0,
            queued_bytes: 0,
            written_bytes: 0,
            closing: Closing::Open,
            received_format: None,
            direct: None,
        }
    }

    /// With a way past this connection's task, for streams that have one.
    #[must_use]
    pub fn with_direct(mut self, direct: Option<Arc<dyn DirectWrite>>) -> Self {
        self.direct = direct;
        self
    }

    /// The format of the frame received last, where both are accepted.
    #[must_use]
    pub fn received_format(&self) -> Option<Format> {
        self.received_format
    }

    /// Reads once into the scratch buffer and feeds the reader: false at the stream's end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        SCRATCH_BUFFER.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch[..]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            let filled = buffer.filled().len();
            self.reader.feed(&scratch[..filled]);
            Poll::Ready(Ok(filled > 0))
        })
    }

    fn push(&mut self, bytes: Bytes) {
        self.queued_bytes += bytes.len();
        self.queue.push_back(bytes);
    }

    fn push_close(&mut self, payload: &[u8]) {
        self.push(header::frame(OpCode::Close, payload));
    }

    /// The peer's close frame: echo its code unless ours went first.
    fn on_close(&mut self, payload: &[u8]) {
        if self.closing == Closing::Open {
            self.push_close(&payload[..payload.len().min(2)]);
        }
        self.closing = Closing::Agreed;
    }

    /// The peer broke a rule: say so (RFC 6455, section 7.1.7) and expect nothing more.
    fn on_violation(&mut self, violation: &Violation) -> RecvError {
        self.reader.give_up();
        let error = match violation {
            Violation::TooLarge { limit } => return RecvError::TooLarge { limit: *limit },
            Violation::WrongFormat => return RecvError::WrongFormat,
            Violation::Rule(rule) | Violation::Utf8(rule) => RecvError::Protocol(rule),
        };
        if self.closing == Closing::Open {
            self.push_close(&violation.close_code().to_be_bytes());
        }
        self.closing = Closing::Agreed;
        error
    }

    /// Marks `written` bytes of the queue as taken.
    fn advance(&mut self, mut written: usize) {
        self.written_bytes += written as u64;
        self.queued_bytes -= written;
        while let Some(first) = self.queue.front() {
            let left = first.len() - self.head_written;
            if written < left {
                self.head_written += written;
                return;
            }
            written -= left;
            self.head_written = 0;
            self.queue.pop_front();
        }
        // After a burst the empty queue gives its memory back.
        if self.queue.capacity() > 16 {
            self.queue = VecDeque::new();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection for WebSocket<S> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, RecvError>> {
        loop {
            match self.reader.next() {
                Ok(Some(Item::Message(format, payload))) => {
                    self.received_format = Some(format);
                    return Poll::Ready(Ok(Some(payload)));
                }
                Ok(Some(Item::Ping(payload))) => {
                    if self.queued_bytes < PONG_QUEUE_BYTES {
                        self.push(header::frame(OpCode::Pong, &payload));
                    }
                }
                Ok(Some(Item::Pong)) => {}
                Ok(Some(Item::Close(payload))) => {
                    self.on_close(&payload);
                    return Poll::Ready(Ok(None));
                }
                Ok(None) => match ready!(self.poll_fill(cx)) {
                    Ok(true) => {}
                    Ok(false) => {
                        let end = io::Error::from(io::ErrorKind::UnexpectedEof);
                        return Poll::Ready(Err(RecvError::Lost(end)));
                    }
                    Err(error) => return Poll::Ready(Err(RecvError::Lost(error))),
                },
                Err(violation) => return Poll::Ready(Err(self.on_violation(&violation))),
            }
        }
    }

    fn is_mid_frame(&self) -> bool {
        self.reader.is_mid_message()
    }

    fn send(&mut self, frame: &Frame) {
        if self.closing == Closing::Open {
            self.push(shared_wire(frame));
        }
    }

    fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut used = 0;
            for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
                let skip = if used == 0 { self.head_written } else { 0 };
                *slice = IoSlice::new(&bytes[skip..]);
                used += 1;
            }
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write_vectored(cx, &slices[..used]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn close(&mut self, code: u16, reason: &str) {
        if self.closing != Closing::Open {
            return;
        }
        let mut payload = Vec::with_capacity(2 + reason.len());
        payload.put_u16(code);
        // A control frame carries 125 bytes at most (RFC 6455, section 5.5); our reasons are short.
        payload.extend_from_slice(&reason.as_bytes()[..reason.len().min(123)]);
        self.push_close(&payload);
        // The answer of a peer that broke the framing can't be told from its other bytes.
        self.closing = if self.reader.is_broken() {
            Closing::Agreed
        } else {
            Closing::Sent
        };
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // What is queued goes out even while the peer's close is awaited.
            if ready!(self.poll_flush(cx)).is_err() {
                return Poll::Ready(());
            }
            match self.closing {
                Closing::Open | Closing::Done => return Poll::Ready(()),
                Closing::Sent => match ready!(self.poll_recv(cx)) {
                    // Data after our close frame is of no interest (RFC 6455, section 1.4).
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => self.closing = Closing::Agreed,
                },
                Closing::Agreed => {
                    let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
                    let more = self.reader.is_broken();
                    self.closing = if more {
                        Closing::Discarding
                    } else {
                        Closing::Done
                    };
                }
                Closing::Discarding => {
                    if !matches!(ready!(self.poll_fill(cx)), Ok(true)) {
                        self.closing = Closing::Done;
                    }
                }
            }
        }
    }

    fn direct(&self) -> Option<Arc<dyn DirectWrite>> {
        self.direct.clone()
    }

    fn resume_direct(&mut self, rest: Bytes) {
        // Whoever writes directly does so only while nothing of the queue is half written.
        debug_assert_eq!(self.head_written, 0);
        self.queued_bytes += rest.len();
        self.queue.push_front(rest);
    }
}

/// Writes a data frame's header to the end of `room`; gives where it begins.
pub(super) fn put_header(room: &mut [u8], format: Format, len: usize) -> usize {
    let opcode = match format {
        Format::Text => OpCode::Text,
        Format::Binary => OpCode::Binary,
    };
    header::put(room, opcode, len)
}

/// A frame as it is on the wire.
pub(crate) fn wire(frame: &Frame) -> &[u8] {
    frame.websocket()
}

/// The same, to be kept.
pub(crate) fn shared_wire(frame: &Frame) -> Bytes {
    frame.shared_websocket()
}

/// The unfinished rest of what was read.
pub(super) type Rest = BytesMut;
