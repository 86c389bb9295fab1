//! Theirs to ours. All that is wrong is told at once, where one request has several fields.

use crate::admin::Pick;
use crate::api::{ApiError, NewClip, Violation, WantGrant};
use crate::checksum::{Checksum, ChecksumKind};
use crate::core::text::is_line;
use crate::model::{ClipId, ClipState, Declared, Language, UploadMode};
use crate::ports::{Part, PartPlan, Query};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{
    ADMIN_ID_BYTES, ADMIN_IDS, ADMIN_PAGE, CLIP_CAPTIONS_BYTES, CLIP_LABEL_CHARS, CLIP_PAGE,
    CLIP_PAGE_DEFAULT, CLIP_PARTS,
};
use kaiwa_common::redact::Redacted;
use kaiwa_proto::media::v1;
use std::collections::BTreeMap;
use uuid::Uuid;

type Checked<T> = Result<T, ApiError>;

/// Collects what is wrong.
#[derive(Default)]
struct Wrong(Vec<Violation>);

impl Wrong {
    fn unless(&mut self, is_right: bool, field: &'static str, allowed: &str) {
        if !is_right {
            self.0.push(violation(field, allowed));
        }
    }

    fn take<T>(&mut self, found: Result<T, Violation>) -> Option<T> {
        found.map_err(|wrong| self.0.push(wrong)).ok()
    }

    fn done<T>(self, found: Option<T>) -> Checked<T> {
        match found {
            Some(found) if self.0.is_empty() => Ok(found),
            Some(_) | None => Err(ApiError::Invalid(self.0)),
        }
    }
}

fn violation(field: &'static str, allowed: &str) -> Violation {
    Violation {
        field,
        description: allowed.to_owned(),
    }
}

fn one<T>(found: Result<T, Violation>) -> Checked<T> {
    found.map_err(|wrong| ApiError::Invalid(vec![wrong]))
}

fn uuid(field: &'static str, text: &str) -> Result<Uuid, Violation> {
    let found = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
    found.ok_or_else(|| violation(field, "a UUID, as 36 characters with hyphens"))
}

fn room(field: &'static str, text: &str) -> Result<RoomId, Violation> {
    RoomId::parse(text).map_err(|wrong| violation(field, wrong.rule))
}

fn digest(field: &'static str, bytes: &[u8]) -> Result<Option<[u8; 32]>, Violation> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let digest = bytes.try_into().map(Some);
    digest.map_err(|_| violation(field, "32 bytes, or empty"))
}

fn at_most(text: &str, characters: usize) -> bool {
    text.len() <= characters * 4 && text.chars().count() <= characters && is_line(text)
}

pub(crate) fn clip_id(text: &str) -> Checked<ClipId> {
    one(uuid("clip_id", text)).map(ClipId)
}

pub(crate) fn room_id(text: &str) -> Checked<RoomId> {
    one(room("room_id", text))
}

pub(crate) fn clip_ids(texts: &[String]) -> Checked<Vec<ClipId>> {
    if texts.is_empty() || texts.len() > CLIP_PAGE {
        return one(Err(violation("clip_ids", "1 to 100 of them")));
    }
    let ids = texts.iter().map(|text| uuid("clip_ids", text).map(ClipId));
    one(ids.collect())
}

/// A mutation's key, if there is one.
pub(crate) fn optional_key(text: &str) -> Checked<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    // One writing of it: the same key in capitals is the same key.
    one(uuid("request_id", text)).map(|uuid| Some(uuid.hyphenated().to_string()))
}

pub(crate) fn new_clip(request: v1::CreateClipRequest) -> Checked<NewClip> {
    let mut wrong = Wrong::default();
    let found_room = wrong.take(room("room_id", &request.room_id));
    let declared = request.declared.unwrap_or_default();
    let sha256 = wrong.take(digest("declared.sha256", &declared.sha256));
    wrong.unless(
        !declared.name.is_empty() && at_most(&declared.name, 255),
        "declared.name",
        "1 to 255 characters without control characters",
    );
    wrong.unless(declared.size > 0, "declared.size", "1 byte or more");
    wrong.unless(
        is_content_type(&declared.content_type),
        "declared.content_type",
        "such as `video/mp4`, at most 127 characters",
    );
    wrong.unless(
        at_most(&request.title, 200),
        "title",
        "at most 200 characters without control characters",
    );
    let labels: BTreeMap<String, String> = request.labels.into_iter().collect();
    let fits = |(key, value): (&String, &String)| {
        !key.is_empty() && at_most(key, 64) && at_most(value, 256)
    };
    wrong.unless(
        labels.len() <= 16 && labels.iter().all(fits),
        "labels",
        "at most 16, keys of 1 to 64 and values of at most 256 characters",
    );
    let new = found_room.zip(sha256).map(|(room, sha256)| NewClip {
        room,
        title: request.title,
        declared: Declared {
            name: Redacted(declared.name),
            size: declared.size,
            sha256,
            content_type: declared.content_type,
        },
        labels,
        share: request.share,
    });
    wrong.done(new)
}

/// `type/subtype` of RFC 6838, section 4.2, without parameters.
fn is_content_type(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(allowed);
    text.len() <= 127
        && text
            .split_once('/')
            .is_some_and(|(kind, sub)| is_name(kind) && is_name(sub))
}

/// A part's checksum, of which there is one or none.
fn checksum(sha256: &[u8], crc32c: &[u8]) -> Result<Option<Checksum>, Violation> {
    let found = match (sha256, crc32c) {
        ([], []) => return Ok(None),
        (sha256, []) => ChecksumKind::Sha256.of_bytes(sha256),
        ([], crc32c) => ChecksumKind::Crc32c.of_bytes(crc32c),
        _ => {
            return Err(violation(
                "parts.crc32c",
                "a SHA-256 or a CRC-32C, not both",
            ));
        }
    };
    let (field, allowed) = match crc32c {
        [] => ("parts.sha256", "32 bytes, or none"),
        _ => ("parts.crc32c", "4 bytes, or none"),
    };
    found.map(Some).ok_or_else(|| violation(field, allowed))
}

pub(crate) fn want_grant(mode: i32, parts: Vec<v1::PartPlan>) -> Checked<WantGrant> {
    let mut wrong = Wrong::default();
    let mode = match v1::UploadMode::try_from(mode) {
        Ok(v1::UploadMode::Unspecified | v1::UploadMode::Multipart) => Some(UploadMode::Multipart),
        Ok(v1::UploadMode::Post) => Some(UploadMode::Post),
        Ok(v1::UploadMode::Credentials) => Some(UploadMode::Credentials),
        Err(_) => None,
    };
    wrong.unless(mode.is_some(), "mode", "one of UploadMode");
    wrong.unless(parts.len() <= CLIP_PAGE, "parts", "at most 100 at once");
    wrong.unless(
        parts.is_empty() || mode == Some(UploadMode::Multipart),
        "parts",
        "only of a multipart upload",
    );
    let plans = parts.into_iter().take(CLIP_PAGE + 1).map(|part| {
        wrong.unless(is_number(part.number), "parts.number", "1 to 10,000");
        wrong.unless(part.size > 0, "parts.size", "1 byte or more");
        let checksum = wrong.take(checksum(&part.sha256, &part.crc32c)).flatten();
        PartPlan {
            number: part.number,
            size: part.size,
            checksum,
        }
    });
    let parts: Vec<PartPlan> = plans.collect();
    wrong.done(mode.map(|mode| WantGrant { mode, parts }))
}

fn is_number(number: u32) -> bool {
    (1..=10_000).contains(&number)
}

pub(crate) fn uploaded_parts(parts: Vec<v1::UploadedPart>) -> Checked<Vec<Part>> {
    let mut wrong = Wrong::default();
    wrong.unless(parts.len() <= CLIP_PARTS, "parts", "at most 10,000");
    let mut last = 0;
    let mut found = Vec::with_capacity(parts.len().min(CLIP_PARTS));
    for part in parts.into_iter().take(CLIP_PARTS) {
        let rises = is_number(part.number) && part.number > last;
        wrong.unless(rises, "parts.number", "1 to 10,000, rising");
        wrong.unless(
            part.etag.len() <= 128 && is_line(&part.etag),
            "parts.etag",
            "at most 128 characters",
        );
        let checksum = wrong.take(checksum(&part.sha256, &part.crc32c));
        if !wrong.0.is_empty() {
            // One wrong part is told, not ten thousand.
            break;
        }
        last = part.number;
        found.push(Part {
            number: part.number,
            size: part.size,
            etag: part.etag,
            checksum: checksum.flatten(),
        });
    }
    wrong.done(Some(found))
}

pub(crate) fn query(request: &v1::ListClipsRequest) -> Checked<Query> {
    let mut wrong = Wrong::default();
    let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let found_room = named(&request.room_id).and_then(|t| wrong.take(room("room_id", &t)));
    let uploader = named(&request.uploader_id).and_then(|text| {
        let user = UserId::parse(&text);
        wrong.take(user.map_err(|e| violation("uploader_id", e.rule)))
    });
    wrong.unless(
        !request.room_id.is_empty() || !request.uploader_id.is_empty(),
        "room_id",
        "a room or an uploader",
    );
    let before =
        named(&request.page_token).and_then(|token| wrong.take(uuid("page_token", &token)));
    wrong.unless(request.states.len() <= 13, "states", "each once");
    let known = request.states.iter().take(13).copied().map(clip_state);
    let states: Option<Vec<ClipState>> = known.collect();
    wrong.unless(states.is_some(), "states", "of ClipState");
    let limit = wrong.take(size(request.page_size, CLIP_PAGE));
    let query = states.zip(limit).map(|(states, limit)| Query {
        room: found_room,
        uploader,
        states,
        before: before.map(ClipId),
        limit,
    });
    wrong.done(query)
}

fn clip_state(state: i32) -> Option<ClipState> {
    Some(match v1::ClipState::try_from(state).ok()? {
        v1::ClipState::Unspecified => return None,
        v1::ClipState::Created => ClipState::Created,
        v1::ClipState::Uploading => ClipState::Uploading,
        v1::ClipState::Uploaded => ClipState::Uploaded,
        v1::ClipState::Validating => ClipState::Validating,
        v1::ClipState::Submitted => ClipState::Submitted,
        v1::ClipState::Processing => ClipState::Processing,
        v1::ClipState::Verifying => ClipState::Verifying,
        v1::ClipState::Ready => ClipState::Ready,
        v1::ClipState::Expired => ClipState::Expired,
        v1::ClipState::Rejected => ClipState::Rejected,
        v1::ClipState::Failed => ClipState::Failed,
        v1::ClipState::Cancelled => ClipState::Cancelled,
        v1::ClipState::Deleted => ClipState::Deleted,
    })
}

fn size(asked: u32, most: usize) -> Result<usize, Violation> {
    match usize::try_from(asked) {
        Ok(0) => Ok(CLIP_PAGE_DEFAULT),
        Ok(asked) if asked <= most => Ok(asked),
        Ok(_) | Err(_) => Err(violation("page_size", &format!("1 to {most}, or 0"))),
    }
}

pub(crate) fn want_size(asked: u32) -> Checked<usize> {
    one(size(asked, CLIP_PAGE))
}

/// 0 is no revision: they begin at 1.
pub(crate) fn watch_after(revision: u64) -> Option<u64> {
    (revision > 0).then_some(revision)
}

pub(crate) fn captions(request: &v1::AddCaptionsRequest) -> Checked<(Language, String)> {
    let mut wrong = Wrong::default();
    wrong.unless(
        is_language(&request.language),
        "language",
        "BCP 47, such as `en` or `pt-BR`, at most 35 characters",
    );
    wrong.unless(
        !request.label.is_empty() && at_most(&request.label, CLIP_LABEL_CHARS),
        "label",
        "one line of 1 to 100 characters, without control characters",
    );
    wrong.unless(
        request.vtt.len() <= CLIP_CAPTIONS_BYTES,
        "vtt",
        "at most 1 MiB",
    );
    // WebVTT, section 4.1: the signature, after a byte order mark if there is one.
    let text = request.vtt.strip_prefix('\u{feff}').unwrap_or(&request.vtt);
    let rest = text.strip_prefix("WEBVTT");
    wrong.unless(
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r'])),
        "vtt",
        "WebVTT: it begins with `WEBVTT`",
    );
    let language = Language(request.language.clone());
    wrong.done(Some((language, request.label.clone())))
}

/// Well-formed by RFC 5646, section 2.1, as far as players care: subtags of 1 to 8 letters and digits, the first of 2
/// to 8 letters.
fn is_language(text: &str) -> bool {
    let mut subtags = text.split('-');
    let first = subtags.next().unwrap_or_default();
    let is_first = (2..=8).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_alphabetic());
    let is_other =
        |tag: &str| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric());
    text.len() <= 35 && is_first && subtags.all(is_other)
}

fn is_name(text: &str) -> bool {
    text.len() <= ADMIN_ID_BYTES && text.bytes().all(|b| b.is_ascii_graphic())
}

pub(crate) fn want_letters(
    request: &v1::ListDeadLettersRequest,
) -> Checked<(Option<String>, Option<String>, usize)> {
    let mut wrong = Wrong::default();
    wrong.unless(is_name(&request.queue), "queue", "a queue's name, or empty");
    wrong.unless(is_name(&request.reason), "reason", "a reason, or empty");
    let limit = wrong.take(size(request.page_size, ADMIN_PAGE));
    let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (queue, reason) = (named(&request.queue), named(&request.reason));
    wrong.done(limit.map(|limit| (queue, reason, limit)))
}

pub(crate) fn pick(request: v1::RedriveDeadLettersRequest) -> Checked<(String, Pick)> {
    let mut wrong = Wrong::default();
    let is_queue = !request.queue.is_empty() && is_name(&request.queue);
    wrong.unless(is_queue, "queue", "a queue's name");
    wrong.unless(is_name(&request.reason), "reason", "a reason, or empty");
    let ids_fit = request.ids.len() <= ADMIN_IDS && request.ids.iter().all(|id| is_name(id));
    wrong.unless(ids_fit, "ids", "at most 100");
    wrong.unless(
        request.ids.is_empty() || request.reason.is_empty(),
        "reason",
        "ids or a reason, not both",
    );
    let pick = if !request.ids.is_empty() {
        Pick::Ids(request.ids)
    } else if request.reason.is_empty() {
        Pick::All
    } else {
        Pick::Reason(request.reason)
    };
    wrong.done(Some((request.queue, pick)))
}
