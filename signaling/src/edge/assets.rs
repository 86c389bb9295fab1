//! The web app, out of the binary.

use super::Edge;
use super::guard::host;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// A file of the web app.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Its path below `/`, such as `assets/app-1a2b.js`.
    pub path: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// A hash of its content, quoted as RFC 9110 section 8.8.3 has it.
    pub etag: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

/// The files of the web app, by path.
#[derive(Debug, Clone, Copy)]
pub struct Assets(pub &'static [Asset]);

impl Assets {
    fn find(&self, path: &str) -> Option<&'static Asset> {
        self.0.iter().find(|asset| asset.path == path)
    }
}

/// Shown where the web app was not built into the binary.
const NOT_BUILT: &str = "Kaiwa is running, but this binary was built without the web app.\n\
    `make run` builds both; or: cd web && npm ci && npm run build, then build the binary again.\n\
    The client protocol is at /ws (docs/protocol.md).\n";

/// Whose addresses are never a page's: what they have themselves is answered by them, and all else is not there.
const GUESTS: &[&str] = &["objects", "v", "webhooks"];

pub(super) async fn serve(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    std::future::ready(answer(&edge, &request)).await
}

fn answer(edge: &Edge, request: &Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if GUESTS.contains(&path.split('/').next().unwrap_or_default()) {
        return (StatusCode::NOT_FOUND, "there is nothing here\n").into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let allow = [(header::ALLOW, "GET, HEAD")];
        return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
    }
    // A page's address is the app's to understand; a file's name has a dot.
    let is_page = !path.rsplit('/').next().unwrap_or(path).contains('.');
    let asset = edge
        .assets
        .find(path)
        .or_else(|| is_page.then(|| edge.assets.find("index.html")).flatten());
    match asset {
        Some(asset) => file(asset, edge.guests.origins(), request),
        None if is_page => (StatusCode::OK, NOT_BUILT).into_response(),
        None => (StatusCode::NOT_FOUND, "no such file\n").into_response(),
    }
}

fn file(asset: &'static Asset, elsewhere: &[String], request: &Request) -> Response {
    let known = request.headers().get(header::IF_NONE_MATCH);
    let mut response = if known.is_some_and(|etag| etag == asset.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        asset.bytes.into_response()
    };
    let headers = response.headers_mut();
    // Vite names files in assets/ by their content.
    let hashed = asset.path.starts_with("assets/");
    let cache = if hashed {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(asset.media_type),
    );
    headers.insert(header::ETAG, HeaderValue::from_static(asset.etag));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if asset.media_type.starts_with("text/html") {
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            content_policy(elsewhere, request),
        );
        let opener = HeaderValue::from_static("same-origin");
        headers.insert("cross-origin-opener-policy", opener);
    }
    response
}

/// Everything from here, nothing inline; clips' bytes also from where they are kept. Some browsers don't count a
/// WebSocket to the same host as `'self'`, so it is named.
fn content_policy(elsewhere: &[String], request: &Request) -> HeaderValue {
    let host = host(request.headers())
        .map(|h| h.to_string())
        .unwrap_or_default();
    let elsewhere: String = elsewhere.iter().map(|one| format!(" {one}")).collect();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:{elsewhere}; \
         font-src 'self'; manifest-src 'self'; worker-src 'self'; media-src 'self' blob:{elsewhere}; \
         connect-src 'self' ws://{host} wss://{host}{elsewhere}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("a host that was parsed has visible characters only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::guest::Guests;

    #[test]
    fn the_policy_names_where_clips_are_kept_and_nothing_that_would_bend_it() {
        let asked = ["https://clips.example", "https://x; script-src *"].map(str::to_owned);
        let guests = Guests::default().with_origins(asked.to_vec());
        let request = axum::http::Request::get("/").header("host", "chat.example");
        let request = request.body(axum::body::Body::empty()).expect("a request");
        let policy = content_policy(guests.origins(), &request);
        let policy = policy.to_str().expect("text");
        for part in [
            "connect-src 'self' ws://chat.example wss://chat.example https://clips.example;",
            "media-src 'self' blob: https://clips.example;",
            "img-src 'self' data: blob: https://clips.example;",
            "script-src 'self';",
        ] {
            assert!(policy.contains(part), "{part} in {policy}");
        }
        assert!(!policy.contains('*'));
    }
}
