//! Connections of the gRPC server: bounded, plain or in TLS, with deadlines for the handshake and HTTP/2's greeting.

use futures_util::Stream;
use futures_util::stream::unfold;
use kaiwa_common::limits::{CLIP_GRPC_CONNECTIONS, CLIP_GRPC_GREETING, TLS_HANDSHAKE};
use rustls::ServerConfig;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// After an accept that failed for want of a resource (`EMFILE`): time for some to return.
const PAUSE: Duration = Duration::from_millis(50);

/// HTTP/2's connection preface (RFC 9113, section 3.4), in bytes. Keepalive begins only after it.
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// A caller's connection, with its place among them.
pub(super) struct Connection {
    bytes: Bytes,
    /// What is still to come of the preface; without a bound, who never greets would keep the place for ever.
    greeting: Option<Greeting>,
    _place: OwnedSemaphorePermit,
}

/// Bytes that are waited for, and until when.
struct Greeting {
    left: usize,
    over: Pin<Box<Sleep>>,
}

impl Greeting {
    fn new() -> Self {
        Self {
            left: PREFACE,
            over: Box::pin(sleep(CLIP_GRPC_GREETING)),
        }
    }
}

enum Bytes {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What is accepted, until the stream is dropped.
pub(super) fn accepted(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
) -> impl Stream<Item = io::Result<Connection>> {
    // One that is ready is taken at once: the server waits for nothing else.
    let (ready, connections) = mpsc::channel(1);
    tokio::spawn(accept(listener, tls.map(TlsAcceptor::from), ready));
    unfold(connections, async |mut connections| {
        let connection = connections.recv().await?;
        Some((Ok(connection), connections))
    })
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, ready: mpsc::Sender<Connection>) {
    let places = Arc::new(Semaphore::new(CLIP_GRPC_CONNECTIONS));
    loop {
        // Without a place nobody is accepted: the next ones wait with the kernel.
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        let next = tokio::select! {
            next = next => next,
            () = ready.closed() => return,
        };
        match next {
            Some((Ok((stream, _)), place)) => {
                tokio::spawn(begin(stream, tls.clone(), place, ready.clone()));
            }
            Some((Err(error), _)) => {
                tracing::warn!(%error, "no gRPC connection can be accepted now");
                tokio::time::sleep(PAUSE).await;
            }
            None => return,
        }
    }
}

/// Beside the others: who is slow at its handshake keeps nobody waiting.
async fn begin(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    place: OwnedSemaphorePermit,
    ready: mpsc::Sender<Connection>,
) {
    // Small frames go out at once.
    let _ = stream.set_nodelay(true);
    let bytes = match tls {
        None => Bytes::Plain(stream),
        Some(tls) => match tokio::time::timeout(TLS_HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => Bytes::Tls(Box::new(stream)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake of gRPC failed");
                return;
            }
            Err(_) => return,
        },
    };
    let connection = Connection {
        bytes,
        greeting: Some(Greeting::new()),
        _place: place,
    };
    // Refused only by a server that ends.
    let _ = ready.send(connection).await;
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Bytes::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if let Some(greeting) = &mut self.greeting {
            let read = buffer.filled().len() - before;
            greeting.left = greeting.left.saturating_sub(read);
            if greeting.left == 0 {
                self.greeting = None;
            } else if polled.is_pending() && greeting.over.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Bytes::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_flush(context),
            Bytes::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Bytes::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
