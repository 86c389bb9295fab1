//! Accepting connections: bounded, with deadlines, in TLS or plain. Those that begin as media does (ICE over TCP) are
//! handed to who takes media, since browsers behind strict firewalls reach one port alone.

use super::address::{Addresses, Full, Slot};
use super::guard::Ends;
use super::guest::Lease;
use super::stream::EdgeStream;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use kaiwa_common::limits::{HTTP_BODY_PIECE_BYTES, HTTP_HEAD_BYTES, HTTP_HEADER, TLS_HANDSHAKE};
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Layer as _;

/// After an accept that failed for want of a resource (RFC-less, `EMFILE`): time for some to return.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is said to a connection for which there is no place, before any of it is read.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nContent-Length: 0\r\n\
    Connection: close\r\n\r\n";
const FULL_ADDRESS: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 10\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// A listener and what stands behind it.
pub struct Listener {
    /// Where.
    pub tcp: TcpListener,
    /// With this TLS, or plain.
    pub tls: Option<Arc<ServerConfig>>,
    /// Who has how many connections.
    pub addresses: Arc<Addresses>,
    /// What answers.
    pub router: Router,
    /// Who takes connections that begin as media does, if somebody does.
    pub media: Option<Arc<dyn TakeMedia>>,
}

/// Takes TCP connections over that carry media.
pub trait TakeMedia: Send + Sync {
    /// Whether a connection with this first byte is one. It can be told from what HTTP and TLS begin with.
    fn is_media(&self, first: u8) -> bool;

    /// Takes one of which nothing was read yet, and with it the bounds on how many there are and how long they wait.
    fn take(&self, connection: std::net::TcpStream);
}

/// What every connection needs.
#[derive(Clone)]
struct Door {
    acceptor: Option<TlsAcceptor>,
    media: Option<Arc<dyn TakeMedia>>,
    router: Router,
    stop: CancellationToken,
}

impl Listener {
    /// Accepts until told to stop. Connections that were accepted go on.
    pub async fn run(self, stop: CancellationToken) {
        let door = Door {
            acceptor: self.tls.map(TlsAcceptor::from),
            media: self.media,
            router: self.router,
            stop,
        };
        loop {
            let accepted = tokio::select! {
                accepted = self.tcp.accept() => accepted,
                () = door.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => accept(stream, &self.addresses, &door),
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted now");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn accept(stream: TcpStream, addresses: &Arc<Addresses>, door: &Door) {
    let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else {
        return;
    };
    // Small frames go out at once.
    let _ = stream.set_nodelay(true);
    let slot = match addresses.take(remote.ip()) {
        Ok(slot) => slot,
        Err(full) => {
            tokio::spawn(turn_away(stream, full, door.acceptor.is_some()));
            return;
        }
    };
    let Door {
        acceptor,
        media,
        router,
        stop,
    } = door.clone();
    let lease = Lease::new();
    let router = axum::Extension(Ends { local, remote }).layer(router);
    let router = axum::Extension(lease.clone()).layer(router);
    let service = TowerToHyperService::new(router);
    tokio::spawn(async move {
        let begun = begin(stream, acceptor, media, slot, &stop).await;
        let Some(stream) = begun else {
            return;
        };
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HTTP_HEADER)
            .max_headers(100);
        // A head has to fit into little, while a clip's bytes are read in larger pieces.
        http.max_header_size(HTTP_HEAD_BYTES)
            .max_buf_size(HTTP_BODY_PIECE_BYTES);
        let connection = http
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = lease.over() => return,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an HTTP connection ended badly");
        }
    });
}

/// The stream of a connection to be answered here, in TLS if that is on. `None` for one that carries media, and for one
/// that takes too long.
async fn begin(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    media: Option<Arc<dyn TakeMedia>>,
    slot: Slot,
    stop: &CancellationToken,
) -> Option<EdgeStream> {
    let within = match acceptor {
        Some(_) => TLS_HANDSHAKE,
        None => HTTP_HEADER,
    };
    let begun = async {
        if let Some(media) = media {
            let mut first = [0];
            let seen = tokio::select! {
                seen = stream.peek(&mut first) => seen.ok()?,
                () = stop.cancelled() => return None,
            };
            if seen > 0 && media.is_media(first[0]) {
                media.take(stream.into_std().ok()?);
                return None;
            }
        }
        let Some(acceptor) = acceptor else {
            return Some(EdgeStream::plain(stream, slot));
        };
        match acceptor.accept(stream).await {
            Ok(stream) => Some(EdgeStream::tls(stream, slot)),
            Err(error) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
        }
    };
    tokio::time::timeout(within, begun).await.ok().flatten()
}

/// Says that there is no place. In TLS that can't be said before a handshake, which costs more than a
/// refused connection is worth.
async fn turn_away(mut stream: TcpStream, full: Full, in_tls: bool) {
    metrics::counter!("kaiwa_signaling_turned_away_total").increment(1);
    if in_tls {
        return;
    }
    let answer = match full {
        Full::Process => FULL,
        Full::Address => FULL_ADDRESS,
    };
    let say = async {
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), say).await;
}
