//! What is answered to what goes wrong.

use crate::objects::sign::TokenError;
use crate::ports::ObjectError;
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request was not carried out. The body is `{"error":{"reason":…,"message":…}}`.
#[derive(Debug)]
pub(super) enum Refusal {
    /// 403.
    Token(TokenError),
    /// 400.
    Wrong(String),
    /// 405.
    Method,
    /// 408.
    Slow,
    /// 409: it has arrived before.
    Exists,
    /// 411.
    NoLength,
    /// 413.
    TooLarge,
    /// 503, and when to come again.
    Busy,
    /// By what the store says: 400, 404, 503, 507.
    Store(ObjectError),
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl Refusal {
    fn parts(&self) -> (StatusCode, &'static str, String) {
        match self {
            Self::Token(TokenError::Expired) => (
                StatusCode::FORBIDDEN,
                "SIGNATURE_EXPIRED",
                TokenError::Expired.to_string(),
            ),
            Self::Token(error) => (
                StatusCode::FORBIDDEN,
                "SIGNATURE_INVALID",
                error.to_string(),
            ),
            Self::Wrong(what) => (StatusCode::BAD_REQUEST, "MISMATCH", what.clone()),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD",
                "not this method".to_owned(),
            ),
            Self::Slow => (
                StatusCode::REQUEST_TIMEOUT,
                "TOO_SLOW",
                "the bytes did not come in time".to_owned(),
            ),
            Self::Exists => (
                StatusCode::CONFLICT,
                "EXISTS",
                "it has arrived already: complete the upload".to_owned(),
            ),
            Self::NoLength => (
                StatusCode::LENGTH_REQUIRED,
                "LENGTH_REQUIRED",
                "Content-Length is needed".to_owned(),
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "TOO_LARGE",
                "it is larger than what was signed".to_owned(),
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "BUSY",
                "too many uploads at once".to_owned(),
            ),
            Self::Store(error) => store(error),
        }
    }
}

fn store(error: &ObjectError) -> (StatusCode, &'static str, String) {
    match error {
        ObjectError::NotFound => (
            StatusCode::NOT_FOUND,
            "NO_UPLOAD",
            "there is no such upload".to_owned(),
        ),
        ObjectError::Mismatch(what) => (StatusCode::BAD_REQUEST, "MISMATCH", what.clone()),
        // What exactly is wrong with our disk or index is not the client's business.
        ObjectError::Refused(_) | ObjectError::Unsupported(_) => (
            StatusCode::INSUFFICIENT_STORAGE,
            "STORAGE_REFUSED",
            "the server cannot store it: no room, or no right".to_owned(),
        ),
        ObjectError::Unavailable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "UNAVAILABLE",
            "the store does not answer".to_owned(),
        ),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Self::Store(error) = &self {
            match error {
                ObjectError::Refused(_) | ObjectError::Unavailable(_) => {
                    tracing::warn!(%error, "an upload was not stored");
                }
                ObjectError::NotFound | ObjectError::Mismatch(_) | ObjectError::Unsupported(_) => {}
            }
        }
        let (status, reason, message) = self.parts();
        let body = json!({"error": {"reason": reason, "message": message}});
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(
                header::ALLOW,
                HeaderValue::from_static("PUT, POST, OPTIONS"),
            );
        }
        // The rest of a body is not waited for.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// Any origin, without cookies: whoever has the token may.
pub(super) async fn for_any_origin(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name.clone(), HeaderValue::from_static(value));
    }
    std::future::ready(response).await
}

const HEADERS: [(HeaderName, &str); 7] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "PUT, POST"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "content-type, x-amz-checksum-sha256, x-amz-checksum-crc32c",
    ),
    (
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        "etag, x-amz-checksum-sha256, x-amz-checksum-crc32c, retry-after",
    ),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];
