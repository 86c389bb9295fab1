//! What Apple's answers mean, by the reason and not by the text around it.

use crate::model::Outcome;
use crate::senders::answer::{by_status, clip, retry_after};
use http::{HeaderMap, StatusCode};
use kaiwa_common::limits::{APNS_BYTES, APNS_TOKEN};
use kaiwa_common::time::UnixMs;
use serde::Deserialize;

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    reason: String,
    timestamp: Option<i64>,
}

/// What Apple's answer means ("Handling notification responses from APNs").
#[must_use]
pub fn outcome(status: StatusCode, headers: &HeaderMap, body: &[u8], now: UnixMs) -> Outcome {
    if status == StatusCode::OK {
        let id = headers
            .get("apns-id")
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default();
        return Outcome::Accepted {
            provider_id: clip(id),
        };
    }
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let code = clip(&body.reason);
    let wish = retry_after(headers, now);
    match body.reason.as_str() {
        "Unregistered" | "ExpiredToken" => Outcome::Unregistered {
            since: body.timestamp.map(UnixMs),
        },
        "BadDeviceToken" | "DeviceTokenNotForTopic" => Outcome::BadToken { code },
        "ExpiredProviderToken"
        | "InvalidProviderToken"
        | "MissingProviderToken"
        | "BadCertificate"
        | "BadCertificateEnvironment"
        | "BadEnvironmentKeyInToken"
        | "UnrelatedKeyIdInToken"
        | "Forbidden" => Outcome::AuthFailed { code },
        "PayloadTooLarge" => Outcome::TooLarge { limit: APNS_BYTES },
        "TooManyRequests" => Outcome::Throttled { retry_after: wish },
        // Another node or an older process has issued another; with the next span all have the same.
        "TooManyProviderTokenUpdates" => Outcome::Throttled {
            retry_after: Some(wish.unwrap_or(APNS_TOKEN)),
        },
        "InternalServerError" | "ServiceUnavailable" | "Shutdown" | "IdleTimeout" => {
            Outcome::Transient {
                code,
                retry_after: wish,
            }
        }
        "BadCollapseId" | "BadExpirationDate" | "BadMessageId" | "BadPath" | "BadPriority"
        | "BadTopic" | "DuplicateHeaders" | "InvalidPushType" | "MethodNotAllowed"
        | "MissingDeviceToken" | "MissingTopic" | "PayloadEmpty" | "TopicDisallowed" => {
            Outcome::Rejected { code }
        }
        // A reason that is newer than this table.
        other => by_unknown(
            status,
            headers,
            Some(other).filter(|code| !code.is_empty()),
            now,
        ),
    }
}

fn by_unknown(status: StatusCode, headers: &HeaderMap, code: Option<&str>, now: UnixMs) -> Outcome {
    match status.as_u16() {
        410 => Outcome::Unregistered { since: None },
        403 => Outcome::AuthFailed {
            code: code.map_or_else(|| "http_403".to_owned(), clip),
        },
        413 => Outcome::TooLarge { limit: APNS_BYTES },
        _ => by_status(status, headers, code, now),
    }
}
