//! Which requests are answered at all: hosts, origins, addresses.
//!
//! Three attacks end here. *Cross-site WebSocket hijacking*: a foreign page's upgrade carries its
//! `Origin`. *DNS rebinding*: a foreign name that points to this machine is the `Host`. *A local
//! proxy* that lends its loopback address to strangers usually leaves a forwarding header, or speaks
//! HTTP/1.0; one that does neither can't be told from this machine, so behind any proxy sign-in by
//! name is to be switched off (docs/operations.md).

use super::Edge;
use super::address::{Peer, peer};
use super::api::problem;
use super::cors;
use super::guest::{Lease, Rule};
use super::whip;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use ipnet::IpNet;
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::limits::HTTP_REQUEST;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// Whom the edge answers.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Names besides `localhost` and literal addresses under which the server is reached.
    pub hosts: Vec<String>,
    /// Origins besides the server's own that may open connections, such as `https://app.example`.
    pub origins: Vec<String>,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// The ends of a TCP connection, noted by the listener.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// Ours.
    pub local: SocketAddr,
    /// The other's.
    pub remote: SocketAddr,
}

impl Guard {
    /// Whether a request for this host is ours to answer. A literal address can't be rebound, and
    /// `localhost` is resolved by the machine itself.
    #[must_use]
    pub fn knows_host(&self, host: &str) -> bool {
        is_localhost(host)
            || as_ip(host).is_some()
            || self
                .hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(host))
    }

    /// Whether a page of this origin may act here.
    #[must_use]
    pub fn knows_origin(&self, origin: &str, host: &Authority) -> bool {
        if self.origins.iter().any(|known| known == origin) {
            return true;
        }
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        let Ok(authority) = authority.parse::<Authority>() else {
            return false;
        };
        if has_user(&authority) {
            return false;
        }
        let port = |a: &Authority| a.port_u16().unwrap_or(default_port);
        authority.host().eq_ignore_ascii_case(host.host()) && port(&authority) == port(host)
    }
}

/// `localhost`, or a literal address of loopback.
#[must_use]
pub fn is_local_host(host: &str) -> bool {
    is_localhost(host) || as_ip(host).is_some_and(|ip| ip.to_canonical().is_loopback())
}

fn is_localhost(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost")
}

fn as_ip(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// The request's host: one `Host` field (RFC 9112, section 3.2), a name and perhaps a port.
#[must_use]
pub fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return None;
    };
    let host: Authority = host.to_str().ok()?.parse().ok()?;
    (!has_user(&host)).then_some(host)
}

/// `user@host` is no host (RFC 9110, section 7.2), and no page's origin either.
fn has_user(authority: &Authority) -> bool {
    authority.as_str().contains('@')
}

/// Refuses what is not for us, notes who asks, and sets the headers that every answer has.
pub(super) async fn check(
    State(edge): State<Arc<Edge>>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut response = match admit(&edge, &request) {
        Ok(peer) => {
            request.extensions_mut().insert(peer);
            let rule = edge.guests.rule(request.uri().path());
            if let Some(lease) = request.extensions().get::<Lease>() {
                lease.extend(rule.connection);
            }
            let reader = reader(&edge.guard, request.headers()).filter(|_| rule.cors);
            let is_question = request.method() == Method::OPTIONS;
            let mut response = answered(request, next, rule).await;
            if rule.cors {
                cors::readable(&mut response, reader, is_question);
            }
            response
        }
        Err(refused) => *refused,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The page's origin, if its pages may act here.
fn reader(guard: &Guard, headers: &HeaderMap) -> Option<HeaderValue> {
    let (origin, host) = (headers.get(header::ORIGIN)?, host(headers)?);
    let is_known = guard.knows_origin(origin.to_str().ok()?, &host);
    is_known.then(|| origin.clone())
}

/// The answer, if it comes in time.
async fn answered(request: Request, next: Next, rule: Rule) -> Response {
    let (request, read) = watched(request);
    let mut answer = std::pin::pin!(next.run(request));
    if let Ok(response) = tokio::time::timeout(HTTP_REQUEST, answer.as_mut()).await {
        return response;
    }
    if rule.streams_body || !read.is_waiting() {
        let left = rule.answer.saturating_sub(HTTP_REQUEST);
        if let Ok(response) = tokio::time::timeout(left, answer).await {
            return response;
        }
    }
    too_slow(read.is_waiting())
}

/// There was no answer in time: its body is waited for, or the fault is ours.
fn too_slow(is_body_awaited: bool) -> Response {
    let (status, code, text) = if is_body_awaited {
        let text = "the request did not arrive whole in time";
        (StatusCode::REQUEST_TIMEOUT, ErrorCode::Malformed, text)
    } else {
        let text =
            "the server was not done with the request in time; it may still have been carried out";
        (
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Unavailable,
            text,
        )
    };
    let mut response = problem(status, &Refusal::new(code, text));
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Whether a request's body is waited for.
#[derive(Clone, Default)]
struct Read(Arc<AtomicBool>);

impl Read {
    fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A body that says whether it is waited for.
struct Watched {
    body: Body,
    read: Read,
}

/// The request, and what becomes of its body.
fn watched(request: Request) -> (Request, Read) {
    let read = Read::default();
    let of = read.clone();
    let request = request.map(|body| Body::new(Watched { body, read: of }));
    (request, read)
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.read.0.store(frame.is_pending(), Ordering::Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn admit(edge: &Edge, request: &Request) -> Result<Peer, Box<Response>> {
    let refuse = |status, text: &'static str| {
        Box::new(problem(status, &Refusal::new(ErrorCode::Forbidden, text)))
    };
    let ends = request.extensions().get::<Ends>().copied();
    let ends = ends.expect("the listener notes both ends of every connection");
    let headers = request.headers();
    let Some(host) = host(headers) else {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            "the request names no valid Host",
        ));
    };
    if !edge.guard.knows_host(host.host()) {
        let text = "this server is not known by that name; its operator adds it to http.hosts";
        return Err(refuse(StatusCode::MISDIRECTED_REQUEST, text));
    }
    let acts = request.uri().path() == "/ws"
        || !matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS
        );
    let path = request.uri().path();
    let is_open = edge.guests.rule(path).any_origin || whip::takes_any_origin(path);
    if acts
        && !is_open
        && let Some(origin) = headers.get(header::ORIGIN)
    {
        let known = origin
            .to_str()
            .is_ok_and(|o| edge.guard.knows_origin(o, &host));
        if !known {
            let text = "pages of that origin may not act here; see http.allowed_origins";
            return Err(refuse(StatusCode::FORBIDDEN, text));
        }
    }
    let on_loopback = ends.local.ip().to_canonical().is_loopback();
    let mut peer = peer(
        ends.remote.ip(),
        on_loopback,
        headers,
        &edge.guard.trusted_proxies,
    );
    // No browser speaks HTTP/1.0 any more; a proxy that adds no header often does.
    peer.is_forwarded |= request.version() < Version::HTTP_11;
    Ok(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard {
            hosts: vec!["chat.example".into()],
            origins: vec!["https://app.example".into()],
            trusted_proxies: Vec::new(),
        }
    }

    #[tokio::test]
    async fn who_was_slow_is_told_from_whose_turn_it_is() {
        use http_body_util::{BodyExt as _, StreamBody};
        let endless = futures_util::stream::pending::<Result<Frame<Bytes>, axum::Error>>();
        let (request, read) = watched(Request::new(Body::new(StreamBody::new(endless))));
        assert!(!read.is_waiting(), "nobody has asked for it");
        let mut body = request.into_body();
        assert!(futures_util::FutureExt::now_or_never(body.frame()).is_none());
        assert!(read.is_waiting());
        assert_eq!(too_slow(true).status(), StatusCode::REQUEST_TIMEOUT);

        let (request, read) = watched(Request::new(Body::from("whole")));
        let whole = request.into_body().collect().await.expect("whole");
        assert_eq!(whole.to_bytes(), "whole");
        assert!(!read.is_waiting(), "what is slow now is ours");
        assert_eq!(too_slow(false).status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn names_that_could_be_rebound_are_not_answered() {
        for known in [
            "localhost",
            "a.localhost",
            "127.0.0.1",
            "[::1]",
            "192.0.2.1",
            "Chat.Example",
        ] {
            assert!(guard().knows_host(known), "{known}");
        }
        for strange in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.example",
            "",
        ] {
            assert!(!guard().knows_host(strange), "{strange}");
        }
    }

    #[test]
    fn only_the_own_origin_and_the_listed_ones_may_act() {
        let host: Authority = "localhost:8080".parse().expect("a host");
        for known in [
            "http://localhost:8080",
            "https://localhost:8080",
            "https://app.example",
        ] {
            assert!(guard().knows_origin(known, &host), "{known}");
        }
        for strange in [
            "null",
            "",
            "http://localhost",
            "http://localhost:8081",
            "http://evil.example:8080",
            "https://app.example.evil.example",
            "file://localhost:8080",
            "http://localhost:8080@evil.example",
            "http://evil.example@localhost:8080",
        ] {
            assert!(!guard().knows_origin(strange, &host), "{strange}");
        }
        let default_port: Authority = "chat.example".parse().expect("a host");
        assert!(guard().knows_origin("https://chat.example", &default_port));
        assert!(!guard().knows_origin("https://chat.example:8443", &default_port));
    }
}
