//! What clips ask of others. The root binds these to adapters; each has a conformance suite in `tests/`.

use crate::api::Playback;
use crate::checksum::{Checksum, ChecksumKind};
use crate::model::{
    Backend, Clip, ClipError, ClipId, ClipState, Job, Outputs, Progress, Source, UploadMode,
};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::ServerRole;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

/// An answer to come. A write whose answer is dropped may have been done.
pub type Answer<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

// --- clips ---

/// Why the store does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Try again. A write may have been done.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// Somebody else changed the clip, or it is there already: read again.
    #[error("the clip has changed meanwhile")]
    Conflict,
    /// What is stored cannot be read.
    #[error("the store is broken: {0}")]
    Broken(String),
}

/// Where clips are kept.
pub trait ClipStore: Send + Sync + 'static {
    /// Adds a clip, with the answer that its request gets if it comes again. Gives the revision, as `update`.
    fn insert<'a>(
        &'a self,
        clip: &'a Clip,
        request: Option<&'a Request>,
    ) -> Answer<'a, u64, StoreError>;

    /// The clip, also a deleted one.
    fn get(&self, id: ClipId) -> Answer<'_, Option<Clip>, StoreError>;

    /// Those of them that are there, in any order; at most 100.
    fn get_many<'a>(&'a self, ids: &'a [ClipId]) -> Answer<'a, Vec<Clip>, StoreError>;

    /// Replaces the clip if its version is still `expected`; `clip.version` is `expected + 1`. Gives the
    /// revision, which is dense over all clips of this store or at least rising.
    fn update<'a>(
        &'a self,
        expected: u64,
        clip: &'a Clip,
        request: Option<&'a Request>,
    ) -> Answer<'a, u64, StoreError>;

    /// A page of clips, newest first.
    fn list<'a>(&'a self, query: &'a Query) -> Answer<'a, Page, StoreError>;

    /// Clips whose `due` has come, the longest due first.
    fn due(&self, now: UnixMs, limit: usize) -> Answer<'_, Vec<Clip>, StoreError>;

    /// The clip of a transcoder's job.
    fn by_job<'a>(&'a self, backend: Backend, job: &'a str)
    -> Answer<'a, Option<Clip>, StoreError>;

    /// What was answered to this request of this caller, within 24 h.
    fn answered<'a>(
        &'a self,
        caller: &'a str,
        request: &'a str,
    ) -> Answer<'a, Option<Request>, StoreError>;

    /// Notes a request that was answered and changed nothing. `Conflict`: its key was used within 24 h.
    fn note<'a>(&'a self, request: &'a Request) -> Answer<'a, (), StoreError>;

    /// Notes an event's id; false when it was there already. Kept for 7 days.
    fn first_time<'a>(&'a self, event: &'a str, now: UnixMs) -> Answer<'a, bool, StoreError>;

    /// The newest revision; 0 in an empty store.
    fn revision(&self) -> Answer<'_, u64, StoreError>;

    /// Clips that changed after this revision, each as it is now with its newest revision, in the order of
    /// those; at most `limit`.
    fn changes(&self, after: u64, limit: usize) -> Answer<'_, Vec<(u64, Clip)>, StoreError>;

    /// What this person has registered since then, and has under way.
    fn usage<'a>(&'a self, uploader: &'a UserId, since: UnixMs) -> Answer<'a, Usage, StoreError>;

    /// How many clips are in each state that is not over, where there are any: of `limit` or some more, if there are more
    /// than that. Cheap enough to be asked each ten seconds.
    fn under_way(&self, limit: usize) -> Answer<'_, BTreeMap<ClipState, usize>, StoreError>;

    /// Bytes that all clips' objects take up, or will when what was declared has come ([`Clip::stored_bytes`]). `None`: this
    /// store can't add them up.
    fn stored(&self) -> Answer<'_, Option<u64>, StoreError> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Forgets events and requests that are old; gives how many, at most some thousand at once.
    fn trim(&self, now: UnixMs) -> Answer<'_, usize, StoreError>;
}

/// What a person has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes declared, of all clips registered in that time, whatever became of them.
    pub bytes: u64,
    /// How long what was registered since then plays, as far as it was looked at ([`Chores::media`]).
    ///
    /// [`Chores::media`]: crate::model::Chores::media
    pub media: Duration,
    /// Clips that are registered or being uploaded now.
    pub open: u32,
}

/// A mutation that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asked.
    pub caller: String,
    /// The caller's key, a UUID.
    pub key: String,
    /// SHA-256 of the request without the key.
    pub hash: [u8; 32],
    /// Whom it was about.
    pub clip: ClipId,
    /// When.
    pub at: UnixMs,
}

/// Which clips.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Of this room.
    pub room: Option<RoomId>,
    /// Of this person.
    pub uploader: Option<UserId>,
    /// In one of these states; empty: all but deleted.
    pub states: Vec<crate::model::ClipState>,
    /// Older than this clip.
    pub before: Option<ClipId>,
    /// At most 100.
    pub limit: usize,
}

/// A page of clips.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// Newest first.
    pub clips: Vec<Clip>,
    /// There are older ones.
    pub more: bool,
}

// --- objects ---

/// Names of a clip's objects: `video/{user}/{yyyy}/{mm}/{clip}/source`, `…/processed/…`. Made of ids alone; what an
/// id has besides letters, digits, `.`, `_` and `-` is written `=XX`, and so is a dot at its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// `video/{user}/{yyyy}/{mm}/{clip}/`
    pub prefix: String,
}

/// Why the object store does not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// Try again. A write may have been done.
    #[error("the object store does not answer: {0}")]
    Unavailable(String),
    /// No such object or upload.
    #[error("there is no such object")]
    NotFound,
    /// What was sent is not what was promised: size, checksum, parts.
    #[error("the object is not what was promised: {0}")]
    Mismatch(String),
    /// Nobody but an operator can help: no right, wrong credentials, no bucket, a full disk.
    #[error("the object store refuses: {0}")]
    Refused(String),
    /// This store has no such way in.
    #[error("this object store does not offer it: {0}")]
    Unsupported(&'static str),
}

/// Where bytes are kept: a folder of this machine, or S3.
pub trait Objects: Send + Sync + 'static {
    /// Ways in that it offers.
    fn modes(&self) -> &[UploadMode];

    /// Begins an upload in parts, each of which will have a checksum of that kind. `None`: nobody has given one; a store
    /// that can do without takes [`ChecksumKind::UNASKED`] of them itself, another refuses (`Mismatch`).
    fn begin<'a>(
        &'a self,
        key: &'a str,
        content_type: &'a str,
        checksum: Option<ChecksumKind>,
    ) -> Answer<'a, String, ObjectError>;

    /// A URL that takes exactly this part: its number (1–10,000), length and checksum are signed. A checksum of another
    /// kind than the upload's is refused here or when the part comes.
    fn sign_part<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        part: &'a PartPlan,
        ttl: Duration,
    ) -> Answer<'a, SignedRequest, ObjectError>;

    /// A form that takes an object of at most `max` bytes.
    fn sign_post<'a>(
        &'a self,
        key: &'a str,
        content_type: &'a str,
        max: u64,
        ttl: Duration,
    ) -> Answer<'a, SignedForm, ObjectError>;

    /// Credentials that open exactly this key for writing, and nothing else.
    fn credentials<'a>(
        &'a self,
        key: &'a str,
        session: &'a str,
        ttl: Duration,
    ) -> Answer<'a, Credentials, ObjectError>;

    /// Parts that have arrived.
    fn parts<'a>(&'a self, key: &'a str, upload: &'a str) -> Answer<'a, Vec<Part>, ObjectError>;

    /// Makes the object of its parts; each that is named with a checksum has to be the one with that. A repeat after
    /// success succeeds.
    fn complete<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        parts: &'a [Part],
    ) -> Answer<'a, ObjectInfo, ObjectError>;

    /// Throws an upload away. One that is not there is thrown away already.
    fn abort<'a>(&'a self, key: &'a str, upload: &'a str) -> Answer<'a, (), ObjectError>;

    /// What is there.
    fn head<'a>(&'a self, key: &'a str) -> Answer<'a, Option<ObjectInfo>, ObjectError>;

    /// Its bytes, or those of a range (from, to exclusive).
    fn read<'a>(
        &'a self,
        key: &'a str,
        range: Option<(u64, u64)>,
    ) -> Answer<'a, Reading, ObjectError>;

    /// Stores bytes under a key, whole or not at all.
    fn put<'a>(
        &'a self,
        key: &'a str,
        content_type: &'a str,
        bytes: BoxStream<'a, std::io::Result<Bytes>>,
        size: u64,
    ) -> Answer<'a, ObjectInfo, ObjectError>;

    /// A path where the object can be read as a file, if the store has one; else it has to be fetched.
    fn local_path(&self, key: &str) -> Option<std::path::PathBuf>;

    /// Keys below a prefix, in order, after `after`; at most 1,000.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> Answer<'a, Vec<ObjectInfo>, ObjectError>;

    /// Deletes everything below a prefix that ends with `/`; gives how many.
    fn delete_prefix<'a>(&'a self, prefix: &'a str) -> Answer<'a, u64, ObjectError>;

    /// Uploads that were begun before `before` and neither completed nor aborted.
    fn stale_uploads(&self, before: UnixMs) -> Answer<'_, Vec<(String, String)>, ObjectError>;
}

/// A part that is to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPlan {
    /// 1–10,000.
    pub number: u32,
    /// Bytes.
    pub size: u64,
    /// Their sum, if the client gave it: then it is signed.
    pub checksum: Option<Checksum>,
}

/// A part that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// 1–10,000.
    pub number: u32,
    /// Bytes.
    pub size: u64,
    /// The store's mark of it.
    pub etag: String,
    /// Its sum, if the store has it.
    pub checksum: Option<Checksum>,
}

/// A request that anybody who holds it can make, until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// `PUT`.
    pub method: &'static str,
    /// Whole, or a path on this server beginning with `/`.
    pub url: String,
    /// To be sent exactly.
    pub headers: BTreeMap<String, String>,
    /// When it expires.
    pub expires: UnixMs,
}

/// A form (`multipart/form-data`) that anybody who holds it can post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedForm {
    /// Where to.
    pub url: String,
    /// Fields before the file, which is called `file` and comes last.
    pub fields: BTreeMap<String, String>,
    /// When it expires.
    pub expires: UnixMs,
}

/// Temporary credentials (STS).
#[derive(Debug)]
pub struct Credentials {
    /// Its public half.
    pub access_key_id: String,
    /// Its secret half.
    pub secret_access_key: Secret<String>,
    /// Goes with each request.
    pub session_token: Secret<String>,
    /// Where.
    pub region: String,
    /// In which bucket.
    pub bucket: String,
    /// The object that is to be written.
    pub key: String,
    /// Another address than Amazon's.
    pub endpoint: Option<String>,
    /// When they expire.
    pub expires: UnixMs,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// The store's mark of these bytes.
    pub etag: String,
    /// SHA-256 of all bytes, if the store has it.
    pub sha256: Option<[u8; 32]>,
    /// When it was stored.
    pub modified: UnixMs,
}

/// An object's bytes.
pub struct Reading {
    /// Of the whole object.
    pub info: ObjectInfo,
    /// In pieces of at most 256 KiB.
    pub bytes: BoxStream<'static, Result<Bytes, ObjectError>>,
}

// --- looking and transcoding ---

/// Looks at what arrived, before any work is spent on it.
pub trait Inspector: Send + Sync + 'static {
    /// What the bytes are, or why they may not be shared.
    fn inspect<'a>(&'a self, key: &'a str) -> Answer<'a, Source, InspectError>;
}

/// Why nothing is known of the bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// They are not what may be shared.
    #[error("refused: {}", .0.reason)]
    Rejected(ClipError),
    /// Try again: the store, the disk, the program.
    #[error("it can not be looked at now: {0}")]
    Unavailable(String),
}

/// Makes outputs of a source.
pub trait Transcoder: Send + Sync + 'static {
    /// Who it is.
    fn backend(&self) -> Backend;

    /// Hands a job over. The same clip and attempt again give the same job.
    fn submit<'a>(&'a self, order: &'a Order) -> Answer<'a, Job, TranscodeError>;

    /// What the transcoder says of a job now.
    fn report<'a>(
        &'a self,
        job: &'a Job,
        order: &'a Order,
    ) -> Answer<'a, Option<Report>, TranscodeError>;

    /// Stops a job. One that is over is stopped already.
    fn cancel<'a>(&'a self, job: &'a Job) -> Answer<'a, (), TranscodeError>;
}

/// What is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Whose.
    pub clip: ClipId,
    /// Which attempt.
    pub attempt: u32,
    /// The source's key.
    pub source_key: String,
    /// What the source is.
    pub source: Source,
    /// Outputs go below this, which ends with `/`.
    pub processed: String,
    /// Seconds of a segment: a multiple of 2.
    pub segment_s: u32,
}

/// What the transcoder says of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// It waits.
    Queued,
    /// It works.
    Working(Progress),
    /// All is written.
    Done(Outputs),
    /// It gave up.
    Failed(ClipError),
    /// It was stopped.
    Cancelled,
}

/// Why a call to the transcoder did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TranscodeError {
    /// Try again, not before this time.
    #[error("the transcoder does not answer: {message}")]
    Unavailable {
        /// What it said.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// It will not take this job.
    #[error("the transcoder refuses: {}", .0.reason)]
    Refused(ClipError),
}

/// A word from outside that a job has moved: a hint, which may come late, twice or never.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEvent {
    /// The sender's id of it.
    pub id: String,
    /// Whose job, as `userMetadata` says, if it does.
    pub clip: Option<ClipId>,
    /// Of which attempt.
    pub attempt: Option<u32>,
    /// The job.
    pub backend: Backend,
    /// Its id.
    pub job: String,
    /// When it happened.
    pub at: UnixMs,
    /// What.
    pub report: Report,
}

// --- rooms ---

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Register and upload clips.
    Upload,
    /// See clips.
    View,
    /// Delete and cancel other people's.
    Moderate,
}

/// May somebody do it there?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// No, and they know the room.
    Denied(&'static str),
    /// No, and they may not know that it exists.
    Hidden,
}

/// Who wants to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker<'a> {
    /// The person.
    pub user: &'a UserId,
    /// What they may do on this server.
    pub role: ServerRole,
}

/// Chat's rules, and the external permission hook after them.
pub trait RoomAuthz: Send + Sync + 'static {
    /// Asked at registering, credentials, completion, sharing and playback.
    fn check<'a>(
        &'a self,
        who: Asker<'a>,
        room: &'a RoomId,
        action: Action,
    ) -> Answer<'a, Verdict, StoreError>;

    /// Whether who was let play in this room still may, beside what [`Self::epoch`] says: asked for each file that is played,
    /// so it is cheap. `None`: the right does not say whose it is.
    fn still<'a>(
        &'a self,
        _user: Option<&'a UserId>,
        _room: &'a RoomId,
    ) -> Answer<'a, bool, StoreError> {
        Box::pin(std::future::ready(Ok(true)))
    }

    /// Rises when somebody loses the right to see the room: older playback tokens end.
    fn epoch<'a>(&'a self, room: &'a RoomId) -> Answer<'a, u64, StoreError>;
}

/// What operators should look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Jobs wait for long: this one, for so long. The transcoder is too slow, or away.
    JobsWait {
        /// One of them.
        clip: crate::model::ClipId,
        /// For how long.
        waited: Duration,
    },
    /// Of the clips that ended last, so many have failed.
    ManyFail {
        /// How many.
        failed: usize,
        /// Of how many.
        of: usize,
    },
}

/// A clip's message in the room.
pub trait RoomMessages: Send + Sync + 'static {
    /// Posts it, once for each (clip, room, message there that was deleted, see [`Chores::left`]); gives its number.
    ///
    /// [`Chores::left`]: crate::model::Chores::left
    fn post<'a>(&'a self, clip: &'a Clip) -> Answer<'a, u64, StoreError>;

    /// Shows how it is now. A change that is older than what is shown does nothing.
    fn update<'a>(&'a self, clip: &'a Clip) -> Answer<'a, (), StoreError>;

    /// Leaves a tombstone.
    fn remove<'a>(&'a self, clip: &'a Clip) -> Answer<'a, (), StoreError>;

    /// Those who were away are told that it is ready, once.
    fn ready<'a>(&'a self, clip: &'a Clip) -> Answer<'a, (), StoreError>;

    /// Its uploader is told why it can never be played, once for each end, whether or not a room shows it; of a failed
    /// transcode operators are told too (Slack), of a refused file nobody else.
    fn failed<'a>(&'a self, clip: &'a Clip) -> Answer<'a, (), StoreError>;

    /// Operators are told that something is wrong with more than one clip, at most once an hour for each kind. Where nobody
    /// carries it on it stands in the log alone.
    fn notice(&self, notice: Notice) -> Answer<'_, (), StoreError> {
        tracing::warn!(?notice, "operators should look into it");
        Box::pin(std::future::ready(Ok(())))
    }
}

// --- playback ---

/// Makes the right to play a clip.
pub trait PlaybackIssuer: Send + Sync + 'static {
    /// For this person, who may see the clip in this room, whose revocation epoch is this.
    fn issue<'a>(
        &'a self,
        clip: &'a Clip,
        user: &'a UserId,
        room: &'a RoomId,
        epoch: u64,
    ) -> Answer<'a, Playback, ObjectError>;
}
