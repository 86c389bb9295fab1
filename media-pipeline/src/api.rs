//! What people and back ends ask of clips. gRPC and HTTP are two forms of this trait; `service` carries it out.

use crate::checksum::ChecksumKind;
use crate::model::{Clip, ClipId, ClipState, Declared, Language, UploadMode};
use crate::ports::{Credentials, Page, Part, PartPlan, Query, SignedForm, SignedRequest};
use futures_util::stream::BoxStream;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::ServerRole;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

/// An answer to come. Dropping it does not undo what has begun.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + 'a>>;

/// Who asks, and until when they wait.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The person on whose behalf: the token's, or the one whom an allowed back end names.
    pub user: UserId,
    /// What they may do on this server.
    pub role: ServerRole,
    /// The back end that asks for them (service-to-service token), if it is one.
    pub service: Option<String>,
    /// When they give up waiting.
    pub deadline: Option<UnixMs>,
    /// The mutation's key: a UUID. The same key and request get the first answer, another request is refused.
    pub request_id: Option<String>,
}

/// Clips, as they are asked for.
pub trait Clips: Send + Sync + 'static {
    /// Registers a clip.
    fn create<'a>(&'a self, caller: &'a Caller, new: NewClip) -> Answer<'a, Clip>;
    /// A way to upload: signed part URLs, a form, or credentials.
    fn grant<'a>(&'a self, caller: &'a Caller, clip: ClipId, want: WantGrant) -> Answer<'a, Grant>;
    /// Parts that have arrived, for going on after a break.
    fn parts<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Vec<Part>>;
    /// All parts are there (empty: whatever arrived).
    fn complete<'a>(
        &'a self,
        caller: &'a Caller,
        clip: ClipId,
        parts: Vec<Part>,
    ) -> Answer<'a, Clip>;
    /// Gives the upload up.
    fn abort<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip>;
    /// One clip.
    fn get<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip>;
    /// Those of at most 100 that the caller may see.
    fn get_many<'a>(&'a self, caller: &'a Caller, clips: Vec<ClipId>) -> Answer<'a, Vec<Clip>>;
    /// A page of a room's or a person's clips.
    fn list<'a>(&'a self, caller: &'a Caller, query: Query) -> Answer<'a, Page>;
    /// A snapshot, then changes; goes on after `after` (a revision) if that is still known.
    fn watch<'a>(
        &'a self,
        caller: &'a Caller,
        what: Watch,
        after: Option<u64>,
    ) -> Answer<'a, BoxStream<'static, Result<WatchItem, ApiError>>>;
    /// Transcodes a failed clip again.
    fn retry<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip>;
    /// Stops it.
    fn cancel<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip>;
    /// Deletes it, its objects and its message.
    fn delete<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip>;
    /// A token to play it.
    fn playback<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Playback>;
    /// Shows it in another room as well; both rooms' rules are asked.
    fn share<'a>(&'a self, caller: &'a Caller, clip: ClipId, room: RoomId) -> Answer<'a, u64>;
    /// Adds or replaces subtitles (WebVTT, at most 1 MiB).
    fn add_captions<'a>(
        &'a self,
        caller: &'a Caller,
        clip: ClipId,
        language: Language,
        label: String,
        vtt: String,
    ) -> Answer<'a, Clip>;
}

/// A clip that is to be.
#[derive(Debug, Clone)]
pub struct NewClip {
    /// Where it will be shared.
    pub room: RoomId,
    /// What people call it; empty: the file's name.
    pub title: String,
    /// The file.
    pub declared: Declared,
    /// The caller's own notes.
    pub labels: BTreeMap<String, String>,
    /// Its message appears in the room at once, and shows how far it is.
    pub share: bool,
}

/// Which way in.
#[derive(Debug, Clone)]
pub struct WantGrant {
    /// How.
    pub mode: UploadMode,
    /// For which parts (multipart); at most 100 at once.
    pub parts: Vec<PartPlan>,
}

/// A way in.
#[derive(Debug)]
pub enum Grant {
    /// Signed URLs, in the order asked for.
    Parts {
        /// Bytes of every part but the last.
        part_size: u64,
        /// One for each part asked for, by number.
        requests: Vec<(u32, SignedRequest)>,
        /// When the upload is given up.
        expires: UnixMs,
        /// What the parts' checksums are.
        checksum: ChecksumKind,
    },
    /// A form.
    Form(SignedForm),
    /// Credentials.
    Credentials(Credentials),
}

/// What to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// One clip.
    Clip(ClipId),
    /// All of a room.
    Room(RoomId),
}

/// What a watcher gets. Of one clip's progress the latest may replace older ones; a state is never left out.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchItem {
    /// How it is at the beginning.
    Snapshot {
        /// Go on from here.
        revision: u64,
        /// All clips that are watched (of a room the newest 100).
        clips: Vec<Clip>,
    },
    /// It changed.
    Changed {
        /// Go on from here.
        revision: u64,
        /// How it is now.
        clip: Box<Clip>,
    },
    /// Nothing happened for 15 s.
    Heartbeat {
        /// Go on from here.
        revision: u64,
    },
}

/// The right to play a clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playback {
    /// `/v/{token}/{clip}/…/master.m3u8`, or the picture or sound file itself.
    pub url: String,
    /// The poster, by the same token.
    pub poster: Option<String>,
    /// Scrubbing pictures' WebVTT.
    pub sprite: Option<String>,
    /// Subtitles: language, label, URL.
    pub captions: Vec<(Language, String, String)>,
    /// CloudFront's cookies, where it is in front.
    pub cookies: Vec<(String, String)>,
    /// When it ends.
    pub expires: UnixMs,
}

/// Why not. `reason`s are API: docs/clips.md lists them, and a test compares.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No such clip or room, or none that the caller may know of. (HTTP 404, gRPC NOT_FOUND)
    #[error("not found")]
    NotFound,
    /// Not with their rights. (403, PERMISSION_DENIED)
    #[error("not allowed: {0}")]
    Denied(&'static str),
    /// The request is wrong. (422, INVALID_ARGUMENT with `field_violations`)
    #[error("invalid request")]
    Invalid(Vec<Violation>),
    /// The same key was used for another request. (422, INVALID_ARGUMENT `IDEMPOTENCY_KEY_REUSED`)
    #[error("the request id was used for another request")]
    KeyReused,
    /// Not in this state. (409, FAILED_PRECONDITION `CLIP_STATE`)
    #[error("the clip is {0:?}")]
    State(ClipState),
    /// Somebody changed it at the same time: ask again. (409, ABORTED)
    #[error("the clip has changed meanwhile")]
    Conflict,
    /// Too much. (429, RESOURCE_EXHAUSTED with `QuotaFailure` and `RetryInfo`)
    #[error("too much: {what}")]
    Quota {
        /// Of what.
        what: &'static str,
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// Something behind does not answer. (503, UNAVAILABLE with `RetryInfo`)
    #[error("not available now: {0}")]
    Unavailable(&'static str),
    /// The time that the caller gave is over. (504, DEADLINE_EXCEEDED)
    #[error("the deadline has passed")]
    Deadline,
    /// The revision to go on from is not known any more: take a snapshot. (410, OUT_OF_RANGE)
    #[error("that revision is not known any more")]
    Compacted,
    /// What was uploaded is not what was promised. (422, DATA_LOSS)
    #[error("the upload is not what was promised: {0}")]
    Corrupt(String),
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Such as `declared.size`.
    pub field: &'static str,
    /// For people: what is allowed.
    pub description: String,
}
