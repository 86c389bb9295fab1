//! What SNS's answers mean: by its error code, and for `InvalidParameter` by the parameter at fault, which it names
//! in its text alone.

use crate::model::Outcome;
use crate::senders::answer::{by_status, clip, retry_after};
use aws_sdk_sns::config::http::HttpResponse;
use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sns::operation::publish::PublishError;
use http::{HeaderMap, StatusCode};
use kaiwa_common::limits::SNS_BYTES;
use kaiwa_common::time::UnixMs;
use std::time::Duration;

/// One application's own credentials at Apple or Google are wrong: the others' pushes still go, so that the channel
/// stays open, and these wait for somebody to mend it.
const APPLICATION_WAIT: Duration = Duration::from_secs(15 * 60);

/// What SNS said.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Such as `EndpointDisabled`; empty when there was none.
    pub code: &'a str,
    /// The text beside it.
    pub text: &'a str,
    /// Of HTTP.
    pub status: StatusCode,
}

/// What SNS's refusal means ("Publish", "Common Errors").
#[must_use]
pub fn outcome(said: Said<'_>, headers: &HeaderMap, now: UnixMs) -> Outcome {
    let code = clip(said.code);
    let wish = retry_after(headers, now);
    // Some have `Exception` behind their name, by the protocol.
    match said.code.strip_suffix("Exception").unwrap_or(said.code) {
        // The provider has told SNS that the token is dead; a new one is a new registration.
        "EndpointDisabled" | "NotFound" => Outcome::Unregistered { since: None },
        "InvalidParameter" | "InvalidParameterValue" | "ParameterValueInvalid" => {
            by_parameter(said.text, code)
        }
        "PlatformApplicationDisabled" => Outcome::Transient {
            code,
            retry_after: Some(wish.unwrap_or(APPLICATION_WAIT)),
        },
        "AuthorizationError"
        | "AccessDenied"
        | "InvalidSecurity"
        | "InvalidClientTokenId"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "NotAuthorized"
        | "OptInRequired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClient" => Outcome::AuthFailed { code },
        "Throttling"
        | "Throttled"
        | "KMSThrottling"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "LimitExceeded" => Outcome::Throttled { retry_after: wish },
        // A token that has just run out, or two clocks: it is signed anew.
        "ExpiredToken" | "RequestExpired" | "InternalError" | "InternalFailure"
        | "ServiceUnavailable" => Outcome::Transient {
            code,
            retry_after: wish,
        },
        _ => by_unknown(said, headers, now),
    }
}

fn by_parameter(text: &str, code: String) -> Outcome {
    if text.contains("No endpoint found") {
        // Deleted. A platform application that is gone shows in the same way, for many at once.
        return Outcome::Unregistered { since: None };
    }
    if text.contains("too long") {
        return Outcome::TooLarge { limit: SNS_BYTES };
    }
    if text.contains("TargetArn") || text.contains("EndpointArn") {
        return Outcome::BadToken { code };
    }
    Outcome::Rejected { code }
}

fn by_unknown(said: Said<'_>, headers: &HeaderMap, now: UnixMs) -> Outcome {
    let code = Some(said.code).filter(|code| !code.is_empty());
    match said.status.as_u16() {
        401 | 403 => Outcome::AuthFailed {
            code: code.map_or_else(|| format!("http_{}", said.status.as_u16()), clip),
        },
        413 => Outcome::TooLarge { limit: SNS_BYTES },
        _ => by_status(said.status, headers, code, now),
    }
}

/// A call that did not end well.
pub(super) fn unanswered(error: &SdkError<PublishError, HttpResponse>, now: UnixMs) -> Outcome {
    let transient = |code: &str| Outcome::Transient {
        code: code.to_owned(),
        retry_after: None,
    };
    match error {
        SdkError::ServiceError(service) => {
            let raw = service.raw();
            let said = Said {
                code: service.err().code().unwrap_or_default(),
                text: service.err().message().unwrap_or_default(),
                status: StatusCode::from_u16(raw.status().as_u16()).unwrap_or_default(),
            };
            let mut headers = HeaderMap::new();
            let wish = raw.headers().get("retry-after");
            if let Some(wish) = wish.and_then(|wish| wish.parse().ok()) {
                headers.insert(http::header::RETRY_AFTER, wish);
            }
            outcome(said, &headers, now)
        }
        // No region, or an endpoint that is no URL: the same for every push.
        SdkError::ConstructionFailure(_) => Outcome::AuthFailed {
            code: "settings".to_owned(),
        },
        SdkError::TimeoutError(_) => transient("timed_out"),
        SdkError::DispatchFailure(failed) if failed.is_timeout() => transient("timed_out"),
        SdkError::DispatchFailure(failed) if failed.is_io() => transient("connect"),
        // There are no credentials, or whoever has them does not answer.
        SdkError::DispatchFailure(_) => Outcome::AuthFailed {
            code: "credentials".to_owned(),
        },
        SdkError::ResponseError(_) | _ => transient("answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: &str, text: &str, status: u16) -> Outcome {
        let status = StatusCode::from_u16(status).expect("a status");
        let said = Said { code, text, status };
        outcome(said, &HeaderMap::new(), UnixMs(0))
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn each_error_has_its_outcome() {
        let gone = Outcome::Unregistered { since: None };
        let large = Outcome::TooLarge { limit: SNS_BYTES };
        let slow = Outcome::Throttled { retry_after: None };
        let auth = |code: &str| Outcome::AuthFailed { code: code.into() };
        let bad = |code: &str| Outcome::BadToken { code: code.into() };
        let rejected = |code: &str| Outcome::Rejected { code: code.into() };
        let later = |code: &str, retry_after| Outcome::Transient {
            code: code.into(),
            retry_after,
        };
        let deleted =
            "Invalid parameter: TargetArn Reason: No endpoint found for the target arn specified";
        let malformed =
            "Invalid parameter: TargetArn Reason: An ARN must have at least 6 elements, not 1";
        let table = [
            (
                "EndpointDisabled",
                "Endpoint is disabled",
                400,
                gone.clone(),
            ),
            ("EndpointDisabledException", "", 400, gone.clone()),
            ("NotFound", "Endpoint does not exist", 404, gone.clone()),
            ("InvalidParameter", deleted, 400, gone),
            ("InvalidParameter", malformed, 400, bad("InvalidParameter")),
            (
                "InvalidParameter",
                "Invalid parameter: Message too long",
                400,
                large.clone(),
            ),
            (
                "InvalidParameter",
                "Invalid parameter: JSON must contain an entry for 'default' or 'GCM'.",
                400,
                rejected("InvalidParameter"),
            ),
            (
                "ParameterValueInvalid",
                "",
                400,
                rejected("ParameterValueInvalid"),
            ),
            (
                "PlatformApplicationDisabled",
                "",
                400,
                later("PlatformApplicationDisabled", Some(APPLICATION_WAIT)),
            ),
            ("AuthorizationError", "", 403, auth("AuthorizationError")),
            ("AccessDenied", "", 403, auth("AccessDenied")),
            (
                "InvalidClientTokenId",
                "",
                403,
                auth("InvalidClientTokenId"),
            ),
            (
                "SignatureDoesNotMatch",
                "",
                403,
                auth("SignatureDoesNotMatch"),
            ),
            (
                "UnrecognizedClientException",
                "",
                400,
                auth("UnrecognizedClientException"),
            ),
            ("SomethingNew", "", 403, auth("SomethingNew")),
            ("", "", 401, auth("http_401")),
            ("Throttling", "Rate exceeded", 400, slow.clone()),
            ("ThrottledException", "", 429, slow.clone()),
            ("KMSThrottling", "", 400, slow.clone()),
            ("", "", 429, slow),
            ("ExpiredToken", "", 403, later("ExpiredToken", None)),
            ("InternalError", "", 500, later("InternalError", None)),
            (
                "ServiceUnavailable",
                "",
                503,
                later("ServiceUnavailable", None),
            ),
            ("", "", 502, later("http_502", None)),
            ("", "", 413, large),
            (
                "ValidationException",
                "",
                400,
                rejected("ValidationException"),
            ),
            ("SomethingNew", "", 400, rejected("SomethingNew")),
        ];
        for (code, text, status, expected) in table {
            assert_eq!(said(code, text, status), expected, "{code} {text} {status}");
        }
    }

    #[test]
    fn a_wish_for_time_is_heard() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().expect("a value"));
        let said = Said {
            code: "Throttling",
            text: "",
            status: StatusCode::BAD_REQUEST,
        };
        let retry_after = Some(Duration::from_secs(7));
        let expected = Outcome::Throttled { retry_after };
        assert_eq!(outcome(said, &headers, UnixMs(0)), expected);
    }
}
