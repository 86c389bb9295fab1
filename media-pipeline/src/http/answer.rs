//! What answers look like.

use crate::front::{Done, REPLAY, REQUEST_ID};
use crate::refusal::{Reason, Refusal};
use crate::wire;
use axum::body::Body;
use axum::response::Response;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

const JSON: &str = "application/json";

/// A call's answer: 200, or what `created` says.
pub(super) fn finish<T: Serialize>(
    operation: &'static str,
    request: &str,
    done: Done<T>,
    status: StatusCode,
) -> Response {
    crate::front::log(operation, request, done.answer.as_ref().err());
    let answer = match &done.answer {
        Ok(answer) => answer,
        Err(refused) => return refusal(request, refused),
    };
    let mut response = json_of(request, status, answer);
    if done.is_replay {
        insert(&mut response, HeaderName::from_static(REPLAY), "true");
    }
    response
}

fn json_of<T: Serialize>(request: &str, status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => bare(request, status, JSON, Body::from(bytes)),
        Err(error) => {
            tracing::error!(%error, "an answer can't be written as JSON");
            bare(
                request,
                StatusCode::INTERNAL_SERVER_ERROR,
                JSON,
                Body::empty(),
            )
        }
    }
}

/// With the headers that every answer has.
pub(super) fn bare(
    request: &str,
    status: StatusCode,
    content_type: &'static str,
    body: Body,
) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    insert(&mut response, CONTENT_TYPE, content_type);
    // Grants are for one reader, and clips change.
    insert(&mut response, CACHE_CONTROL, "no-store");
    insert(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    insert(&mut response, HeaderName::from_static(REQUEST_ID), request);
    response
}

pub(super) fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// A clip may be kept by its reader, who asks each time whether it has changed.
pub(super) fn tag(response: &mut Response, tag: &str) {
    insert(response, ETAG, tag);
    insert(response, CACHE_CONTROL, "private, no-cache");
}

pub(super) fn refusal(request: &str, refusal: &Refusal) -> Response {
    let status =
        StatusCode::from_u16(refusal.reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_of(request, status, &error(request, refusal));
    if let Some(after) = refusal.retry_after {
        // In whole seconds, rounded up: earlier would be in vain.
        let seconds = after.as_millis().div_ceil(1000).max(1).to_string();
        insert(&mut response, RETRY_AFTER, &seconds);
    }
    if status == StatusCode::UNAUTHORIZED {
        let challenge = if refusal.reason == Reason::TokenExpired {
            "Bearer error=\"invalid_token\""
        } else {
            "Bearer"
        };
        insert(&mut response, WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The body of every error.
pub(super) fn error(request: &str, refusal: &Refusal) -> Value {
    let violations = refusal.violations.iter();
    let violations: Vec<Value> = violations
        .map(|v| json!({ "field": v.field, "description": v.description }))
        .collect();
    let mut error = json!({
        "reason": refusal.reason.text(),
        "message": refusal.message,
        "help": refusal.reason.help(),
        "requestId": request,
    });
    if !violations.is_empty() {
        error["fieldViolations"] = violations.into();
    }
    if let Some(state) = refusal.state {
        error["state"] = wire::state(state).as_str_name().into();
    }
    if let Some(quota) = refusal.quota {
        error["quota"] = quota.into();
    }
    if let Some(after) = refusal.retry_after.map(millis) {
        error["retryAfterMs"] = after.into();
    }
    json!({ "error": error })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Which methods there are (RFC 9110, section 9.3.7). Which pages may use them is said by the edge, who knows their origins.
pub(super) fn options(headers: &HeaderMap, allow: &str) -> Response {
    let name = crate::front::request_id(headers);
    let mut response = bare(&name, StatusCode::NO_CONTENT, JSON, Body::empty());
    response.headers_mut().remove(CONTENT_TYPE);
    insert(&mut response, ALLOW, allow);
    response
}

pub(super) fn document(text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    insert(&mut response, CONTENT_TYPE, JSON);
    insert(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}
