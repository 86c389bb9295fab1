//! One connection: names, guard, TCP, TLS, and the HTTP version that both sides agree on.

use super::error::OutboundError;
use super::guard::{Forbidden, Guard, Origin};
use super::resolve::Resolve;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kaiwa_common::limits::{
    OUTBOUND_ADDRESSES, OUTBOUND_CONNECT_ADDRESS, OUTBOUND_HEADER_BYTES, OUTBOUND_PING,
    OUTBOUND_PING_ANSWER,
};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection on which requests can be made.
pub(super) enum Wire {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// Makes connections.
pub(super) struct Connector {
    pub(super) guard: Guard,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) tls: TlsConnector,
}

impl Connector {
    pub(super) async fn connect(&self, origin: &Origin) -> Result<Wire, OutboundError> {
        let addresses = self.addresses(origin).await?;
        let mut failed = OutboundError::Connect;
        for address in addresses {
            match self.connect_to(origin, address).await {
                Ok(stream) => return handshake(stream).await,
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// The addresses that may be called. Names are looked up here and nowhere else, so that what was
    /// checked is what is connected to: a name that changes its address meanwhile (DNS rebinding) gains
    /// nothing.
    pub(super) async fn addresses(
        &self,
        origin: &Origin,
    ) -> Result<Vec<SocketAddr>, OutboundError> {
        let found = match origin.address() {
            Some(address) => vec![address],
            None => {
                let found = self.resolver.resolve(origin.host()).await;
                found.map_err(|_| OutboundError::Unresolved)?
            }
        };
        let mut refused = None;
        let mut allowed: Vec<IpAddr> = Vec::new();
        for address in found.into_iter().take(OUTBOUND_ADDRESSES) {
            match self.guard.check_address(origin, address) {
                Ok(()) => allowed.push(address),
                Err(reason) => refused = Some(reason),
            }
        }
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed
                .into_iter()
                .map(|ip| SocketAddr::new(ip, origin.port()))
                .collect()),
            (true, Some(reason)) => Err(reason.into()),
            (true, None) => Err(OutboundError::Unresolved),
        }
    }

    async fn connect_to(
        &self,
        origin: &Origin,
        address: SocketAddr,
    ) -> Result<TlsStream<TcpStream>, OutboundError> {
        let tcp = tokio::time::timeout(OUTBOUND_CONNECT_ADDRESS, TcpStream::connect(address));
        let tcp = tcp.await.map_err(|_| OutboundError::Connect)?;
        let tcp = tcp.map_err(|_| OutboundError::Connect)?;
        // Small writes, each of which somebody waits for.
        tcp.set_nodelay(true).map_err(|_| OutboundError::Connect)?;
        let name = ServerName::try_from(origin.host().to_owned())
            .map_err(|_| OutboundError::Forbidden(Forbidden::Host))?;
        self.tls
            .connect(name, tcp)
            .await
            .map_err(|_| OutboundError::Tls)
    }
}

async fn handshake(stream: TlsStream<TcpStream>) -> Result<Wire, OutboundError> {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    if is_http2 {
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(OUTBOUND_PING)
            .keep_alive_timeout(OUTBOUND_PING_ANSWER)
            .max_header_list_size(u32::try_from(OUTBOUND_HEADER_BYTES).unwrap_or(u32::MAX))
            .handshake(io);
        let (send, connection) = handshake.await.map_err(|_| OutboundError::Lost)?;
        tokio::spawn(async move {
            // How it ended is told to each request on it.
            let _ = connection.await;
        });
        return Ok(Wire::Http2(send));
    }
    let handshake = http1::Builder::new()
        .max_buf_size(OUTBOUND_HEADER_BYTES)
        .handshake(io);
    let (send, connection) = handshake.await.map_err(|_| OutboundError::Lost)?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Wire::Http1(send))
}

/// A setting of the client can't be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRoots {
    /// The text has no certificate in PEM.
    #[error("no certificate in PEM")]
    Pem,
    /// A certificate can't be used as a root.
    #[error("not a root certificate")]
    Root(#[source] rustls::Error),
}

/// Trusts Mozilla's roots, and those in `extra` (PEM) besides.
pub(super) fn tls(extra: Option<&[u8]>) -> Result<TlsConnector, InvalidRoots> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(pem) = extra {
        let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let found = found.map_err(|_| InvalidRoots::Pem)?;
        if found.is_empty() {
            return Err(InvalidRoots::Pem);
        }
        for certificate in found {
            roots.add(certificate).map_err(InvalidRoots::Root)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for both versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
