//! The HTTP edge: it accepts connections, guards them, answers HTTP, and hands WebSockets on.

pub mod address;
pub mod api;
pub mod assets;
mod calls;
mod cors;
pub mod guard;
pub mod guest;
pub mod listener;
pub mod notifications;
mod origin;
mod path;
mod problem;
pub mod reports;
pub mod stream;
pub mod tls;
pub mod upgrade;
pub mod whip;

use crate::push::admin::NotifyAdmin;
use crate::session::Context;
use crate::whip::service::Whip;
use address::Addresses;
use assets::Assets;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use guard::Guard;
use guest::Guests;
use kaiwa_common::time::UnixMs;
use std::sync::Arc;
use std::time::Duration;

/// A request's body: a name or nothing.
const BODY_BYTES: usize = 16 * 1024;

/// How people sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignIn {
    /// Not here: tokens come from an identity provider or a back end.
    None,
    /// By name, from this machine only.
    Loopback,
    /// By name, from anywhere: whoever can reach the server is whoever they say.
    Anywhere,
}

/// What the edge needs.
pub struct Edge {
    /// Sessions and what they need.
    pub context: Arc<Context>,
    /// Which hosts and origins are answered.
    pub guard: Guard,
    /// Who has how many connections, and requests how fast.
    pub addresses: Arc<Addresses>,
    /// How people sign in.
    pub sign_in: SignIn,
    /// How long a token of the sign-in is good.
    pub token_ttl: Duration,
    /// `/metrics` for everybody, not for this machine only.
    pub public_metrics: bool,
    /// What operators ask of the notifier; `None` on a server without notifications.
    pub notify_admin: Option<Arc<dyn NotifyAdmin>>,
    /// How encoders and players come into calls; `None` on a server without calls.
    pub whip: Option<Whip>,
    /// Other components' routes, such as the clips'.
    pub guests: Guests,
    /// The web app.
    pub assets: Assets,
    /// The metrics as Prometheus reads them.
    pub render_metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Why the server is not ready, if it isn't.
    pub not_ready: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// The program's version.
    pub version: &'static str,
}

impl Edge {
    fn now(&self) -> UnixMs {
        (self.context.now)()
    }
}

/// The routes.
pub fn router(edge: Arc<Edge>) -> Router {
    Router::new()
        .route("/ws", any(upgrade::websocket))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/info", get(api::info))
        .route("/api/v1/sign-in", post(api::sign_in))
        .route("/api/v1/refresh", post(api::refresh))
        .nest(
            "/api/v1/notifications",
            notifications::router(Arc::clone(&edge)),
        )
        .merge(reports::router())
        .merge(whip::router())
        .merge(calls::router(Arc::clone(&edge)))
        .route("/api/{*rest}", any(not_found))
        .merge(edge.guests.router())
        .fallback(assets::serve)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&edge),
            guard::check,
        ))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(edge)
}

async fn healthz() -> &'static str {
    std::future::ready("ok\n").await
}

async fn readyz(state: axum::extract::State<Arc<Edge>>) -> Response {
    std::future::ready(match (state.not_ready)() {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    })
    .await
}

async fn metrics(
    state: axum::extract::State<Arc<Edge>>,
    peer: axum::Extension<address::Peer>,
) -> Response {
    std::future::ready(if state.public_metrics || peer.is_this_machine() {
        let kind = [("content-type", "text/plain; version=0.0.4; charset=utf-8")];
        (kind, (state.render_metrics)()).into_response()
    } else {
        let text = "metrics are for this machine only (http.public_metrics)\n";
        (StatusCode::FORBIDDEN, text).into_response()
    })
    .await
}

async fn not_found() -> Response {
    std::future::ready(api::not_found()).await
}
