//! Why a request of the HTTP interface is refused.

use super::api::problem;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kaiwa_common::error::{ErrorCode, Refusal};

/// What is wrong with a request, or why it was not done.
#[derive(Debug)]
pub(super) struct Problem(pub(super) StatusCode, pub(super) Refusal);

impl Problem {
    /// A value that is not possible in this field.
    pub(super) fn unprocessable(field: &'static str, rule: &str) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, invalid(field, rule))
    }
}

/// What is wrong with a field.
pub(super) fn invalid(field: &'static str, rule: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidArgument, format!("{field}: {rule}")).with("field", field)
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        let refusal = Refusal::new(ErrorCode::Malformed, rejection.body_text());
        Self(rejection.status(), refusal)
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let refusal = Refusal::new(ErrorCode::Malformed, rejection.body_text());
        Self(rejection.status(), refusal)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = problem(self.0, &self.1);
        if self.0 == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
