//! Rows: what is written, and how it is read.

use super::table::{ALONE, DUE_AT, DUE_IN, DUE_SHARDS, EXPIRES, JOB, OPEN_OF, PK, SK};
use crate::adapters::stored::{self, job::backend_number};
use crate::model::{Backend, Clip, ClipId, ClipState};
use crate::ports::{Request, StoreError};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use kaiwa_common::limits::{
    CLIP_BODY_BYTES, CLIP_DYNAMO_BODY, CLIP_EVENT_AGE, CLIP_LOG_AGE, CLIP_REQUEST_AGE,
};
use kaiwa_common::time::UnixMs;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::Read as _;
use std::time::Duration;
use uuid::Uuid;

pub(super) type Item = HashMap<String, AttributeValue>;

/// A clip's text is compressed from here on: its list of files is what makes it long.
const COMPRESSED_FROM: usize = 4 * 1024;

/// Revisions in one partition of the log.
const LOG_BUCKET: u64 = 8_192;

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) pk: String,
    pub(super) sk: String,
}

impl Key {
    fn alone(pk: String) -> Self {
        let sk = ALONE.to_owned();
        Self { pk, sk }
    }

    pub(super) fn clip(id: ClipId) -> Self {
        Self::alone(format!("C#{id}"))
    }

    pub(super) fn head() -> Self {
        Self::alone("HEAD".to_owned())
    }

    pub(super) fn event(id: &str) -> Self {
        Self::alone(format!("E#{id}"))
    }

    pub(super) fn request(caller: &str, key: &str) -> Self {
        let (pk, sk) = (format!("Q#{caller}"), key.to_owned());
        Self { pk, sk }
    }

    /// The log's entry that begins with this revision.
    pub(super) fn log(first: u64) -> Self {
        let (pk, sk) = (log_partition(first), log_place(first));
        Self { pk, sk }
    }

    /// Of an index, which has keys alone.
    pub(super) fn of(item: &Item) -> Option<Self> {
        let (pk, sk) = (text(item, PK)?.to_owned(), text(item, SK)?.to_owned());
        Some(Self { pk, sk })
    }

    /// The clip whose row this is.
    pub(super) fn clip_id(&self) -> Option<ClipId> {
        clip_id(self.pk.strip_prefix("C#")?)
    }

    pub(super) fn item(&self) -> Item {
        let pair = [(PK, &self.pk), (SK, &self.sk)];
        let pair = pair.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.clone())));
        pair.into()
    }
}

/// What a room shows, newest last.
pub(super) fn room_partition(room: &str) -> String {
    format!("R#{room}")
}

/// What a person brought, newest last.
pub(super) fn person_partition(user: &str) -> String {
    format!("P#{user}")
}

/// How much, by time.
pub(super) fn used_partition(user: &str) -> String {
    format!("U#{user}")
}

/// A time as the beginning of a sort key.
pub(super) fn used_from(at: UnixMs) -> String {
    format!("{:015}", at.0.max(0))
}

pub(super) fn log_partition(revision: u64) -> String {
    format!("L#{:010}", revision / LOG_BUCKET)
}

/// The first revision of the next partition.
pub(super) fn log_next(revision: u64) -> u64 {
    (revision / LOG_BUCKET + 1).saturating_mul(LOG_BUCKET)
}

pub(super) fn log_place(revision: u64) -> String {
    format!("{revision:020}")
}

/// Where jobs of a transcoder are found.
pub(super) fn job_key(backend: Backend, job: &str) -> String {
    format!("{}#{job}", backend_number(backend))
}

/// Partitions of the index `due` for clips, and for what is forgotten one day.
pub(super) fn due_partitions(kind: &'static str) -> impl Iterator<Item = String> {
    (0..DUE_SHARDS).map(move |shard| format!("{kind}#{shard}"))
}

pub(super) const DUE: &str = "due";
pub(super) const OLD: &str = "old";

fn shard(of: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish() % u64::from(DUE_SHARDS)
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A clip's row, but for its revision.
///
/// # Errors
/// [`StoreError::Broken`] for one that is too long.
pub(super) fn clip_row(clip: &Clip) -> Result<Item, StoreError> {
    let mut item = Key::clip(clip.id).item();
    item.insert("version".to_owned(), number(clip.version));
    item.insert("body".to_owned(), packed(&stored::write(clip))?);
    if let Some(due) = clip.due {
        let shard = format!("{DUE}#{}", shard(&clip.id.0.as_u128()));
        item.insert(DUE_IN.to_owned(), AttributeValue::S(shard));
        item.insert(DUE_AT.to_owned(), number(due.0));
    }
    if let Some(job) = &clip.job {
        let key = job_key(job.backend, &job.id);
        item.insert(JOB.to_owned(), AttributeValue::S(key));
    }
    if matches!(clip.state, ClipState::Created | ClipState::Uploading) {
        let user = clip.uploader.as_str().to_owned();
        item.insert(OPEN_OF.to_owned(), AttributeValue::S(user));
    }
    Ok(item)
}

/// Where a room finds it.
pub(super) fn room_row(room: &str, clip: ClipId) -> Item {
    let (pk, sk) = (room_partition(room), clip.to_string());
    Key { pk, sk }.item()
}

/// Where its uploader finds it.
pub(super) fn person_row(clip: &Clip) -> Item {
    let pk = person_partition(clip.uploader.as_str());
    let sk = clip.id.to_string();
    Key { pk, sk }.item()
}

/// What its uploader used by it.
pub(super) fn used_row(clip: &Clip) -> Item {
    let pk = used_partition(clip.uploader.as_str());
    let sk = format!("{}#{}", used_from(clip.created), clip.id);
    let mut item = Key { pk, sk }.item();
    item.insert("size".to_owned(), number(clip.declared.size));
    let media = clip.chores.media.as_millis();
    item.insert("media".to_owned(), number(media));
    item
}

/// The newest revision.
pub(super) fn head_row(revision: u64) -> Item {
    let mut item = Key::head().item();
    item.insert("revision".to_owned(), number(revision));
    item
}

/// Which clips have the revisions from `first` on.
pub(super) fn log_row(first: u64, clips: &[ClipId], now: UnixMs) -> Item {
    let mut item = Key::log(first).item();
    let ids: Vec<u8> = clips.iter().flat_map(|id| *id.0.as_bytes()).collect();
    item.insert("clips".to_owned(), AttributeValue::B(Blob::new(ids)));
    forgotten(&mut item, now, CLIP_LOG_AGE, now);
    item
}

/// An answered request.
pub(super) fn request_row(request: &Request, now: UnixMs) -> Item {
    let mut item = Key::request(&request.caller, &request.key).item();
    let hash = Blob::new(request.hash);
    item.insert("hash".to_owned(), AttributeValue::B(hash));
    let clip = request.clip.to_string();
    item.insert("clip".to_owned(), AttributeValue::S(clip));
    item.insert("at".to_owned(), number(request.at.0));
    forgotten(&mut item, request.at, CLIP_REQUEST_AGE, now);
    item
}

/// An event's id.
pub(super) fn event_row(event: &str, at: UnixMs, now: UnixMs) -> Item {
    let mut item = Key::event(event).item();
    forgotten(&mut item, at, CLIP_EVENT_AGE, now);
    item
}

/// For `trim` the caller's time counts, for DynamoDB that of the wall.
fn forgotten(item: &mut Item, at: UnixMs, age: Duration, now: UnixMs) {
    let shard = format!("{OLD}#{}", shard(&(text(item, PK), text(item, SK))));
    item.insert(DUE_IN.to_owned(), AttributeValue::S(shard));
    item.insert(DUE_AT.to_owned(), number(at.plus(age).0));
    let seconds = now.plus(age).0 / 1_000;
    item.insert(EXPIRES.to_owned(), number(seconds));
}

/// The clip of a row, and its revision.
pub(super) fn read_clip(item: &Item) -> Result<(u64, Clip), StoreError> {
    let broken = |what: String| {
        let key = text(item, PK).unwrap_or("no key");
        StoreError::Broken(format!("the row {key}: {what}"))
    };
    let body = match item.get("body") {
        Some(AttributeValue::S(text)) => text.clone(),
        Some(AttributeValue::B(bytes)) => unpacked(bytes.as_ref()).map_err(broken)?,
        _ => return Err(broken("it has no body".to_owned())),
    };
    let clip = stored::read(&body).map_err(broken)?;
    let revision = integer(item, "revision");
    let revision = revision.ok_or_else(|| broken("it has no revision".to_owned()))?;
    Ok((revision, clip))
}

/// A request as it was answered.
pub(super) fn read_request(item: &Item, caller: &str, key: &str) -> Option<Request> {
    let Some(AttributeValue::B(hash)) = item.get("hash") else {
        return None;
    };
    Some(Request {
        caller: caller.to_owned(),
        key: key.to_owned(),
        hash: hash.as_ref().try_into().ok()?,
        clip: clip_id(text(item, "clip")?)?,
        at: UnixMs(integer(item, "at")?),
    })
}

/// The clips of an entry of the log, each with its revision then.
pub(super) fn read_log(item: &Item) -> Vec<(u64, ClipId)> {
    let first = text(item, SK).and_then(|place| place.parse().ok());
    let (Some(first), Some(AttributeValue::B(ids))) = (first, item.get("clips")) else {
        return Vec::new();
    };
    let ids = ids.as_ref().chunks_exact(16).filter_map(|bytes| {
        let id = Uuid::from_slice(bytes).ok()?;
        Some(ClipId(id))
    });
    (first..).zip(ids).collect()
}

pub(super) fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    let found = item.get(name).and_then(|value| value.as_s().ok());
    found.map(String::as_str)
}

pub(super) fn integer<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

pub(super) fn clip_id(text: &str) -> Option<ClipId> {
    Uuid::try_parse(text).ok().map(ClipId)
}

/// Long texts are compressed (RFC 1951); an item of DynamoDB ends at 400 KB.
fn packed(text: &str) -> Result<AttributeValue, StoreError> {
    if text.len() < COMPRESSED_FROM {
        return Ok(AttributeValue::S(text.to_owned()));
    }
    let mut packed = Vec::new();
    let read =
        DeflateEncoder::new(text.as_bytes(), Compression::default()).read_to_end(&mut packed);
    read.map_err(|error| StoreError::Broken(error.to_string()))?;
    if packed.len() > CLIP_DYNAMO_BODY || text.len() as u64 > CLIP_BODY_BYTES {
        let bytes = packed.len();
        let what = format!("a clip of {bytes} bytes, compressed, is too long for DynamoDB");
        return Err(StoreError::Broken(what));
    }
    Ok(AttributeValue::B(Blob::new(packed)))
}

fn unpacked(bytes: &[u8]) -> Result<String, String> {
    let mut text = String::new();
    let mut reader = DeflateDecoder::new(bytes).take(CLIP_BODY_BYTES + 1);
    let read = reader.read_to_string(&mut text);
    let read = read.map_err(|error| error.to_string())?;
    if read as u64 > CLIP_BODY_BYTES {
        return Err("its body is too long".to_owned());
    }
    Ok(text)
}

/// What the text of a clip's row takes.
pub(super) fn body_bytes(item: &Item) -> usize {
    match item.get("body") {
        Some(AttributeValue::S(text)) => text.len(),
        Some(AttributeValue::B(bytes)) => bytes.as_ref().len(),
        _ => 0,
    }
}
