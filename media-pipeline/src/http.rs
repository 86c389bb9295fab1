//! The API over HTTP: the mirror of gRPC under `/api/v1/clips`, with the same messages as JSON.

mod answer;
mod document;
mod routes;
mod schema;
mod watch;

pub use document::openapi;

use crate::front::Front;
use crate::refusal::{Reason, Refusal};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use axum::routing::{any, get};
use http::HeaderMap;
use kaiwa_common::limits::CLIP_REQUEST_BYTES;
use std::sync::Arc;

/// Where the document is.
pub(crate) const OPENAPI: &str = "/api/v1/openapi.json";

/// The routes. What is none of them, and none of others that they are merged with, is not answered here.
pub fn router(front: Arc<Front>) -> Router {
    let document = document::text();
    let served = get(async move || answer::document(document));
    let mut router = Router::new().route(OPENAPI, served);
    for route in routes::ROUTES {
        router = router.merge(
            Router::new()
                .route(route.path, (route.handler)())
                .with_state(Arc::clone(&front)),
        );
    }
    router
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(CLIP_REQUEST_BYTES))
}

/// Answers for clips that are switched off on this server: 503 with why.
pub fn closed(why: &str) -> Router {
    let refusal = Arc::new(Refusal::new(Reason::Unavailable, why));
    let answer = move |headers: HeaderMap| {
        let refusal = Arc::clone(&refusal);
        async move { answer::refusal(&crate::front::request_id(&headers), &refusal) }
    };
    let paths = [
        "/api/v1/clips",
        "/api/v1/clips/{*rest}",
        "/objects/{*rest}",
        "/v/{*rest}",
    ];
    let route = |router: Router, path| router.route(path, any(answer.clone()));
    paths.into_iter().fold(Router::new(), route)
}

async fn unknown_method(headers: HeaderMap) -> Response {
    let name = crate::front::request_id(&headers);
    let refusal = Refusal::new(Reason::NotFound, "there is no such method here");
    answer::refusal(&name, &refusal)
}
