//! A TCP connection, plain or in TLS, with its place among the connections.

use super::address::Slot;
use crate::transport::{Direct, DirectWrite, Frame};
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The bytes of a connection.
pub struct EdgeStream {
    inner: Inner,
    _slot: Slot,
}

enum Inner {
    Plain(Arc<TcpStream>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl EdgeStream {
    /// Without TLS.
    pub(super) fn plain(stream: TcpStream, slot: Slot) -> Self {
        Self {
            inner: Inner::Plain(Arc::new(stream)),
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
            Inner::Plain(stream) => Some(Arc::new(DirectTcp(Arc::downgrade(stream)))),
            Inner::Tls(_) => None,
        }
    }
}

/// Writes WebSocket frames to a TCP connection, for as long as its task keeps it open.
struct DirectTcp(Weak<TcpStream>);

impl DirectWrite for DirectTcp {
    fn try_send(&self, frame: &Frame) -> Direct {
        let wire = crate::transport::websocket::wire(frame);
        // A connection that is gone takes nothing; its task finds out by itself.
        let written = self
            .0
            .upgrade()
            .and_then(|stream| stream.try_write(wire).ok());
        match written.unwrap_or(0) {
            all if all == wire.len() => Direct::Sent,
            part => Direct::Left(wire.slice(part..)),
        }
    }
}

impl AsyncRead for EdgeStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = match &mut self.get_mut().inner {
            Inner::Plain(stream) => stream,
            Inner::Tls(stream) => return Pin::new(stream.as_mut()).poll_read(cx, buffer),
        };
        loop {
            ready!(stream.poll_read_ready(cx))?;
            match stream.try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                // The readiness was an older one; it is cleared now.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

fn poll_write_plain(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    write: impl Fn(&TcpStream) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match write(stream) {
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
            Inner::Plain(stream) => poll_write_plain(stream, cx, |s| s.try_write(bytes)),
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().inner {
            Inner::Plain(stream) => poll_write_plain(stream, cx, |s| s.try_write_vectored(slices)),
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            // The kernel has it already.
            Inner::Plain(_) => Poll::Ready(Ok(())),
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(stream) => {
                Poll::Ready(SockRef::from(stream.as_ref()).shutdown(Shutdown::Write))
            }
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
