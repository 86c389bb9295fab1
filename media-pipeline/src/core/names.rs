//! Names of a clip's objects, made of ids alone.

use crate::model::{Clip, ClipId, Outputs};
use crate::ports::Keys;
use kaiwa_common::time::UnixMs;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use uuid::Uuid;

/// Where the clip's objects are.
#[must_use]
pub fn keys(clip: &Clip) -> Keys {
    let (year, month) = year_month(clip.created);
    let user = escaped(clip.uploader.as_str());
    let id = clip.id;
    Keys {
        prefix: format!("video/{user}/{year:04}/{month:02}/{id}/"),
    }
}

/// The source's key.
#[must_use]
pub fn source(clip: &Clip) -> String {
    format!("{}source", keys(clip).prefix)
}

/// The type that a store notes with the source: what was declared, unless a browser that comes to the store's own address
/// would make a document of it.
#[must_use]
pub fn source_type(declared: &str) -> &str {
    let lower = declared.to_ascii_lowercase();
    let kinds = ["video/", "audio/", "image/"];
    let is_media = kinds.iter().any(|kind| lower.starts_with(kind));
    if is_media && !lower.contains("xml") {
        declared
    } else {
        "application/octet-stream"
    }
}

/// Below which a clip's outputs are; ends with `/`.
#[must_use]
pub fn processed(clip: &Clip) -> String {
    format!("{}processed/", keys(clip).prefix)
}

/// Below which an attempt writes; ends with `/`. Later attempts have folders of their own, so that what an
/// earlier one still writes after it was given up is not taken for theirs.
#[must_use]
pub fn attempt(clip: &Clip, attempt: u32) -> String {
    format!("{}{}", processed(clip), folder(attempt))
}

/// What is deleted when an attempt is swept: nothing that another attempt or the clip itself has.
#[must_use]
pub fn swept(clip: &Clip, number: u32) -> Vec<String> {
    let below = attempt(clip, number);
    if number <= 1 {
        vec![format!("{below}hls/"), format!("{below}thumbnails/")]
    } else {
        vec![below]
    }
}

/// Outputs whose keys are relative to the attempt's folder, made relative to the clip's.
#[must_use]
pub fn relative(outputs: &Outputs, attempt: u32) -> Outputs {
    let at = |key: &str| format!("{}{key}", folder(attempt));
    let mut outputs = outputs.clone();
    outputs.playlist = outputs.playlist.as_deref().map(at);
    outputs.poster = outputs.poster.as_deref().map(at);
    for rendition in &mut outputs.renditions {
        rendition.playlist = at(&rendition.playlist);
    }
    if let Some(sprite) = &mut outputs.sprite {
        sprite.image = at(&sprite.image);
        sprite.vtt = at(&sprite.vtt);
    }
    let files = std::mem::take(&mut outputs.files).into_iter();
    outputs.files = files
        .map(|(key, size)| (at(&key), size))
        .collect::<BTreeMap<_, _>>();
    outputs
}

/// The clip that a key belongs to, if it is one of ours.
#[must_use]
pub fn clip_of(key: &str) -> Option<ClipId> {
    let mut parts = key.split('/');
    if parts.next() != Some("video") {
        return None;
    }
    let id = parts.nth(3)?;
    // A key is a whole path below the clip, and an id has one form.
    parts.next()?;
    let clip = ClipId(Uuid::try_parse(id).ok()?);
    (clip.to_string() == id).then_some(clip)
}

fn folder(attempt: u32) -> String {
    if attempt <= 1 {
        String::new()
    } else {
        format!("{attempt}/")
    }
}

fn escaped(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for (at, byte) in id.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if plain || (byte == b'.' && at > 0) {
            out.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(out, "={byte:02X}");
        }
    }
    out
}

/// The proleptic Gregorian year and month in UTC (days counted from 0000-03-01 in eras of 400 years).
fn year_month(at: UnixMs) -> (i64, i64) {
    let days = at.0.div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (era * 400 + year + i64::from(month <= 2), month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        for (ms, year, month) in [
            (0, 1970, 1),
            (951_782_400_000, 2000, 2),
            (951_868_800_000, 2000, 3),
            (1_798_761_599_999, 2026, 12),
            (1_798_761_600_000, 2027, 1),
        ] {
            assert_eq!(year_month(UnixMs(ms)), (year, month), "{ms}");
        }
    }

    #[test]
    fn no_source_is_kept_as_a_document() {
        for kept in ["video/mp4", "audio/x-m4a", "image/PNG"] {
            assert_eq!(source_type(kept), kept);
        }
        for document in [
            "text/html",
            "image/svg+xml",
            "image/SVG+XML",
            "application/xml",
            "audio/x+xml",
            "x",
        ] {
            assert_eq!(
                source_type(document),
                "application/octet-stream",
                "{document}"
            );
        }
    }

    #[test]
    fn an_id_cannot_leave_its_folder() {
        assert_eq!(escaped(".."), "=2E.");
        assert_eq!(escaped("a|b@c:d"), "a=7Cb=40c=3Ad");
    }

    #[test]
    fn a_key_names_its_clip_and_nothing_else_does() {
        let id = "0192f3a4-0000-7000-8000-000000000001";
        let clip = clip_of(&format!("video/a=40b/2026/11/{id}/source"));
        assert_eq!(clip.map(|c| c.to_string()).as_deref(), Some(id));
        for other in [
            format!("video/a/2026/11/{id}"),
            format!("other/a/2026/11/{id}/source"),
            format!("video/a/2026/11/{}/source", id.to_uppercase()),
            "video/a/2026/11//source".to_owned(),
            String::new(),
        ] {
            assert_eq!(clip_of(&other), None, "{other}");
        }
    }
}
