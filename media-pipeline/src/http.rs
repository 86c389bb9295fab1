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
use http::header::ALLOW;
use kaiwa_common::limits::CLIP_REQUEST_BYTES;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the document is.
pub(crate) const OPENAPI: &str = "/api/v1/openapi.json";

/// The routes. What is none of them, and none of others that they are merged with, is not answered here.
pub fn router(front: Arc<Front>) -> Router {
    let document = document::text();
    let served = get(async move || answer::document(document));
    let mut paths = BTreeMap::from([(OPENAPI, (served, vec!["get"]))]);
    for route in routes::ROUTES {
        let (handlers, methods) = paths.entry(route.path).or_default();
        *handlers = std::mem::take(handlers).merge((route.handler)());
        methods.push(route.method);
    }
    let mut router = Router::new();
    for (path, (handlers, methods)) in paths {
        let allow = allow(&methods);
        let taken = allow.clone();
        let handlers = handlers
            .options(async move |headers: HeaderMap| answer::options(&headers, &taken))
            .fallback(async move |headers: HeaderMap| wrong_method(&headers, &allow));
        router = router.route(path, handlers);
    }
    router
        .with_state(front)
        .layer(DefaultBodyLimit::max(CLIP_REQUEST_BYTES))
}

/// As `Allow` has them (RFC 9110, section 10.2.1).
fn allow(methods: &[&str]) -> String {
    let mut allow: Vec<String> = methods.iter().map(|name| name.to_uppercase()).collect();
    if allow.iter().any(|name| name == "GET") {
        allow.push("HEAD".to_owned());
    }
    allow.push("OPTIONS".to_owned());
    allow.join(", ")
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

/// RFC 9110, section 15.5.6.
fn wrong_method(headers: &HeaderMap, allow: &str) -> Response {
    let name = crate::front::request_id(headers);
    let refusal = Refusal::new(
        Reason::MethodNotAllowed,
        format!("this address takes {allow}"),
    );
    let mut response = answer::refusal(&name, &refusal);
    answer::insert(&mut response, ALLOW, allow);
    response
}
