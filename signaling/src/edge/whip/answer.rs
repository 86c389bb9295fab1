//! What requests are answered with.

use crate::edge::api;
use crate::whip::core::{NoPlace, NotChanged};
use crate::whip::service::{Begun, Refused};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::WHEP_RETRY_S;
use kaiwa_sfu::exchange::{Unacceptable, Way};
use std::fmt::Display;
use std::time::Duration;

/// What a resource takes by POST (the Linked Data Platform, section 7.1).
pub(super) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// What a resource takes by PATCH (RFC 5789, section 3.1).
pub(super) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

pub(super) type Answered = Result<Response, Problem>;

/// Why a request is refused.
pub(super) enum Problem {
    /// No token, or one that is no good.
    Unauthorized(Option<Refusal>),
    /// A body of another type than this.
    WrongType(&'static str),
    /// A body of more bytes than this.
    TooLarge(usize),
    /// With this status.
    Other(StatusCode, Refusal),
    /// Answered elsewhere.
    Ready(Box<Response>),
}

impl Problem {
    pub(super) fn unknown() -> Self {
        Refused::NotChanged(NotChanged::Unknown).into()
    }

    pub(super) fn no_room() -> Self {
        let refusal = Refusal::new(ErrorCode::RoomNotFound, "there is no such room");
        Self::Other(StatusCode::NOT_FOUND, refusal)
    }

    pub(super) fn malformed(why: &dyn Display) -> Self {
        let refusal = Refusal::new(ErrorCode::Malformed, why.to_string());
        Self::Other(StatusCode::BAD_REQUEST, refusal)
    }

    pub(super) fn invalid(field: &'static str, rule: &str) -> Self {
        let refusal = Refusal::new(ErrorCode::InvalidArgument, format!("{field}: {rule}"));
        Self::Other(StatusCode::BAD_REQUEST, refusal.with("field", field))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Other(status_of(refusal.code), refusal)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let text = refused.to_string();
        let with = |status, code| Self::Other(status, Refusal::new(code, text.clone()));
        let soon = |wait| {
            let refusal = Refusal::new(ErrorCode::RateLimited, text.clone());
            Self::from(refusal.retry_after(wait))
        };
        match refused {
            Refused::NoPlace(NoPlace::TooSoon(wait)) => soon(wait),
            Refused::NoPlace(NoPlace::Person) => {
                with(StatusCode::TOO_MANY_REQUESTS, ErrorCode::LimitReached)
            }
            Refused::NoPlace(NoPlace::Room | NoPlace::Node) => {
                with(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::LimitReached)
            }
            Refused::NotLive => {
                let refusal = Refusal::new(ErrorCode::PublicationNotFound, text.clone());
                let wait = Duration::from_secs(WHEP_RETRY_S);
                Self::Other(StatusCode::CONFLICT, refusal.retry_after(wait))
            }
            Refused::Forbidden(needs) => Refusal::new(ErrorCode::Forbidden, text.clone())
                .with("needs", needs)
                .into(),
            Refused::Unacceptable(Unacceptable::Malformed(_)) => {
                with(StatusCode::BAD_REQUEST, ErrorCode::BadOffer)
            }
            Refused::Unacceptable(_) => with(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::BadOffer),
            Refused::NotChanged(NotChanged::Unknown) => {
                with(StatusCode::NOT_FOUND, ErrorCode::NotInCall)
            }
            Refused::NotChanged(NotChanged::TooSoon(wait)) => soon(wait),
            Refused::NotChanged(NotChanged::NoPrecondition) => with(
                StatusCode::PRECONDITION_REQUIRED,
                ErrorCode::InvalidArgument,
            ),
            Refused::NotChanged(NotChanged::OtherSession) => {
                with(StatusCode::PRECONDITION_FAILED, ErrorCode::InvalidArgument)
            }
            Refused::NotChanged(NotChanged::Unacceptable(_)) => {
                with(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::BadOffer)
            }
            Refused::Call(error) => Refusal::from(error).into(),
        }
    }
}

/// The status that says most of what a refusal does.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "of many codes few can come of a call, and the others are faults of the request"
)]
fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::TokenInvalid | ErrorCode::TokenExpired => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden | ErrorCode::NotAMember => StatusCode::FORBIDDEN,
        ErrorCode::RoomNotFound | ErrorCode::CallsOff => StatusCode::NOT_FOUND,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::BadOffer => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        // Out of the call before it was answered: by a moderator, or with the server.
        ErrorCode::NotInCall => StatusCode::CONFLICT,
        ErrorCode::Internal
        | ErrorCode::Overloaded
        | ErrorCode::Draining
        | ErrorCode::Unavailable
        | ErrorCode::CallFull
        | ErrorCode::CallsUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Unauthorized(refusal) => unauthorized(refusal),
            Problem::WrongType(wanted) => {
                let text = format!("Content-Type: {wanted} is needed");
                let refusal = Refusal::new(ErrorCode::Malformed, text);
                api::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, &refusal)
            }
            Problem::TooLarge(limit) => {
                let text = format!("at most {limit} bytes: offer fewer codecs or candidates");
                let refusal = Refusal::new(ErrorCode::TooLarge, text);
                api::problem(StatusCode::PAYLOAD_TOO_LARGE, &refusal)
            }
            Problem::Other(status, refusal) => {
                let mut response = api::problem(status, &refusal);
                let waits = matches!(
                    status,
                    StatusCode::TOO_MANY_REQUESTS
                        | StatusCode::SERVICE_UNAVAILABLE
                        | StatusCode::CONFLICT
                );
                if waits {
                    // In whole seconds, and never none.
                    let wait = refusal.retry_after.as_millis().div_ceil(1000).max(1);
                    let wait = u64::try_from(wait).unwrap_or(u64::MAX);
                    response
                        .headers_mut()
                        .insert(header::RETRY_AFTER, wait.into());
                }
                response
            }
            Problem::Ready(response) => *response,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.into()
    }
}

/// RFC 6750, section 3: what is asked for, and what is wrong with what was shown.
fn unauthorized(refusal: Option<Refusal>) -> Response {
    let (refusal, challenge) = match refusal {
        Some(refusal) => (refusal, "Bearer error=\"invalid_token\""),
        None => {
            let text = "Authorization: Bearer … is missing";
            (Refusal::new(ErrorCode::TokenInvalid, text), "Bearer")
        }
    };
    let mut response = api::problem(StatusCode::UNAUTHORIZED, &refusal);
    let challenge = HeaderValue::from_static(challenge);
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// A session has begun.
pub(super) fn created(way: Way, room: &RoomId, begun: Begun) -> Response {
    let base = match way {
        Way::In => "whip",
        Way::Out => "whep",
    };
    // Ids have no character that means something in a path or a header.
    let location = format!("/{base}/{room}/{}", begun.id);
    let headers = [
        (header::CONTENT_TYPE, super::SDP.to_owned()),
        (header::LOCATION, location),
        (header::ETAG, begun.etag),
        (ACCEPT_PATCH, super::FRAGMENT.to_owned()),
    ];
    (StatusCode::CREATED, headers, begun.sdp.0).into_response()
}

/// ICE has begun anew.
pub(super) fn restarted(etag: &str, fragment: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, super::FRAGMENT.to_owned()),
        (header::ETAG, etag.to_owned()),
    ];
    (headers, fragment).into_response()
}

/// Nothing but a status.
pub(super) fn status(status: StatusCode) -> Response {
    status.into_response()
}

/// Nothing, of this type.
pub(super) fn empty(kind: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], Body::empty()).into_response()
}

/// What may be done here.
pub(super) fn options(allowed: &'static str) -> Response {
    ([(header::ALLOW, allowed)], Body::empty()).into_response()
}

/// Another method than these.
pub(super) fn not_allowed(allowed: &'static str) -> Response {
    let text = format!("this is for {allowed}");
    let refusal = Refusal::new(ErrorCode::UnknownCommand, text);
    let mut response = api::problem(StatusCode::METHOD_NOT_ALLOWED, &refusal);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// What every answer has, so that pages of any origin may ask and read (Fetch, section 3.3), and nobody keeps it.
pub(super) fn open_to_all(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "DELETE, GET, HEAD, OPTIONS, PATCH, POST",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, If-Match, Link",
        ),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "Accept-Patch, Accept-Post, Allow, ETag, Link, Location, Retry-After, WWW-Authenticate",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
