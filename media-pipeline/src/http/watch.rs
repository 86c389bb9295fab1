//! Watches as server-sent events (HTML, section 9.2).

use super::answer;
use crate::api::{ApiError, Watch, WatchItem};
use crate::front::{Front, request_id};
use crate::refusal::Refusal;
use crate::wire;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, StatusCode};
use kaiwa_proto::media::v1;
use std::convert::Infallible;

/// Where to go on: what a browser sends when it connects again.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) async fn watch(
    front: &Front,
    headers: &HeaderMap,
    what: Result<Watch, ApiError>,
    named: Result<Option<u64>, Refusal>,
) -> Response {
    let name = request_id(headers);
    let begun = Box::pin(begin(front, headers, what, named)).await;
    crate::front::log("Watch", &name, begun.as_ref().err());
    let watching = match begun {
        Ok(watching) => watching,
        Err(refusal) => return answer::refusal(&name, &refusal),
    };
    let named = name.clone();
    let events = watching.into_stream();
    let events = events.map(move |item| Ok::<_, Infallible>(text(&named, item)));
    let body = Body::from_stream(events);
    let mut response = answer::bare(&name, StatusCode::OK, "text/event-stream", body);
    // Proxies that collect answers would hold events back.
    answer::insert(
        &mut response,
        HeaderName::from_static("x-accel-buffering"),
        "no",
    );
    response
}

async fn begin(
    front: &Front,
    headers: &HeaderMap,
    what: Result<Watch, ApiError>,
    named: Result<Option<u64>, Refusal>,
) -> Result<crate::front::Watching, Refusal> {
    let last = match headers.get(LAST_EVENT_ID) {
        Some(last) => {
            let last = last.to_str().ok().and_then(|last| last.parse().ok());
            Some(last.ok_or_else(|| Refusal::field("last-event-id", "a revision")))
        }
        None => None,
    };
    // Who asks comes first: nothing is told to others, not even what is wrong.
    let what = match (&named, &last) {
        (Err(wrong), _) | (_, Some(Err(wrong))) => Err(ApiError::Invalid(wrong.violations.clone())),
        _ => what,
    };
    let after: Option<u64> = last.and_then(Result::ok).or(named.ok().flatten());
    front
        .watch(headers, what, wire::watch_after(after.unwrap_or(0)))
        .await
}

fn text(request: &str, item: Result<WatchItem, Refusal>) -> Bytes {
    let (id, kind, data) = match item {
        Ok(item) => {
            let kind = match &item {
                WatchItem::Snapshot { .. } => "snapshot",
                WatchItem::Changed { .. } => "changed",
                WatchItem::Heartbeat { .. } => "heartbeat",
            };
            let event: v1::ClipEvent = wire::event(item);
            let id = format!("id: {}\n", event.revision);
            (id, kind, serde_json::to_string(&event).unwrap_or_default())
        }
        Err(refusal) => {
            let error = answer::error(request, &refusal);
            (String::new(), "error", error.to_string())
        }
    };
    // JSON has no line breaks of its own.
    Bytes::from(format!("{id}event: {kind}\ndata: {data}\n\n"))
}
