//! WHIP and WHEP over HTTP: `/whip/{room}` and `/whep/{room}` begin sessions, and below them is each session.
//!
//! A bearer token is the whole right and no cookie counts, so pages of any origin may ask.

mod answer;
mod request;

use super::Edge;
use super::address::Peer;
use super::api::throttle;
use super::origin;
use super::path::{InPath, named};
use crate::call::causes::Facts;
use crate::call::core::effect::CallError;
use crate::call::failures::Stage;
use crate::call::whence::Whence;
use crate::whip::core::{Change, Named, NoPlace};
use crate::whip::service::{Changed, Refused, Request as Begin, Whip};
use answer::{Answered, Problem};
use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::any;
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::id::{RoomId, SessionId, UserId};
use kaiwa_common::limits::WHIP_SDP_BYTES;
use kaiwa_sfu::exchange::{self, Offered, Unacceptable, Way};
use kaiwa_sfu::wire::sdp::MAX_FRAGMENT_BYTES;
use std::sync::Arc;

/// What offers are (RFC 8866, section 8.1).
const SDP: &str = "application/sdp";

/// What trickles and restarts (RFC 8840, section 9).
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

const ENDPOINT_ALLOWS: &str = "GET, HEAD, OPTIONS, POST";
const SESSION_ALLOWS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH";

/// Whether pages of any origin may act at this path.
pub(super) fn takes_any_origin(path: &str) -> bool {
    path.starts_with("/whip/") || path.starts_with("/whep/")
}

/// The routes.
pub(super) fn router() -> Router<Arc<Edge>> {
    let of = |way: Way| {
        Router::new()
            .route("/{room}", any(endpoint))
            .route("/{room}/{session}", any(session))
            .fallback(|| std::future::ready(Problem::unknown()))
            .layer(Extension(way))
            .layer(map_response(|response| {
                std::future::ready(answer::open_to_all(response))
            }))
    };
    Router::new()
        .nest("/whip", of(Way::In))
        .nest("/whep", of(Way::Out))
}

async fn endpoint(
    State(edge): State<Arc<Edge>>,
    Extension(way): Extension<Way>,
    Extension(peer): Extension<Peer>,
    path: InPath<String>,
    request: Request,
) -> Response {
    let room = named(path);
    let method = request.method().clone();
    let mut response = match method {
        // Not for the token's owner alone: players find out by it what a URL is.
        Method::GET | Method::HEAD => answer::empty(SDP),
        Method::OPTIONS => answer::options(ENDPOINT_ALLOWS),
        Method::POST => match begin(&edge, way, peer, &room, request).await {
            Ok(response) => response,
            Err(problem) => problem.into(),
        },
        _ => answer::not_allowed(ENDPOINT_ALLOWS),
    };
    let headers = response.headers_mut();
    headers.insert(answer::ACCEPT_POST, HeaderValue::from_static(SDP));
    response
}

async fn session(
    State(edge): State<Arc<Edge>>,
    Extension(way): Extension<Way>,
    Extension(peer): Extension<Peer>,
    path: InPath<(String, String)>,
    request: Request,
) -> Response {
    let (room, session) = named(path);
    let method = request.method().clone();
    let answered = match method {
        Method::OPTIONS => Ok(answer::options(SESSION_ALLOWS)),
        Method::GET | Method::HEAD | Method::DELETE | Method::PATCH => {
            of_session(&edge, (way, peer), (&room, &session), request).await
        }
        _ => Ok(answer::not_allowed(SESSION_ALLOWS)),
    };
    let mut response = answered.unwrap_or_else(Response::from);
    let headers = response.headers_mut();
    headers.insert(answer::ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    response
}

async fn begin(edge: &Edge, way: Way, peer: Peer, room: &str, request: Request) -> Answered {
    throttle(edge, peer).map_err(Problem::Ready)?;
    let room = RoomId::parse(room).map_err(|_| Problem::no_room())?;
    let whence = Arc::new(origin::whence(
        way.into(),
        peer,
        request.extensions(),
        request.headers(),
    ));
    let identity = request::bearer(edge, &room, request.headers());
    if identity.is_err() {
        note_token(edge, &room, request.headers(), &whence);
    }
    let identity = identity?;
    let whip = service(edge)?;
    let purpose = request::purpose(way, request.uri().query())?;
    request::content_type(request.headers(), SDP)?;
    let text = request::body(request, WHIP_SDP_BYTES).await?;
    let user = identity.user.clone();
    let begun = match Offered::read(way, &text).map_err(Refused::from) {
        Ok(offered) => {
            let request = Begin {
                identity,
                room: room.clone(),
                purpose,
                offered,
                whence: Arc::clone(&whence),
            };
            whip.begin(request).await
        }
        Err(refused) => Err(refused),
    };
    let begun = begun.inspect_err(|refused| note(edge, refused, (&room, user), &whence))?;
    Ok(answer::created(way, &room, begun))
}

async fn of_session(
    edge: &Edge,
    (way, peer): (Way, Peer),
    (room, session): (&str, &str),
    request: Request,
) -> Answered {
    throttle(edge, peer).map_err(Problem::Ready)?;
    let room = RoomId::parse(room).map_err(|_| Problem::no_room())?;
    let identity = request::bearer(edge, &room, request.headers())?;
    let whip = service(edge)?;
    let id = SessionId::parse(session).map_err(|_| Problem::unknown())?;
    let named = Named {
        id: &id,
        room: &room,
        way,
        user: &identity.user,
    };
    match *request.method() {
        Method::DELETE => whip.end(named).map_err(Refused::from)?,
        Method::PATCH => {
            // First of all: whoever has no session learns nothing.
            whip.find(named).map_err(Refused::from)?;
            request::content_type(request.headers(), FRAGMENT)?;
            let precondition = request::precondition(request.headers())?;
            let text = request::body(request, MAX_FRAGMENT_BYTES).await?;
            let credentials = exchange::read_fragment(&text);
            let change = Change {
                precondition,
                credentials: credentials.map_err(|error| Problem::malformed(&error))?,
            };
            return Ok(match whip.change(named, &identity, change).await? {
                Changed::Trickled => answer::status(StatusCode::NO_CONTENT),
                Changed::Restarted { etag, fragment } => answer::restarted(&etag, fragment.0),
            });
        }
        _ => whip.find(named).map_err(Refused::from)?,
    }
    Ok(answer::status(StatusCode::OK))
}

/// The same of a token that is refused.
fn note_token(edge: &Edge, room: &RoomId, headers: &HeaderMap, whence: &Arc<Whence>) {
    let tokens = &edge.context.tokens;
    let Some(token) = request::token(headers) else {
        return;
    };
    if let (Err(error), Some(calls)) = (
        tokens.verify_for_call(token, room, edge.now()),
        &edge.context.calls,
    ) {
        let dated = tokens.dated(token);
        let failures = calls.failures();
        failures.token_refused(error, dated, Some(room), Arc::clone(whence));
    }
}

/// A session that does not begin is remembered. What the call has refused is already.
fn note(edge: &Edge, refused: &Refused, (room, user): (&RoomId, UserId), whence: &Arc<Whence>) {
    let facts = match refused {
        Refused::Call(_) | Refused::NotLive | Refused::NotChanged(_) => return,
        // An m-line without a codec: noted with the answer that left it out.
        Refused::Unacceptable(Unacceptable::Left(_)) => return,
        Refused::NoPlace(NoPlace::TooSoon(_)) => return,
        Refused::NoPlace(_) => Facts::Full(refused.to_string()),
        Refused::Forbidden(_) => Facts::Forbidden(refused.to_string()),
        Refused::Unacceptable(_) => Facts::Refused(CallError::BadOffer(refused.to_string())),
    };
    let is_offer = matches!(refused, Refused::Unacceptable(_));
    let stage = if is_offer { Stage::Offer } else { Stage::Join };
    if let Some(calls) = &edge.context.calls {
        let of = (Some(room.clone()), Some(user));
        calls
            .failures()
            .refused(facts, of, stage, Arc::clone(whence));
    }
}

fn service(edge: &Edge) -> Result<&Whip, Problem> {
    edge.whip.as_ref().ok_or_else(|| {
        let text = "this server has no calls";
        Refusal::new(ErrorCode::CallsOff, text).into()
    })
}
