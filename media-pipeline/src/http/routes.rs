//! The routes, once: the router and the document are both made of this table.

use super::{answer, watch};
use crate::api::Watch;
use crate::authz::Operation;
use crate::front::{AdminCall, Call, Done, Front, request_id};
use crate::refusal::{Reason, Refusal};
use crate::wire;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post, put};
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use kaiwa_proto::media::v1;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One route.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Of the document; the call's name.
    pub(super) id: &'static str,
    pub(super) operation: Operation,
    /// The body's message.
    pub(super) body: Option<&'static str>,
    /// The answer's message.
    pub(super) answer: &'static str,
    pub(super) status: u16,
    /// Query and header parameters.
    pub(super) parameters: &'static [&'static str],
    pub(super) handler: fn() -> MethodRouter<Arc<Front>>,
}

macro_rules! routes {
    ($($method:ident $path:literal $id:literal $operation:ident $body:expr => $status:literal $answer:literal [$($parameter:literal),*] $handler:expr;)*) => {
        pub(super) const ROUTES: &[Route] = &[$(Route {
            method: stringify!($method),
            path: $path,
            id: $id,
            operation: Operation::$operation,
            body: $body,
            answer: $answer,
            status: $status,
            parameters: &[$($parameter),*],
            handler: || $method($handler),
        },)*];
    };
}

routes! {
    post "/api/v1/clips" "CreateClip" Create Some("CreateClipRequest") => 201 "Clip" ["Idempotency-Key"] create;
    get "/api/v1/clips" "ListClips" List None => 200 "ListClipsResponse" ["roomId", "uploaderId", "state", "pageSize", "pageToken"] list;
    post "/api/v1/clips/batch-get" "BatchGetClips" Get Some("BatchGetClipsRequest") => 200 "BatchGetClipsResponse" [] json::<v1::BatchGetClipsRequest>;
    get "/api/v1/clips/watch" "WatchRoomClips" Watch None => 200 "ClipEvent" ["roomId", "resumeRevision", "Last-Event-ID"] watch_room;
    get "/api/v1/clips/stuck" "ListStuckJobs" Admin None => 200 "ListStuckJobsResponse" ["pageSize"] stuck;
    get "/api/v1/clips/dead-letters" "ListDeadLetters" Admin None => 200 "ListDeadLettersResponse" ["queue", "reason", "pageSize"] letters;
    post "/api/v1/clips/dead-letters/redrive" "RedriveDeadLetters" Admin Some("RedriveDeadLettersRequest") => 200 "RedriveDeadLettersResponse" ["Idempotency-Key"] redrive;
    get "/api/v1/clips/{clip}" "GetClip" Get None => 200 "Clip" ["If-None-Match"] read;
    delete "/api/v1/clips/{clip}" "DeleteClip" Delete None => 200 "Clip" ["Idempotency-Key"] named::<v1::DeleteClipRequest>;
    get "/api/v1/clips/{clip}/watch" "WatchClip" Watch None => 200 "ClipEvent" ["resumeRevision", "Last-Event-ID"] watch_clip;
    post "/api/v1/clips/{clip}/upload" "IssueUploadCredentials" Grant Some("IssueUploadCredentialsRequest") => 200 "UploadGrant" ["Idempotency-Key"] bodied::<v1::IssueUploadCredentialsRequest>;
    get "/api/v1/clips/{clip}/parts" "ListUploadedParts" Parts None => 200 "UploadedParts" [] named::<v1::ListUploadedPartsRequest>;
    post "/api/v1/clips/{clip}/complete" "CompleteUpload" Complete Some("CompleteUploadRequest") => 200 "Clip" ["Idempotency-Key"] bodied::<v1::CompleteUploadRequest>;
    post "/api/v1/clips/{clip}/abort" "AbortUpload" Abort None => 200 "Clip" ["Idempotency-Key"] named::<v1::AbortUploadRequest>;
    post "/api/v1/clips/{clip}/retry" "RetryTranscode" Retry None => 200 "Clip" ["Idempotency-Key"] named::<v1::RetryTranscodeRequest>;
    post "/api/v1/clips/{clip}/cancel" "CancelClip" Cancel None => 200 "Clip" ["Idempotency-Key"] named::<v1::CancelClipRequest>;
    post "/api/v1/clips/{clip}/playback" "IssuePlayback" Playback None => 200 "PlaybackGrant" [] named::<v1::IssuePlaybackRequest>;
    post "/api/v1/clips/{clip}/share" "ShareClip" Share Some("ShareClipRequest") => 200 "ShareClipResponse" ["Idempotency-Key"] bodied::<v1::ShareClipRequest>;
    put "/api/v1/clips/{clip}/captions/{language}" "AddCaptions" Captions Some("text/vtt") => 200 "Clip" ["label", "Idempotency-Key"] captions;
}

type Front_ = State<Arc<Front>>;
type Params = Query<BTreeMap<String, String>>;
type Clip_ = Result<Path<String>, PathRejection>;
type Body = Result<Bytes, BytesRejection>;

/// Requests that name a clip and take a key.
trait Named: Call {
    fn fill(&mut self, clip: String, key: Option<String>);
}

macro_rules! named {
    (once $($type:ident)*) => { $(impl Named for v1::$type {
        fn fill(&mut self, clip: String, key: Option<String>) {
            self.clip_id = clip;
            if let Some(key) = key {
                self.request_id = key;
            }
        }
    })* };
    (read $($type:ident)*) => { $(impl Named for v1::$type {
        fn fill(&mut self, clip: String, _key: Option<String>) {
            self.clip_id = clip;
        }
    })* };
}
named!(once DeleteClipRequest IssueUploadCredentialsRequest CompleteUploadRequest AbortUploadRequest
    RetryTranscodeRequest CancelClipRequest ShareClipRequest AddCaptionsRequest);
named!(read GetClipRequest ListUploadedPartsRequest IssuePlaybackRequest);

/// Carries it out if the request could be read; who asks is looked at first in either case.
async fn run<C>(
    front: &Front,
    headers: &HeaderMap,
    call: Result<C, Refusal>,
    status: StatusCode,
) -> Response
where
    C: Call,
    C::Answer: Serialize,
{
    let name = request_id(headers);
    let done = match call {
        Ok(call) => Box::pin(front.call(headers, call)).await,
        Err(refusal) => unread(
            front.enter(headers, C::OPERATION, "", C::WAITS).err(),
            refusal,
        ),
    };
    answer::finish(C::NAME, &name, done, status)
}

async fn run_admin<C>(front: &Front, headers: &HeaderMap, call: Result<C, Refusal>) -> Response
where
    C: AdminCall,
    C::Answer: Serialize,
{
    let name = request_id(headers);
    let done = match call {
        Ok(call) => Box::pin(front.admin_call(headers, call)).await,
        Err(refusal) => {
            let waits = kaiwa_common::limits::CLIP_CALL;
            unread(
                front.enter(headers, Operation::Admin, "", waits).err(),
                refusal,
            )
        }
    };
    answer::finish(C::NAME, &name, done, StatusCode::OK)
}

fn unread<T>(first: Option<Refusal>, then: Refusal) -> Done<T> {
    Done {
        answer: Err(first.unwrap_or(then)),
        is_replay: false,
    }
}

fn parse<T: DeserializeOwned + Default>(headers: &HeaderMap, body: Body) -> Result<T, Refusal> {
    let body = whole(body)?;
    if body.is_empty() {
        return Ok(T::default());
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok());
    let kind = content_type
        .and_then(|t| t.split(';').next())
        .unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/json") {
        return Err(Refusal::field("content-type", "application/json"));
    }
    serde_json::from_slice(&body).map_err(|wrong| {
        // Where, and not what: it may be a file's name.
        let (line, column) = (wrong.line(), wrong.column());
        let what =
            format!("JSON as the document says; it is wrong at line {line}, column {column}");
        Refusal::field("body", what)
    })
}

fn whole(body: Body) -> Result<Bytes, Refusal> {
    body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Refusal::new(Reason::TooLarge, "the body is too large")
        } else {
            Refusal::field("body", "a body that arrives whole")
        }
    })
}

/// What can't be decoded is no id either: it is refused as such, after who asks is known.
fn id(clip: Clip_) -> String {
    clip.map(|Path(clip)| clip).unwrap_or_default()
}

fn key(headers: &HeaderMap) -> Option<String> {
    let key = headers.get("idempotency-key")?;
    // What is no text is no UUID either.
    Some(key.to_str().unwrap_or("?").to_owned())
}

async fn create(State(front): Front_, headers: HeaderMap, body: Body) -> Response {
    let call = parse::<v1::CreateClipRequest>(&headers, body).map(|mut call| {
        if let Some(key) = key(&headers) {
            call.request_id = key;
        }
        call
    });
    run(&front, &headers, call, StatusCode::CREATED).await
}

async fn json<C>(State(front): Front_, headers: HeaderMap, body: Body) -> Response
where
    C: Call + DeserializeOwned + Default,
    C::Answer: Serialize,
{
    let call = parse::<C>(&headers, body);
    run(&front, &headers, call, StatusCode::OK).await
}

async fn named<C>(State(front): Front_, clip: Clip_, headers: HeaderMap) -> Response
where
    C: Named + Default,
    C::Answer: Serialize,
{
    let mut call = C::default();
    call.fill(id(clip), key(&headers));
    run(&front, &headers, Ok(call), StatusCode::OK).await
}

async fn bodied<C>(State(front): Front_, clip: Clip_, headers: HeaderMap, body: Body) -> Response
where
    C: Named + DeserializeOwned + Default,
    C::Answer: Serialize,
{
    let call = parse::<C>(&headers, body).map(|mut call| {
        call.fill(id(clip), key(&headers));
        call
    });
    run(&front, &headers, call, StatusCode::OK).await
}

async fn read(State(front): Front_, clip: Clip_, headers: HeaderMap) -> Response {
    let name = request_id(&headers);
    let call = v1::GetClipRequest { clip_id: id(clip) };
    let done = Box::pin(front.call(&headers, call)).await;
    let Ok(clip) = &done.answer else {
        return answer::finish("GetClipRequest", &name, done, StatusCode::OK);
    };
    let tag = format!("\"{}-{}\"", clip.id, clip.version);
    let known = headers
        .get(IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok());
    let mut response = if known.is_some_and(|known| matches(known, &tag)) {
        let mut response = answer::bare(
            &name,
            StatusCode::NOT_MODIFIED,
            "",
            axum::body::Body::empty(),
        );
        response.headers_mut().remove(CONTENT_TYPE);
        response
    } else {
        answer::finish("GetClipRequest", &name, done, StatusCode::OK)
    };
    answer::tag(&mut response, &tag);
    debug_assert!(response.headers().contains_key(ETAG));
    response
}

/// RFC 9110, section 13.1.2: by weak comparison.
fn matches(known: &str, tag: &str) -> bool {
    let mut known = known.split(',').map(str::trim);
    known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

async fn list(State(front): Front_, Query(params): Params, headers: HeaderMap) -> Response {
    let call = || {
        let state = params.get("state").map(String::as_str).unwrap_or_default();
        let states = state.split(',').filter(|name| !name.is_empty());
        let states = states.take(14).map(|name| {
            let state = v1::ClipState::from_str_name(name).map(i32::from);
            state.ok_or_else(|| Refusal::field("state", "of ClipState, separated by commas"))
        });
        Ok(v1::ListClipsRequest {
            room_id: text(&params, "roomId"),
            uploader_id: text(&params, "uploaderId"),
            states: states.collect::<Result<_, Refusal>>()?,
            page_size: number(&params, "pageSize")?.unwrap_or(0),
            page_token: text(&params, "pageToken"),
        })
    };
    run(&front, &headers, call(), StatusCode::OK).await
}

fn text(params: &BTreeMap<String, String>, name: &str) -> String {
    params.get(name).cloned().unwrap_or_default()
}

fn number<T: std::str::FromStr>(
    params: &BTreeMap<String, String>,
    name: &'static str,
) -> Result<Option<T>, Refusal> {
    let found = params.get(name).map(|text| text.parse());
    let found = found.transpose();
    found.map_err(|_| Refusal::field(name, "a whole number"))
}

async fn stuck(State(front): Front_, Query(params): Params, headers: HeaderMap) -> Response {
    let size = number(&params, "pageSize").map(Option::unwrap_or_default);
    let call = size.map(|page_size| v1::ListStuckJobsRequest { page_size });
    run_admin(&front, &headers, call).await
}

async fn letters(State(front): Front_, Query(params): Params, headers: HeaderMap) -> Response {
    let size = number(&params, "pageSize").map(Option::unwrap_or_default);
    let call = size.map(|page_size| v1::ListDeadLettersRequest {
        queue: text(&params, "queue"),
        reason: text(&params, "reason"),
        page_size,
    });
    run_admin(&front, &headers, call).await
}

async fn redrive(State(front): Front_, headers: HeaderMap, body: Body) -> Response {
    let call = parse::<v1::RedriveDeadLettersRequest>(&headers, body).map(|mut call| {
        if let Some(key) = key(&headers) {
            call.request_id = key;
        }
        call
    });
    run_admin(&front, &headers, call).await
}

async fn captions(
    State(front): Front_,
    named: Result<Path<(String, String)>, PathRejection>,
    Query(params): Params,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (clip, language) = named.map(|Path(named)| named).unwrap_or_default();
    let call = whole(body).and_then(|body| {
        let vtt = String::from_utf8(body.into());
        let vtt = vtt.map_err(|_| Refusal::field("vtt", "text in UTF-8"))?;
        let mut call = v1::AddCaptionsRequest {
            language,
            label: text(&params, "label"),
            vtt,
            ..v1::AddCaptionsRequest::default()
        };
        call.fill(clip, key(&headers));
        Ok(call)
    });
    run(&front, &headers, call, StatusCode::OK).await
}

async fn watch_clip(
    State(front): Front_,
    clip: Clip_,
    Query(params): Params,
    headers: HeaderMap,
) -> Response {
    let what = wire::clip_id(&id(clip)).map(Watch::Clip);
    let after = number(&params, "resumeRevision");
    watch::watch(&front, &headers, what, after).await
}

async fn watch_room(State(front): Front_, Query(params): Params, headers: HeaderMap) -> Response {
    let what = wire::room_id(&text(&params, "roomId")).map(Watch::Room);
    let after = number(&params, "resumeRevision");
    watch::watch(&front, &headers, what, after).await
}
