//! A small HTTP API beside a double, for tests in other languages and processes.
//!
//! | request | does |
//! |---|---|
//! | `GET /` | `{kind, url, ca_pem, credentials}` |
//! | `POST /subscriptions` | makes a Web Push subscription: `{endpoint, p256dh, auth, device}` |
//! | `POST /script` | appends a [`Step`] |
//! | `DELETE /script` | forgets the script |
//! | `POST /goaway` | every open connection says GOAWAY |
//! | `GET /report` | a [`Report`](crate::Report) |
//! | `GET /deliveries` | the latest messages that were accepted |
//! | `DELETE /report` | forgets what has come |

use crate::script::Step;
use crate::server::{Answer, answer};
use crate::{Double, Kind};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A double with its API on a port of its own, plain HTTP on 127.0.0.1.
pub struct Control {
    double: Arc<Double>,
    listener: TcpListener,
}

impl Control {
    /// Binds; `port` 0 for any.
    ///
    /// # Errors
    /// The port can't be had.
    pub async fn bind(double: Double, port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        Ok(Self {
            double: Arc::new(double),
            listener,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// What `GET /` answers.
    #[must_use]
    pub fn info(&self) -> Value {
        info(&self.double)
    }

    /// Serves until it is dropped.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn serve(self) -> anyhow::Result<()> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let double = Arc::clone(&self.double);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let double = Arc::clone(&double);
                    async move { Ok::<_, Infallible>(handle(&double, request).await) }
                });
                let server = hyper::server::conn::http1::Builder::new();
                // A caller that hangs up has its answer or wants none.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }
}

fn info(double: &Double) -> Value {
    json!({
        "kind": double.state.options.kind,
        "url": double.url(),
        "ca_pem": double.ca_pem(),
        "credentials": double.credentials(),
    })
}

async fn handle(double: &Double, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, 1 << 16).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return answer(StatusCode::BAD_REQUEST, "the request can't be read"),
    };
    match act(double, &head.method, head.uri.path(), &body) {
        Ok(value) => answer(StatusCode::OK, value.to_string()),
        Err((status, reason)) => answer(status, reason),
    }
}

fn act(
    double: &Double,
    method: &Method,
    path: &str,
    body: &Bytes,
) -> Result<Value, (StatusCode, String)> {
    let failed = |error: String| (StatusCode::BAD_REQUEST, error);
    let json = |value: Result<Value, serde_json::Error>| value.map_err(|e| failed(e.to_string()));
    match (method.as_str(), path) {
        ("GET", "/") => Ok(info(double)),
        ("POST", "/subscriptions") if double.state.options.kind == Kind::Webpush => {
            let made = double
                .subscribe()
                .map_err(|error| failed(error.to_string()))?;
            json(serde_json::to_value(made))
        }
        ("POST", "/script") => {
            let step: Step = serde_json::from_slice(body).map_err(|e| failed(e.to_string()))?;
            double.script(step);
            Ok(json!({}))
        }
        ("DELETE", "/script") => {
            double.clear_script();
            Ok(json!({}))
        }
        ("POST", "/goaway") => {
            double.go_away();
            Ok(json!({}))
        }
        ("GET", "/report") => json(serde_json::to_value(double.report())),
        ("GET", "/deliveries") => json(serde_json::to_value(double.deliveries())),
        ("DELETE", "/report") => {
            double.reset();
            Ok(json!({}))
        }
        _ => Err((StatusCode::NOT_FOUND, "no such path".to_owned())),
    }
}
