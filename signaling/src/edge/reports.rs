//! What a client says of a join that failed or works badly, answered with the cause:
//! `POST /api/v1/calls/{room}/reports`. And how to find out whether media gets here at all: `GET /api/v1/call-probe`.
//!
//! A token that is refused is told the cause as well: that is the one thing its owner has to know. It gives no
//! other right.

pub mod wire;

use super::Edge;
use super::address::Peer;
use super::api::{bearer, not_found, problem, throttle};
use super::origin;
use super::path::{InPath, named};
use crate::call::failures::Report;
use crate::call::service::Calls;
use crate::call::whence::{Way, Whence};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, http};
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::CALL_REPORT_BYTES;
use std::sync::Arc;
use std::time::Instant;

/// The route.
pub(super) fn router() -> Router<Arc<Edge>> {
    let take = post(take).layer(DefaultBodyLimit::max(CALL_REPORT_BYTES));
    Router::new()
        .route("/api/v1/calls/{room}/reports", take)
        .route("/api/v1/call-probe", get(probe))
}

/// Where media is received, and what a check there is answered with, for whoever wants to know how far they get.
async fn probe(
    State(edge): State<Arc<Edge>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    std::future::ready(answer_probe(&edge, peer, &headers).unwrap_or_else(|refused| *refused)).await
}

fn answer_probe(edge: &Edge, peer: Peer, headers: &HeaderMap) -> Result<Response, Box<Response>> {
    throttle(edge, peer)?;
    bearer(edge, headers)
        .map_err(|refusal| Box::new(problem(StatusCode::UNAUTHORIZED, &refusal)))?;
    let calls = edge.context.calls.as_ref();
    let Some((calls, probe)) = calls.and_then(|calls| Some((calls, calls.probe()?))) else {
        return Err(Box::new(not_found()));
    };
    let body = wire::Probe::new(probe, calls.failures().told(), edge.now());
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

async fn take(
    State(edge): State<Arc<Edge>>,
    Extension(peer): Extension<Peer>,
    path: InPath<String>,
    parts: http::request::Parts,
    body: Result<Json<wire::Report>, JsonRejection>,
) -> Response {
    let mut response = match answer(&edge, peer, &named(path), &parts, body).await {
        Ok(response) => response,
        Err(refused) => *refused,
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn answer(
    edge: &Edge,
    peer: Peer,
    room: &str,
    parts: &http::request::Parts,
    body: Result<Json<wire::Report>, JsonRejection>,
) -> Result<Response, Box<Response>> {
    throttle(edge, peer)?;
    let Some(calls) = &edge.context.calls else {
        return Err(Box::new(not_found()));
    };
    let whence = origin::whence(Way::Socket, peer, &parts.extensions, &parts.headers);
    let report = read(body);
    let identity = match bearer(edge, &parts.headers) {
        Ok(identity) => identity,
        Err(refusal) => {
            let report = report.unwrap_or_default();
            return Ok(unauthorized(
                edge,
                calls,
                &refusal,
                &parts.headers,
                report,
                whence,
            ));
        }
    };
    let taken = calls.failures().take_report(&identity.user, Instant::now());
    taken.map_err(|wait| {
        let refusal = Refusal::new(ErrorCode::RateLimited, "too many reports: slow down");
        let refusal = refusal.retry_after(wait);
        Box::new(problem(StatusCode::TOO_MANY_REQUESTS, &refusal))
    })?;
    let report = report?;
    let cause = match RoomId::parse(room) {
        Ok(room) => calls.report(&room, &identity.user, report, &whence).await,
        // As of a room of which nothing is known.
        Err(_) => None,
    };
    let verdict = wire::Verdict {
        cause: cause.as_ref().map(Into::into),
    };
    Ok(Json(verdict).into_response())
}

fn read(body: Result<Json<wire::Report>, JsonRejection>) -> Result<Report, Box<Response>> {
    let Json(report) = body.map_err(|rejection| {
        let refusal = Refusal::new(ErrorCode::Malformed, rejection.body_text());
        Box::new(problem(rejection.status(), &refusal))
    })?;
    Report::try_from(report).map_err(|(field, rule)| {
        let refusal = Refusal::new(ErrorCode::InvalidArgument, format!("{field}: {rule}"));
        let refusal = refusal.with("field", field);
        Box::new(problem(StatusCode::UNPROCESSABLE_ENTITY, &refusal))
    })
}

/// The token is refused: with the cause.
fn unauthorized(
    edge: &Edge,
    calls: &Calls,
    refusal: &Refusal,
    headers: &HeaderMap,
    report: Report,
    whence: Whence,
) -> Response {
    let tokens = &edge.context.tokens;
    let token = headers.get(header::AUTHORIZATION);
    let token = token.and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    let cause = token.and_then(|token| {
        let error = tokens.verify(token, edge.now()).err()?;
        let (dated, whence) = (tokens.dated(token), Arc::new(whence));
        calls
            .failures()
            .token_reported(error, dated, report, whence)
    });
    let body = wire::Unauthorized {
        error: wire::ErrorBody {
            code: refusal.code.number(),
            reason: refusal.code.reason(),
            message: &refusal.message,
        },
        cause: cause.as_ref().map(Into::into),
    };
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, Json(body)).into_response()
}
