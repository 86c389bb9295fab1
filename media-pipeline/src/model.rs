//! What a clip is.

use crate::checksum::ChecksumKind;
pub use kaiwa_common::id::ClipId;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a clip is in its life.
///
/// ```text
///  created → uploading → uploaded → validating → submitted → processing → verifying → ready
///     │          │           │           │            └──────────┴────────────┴──► failed ──retry──► submitted
///     └► expired ◄┘           └► rejected ◄┘              (a failed one's file is kept for some days)
///  any that is not over → cancelled;  any that is over → deleted
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClipState {
    /// Registered; nothing was sent yet. (Seed 000: before upload.)
    Created,
    /// Credentials were given out.
    Uploading,
    /// The object is complete. (Seed 000: uploaded.)
    Uploaded,
    /// Its bytes are being looked at.
    Validating,
    /// A job was handed to the transcoder.
    Submitted,
    /// The transcoder works on it. (Seed 000: converting.)
    Processing,
    /// Outputs are there and being checked.
    Verifying,
    /// Can be played. (Seed 000: done.)
    Ready,
    /// The upload did not come in time.
    Expired,
    /// It is not what may be shared.
    Rejected,
    /// Transcoding did not succeed. (Seed 000: failed.)
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// Gone; the row stays for those who ask.
    Deleted,
}

/// What kind of thing is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClipKind {
    /// Moving pictures, with or without sound.
    Video,
    /// Sound alone.
    Audio,
    /// A still picture, shared as it is.
    Image,
}

/// A clip's row. Changed by compare-and-set on `version` alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Its name.
    pub id: ClipId,
    /// Where it is shared.
    pub room: RoomId,
    /// Who brought it.
    pub uploader: UserId,
    /// What people call it; at most 200 characters.
    pub title: String,
    /// What it is; from the declaration until the bytes say better.
    pub kind: ClipKind,
    /// Where it is in its life.
    pub state: ClipState,
    /// One higher with each change.
    pub version: u64,
    /// Transcodings begun; jobs and events of an older one do not count.
    pub attempt: u32,
    /// What the uploader said of the file.
    pub declared: Declared,
    /// The upload that is under way or was completed.
    pub upload: Option<Upload>,
    /// What the bytes are, once looked at.
    pub source: Option<Source>,
    /// The transcoder's job.
    pub job: Option<Job>,
    /// How far it is.
    pub progress: Option<Progress>,
    /// What can be played.
    pub outputs: Option<Outputs>,
    /// Subtitles that were added, by language.
    pub captions: BTreeMap<Language, Captions>,
    /// Why it ended badly.
    pub error: Option<ClipError>,
    /// Its message in the room, once there is one.
    pub message: Option<u64>,
    /// The caller's own notes: at most 16, keys of 64 and values of 256 characters.
    pub labels: BTreeMap<String, String>,
    /// When it was registered.
    pub created: UnixMs,
    /// When it last changed.
    pub updated: UnixMs,
    /// When this state is over by itself, or has to be looked into by the reaper.
    pub due: Option<UnixMs>,
    /// What is still to be done for it; nobody's business outside of this crate.
    pub chores: Chores,
}

/// What is still to be done for a clip, beside its state: written with it, so that a crash forgets nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chores {
    /// It is to have a message in its room.
    pub share: bool,
    /// Other rooms in which it is shown, and its message there (0: not known yet); at most 16.
    pub rooms: BTreeMap<RoomId, u64>,
    /// Other rooms in which its message was deleted, and the last one's number: what is shared there again is another
    /// message. At most some more than [`CLIP_ROOMS_LEFT`](kaiwa_common::limits::CLIP_ROOMS_LEFT).
    pub left: BTreeMap<RoomId, u64>,
    /// Errands, in the order in which they came up.
    pub todo: Vec<Chore>,
    /// When the errands are run again, if they are not done by then.
    pub todo_due: Option<UnixMs>,
    /// Failures of errands in a row.
    pub todo_fails: u32,
    /// When the state's own work is looked into.
    pub work_due: Option<UnixMs>,
    /// Failures of the state's own work in a row.
    pub work_fails: u32,
    /// Attempts that were begun by themselves since somebody asked for one.
    pub retries: u32,
    /// When it came into its state; none: when it was registered.
    pub since: Option<UnixMs>,
    /// When the transcoder last got further.
    pub heard: Option<UnixMs>,
    /// The store's mark of the bytes that were looked at: others under the same key are none of this clip's.
    pub seen: Option<String>,
    /// It failed, and its file was kept for as long as that is done: there is nothing to try again with.
    pub dropped: bool,
    /// How long it plays, as it was found: counts for the uploader's minutes of the day, also when it is deleted.
    pub media: Duration,
}

/// An errand: done at least once, and doing it again does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chore {
    /// Throws this upload away.
    AbortUpload(String),
    /// Stops this job.
    StopJob(Job),
    /// Deletes what this attempt wrote.
    Sweep(u32),
    /// Deletes all of the clip's objects.
    Erase,
    /// Brings its messages to this version of the clip, or a later one.
    Show(u64),
    /// Tells those who were away that it is ready.
    TellReady,
    /// Tells its uploader that it can never be played, whether or not a room shows it: refused, or this attempt failed.
    /// Of a failed transcode operators are told too.
    TellFailed(u32),
}

/// What the uploader said of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The file's name: data, never part of a key or a command.
    pub name: Redacted<String>,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of all bytes, if they know it.
    pub sha256: Option<[u8; 32]>,
    /// Such as `video/mp4`; a hint.
    pub content_type: String,
}

/// One way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadMode {
    /// Parts, each by a signed URL. The default.
    Multipart,
    /// One signed form post, for small files.
    Post,
    /// Temporary credentials for one key (STS).
    Credentials,
}

/// The upload that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// How.
    pub mode: UploadMode,
    /// The object store's id of a multipart upload.
    pub id: Option<String>,
    /// Bytes of every part but the last.
    pub part_size: u64,
    /// What each part's checksum is; of no meaning where there are no parts.
    pub checksum: ChecksumKind,
    /// When it is given up.
    pub expires: UnixMs,
}

/// What the bytes are.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Bytes, as stored.
    pub size: u64,
    /// SHA-256 of them.
    pub sha256: Option<[u8; 32]>,
    /// The demuxer that the first bytes name (`mov`, `matroska`, …).
    pub container: String,
    /// How long it plays; zero for a picture.
    pub duration: Duration,
    /// The pictures, if any, as they are displayed (after rotation).
    pub video: Option<VideoInfo>,
    /// The sound, if any.
    pub audio: Option<AudioInfo>,
}

/// Pictures, as displayed.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoInfo {
    /// Codec's name in FFmpeg.
    pub codec: String,
    /// Pixels, after rotation.
    pub width: u32,
    /// Pixels, after rotation.
    pub height: u32,
    /// Frames a second.
    pub fps: f64,
    /// Clockwise degrees in which it is stored: 0, 90, 180, 270.
    pub rotation: u32,
    /// Bits a second, if known.
    pub bitrate: Option<u64>,
    /// HDR transfer (PQ, HLG).
    pub hdr: bool,
}

/// Sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioInfo {
    /// Codec's name in FFmpeg.
    pub codec: String,
    /// Channels.
    pub channels: u32,
    /// Samples a second.
    pub sample_rate: u32,
}

/// Which transcoder, and its name for the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Who works.
    pub backend: Backend,
    /// The transcoder's id.
    pub id: String,
    /// When it was handed over.
    pub submitted: UnixMs,
}

/// Who transcodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Backend {
    /// FFmpeg on this machine.
    Ffmpeg,
    /// AWS Elemental MediaConvert.
    MediaConvert,
}

/// How far the transcoder is. Greater is further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Progress {
    /// In which part of the work.
    pub phase: Phase,
    /// Of the whole: 0 to 100.
    pub percent: u8,
}

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Looking at the source.
    Probing,
    /// Coding.
    Transcoding,
    /// Storing outputs.
    Storing,
}

/// What can be played. Keys are relative to [`Keys::processed`](crate::ports::Keys).
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    /// The master playlist; none for pictures and plain sound files.
    pub playlist: Option<String>,
    /// By falling height.
    pub renditions: Vec<Rendition>,
    /// A still picture.
    pub poster: Option<String>,
    /// Small pictures for scrubbing.
    pub sprite: Option<Sprite>,
    /// Everything that was written, with its bytes: checked before `ready`, and swept with the clip.
    pub files: BTreeMap<String, u64>,
}

/// One quality.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendition {
    /// Such as `720p`.
    pub name: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames a second.
    pub fps: f64,
    /// Measured: the heaviest segment, in bits a second, sound included.
    pub peak: u64,
    /// Measured over all segments, in bits a second, sound included.
    pub average: u64,
    /// RFC 6381, such as `avc1.4d401f,mp4a.40.2`.
    pub codecs: String,
    /// Its media playlist.
    pub playlist: String,
}

/// Small pictures in one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sprite {
    /// The image.
    pub image: String,
    /// WebVTT that says which part shows which time.
    pub vtt: String,
    /// Milliseconds between two.
    pub interval_ms: u32,
}

/// BCP 47, such as `en` or `ja`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(pub String);

/// A WebVTT file beside the clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captions {
    /// Its key.
    pub file: String,
    /// What the player calls it.
    pub label: String,
}

/// Why a clip ended badly. `reason` is API: one of `docs/clips.md`'s list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClipError {
    /// Such as `NOT_A_MEDIA_FILE`.
    pub reason: String,
    /// For people: what happened and what to do.
    pub message: String,
    /// Trying again may help.
    pub retryable: bool,
    /// The transcoder's own code.
    pub provider_code: Option<i64>,
}

impl Clip {
    /// Bytes that its objects take up, or will when what was declared has come; 0 once they are deleted.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        match self.state {
            ClipState::Expired
            | ClipState::Rejected
            | ClipState::Cancelled
            | ClipState::Deleted => return 0,
            ClipState::Created
            | ClipState::Uploading
            | ClipState::Uploaded
            | ClipState::Validating
            | ClipState::Submitted
            | ClipState::Processing
            | ClipState::Verifying
            | ClipState::Ready
            | ClipState::Failed => {}
        }
        if self.chores.dropped {
            return 0;
        }
        let outputs = self.outputs.iter();
        let written = outputs.flat_map(|outputs| outputs.files.values());
        written.fold(self.declared.size, |sum, bytes| sum.saturating_add(*bytes))
    }
}

impl Source {
    /// What it is by its content: a still picture has no length, sound has no pictures.
    #[must_use]
    pub const fn kind(&self) -> ClipKind {
        match (&self.video, self.duration.is_zero()) {
            (None, _) => ClipKind::Audio,
            (Some(_), true) => ClipKind::Image,
            (Some(_), false) => ClipKind::Video,
        }
    }
}
