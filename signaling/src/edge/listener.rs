//! Accepting connections: bounded, with deadlines, in TLS or plain.

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
}

impl Listener {
    /// Accepts until told to stop. Connections that were accepted go on.
    pub async fn run(self, stop: CancellationToken) {
        let acceptor = self.tls.map(TlsAcceptor::from);
        loop {
            let accepted = tokio::select! {
                accepted = self.tcp.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    accept(
                        stream,
                        acceptor.clone(),
                        &self.addresses,
                        &self.router,
                        &stop,
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted now");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn accept(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    addresses: &Arc<Addresses>,
    router: &Router,
    stop: &CancellationToken,
) {
    let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else {
        return;
    };
    // Small frames go out at once.
    let _ = stream.set_nodelay(true);
    let slot = match addresses.take(remote.ip()) {
        Ok(slot) => slot,
        Err(full) => {
            tokio::spawn(turn_away(stream, full, acceptor.is_some()));
            return;
        }
    };
    let lease = Lease::new();
    let router = axum::Extension(Ends { local, remote }).layer(router.clone());
    let router = axum::Extension(lease.clone()).layer(router);
    let service = TowerToHyperService::new(router);
    let stop = stop.clone();
    tokio::spawn(async move {
        let Some(stream) = secure(stream, acceptor, slot).await else {
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

async fn secure(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    slot: Slot,
) -> Option<EdgeStream> {
    let Some(acceptor) = acceptor else {
        return Some(EdgeStream::plain(stream, slot));
    };
    match tokio::time::timeout(TLS_HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(EdgeStream::tls(stream, slot)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => None,
    }
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
