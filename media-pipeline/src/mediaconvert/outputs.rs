//! What a job has written, by looking: names from a listing, lengths from the playlists, rates from both. An event or
//! a job's own word names no sizes, and of frame captures the last alone.

use super::playlist::{self, Broken};
use super::rung::Rung;
use crate::model::{ClipError, Outputs, Rendition};
use crate::playlist::{is_whole, peak_bps};
use crate::ports::{Answer, ObjectError, Objects, Order, TranscodeError};
use futures_util::TryStreamExt as _;
use kaiwa_common::limits::{CLIP_OUTPUT_FILES, CLIP_PLAYLIST_BYTES};
use std::collections::BTreeMap;

/// The master playlist and the start of every name beside it.
pub(super) const INDEX: &str = "hls/index";

/// The start of every frame capture's name.
pub(super) const THUMB: &str = "thumbnails/thumb";

/// What is done with outputs before they are reported: writes our own master playlist and the sprite
/// (`super::finish`). It may be called again for the same outputs.
pub trait Finish: Send + Sync + 'static {
    /// Gives the outputs as they are then, with what was written in `files`.
    fn finish<'a>(
        &'a self,
        order: &'a Order,
        outputs: Outputs,
    ) -> Answer<'a, Outputs, TranscodeError>;
}

/// Looks at what the job of this order has written.
///
/// # Errors
/// [`TranscodeError::Refused`] when something is missing or broken, `Unavailable` when the store does not answer.
pub async fn resolve(
    objects: &dyn Objects,
    order: &Order,
    ladder: &[Rung],
) -> Result<Outputs, TranscodeError> {
    let files = list(objects, &order.processed).await?;
    let name = format!("{INDEX}.m3u8");
    let master = read(objects, order, &files, &name).await?;
    let master = playlist::master(&master).map_err(|why| broken(&name, why))?;
    let mut renditions = Vec::with_capacity(ladder.len());
    for rung in ladder {
        let name = format!("{INDEX}_{}.m3u8", rung.name);
        let text = read(objects, order, &files, &name).await?;
        let media = playlist::media(&text).map_err(|why| broken(&name, why))?;
        let seconds = media.segments.iter().map(|(length, _)| length).sum();
        if !is_whole(seconds, order.source.duration.as_secs_f64()) {
            return Err(broken(&name, Broken("shorter or longer than the clip")));
        }
        let (peak, average) = rates(&media, &files)?;
        let in_master = name.rsplit('/').next().and_then(|file| master.get(file));
        let variant = in_master.ok_or_else(|| broken(&name, Broken("not in the master")))?;
        renditions.push(Rendition {
            name: rung.name.clone(),
            width: rung.width,
            height: rung.height,
            fps: variant.fps.unwrap_or(rung.fps),
            peak,
            average,
            codecs: variant.codecs.clone().unwrap_or_default(),
            playlist: name,
        });
    }
    renditions.sort_by_key(|rendition| std::cmp::Reverse(rendition.height));
    Ok(Outputs {
        playlist: Some(name),
        renditions,
        poster: poster(&files),
        sprite: None,
        files,
    })
}

/// Everything below a prefix, by its name there.
async fn list(
    objects: &dyn Objects,
    prefix: &str,
) -> Result<BTreeMap<String, u64>, TranscodeError> {
    let (mut files, mut after) = (BTreeMap::new(), None::<String>);
    loop {
        let page = objects.list(prefix, after.as_deref()).await;
        let page = page.map_err(|error| store(&error))?;
        let Some(last) = page.last() else {
            return Ok(files);
        };
        // A listing that does not move on would never end.
        if after.as_ref().is_some_and(|after| *after >= last.key) {
            return Err(unavailable("the listing does not move on"));
        }
        after = Some(last.key.clone());
        for object in page {
            if let Some(name) = object.key.strip_prefix(prefix) {
                files.insert(name.to_owned(), object.size);
            }
        }
        if files.len() > CLIP_OUTPUT_FILES {
            return Err(incomplete(format!("more than {CLIP_OUTPUT_FILES} files")));
        }
    }
}

pub(super) async fn read(
    objects: &dyn Objects,
    order: &Order,
    files: &BTreeMap<String, u64>,
    name: &str,
) -> Result<String, TranscodeError> {
    match files.get(name) {
        None => return Err(broken(name, Broken("not there"))),
        Some(size) if *size > CLIP_PLAYLIST_BYTES as u64 => {
            return Err(broken(name, Broken("too large")));
        }
        Some(_) => {}
    }
    let key = format!("{}{name}", order.processed);
    let range = Some((0, files[name]));
    let reading = objects.read(&key, range).await;
    let mut bytes = reading.map_err(|error| store(&error))?.bytes;
    let mut text = Vec::new();
    while let Some(piece) = bytes.try_next().await.map_err(|error| store(&error))? {
        text.extend_from_slice(&piece);
        if text.len() > CLIP_PLAYLIST_BYTES {
            return Err(broken(name, Broken("too large")));
        }
    }
    String::from_utf8(text).map_err(|_| broken(name, Broken("no text")))
}

/// The heaviest run of segments (a short rest at the end is none), and all of them, in bits a second.
fn rates(
    media: &playlist::Media,
    files: &BTreeMap<String, u64>,
) -> Result<(u64, u64), TranscodeError> {
    let folder = INDEX.rsplit_once('/').map_or("", |(folder, _)| folder);
    let size = |uri: &str| {
        let name = format!("{folder}/{uri}");
        let found = files.get(&name).copied().filter(|size| *size > 0);
        found.ok_or_else(|| broken(&name, Broken("not there, or empty")))
    };
    if let Some(map) = &media.map {
        size(map)?;
    }
    let mut segments = Vec::with_capacity(media.segments.len());
    for (length, uri) in &media.segments {
        segments.push((*length, size(uri)?));
    }
    let bytes = segments.iter().map(|(_, bytes)| bytes).sum();
    let average = rate(bytes, segments.iter().map(|(length, _)| length).sum());
    Ok((peak_bps(&segments).max(average), average))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "sizes over positive lengths; a float's cast ends at its bounds"
)]
fn rate(bytes: u64, seconds: f64) -> u64 {
    (bytes as f64 * 8.0 / seconds).round() as u64
}

/// The second capture, since the first picture of many clips is black; the first where there is no other.
fn poster(files: &BTreeMap<String, u64>) -> Option<String> {
    let captures = files.keys().filter(|name| name.starts_with(THUMB));
    captures.take(2).last().cloned()
}

fn broken(name: &str, why: Broken) -> TranscodeError {
    incomplete(format!("{name}: {why}"))
}

pub(super) fn incomplete(what: String) -> TranscodeError {
    TranscodeError::Refused(ClipError {
        reason: "OUTPUT_INCOMPLETE".to_owned(),
        message: format!("What the transcoder wrote is not whole ({what}). Try again."),
        retryable: true,
        provider_code: None,
    })
}

pub(super) fn store(error: &ObjectError) -> TranscodeError {
    match error {
        ObjectError::NotFound | ObjectError::Mismatch(_) => incomplete(error.to_string()),
        ObjectError::Unavailable(_) | ObjectError::Refused(_) | ObjectError::Unsupported(_) => {
            unavailable(&error.to_string())
        }
    }
}

pub(super) fn unavailable(message: &str) -> TranscodeError {
    TranscodeError::Unavailable {
        message: message.to_owned(),
        retry_after: None,
    }
}
