//! Echoes WebSocket messages, text as text and binary as binary, over the transport that the server
//! uses: what `tests/autobahn` measures. It prints its address and runs until it is killed.

use bytes::{Buf as _, Bytes};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kaiwa_signaling::transport::websocket::{WebSocket, WebSocketConfig, handshake};
use kaiwa_signaling::transport::{Connection as _, Format, Frame, RecvError};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// The largest message of the suite's cases (9.1.6).
const FRAME_BYTES: usize = 16 * 1024 * 1024;

/// From our close frame to the peer's.
const CLOSE: Duration = Duration::from_secs(5);

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the suite is told where to connect")]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(|request| std::future::ready(upgrade(request)));
            let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // How a connection ends is the suite's to judge.
            let _ = http.with_upgrades().await;
        });
    }
}

fn upgrade(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let upgrade = hyper::upgrade::on(&mut request);
    let accept = match handshake::accept_key(&request) {
        Ok(accept) => accept,
        Err(error) => {
            let mut refused = Response::new(Full::from(error.to_string()));
            *refused.status_mut() = error.status();
            return Ok(refused);
        }
    };
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        if let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() {
            echo(parts.io.into_inner(), &parts.read_buf).await;
        }
    });
    Ok(handshake::response(accept, None))
}

async fn echo(stream: TcpStream, already_read: &[u8]) {
    let formats = Arc::new(Mutex::new(Formats::default()));
    lock(&formats).feed(already_read);
    let config = WebSocketConfig {
        format: None,
        frame_bytes: FRAME_BYTES,
    };
    let stream = Noting {
        stream,
        formats: Arc::clone(&formats),
    };
    let mut socket = WebSocket::new(stream, config, already_read);
    let close = std::future::poll_fn(|cx| poll_echo(cx, &mut socket, &formats)).await;
    if let Some((code, reason)) = close {
        socket.close(code, reason);
    }
    let closed = std::future::poll_fn(|cx| socket.poll_closed(cx));
    let _ = tokio::time::timeout(CLOSE, closed).await;
}

/// Echoes until the end; gives the close that is ours to begin.
fn poll_echo(
    cx: &mut Context<'_>,
    socket: &mut WebSocket<Noting>,
    formats: &Mutex<Formats>,
) -> Poll<Option<(u16, &'static str)>> {
    loop {
        match socket.poll_flush(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(None),
            // What the peer does not read is not added to.
            Poll::Pending => return Poll::Pending,
        }
        match std::task::ready!(socket.poll_recv(cx)) {
            Ok(Some(payload)) => {
                let format = lock(formats).messages.pop_front();
                let format = format.expect("a message has a first frame");
                socket.send(&Frame::new(format, payload));
            }
            Ok(None) | Err(RecvError::Protocol(_) | RecvError::Lost(_)) => {
                return Poll::Ready(None);
            }
            Err(RecvError::TooLarge { .. }) => return Poll::Ready(Some((1009, "too large"))),
            Err(RecvError::WrongFormat) => return Poll::Ready(Some((1003, "wrong format"))),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The formats of the messages that have begun. The server agrees on one format for a connection, so
/// its transport does not tell; an echo has to know, and reads the frames' headers beside it.
#[derive(Default)]
struct Formats {
    messages: VecDeque<Format>,
    head: Vec<u8>,
    payload_left: u64,
}

impl Formats {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let skip = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
                let skip = skip.min(bytes.len());
                bytes.advance(skip);
                self.payload_left -= skip as u64;
                continue;
            }
            self.head.push(bytes.get_u8());
            if let Some(len) = payload_len(&self.head) {
                match self.head[0] & 0x0F {
                    1 => self.messages.push_back(Format::Text),
                    2 => self.messages.push_back(Format::Binary),
                    _ => {}
                }
                self.payload_left = len;
                self.head.clear();
            }
        }
    }
}

/// The payload's length, once the header is whole (RFC 6455, section 5.2).
fn payload_len(head: &[u8]) -> Option<u64> {
    let &[_, second, ref rest @ ..] = head else {
        return None;
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (size, len) = match second & 0x7F {
        126 => (
            2,
            rest.first_chunk::<2>()
                .map(|len| u64::from(u16::from_be_bytes(*len))),
        ),
        127 => (
            8,
            rest.first_chunk::<8>().map(|len| u64::from_be_bytes(*len)),
        ),
        short => (0, Some(u64::from(short))),
    };
    len.filter(|_| rest.len() == size + mask)
}

/// A stream that shows [`Formats`] what is read from it.
struct Noting {
    stream: TcpStream,
    formats: Arc<Mutex<Formats>>,
}

impl AsyncRead for Noting {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        lock(&this.formats).feed(&buffer.filled()[before..]);
        read
    }
}

impl AsyncWrite for Noting {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
