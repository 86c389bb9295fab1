//! A TCP connection, plain or in TLS, with its place among the connections.

use super::address::Slot;
use crate::transport::websocket;
use crate::transport::{Direct, DirectWrite, Frame};
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::server::TlsStream;

/// The bytes of a connection.
pub struct EdgeStream {
    inner: Inner,
    _slot: Slot,
}

enum Inner {
    /// In halves: the read half knows from a short read that the socket is empty, which saves a
    /// system call for each message, and the write half can be lent to a fan-out.
    Plain(OwnedReadHalf, Arc<OwnedWriteHalf>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl EdgeStream {
    /// Without TLS.
    pub(super) fn plain(stream: TcpStream, slot: Slot) -> Self {
        let (read, write) = stream.into_split();
        Self {
            inner: Inner::Plain(read, Arc::new(write)),
            _slot: slot,
        }
    }

    /// In TLS.
    pub(super) fn tls(stream: TlsStream<TcpStream>, slot: Slot) -> Self {
        Self {
            inner: Inner::Tls(Box::new(stream)),
            _slot: slot,
        }
    }

    /// A way to write whole frames past the connection's task. In TLS there is none: its state
    /// belongs to one task.
    pub(super) fn direct(&self) -> Option<Arc<dyn DirectWrite>> {
        match &self.inner {
            Inner::Plain(_, write) => Some(Arc::new(DirectTcp(Arc::downgrade(write)))),
            Inner::Tls(_) => None,
        }
    }
}

/// Writes WebSocket frames to a TCP connection, for as long as its task keeps it open.
struct DirectTcp(Weak<OwnedWriteHalf>);

impl DirectWrite for DirectTcp {
    fn try_send(&self, frame: &Frame) -> Direct {
        let wire = websocket::wire(frame);
        // A connection that is gone takes nothing; its task finds out by itself.
        let written = self
            .0
            .upgrade()
            .and_then(|stream| stream.try_write(wire).ok());
        match written.unwrap_or(0) {
            all if all == wire.len() => Direct::Sent,
            part => Direct::Left(websocket::shared_wire(frame).slice(part..)),
        }
    }
}

impl AsyncRead for EdgeStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(read, _) => Pin::new(read).poll_read(cx, buffer),
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

fn poll_write_plain(
    half: &OwnedWriteHalf,
    cx: &mut Context<'_>,
    write: impl Fn(&OwnedWriteHalf) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(half.as_ref().poll_write_ready(cx))?;
        match write(half) {
            // The readiness was an older one; it is cleared now.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
    }
}

impl AsyncWrite for EdgeStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().inner {
            Inner::Plain(_, write) => poll_write_plain(write, cx, |w| w.try_write(bytes)),
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().inner {
            Inner::Plain(_, write) => poll_write_plain(write, cx, |w| w.try_write_vectored(slices)),
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            // The kernel has it already.
            Inner::Plain(..) => Poll::Ready(Ok(())),
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(_, write) => {
                let socket: &TcpStream = write.as_ref().as_ref();
                Poll::Ready(SockRef::from(socket).shutdown(Shutdown::Write))
            }
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
