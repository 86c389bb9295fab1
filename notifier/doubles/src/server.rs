//! TLS, connections, and what scripts do to them.

use crate::script::Action;
use crate::{Kind, State, apns, fcm, slack, webpush};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, request};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Bytes of a request that a double reads.
const REQUEST_BYTES: usize = 1 << 20;

pub(crate) type Answer = Response<Full<Bytes>>;
type AnyBody = BoxBody<Bytes, Infallible>;

/// An answer of text or JSON.
pub(crate) fn answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
}

/// An authority, and a certificate of it for this machine.
pub(crate) fn tls(kind: Kind) -> anyhow::Result<(TlsAcceptor, String)> {
    let authority_key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // With the default name of both, some take the certificate for one that signed itself.
    params.distinguished_name = name("authority of a double");
    let authority = params.self_signed(&authority_key)?;
    let ca_pem = authority.pem();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name = name("double");
    leaf.use_authority_key_identifier_extension = true;
    let certificate = leaf.signed_by(&key, &issuer)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    config.alpn_protocols = match kind {
        Kind::Apns => vec![b"h2".to_vec()],
        Kind::Webpush | Kind::Fcm => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Kind::Slack => vec![b"http/1.1".to_vec()],
    };
    Ok((TlsAcceptor::from(Arc::new(config)), ca_pem))
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

pub(crate) async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    state: Arc<State>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (tls, state, stop) = (tls.clone(), Arc::clone(&state), stop.child_token());
        tokio::spawn(async move {
            state.record().report.connections += 1;
            connection(stream, &tls, &state, stop).await;
        });
    }
}

/// Serves one connection until either side ends it, or a script does.
async fn connection(
    stream: TcpStream,
    tls: &TlsAcceptor,
    state: &Arc<State>,
    cut: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let mut goaway = state.goaway.subscribe();
    let gone = CancellationToken::new();
    let (handler, end, leave) = (Arc::clone(state), cut.clone(), gone.clone());
    let service = service_fn(move |request| {
        let (state, end, leave) = (Arc::clone(&handler), end.clone(), leave.clone());
        async move { handle(&state, request, &end, &leave).await }
    });
    let asked = async {
        tokio::select! {
            () = gone.cancelled() => {}
            _ = goaway.changed() => {}
        }
    };
    let io = TokioIo::new(stream);
    // Each protocol has a type of its own for the same three steps.
    if is_http2 {
        let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(1_000)
            .serve_connection(io, service);
        let mut served = pin!(served);
        tokio::select! {
            () = cut.cancelled() => return,
            _ = served.as_mut() => return,
            () = asked => served.as_mut().graceful_shutdown(),
        }
        tokio::select! { () = cut.cancelled() => {} _ = served => {} }
    } else {
        let served = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
        let mut served = pin!(served);
        tokio::select! {
            () = cut.cancelled() => return,
            _ = served.as_mut() => return,
            () = asked => served.as_mut().graceful_shutdown(),
        }
        tokio::select! { () = cut.cancelled() => {} _ = served => {} }
    }
}

async fn handle(
    state: &Arc<State>,
    request: Request<Incoming>,
    cut: &CancellationToken,
    leave: &CancellationToken,
) -> Result<Response<AnyBody>, anyhow::Error> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, REQUEST_BYTES).collect().await;
    let body = body
        .map_err(|_| anyhow::anyhow!("the request can't be read"))?
        .to_bytes();
    state.record().report.requests += 1;
    let action = state
        .scripts()
        .next(&device(state.options.kind, &head, &body));
    let mut late = None;
    match action {
        Some(Action::Answer {
            status,
            retry_after,
            body,
        }) => {
            state.record().refuse("script");
            let mut scripted = answer(StatusCode::from_u16(status)?, body);
            if let Some(when) = retry_after {
                scripted
                    .headers_mut()
                    .insert("retry-after", HeaderValue::try_from(when)?);
            }
            return Ok(scripted.map(BoxBody::new));
        }
        Some(Action::Drop) => {
            cut.cancel();
            return std::future::pending().await;
        }
        Some(Action::Reset) => anyhow::bail!("scripted"),
        Some(Action::LongBody { bytes }) => {
            let long = answer(StatusCode::OK, vec![b'x'; bytes]);
            return Ok(long.map(BoxBody::new));
        }
        Some(Action::SlowHead { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(Action::SlowBody { ms }) => late = Some(Duration::from_millis(ms)),
        Some(Action::GoAway | Action::AcceptAndDrop) | None => {}
    }
    let served = dispatch(state, &head, &body);
    match action {
        Some(Action::AcceptAndDrop) => {
            cut.cancel();
            return std::future::pending().await;
        }
        Some(Action::GoAway) => leave.cancel(),
        _ => {}
    }
    Ok(match late {
        Some(late) => served.map(|body| {
            BoxBody::new(LateBody {
                body,
                late: Box::pin(tokio::time::sleep(late)),
            })
        }),
        None => served.map(BoxBody::new),
    })
}

fn dispatch(state: &State, head: &request::Parts, body: &Bytes) -> Answer {
    match state.options.kind {
        Kind::Webpush => webpush::serve(state, head, body),
        Kind::Apns => apns::serve(state, head, body),
        Kind::Fcm => fcm::serve(state, head, body),
        Kind::Slack => slack::serve(state, head, body),
    }
}

/// Which device a request is for: the last part of its path, or what FCM's message names.
fn device(kind: Kind, head: &request::Parts, body: &[u8]) -> String {
    if kind == Kind::Fcm {
        let message: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        return message["message"]["token"]
            .as_str()
            .unwrap_or("token")
            .to_owned();
    }
    head.uri
        .path()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A body whose bytes come late, after the head.
struct LateBody {
    body: Full<Bytes>,
    late: Pin<Box<Sleep>>,
}

impl Body for LateBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.late.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        // Unknown, so that even an empty body is waited for.
        SizeHint::default()
    }
}
