//! Who besides our own pages may read an answer (CORS, Fetch standard, section 3.3).

use axum::http::{HeaderValue, header};
use axum::response::Response;

/// What a page may send besides what every page may.
const SENT: &str = "authorization, content-type, grpc-timeout, idempotency-key, if-none-match, last-event-id, x-request-id";

/// What it may read besides what every page may.
const READ: &str = "allow, etag, retry-after, www-authenticate, x-idempotent-replay, x-request-id";

/// How long a browser keeps an answer to `OPTIONS`, in seconds.
const KEPT_S: &str = "600";

/// Lets pages of this origin read the answer; `OPTIONS` is answered with what they may send. Without an origin nothing is
/// allowed. No credentials of the browser are: the token is the page's own.
pub(super) fn readable(response: &mut Response, origin: Option<HeaderValue>, is_question: bool) {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let Some(origin) = origin else {
        return;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if !is_question {
        let read = HeaderValue::from_static(READ);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, read);
        return;
    }
    if let Some(methods) = headers.get(header::ALLOW).cloned() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, SENT),
        (header::ACCESS_CONTROL_MAX_AGE, KEPT_S),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
