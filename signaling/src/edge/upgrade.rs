//! From an HTTP request to a session over WebSocket.

use super::Edge;
use super::address::Peer;
use super::api::{problem, throttle};
use super::origin;
use super::stream::EdgeStream;
use crate::call::whence::{Way, Whence};
use crate::codec::{Codec, SUBPROTOCOLS};
use crate::session::driver;
use crate::transport::websocket::handshake::{self, HandshakeError};
use crate::transport::websocket::{WebSocket, WebSocketConfig};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use kaiwa_common::error::{ErrorCode, Refusal};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) async fn websocket(
    State(edge): State<Arc<Edge>>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    std::future::ready(answer(&edge, peer, &request, upgrade)).await
}

fn answer(edge: &Arc<Edge>, peer: Peer, request: &Request, upgrade: OnUpgrade) -> Response {
    if let Err(refused) = throttle(edge, peer) {
        return *refused;
    }
    if edge.context.draining.load(Ordering::SeqCst) {
        let refusal = Refusal::new(ErrorCode::Draining, "the server is about to stop");
        return problem(StatusCode::SERVICE_UNAVAILABLE, &refusal);
    }
    let accepted = handshake::accept_key(request).and_then(|accept| {
        let offered = handshake::offered_subprotocols(request.headers());
        let codec = offered.filter_map(Codec::by_subprotocol).next();
        codec
            .map(|codec| (accept, codec))
            .ok_or(HandshakeError::Subprotocol(SUBPROTOCOLS))
    });
    let (accept, codec) = match accepted {
        Ok(accepted) => accepted,
        Err(error) => return refuse(error),
    };
    edge.context.metrics.accepted.increment(1);
    let whence = origin::whence(Way::Socket, peer, request.extensions(), request.headers());
    tokio::spawn(run(Arc::clone(edge), codec, upgrade, whence));
    handshake::response::<Body>(accept, Some(codec.subprotocol()))
}

fn refuse(error: HandshakeError) -> Response {
    let refusal = Refusal::new(ErrorCode::Malformed, error.to_string());
    let mut response = problem(error.status(), &refusal);
    if error.status() == StatusCode::UPGRADE_REQUIRED {
        let headers = response.headers_mut();
        headers.insert(
            header::UPGRADE,
            header::HeaderValue::from_static("websocket"),
        );
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            header::HeaderValue::from_static("13"),
        );
    }
    response
}

async fn run(edge: Arc<Edge>, codec: Codec, upgrade: OnUpgrade, whence: Whence) {
    let Ok(upgraded) = upgrade.await else { return };
    let Ok(parts) = upgraded.downcast::<TokioIo<EdgeStream>>() else {
        tracing::error!("an upgraded connection is not one of the listener's");
        return;
    };
    let config = WebSocketConfig {
        format: Some(codec.format()),
        frame_bytes: edge.context.limits.frame_bytes as usize,
    };
    let stream = parts.io.into_inner();
    let direct = stream.direct();
    let socket = WebSocket::new(stream, config, &parts.read_buf).with_direct(direct);
    drop(parts.read_buf);
    let context = Arc::clone(&edge.context);
    drop(edge);
    // In a box: the small task above would otherwise keep the size of everything it ever awaited.
    Box::pin(driver::serve_from(socket, codec, context, whence)).await;
}
