//! Calls from the server into the internet, to addresses that other people name.
//!
//! [`Outbound`] speaks HTTPS alone (HTTP/2 where the other side does, HTTP/1.1 else), keeps connections,
//! follows no redirect, and bounds everything: time, bytes, connections, hosts. [`guard`] decides where it
//! may call. It trusts Mozilla's roots, which come with the binary, so that an image without a store of its
//! own works; an operator's own authority is added by a setting.

mod connect;
mod error;
pub mod guard;
mod pool;
mod resolve;
#[cfg(test)]
mod tests;

pub use connect::InvalidRoots;
pub use error::{OutboundError, Phase};
pub use guard::{Forbidden, Guard, InvalidAllowed, Origin};
pub use pool::Bounds;
pub use resolve::{Addresses, Resolve, SystemResolver};

use bytes::Bytes;
use connect::Connector;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use kaiwa_common::limits::{
    OUTBOUND_BODY, OUTBOUND_BODY_BYTES, OUTBOUND_CONNECT, OUTBOUND_CONNECTIONS, OUTBOUND_HEADERS,
    OUTBOUND_HOSTS, OUTBOUND_IDLE, OUTBOUND_STREAMS,
};
use pool::{Host, Lease, Leased};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// How an [`Outbound`] is made.
pub struct OutboundConfig {
    /// Where it may call.
    pub guard: Guard,
    /// Roots in PEM that it trusts besides Mozilla's.
    pub extra_roots: Option<Vec<u8>>,
    /// Names to addresses.
    pub resolver: Arc<dyn Resolve>,
    /// How much one host is used at once.
    pub bounds: Bounds,
    /// To a connection, to the head of an answer, to its end.
    pub timeouts: Timeouts,
}

/// How long the parts of a call may take. Each begins when the one before has ended.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Waiting for a connection, names, TCP, TLS.
    pub connect: Duration,
    /// From the request to the head of the answer.
    pub headers: Duration,
    /// To the answer's end.
    pub body: Duration,
}

impl Default for OutboundConfig {
    fn default() -> Self {
        Self {
            guard: Guard::default(),
            extra_roots: None,
            resolver: Arc::new(SystemResolver),
            bounds: Bounds {
                connections: OUTBOUND_CONNECTIONS,
                streams: OUTBOUND_STREAMS,
            },
            timeouts: Timeouts {
                connect: OUTBOUND_CONNECT,
                headers: OUTBOUND_HEADERS,
                body: OUTBOUND_BODY,
            },
        }
    }
}

/// A guarded HTTPS client. Cheap to share in an `Arc`; dropped, its connections end.
pub struct Outbound {
    connector: Connector,
    bounds: Bounds,
    timeouts: Timeouts,
    hosts: Mutex<BTreeMap<Origin, Arc<Host>>>,
}

/// What became of one try.
enum Failed {
    /// Nothing was sent: the connection had ended before.
    NotSent,
    With(OutboundError),
}

/// How long whoever registers a name waits for where it leads: a resolver that is away must not make
/// registering look broken.
const LOOK_UP: Duration = Duration::from_secs(2);

impl Outbound {
    /// A client; it connects to nothing yet.
    ///
    /// # Errors
    /// [`InvalidRoots`] when the extra roots can't be used.
    pub fn new(config: OutboundConfig) -> Result<Self, InvalidRoots> {
        let tls = connect::tls(config.extra_roots.as_deref())?;
        Ok(Self {
            connector: Connector {
                guard: config.guard,
                resolver: config.resolver,
                tls,
            },
            bounds: config.bounds,
            timeouts: config.timeouts,
            hosts: Mutex::default(),
        })
    }

    /// The rules by which it calls: registrations are checked by the same.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.connector.guard
    }

    /// Whether a URL may be called as things stand: its text, and where its name leads now. A name that leads
    /// nowhere, or is not answered for soon, passes: it is looked up and checked anew at each connection.
    ///
    /// # Errors
    /// [`Forbidden`] says why not.
    pub async fn check(&self, url: &str) -> Result<(), Forbidden> {
        let (_, origin) = self.guard().check_url(url)?;
        let found = timeout(LOOK_UP, self.connector.addresses(&origin)).await;
        match found {
            Ok(Err(OutboundError::Forbidden(reason))) => Err(reason),
            Ok(Ok(_) | Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Makes one call; the request's URI is absolute. Any status is an answer. A request that was surely not
    /// sent, because the connection had ended (GOAWAY, idle for too long), goes over a new one; nothing else
    /// is repeated.
    ///
    /// # Errors
    /// [`OutboundError`]; after [`OutboundError::Lost`] and time-outs of the answer the request may have been
    /// acted on.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, OutboundError> {
        let origin = self.guard().check_uri(request.uri())?;
        let host = self.host(&origin)?;
        for _ in 0..2 {
            let lease = host.lease(|| Box::pin(self.connector.connect(&origin)));
            let lease = timeout(self.timeouts.connect, lease).await;
            let mut lease = lease.map_err(|_| OutboundError::TimedOut(Phase::Connect))??;
            match self.exchange(&mut lease, request.clone()).await {
                Ok(response) => return Ok(response),
                Err(Failed::NotSent) => lease.retire(),
                Err(Failed::With(error)) => {
                    if let OutboundError::TimedOut(_) | OutboundError::Lost = error {
                        lease.retire();
                    }
                    return Err(error);
                }
            }
        }
        Err(OutboundError::Lost)
    }

    /// Connections that are open, over all hosts.
    #[must_use]
    pub fn connections(&self) -> usize {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.values().map(|host| host.open()).sum()
    }

    async fn exchange(
        &self,
        lease: &mut Lease,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Failed> {
        let request = request.map(Full::new);
        let answer = match &mut lease.wire {
            Leased::Http2 { send, .. } => self.head(send.try_send_request(request)).await?,
            Leased::Http1 { send, .. } => {
                let send = send.as_mut().ok_or(Failed::NotSent)?;
                // It was idle; it may still be reading the end of the answer before.
                send.ready().await.map_err(|_| Failed::NotSent)?;
                self.head(send.try_send_request(as_origin_form(request)?))
                    .await?
            }
        };
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, OUTBOUND_BODY_BYTES).collect();
        let body = timeout(self.timeouts.body, body).await;
        let body = body.map_err(|_| Failed::With(OutboundError::TimedOut(Phase::Body)))?;
        let body = body.map_err(|error| {
            let is_ours = error.downcast_ref::<hyper::Error>().is_none();
            Failed::With(if is_ours {
                OutboundError::Answer
            } else {
                OutboundError::Lost
            })
        })?;
        if let Leased::Http1 { is_reusable, .. } = &mut lease.wire {
            *is_reusable = true;
        }
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    async fn head<T>(
        &self,
        answer: impl Future<Output = Result<Response<Incoming>, TrySendError<T>>>,
    ) -> Result<Response<Incoming>, Failed> {
        let answer = timeout(self.timeouts.headers, answer).await;
        let answer = answer.map_err(|_| Failed::With(OutboundError::TimedOut(Phase::Headers)))?;
        answer.map_err(|mut failed| {
            if failed.take_message().is_some() {
                return Failed::NotSent;
            }
            let is_bad = failed.error().is_parse() || failed.error().is_parse_too_large();
            Failed::With(if is_bad {
                OutboundError::Answer
            } else {
                OutboundError::Lost
            })
        })
    }

    fn host(&self, origin: &Origin) -> Result<Arc<Host>, OutboundError> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(origin) {
            return Ok(Arc::clone(host));
        }
        hosts.retain(|_, host| {
            host.idle_since()
                .is_none_or(|since| since.elapsed() < OUTBOUND_IDLE)
        });
        if hosts.len() >= OUTBOUND_HOSTS {
            let idle = hosts
                .iter()
                .filter_map(|(origin, host)| Some((host.idle_since()?, origin)));
            let oldest = idle.min().map(|(_, origin)| origin.clone());
            hosts.remove(&oldest.ok_or(OutboundError::Busy)?);
        }
        let host = Host::new(self.bounds);
        hosts.insert(origin.clone(), Arc::clone(&host));
        Ok(host)
    }
}

/// HTTP/1.1 has the path in the first line and the host in a header (RFC 9112, section 3.2.1).
fn as_origin_form(mut request: Request<Full<Bytes>>) -> Result<Request<Full<Bytes>>, Failed> {
    let malformed = |_: http::header::InvalidHeaderValue| {
        Failed::With(OutboundError::Forbidden(Forbidden::Malformed))
    };
    let authority = request
        .uri()
        .authority()
        .map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(authority).map_err(malformed)?;
    let path = request.uri().path_and_query().cloned();
    let uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    *request.uri_mut() = uri;
    request.headers_mut().insert(HOST, host);
    Ok(request)
}
