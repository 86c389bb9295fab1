//! The routes that take path tokens.
//!
//! Who has no right to what they ask for gets 403, always the same, whatever is wrong: the token, its time, its room's
//! epoch, the clip, the name. Logs have the clip and what was decided; no URL, and no token.

use super::files;
use super::range::{Wanted, wanted};
use super::source::{Playable, PlayableClips, PlayableFile};
use super::token::{Claims, PlaybackKeys, room_epoch};
use crate::ports::{ObjectError, ObjectInfo, Objects, RoomAuthz};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use futures_util::StreamExt as _;
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, IF_NONE_MATCH, IF_RANGE, ORIGIN, RANGE, REFERRER_POLICY, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use kaiwa_common::id::UserId;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::clock::Clock;
use std::sync::Arc;
use std::time::Duration;

/// How long a browser may keep a segment, within the token's life.
const KEEP: Duration = Duration::from_secs(3600);
/// And a playlist, which a retry replaces.
const KEEP_PLAYLIST: Duration = Duration::from_secs(60);

/// How it is served.
#[derive(Debug, Clone, Default)]
pub struct PlaybackSettings {
    /// Origins whose pages may read what is played; none: all may, since the token is the right.
    pub origins: Vec<String>,
}

/// What is needed to serve.
struct Playing {
    keys: Arc<PlaybackKeys>,
    clips: Arc<dyn PlayableClips>,
    rooms: Arc<dyn RoomAuthz>,
    objects: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
    settings: PlaybackSettings,
}

/// `/v/…`: these clips' objects, to who has a token of these keys.
pub fn router(
    keys: Arc<PlaybackKeys>,
    (clips, rooms): (Arc<dyn PlayableClips>, Arc<dyn RoomAuthz>),
    objects: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
    settings: PlaybackSettings,
) -> Router {
    let playing = Arc::new(Playing {
        keys,
        clips,
        rooms,
        objects,
        clock,
        settings,
    });
    Router::new()
        .route("/v/", any(play))
        .route("/v/{*rest}", any(play))
        .with_state(playing)
}

/// Why it is not sent.
#[derive(Debug)]
enum Refused {
    /// 403; the text is for the log.
    No(&'static str),
    /// 503.
    NotNow(&'static str),
    /// 416: of this size.
    Outside(u64),
}

async fn play(State(playing): State<Arc<Playing>>, request: Request) -> Response {
    let (method, headers) = (request.method(), request.headers());
    if method == Method::OPTIONS {
        return playing.finish(headers, preflight());
    }
    let response = match Box::pin(playing.answer(method, headers, request.uri().path())).await {
        Ok(response) => response,
        Err(Refused::No(why)) => {
            tracing::debug!(why, "playback is refused");
            plain(StatusCode::FORBIDDEN, "forbidden\n")
        }
        Err(Refused::NotNow(why)) => {
            tracing::warn!(why, "playback is not available");
            let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "not available now\n");
            set(&mut response, RETRY_AFTER, "1");
            response
        }
        Err(Refused::Outside(size)) => {
            let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE, "");
            set(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
            response
        }
    };
    playing.finish(headers, response)
}

impl Playing {
    async fn answer(
        &self,
        method: &Method,
        headers: &HeaderMap,
        path: &str,
    ) -> Result<Response, Refused> {
        if method != Method::GET && method != Method::HEAD {
            return Err(Refused::No("another method"));
        }
        // As it was sent: nothing in a right path has to be decoded.
        let rest = path.strip_prefix("/v/").unwrap_or_default();
        let mut parts = rest.splitn(3, '/');
        let (Some(token), Some(clip), Some(file)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Refused::No("not a path of ours"));
        };
        let (claims, user) = self
            .keys
            .open_named(token, self.clock.now())
            .ok_or(Refused::No("the token"))?;
        if clip != claims.clip.to_string() {
            return Err(Refused::No("another clip"));
        }
        if !files::is_plain(file) {
            return Err(Refused::No("the name"));
        }
        let playable = self.playable(&claims, user.as_ref()).await?;
        let file = playable
            .files
            .get(file)
            .ok_or(Refused::No("no such file"))?;
        let response = self.file(method, headers, file, claims.expires).await?;
        tracing::debug!(clip = %claims.clip, status = response.status().as_u16(), "playback");
        Ok(response)
    }

    async fn playable(&self, claims: &Claims, user: Option<&UserId>) -> Result<Playable, Refused> {
        let found = self.clips.playable(claims.clip).await;
        let found = found.map_err(|_| Refused::NotNow("the clips' store"))?;
        let playable = found.ok_or(Refused::No("no clip that is ready"))?;
        for room in &playable.rooms {
            let epoch = self.rooms.epoch(room).await;
            let epoch = epoch.map_err(|_| Refused::NotNow("the rooms' store"))?;
            if room_epoch(room, epoch) != claims.epoch {
                continue;
            }
            let still = self.rooms.still(user, room).await;
            return match still.map_err(|_| Refused::NotNow("the permission hook"))? {
                true => Ok(playable),
                false => Err(Refused::No("the permission hook")),
            };
        }
        Err(Refused::No("another epoch of the room"))
    }

    async fn file(
        &self,
        method: &Method,
        headers: &HeaderMap,
        file: &PlayableFile,
        expires: UnixMs,
    ) -> Result<Response, Refused> {
        let info = self.objects.head(&file.key).await.map_err(|e| object(&e))?;
        let info = info.ok_or(Refused::No("no such object"))?;
        if file.mark.as_ref().is_some_and(|mark| *mark != info.etag) {
            return Err(Refused::No("other bytes than were looked at"));
        }
        let tag = format!("\"{}\"", info.etag.trim_matches('"'));
        let mut response = Response::new(Body::empty());
        set(&mut response, CONTENT_TYPE, file.content_type);
        set(&mut response, ETAG, &tag);
        set(&mut response, ACCEPT_RANGES, "bytes");
        let keep = self.keep(file.content_type, expires);
        set(&mut response, CACHE_CONTROL, &keep);
        let known = text(headers, IF_NONE_MATCH).unwrap_or_default();
        if known
            .split(',')
            .any(|known| known.trim() == tag || known.trim() == "*")
        {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        let is_same = text(headers, IF_RANGE).is_none_or(|seen| seen == tag);
        let range = text(headers, RANGE).filter(|_| is_same && method == Method::GET);
        let part = match wanted(range, info.size) {
            Wanted::Whole => None,
            Wanted::Part(from, to) => Some((from, to)),
            Wanted::Outside => return Err(Refused::Outside(info.size)),
        };
        let length = part.map_or(info.size, |(from, to)| to - from);
        set(&mut response, CONTENT_LENGTH, &length.to_string());
        if let Some((from, to)) = part {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {from}-{}/{}", to - 1, info.size);
            set(&mut response, CONTENT_RANGE, &range);
        }
        if method == Method::GET {
            *response.body_mut() = self.body(file, &info, part).await?;
        }
        Ok(response)
    }

    async fn body(
        &self,
        file: &PlayableFile,
        info: &ObjectInfo,
        part: Option<(u64, u64)>,
    ) -> Result<Body, Refused> {
        let reading = self
            .objects
            .read(&file.key, part)
            .await
            .map_err(|e| object(&e))?;
        if reading.info.size != info.size {
            return Err(Refused::NotNow("an object that changes"));
        }
        let bytes = reading.bytes.map(|piece| {
            // The connection breaks, so that nobody takes the rest for the whole.
            piece.inspect_err(|error| tracing::warn!(%error, "an object ends early"))
        });
        Ok(Body::from_stream(bytes))
    }

    fn keep(&self, content_type: &str, expires: UnixMs) -> String {
        let left = expires.since(self.clock.now()).as_secs();
        // What may be replaced under its name: a retry's playlist, subtitles.
        let changes = content_type.starts_with("text/vtt") || content_type.ends_with("mpegurl");
        if changes {
            format!("private, max-age={}", left.min(KEEP_PLAYLIST.as_secs()))
        } else {
            format!("private, max-age={}, immutable", left.min(KEEP.as_secs()))
        }
    }

    /// Headers that every answer has: it is no document, tells nobody where it was, and pages may read it.
    fn finish(&self, headers: &HeaderMap, mut response: Response) -> Response {
        set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(
            &mut response,
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox",
        );
        set(&mut response, REFERRER_POLICY, "no-referrer");
        set(
            &mut response,
            HeaderName::from_static("cross-origin-resource-policy"),
            "cross-origin",
        );
        set(
            &mut response,
            ACCESS_CONTROL_EXPOSE_HEADERS,
            "accept-ranges, content-length, content-range, etag",
        );
        if self.settings.origins.is_empty() {
            set(&mut response, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
            return response;
        }
        set(&mut response, VARY, "origin");
        let origin = text(headers, ORIGIN).unwrap_or_default();
        if self
            .settings
            .origins
            .iter()
            .any(|allowed| allowed == origin)
        {
            set(&mut response, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        response
    }
}

fn object(error: &ObjectError) -> Refused {
    match error {
        ObjectError::NotFound => Refused::No("no such object"),
        ObjectError::Unavailable(_)
        | ObjectError::Mismatch(_)
        | ObjectError::Refused(_)
        | ObjectError::Unsupported(_) => Refused::NotNow("the object store"),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn plain(status: StatusCode, body: &'static str) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, "text/plain; charset=utf-8");
    set(&mut response, CACHE_CONTROL, "no-store");
    response
}

fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    set(&mut response, ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD");
    set(
        &mut response,
        ACCESS_CONTROL_ALLOW_HEADERS,
        "range, if-range, if-none-match",
    );
    set(&mut response, ACCESS_CONTROL_MAX_AGE, "600");
    response
}
