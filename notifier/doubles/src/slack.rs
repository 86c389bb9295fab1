//! Slack's incoming webhooks.

use crate::State;
use crate::record::Delivery;
use crate::server::{Answer, answer};
use bytes::Bytes;
use http::{Method, StatusCode, request};
use serde_json::Value;

/// The one webhook.
pub(crate) const PATH: &str = "/services/T00000000/B00000000/double";

pub(crate) fn serve(state: &State, head: &request::Parts, body: &Bytes) -> Answer {
    match check(head, body) {
        Ok(payload) => {
            state.accept(Delivery {
                device: "double".to_owned(),
                id: String::new(),
                collapse: String::new(),
                urgency: String::new(),
                push_type: String::new(),
                ttl: String::new(),
                payload: payload.to_string(),
                bytes: body.len(),
                body: body.clone(),
            });
            answer(StatusCode::OK, "ok")
        }
        Err((status, reason)) => {
            state.record().refuse(reason);
            answer(status, reason)
        }
    }
}

fn check(head: &request::Parts, body: &[u8]) -> Result<Value, (StatusCode, &'static str)> {
    let bad = (StatusCode::BAD_REQUEST, "invalid_payload");
    if head.uri.path() != PATH {
        return Err((StatusCode::NOT_FOUND, "no_service"));
    }
    let content_type = head
        .headers
        .get("content-type")
        .and_then(|value| value.to_str().ok());
    let is_json = content_type.is_some_and(|value| value.starts_with("application/json"));
    if head.method != Method::POST || !is_json {
        return Err(bad);
    }
    let payload: Value = serde_json::from_slice(body).map_err(|_| bad)?;
    match payload["text"].as_str() {
        None | Some("") => Err((StatusCode::BAD_REQUEST, "no_text")),
        Some(_) => Ok(payload),
    }
}
