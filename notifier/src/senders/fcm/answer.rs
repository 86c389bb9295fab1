//! What FCM's answers mean: by `google.rpc.Status`, FCM's own error code and the field at fault.

use crate::model::Outcome;
use crate::senders::answer::{by_status, clip, retry_after};
use http::{HeaderMap, StatusCode};
use kaiwa_common::time::UnixMs;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// FCM's documentation asks for a minute when a 429 names no time.
const QUOTA_WAIT: Duration = Duration::from_secs(60);

/// Firebase's own credentials for Apple or browsers are wrong: Android's messages still go, so that the
/// channel stays open, and these wait for somebody to mend it.
const THIRD_PARTY_WAIT: Duration = Duration::from_secs(15 * 60);

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    error: Status,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    status: String,
    #[serde(default)]
    details: Vec<Value>,
}

/// What FCM's answer means (FCM HTTP v1, "ErrorCode").
#[must_use]
pub fn outcome(status: StatusCode, headers: &HeaderMap, body: &[u8], now: UnixMs) -> Outcome {
    if status.is_success() {
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        return Outcome::Accepted {
            provider_id: clip(sent["name"].as_str().unwrap_or_default()),
        };
    }
    let Body { error } = serde_json::from_slice(body).unwrap_or_default();
    let own = error
        .details
        .iter()
        .find_map(|detail| detail["errorCode"].as_str());
    let word = own.unwrap_or(&error.status);
    let code = clip(word);
    let wish = retry_after(headers, now);
    match word {
        "UNREGISTERED" => Outcome::Unregistered { since: None },
        // It is also the answer to a message that is wrong or too large; only the token's own fault counts
        // against the token.
        "INVALID_ARGUMENT" if names_token(&error.details) => Outcome::Unregistered { since: None },
        "INVALID_ARGUMENT" => Outcome::Rejected { code },
        "SENDER_ID_MISMATCH" => Outcome::BadToken { code },
        "QUOTA_EXCEEDED" | "RESOURCE_EXHAUSTED" => Outcome::Throttled {
            retry_after: Some(wish.unwrap_or(QUOTA_WAIT)),
        },
        "THIRD_PARTY_AUTH_ERROR" => Outcome::Transient {
            code,
            retry_after: Some(wish.unwrap_or(THIRD_PARTY_WAIT)),
        },
        "UNAVAILABLE" | "INTERNAL" | "DEADLINE_EXCEEDED" | "ABORTED" => Outcome::Transient {
            code,
            retry_after: wish,
        },
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => Outcome::AuthFailed { code },
        _ => by_unknown(status, headers, word, now),
    }
}

fn by_unknown(status: StatusCode, headers: &HeaderMap, word: &str, now: UnixMs) -> Outcome {
    let word = Some(word).filter(|word| !word.is_empty());
    match status.as_u16() {
        401 | 403 => {
            let code = word.map_or_else(|| format!("http_{}", status.as_u16()), clip);
            Outcome::AuthFailed { code }
        }
        _ => by_status(status, headers, word, now),
    }
}

/// The status's name, such as `UNAUTHENTICATED`; with an error code of FCM's own it is that one's.
pub(super) fn status_name(body: &[u8]) -> String {
    let Body { error } = serde_json::from_slice(body).unwrap_or_default();
    let own = error
        .details
        .iter()
        .find_map(|detail| detail["errorCode"].as_str());
    own.map_or(error.status.clone(), str::to_owned)
}

fn names_token(details: &[Value]) -> bool {
    let violations = details
        .iter()
        .filter_map(|detail| detail["fieldViolations"].as_array());
    violations
        .flatten()
        .any(|violation| violation["field"] == "message.token")
}
