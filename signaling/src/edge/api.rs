//! The HTTP calls beside the protocol: what the server is, and signing in on one machine.

use super::address::Peer;
use super::guard::{host, is_local_host};
use super::{Edge, SignIn};
use crate::session::dispatch::token_refusal;
use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::id::UserId;
use kaiwa_common::limits::NAME_BYTES;
use kaiwa_common::token::{Identity, ServerRole};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

#[derive(Serialize)]
struct Problem<'a> {
    error: ProblemBody<'a>,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    code: u32,
    reason: &'static str,
    message: &'a str,
}

/// An error as an HTTP answer.
#[must_use]
pub fn problem(status: StatusCode, refusal: &Refusal) -> Response {
    let body = Problem {
        error: ProblemBody {
            code: refusal.code.number(),
            reason: refusal.code.reason(),
            message: &refusal.message,
        },
    };
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        let seconds = refusal.retry_after.as_secs() + 1;
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

pub(super) fn not_found() -> Response {
    let refusal = Refusal::new(ErrorCode::InvalidArgument, "there is no such call");
    problem(StatusCode::NOT_FOUND, &refusal)
}

#[derive(Serialize)]
struct Info {
    name: &'static str,
    version: &'static str,
    sign_in: &'static str,
}

pub(super) async fn info(State(edge): State<Arc<Edge>>) -> Response {
    let sign_in = if edge.sign_in == SignIn::None {
        "none"
    } else {
        "local"
    };
    std::future::ready(
        Json(Info {
            name: "Kaiwa",
            version: edge.version,
            sign_in,
        })
        .into_response(),
    )
    .await
}

#[derive(Deserialize)]
pub(super) struct SignInRequest {
    name: String,
}

#[derive(Serialize)]
struct SignedIn {
    token: String,
    user: SignedInUser,
    expires_ms: i64,
}

#[derive(Serialize)]
struct SignedInUser {
    id: String,
    name: String,
}

pub(super) async fn sign_in(
    State(edge): State<Arc<Edge>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Result<Json<SignInRequest>, JsonRejection>,
) -> Response {
    std::future::ready(answer_sign_in(&edge, peer, &headers, body)).await
}

fn answer_sign_in(
    edge: &Edge,
    peer: Peer,
    headers: &HeaderMap,
    body: Result<Json<SignInRequest>, JsonRejection>,
) -> Response {
    if let Err(refused) = may_sign_in(edge, peer, headers) {
        return problem(StatusCode::FORBIDDEN, &refused);
    }
    if let Err(refused) = throttle(edge, peer) {
        return *refused;
    }
    let Json(SignInRequest { name }) = match body {
        Ok(body) => body,
        Err(rejection) => {
            let refusal = Refusal::new(ErrorCode::Malformed, rejection.body_text());
            return problem(rejection.status(), &refusal);
        }
    };
    let name = name.trim();
    if name.is_empty() || name.len() > NAME_BYTES || name.chars().any(char::is_control) {
        let text = format!("name: 1 to {NAME_BYTES} bytes without control characters");
        return problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            &Refusal::new(ErrorCode::InvalidArgument, text),
        );
    }
    signed_in(edge, &local_user(name), name, ServerRole::Creator)
}

fn signed_in(edge: &Edge, user: &UserId, name: &str, role: ServerRole) -> Response {
    let now = edge.now();
    let identity = Identity::new(user.clone(), name, role, now, edge.token_ttl);
    let answer = SignedIn {
        token: edge.context.tokens.issue(&identity, now),
        user: SignedInUser {
            id: user.to_string(),
            name: name.to_owned(),
        },
        // A token counts whole seconds.
        expires_ms: identity.expires.0 / 1000 * 1000,
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

/// Without an identity provider a name is an identity, so only people at this machine get one.
fn may_sign_in(edge: &Edge, peer: Peer, headers: &HeaderMap) -> Result<(), Refusal> {
    let refuse = |text: &'static str| Err(Refusal::new(ErrorCode::Forbidden, text));
    let is_local = peer.is_this_machine()
        && peer.on_loopback
        && host(headers).is_some_and(|host| is_local_host(host.host()));
    match edge.sign_in {
        SignIn::None => refuse("people sign in with an identity provider here"),
        SignIn::Anywhere => Ok(()),
        SignIn::Loopback if is_local => Ok(()),
        SignIn::Loopback => refuse(
            "signing in by name is for the machine that the server runs on, at a localhost \
             address and without a proxy; auth.sign_in = \"anywhere\" opens it",
        ),
    }
}

/// Counts a request against its address.
pub(super) fn throttle(edge: &Edge, peer: Peer) -> Result<(), Box<Response>> {
    edge.addresses
        .take_request(peer.client, Instant::now())
        .map_err(|wait| {
            let refusal = Refusal::new(
                ErrorCode::RateLimited,
                "too many requests from this address",
            );
            Box::new(problem(
                StatusCode::TOO_MANY_REQUESTS,
                &refusal.retry_after(wait),
            ))
        })
}

pub(super) async fn refresh(
    State(edge): State<Arc<Edge>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    std::future::ready(answer_refresh(&edge, peer, &headers)).await
}

fn answer_refresh(edge: &Edge, peer: Peer, headers: &HeaderMap) -> Response {
    if let Err(refused) = may_sign_in(edge, peer, headers) {
        return problem(StatusCode::FORBIDDEN, &refused);
    }
    if let Err(refused) = throttle(edge, peer) {
        return *refused;
    }
    match bearer(edge, headers) {
        Ok(identity) => signed_in(edge, &identity.user, &identity.name.0, identity.role),
        Err(refusal) => problem(StatusCode::UNAUTHORIZED, &refusal),
    }
}

/// Whose token a request carries.
pub(super) fn bearer(edge: &Edge, headers: &HeaderMap) -> Result<Identity, Refusal> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let Some(token) = bearer.and_then(|value| value.strip_prefix("Bearer ")) else {
        let text = "Authorization: Bearer … is missing";
        return Err(Refusal::new(ErrorCode::TokenInvalid, text));
    };
    let verified = edge.context.tokens.verify(token, edge.now());
    verified.map_err(|error| token_refusal(&error))
}

/// The identity of a name: readable where it can be, else its hash; case doesn't matter.
fn local_user(name: &str) -> UserId {
    let lower = name.to_lowercase();
    let plain = lower
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '-' | '_'));
    let slug = lower.split_whitespace().collect::<Vec<_>>().join("-");
    if plain && let Ok(user) = UserId::parse(&slug) {
        return user;
    }
    let hash = ring::digest::digest(&ring::digest::SHA256, lower.as_bytes());
    let mut id = String::from("u-");
    for byte in &hash.as_ref()[..8] {
        write!(id, "{byte:02x}").expect("a string grows");
    }
    UserId::parse(&id).expect("hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_identity_however_it_is_written() {
        assert_eq!(local_user("Alice").as_str(), "alice");
        assert_eq!(local_user("Bob  B. Bobson").as_str(), "bob-b.-bobson");
        assert_eq!(local_user("太郎"), local_user("太郎"));
        assert_ne!(local_user("太郎"), local_user("花子"));
        assert!(local_user(&"x".repeat(100)).as_str().starts_with("u-"));
    }
}
