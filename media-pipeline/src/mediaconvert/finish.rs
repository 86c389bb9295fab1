//! The last hand at what MediaConvert has written, as the transcoder on this machine does it: pictures for scrubbing, and
//! our own master playlist of measured rates.
//!
//! A clip without pictures can be played, so nothing that FFmpeg cannot do fails it. A store that does not answer does:
//! it is asked again.

use super::outputs::{Finish, incomplete, read, store, unavailable};
use super::playlist;
use crate::cage::{Cage, Tools};
use crate::ffmpeg::publish::content_type;
use crate::ffmpeg::still::{Sheet, first_args, poster_args};
use crate::ladder::GOP_S;
use crate::model::{Outputs, Rendition, Sprite};
use crate::playlist::{MasterRendition, parse_master, write_master};
use crate::ports::{Answer, ObjectError, Objects, Order, TranscodeError};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kaiwa_common::limits::{
    CLIP_PICTURE_BYTES, CLIP_PICTURES, CLIP_PICTURES_BYTES, CLIP_PICTURES_TURN,
};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Our master playlist, beside MediaConvert's own.
const MASTER: &str = "hls/master.m3u8";
const POSTER: &str = "thumbnails/poster.jpg";
const SPRITE: &str = "thumbnails/sprite.jpg";
/// Stored after the image: where it is, both are.
const VTT: &str = "thumbnails/sprite.vtt";

/// Writes the sprite, a poster where MediaConvert captured no frame, and last the master playlist. What is there already
/// is not made again, so that it may be asked after a crash.
pub struct Finisher {
    objects: Arc<dyn Objects>,
    tools: Tools,
    work: PathBuf,
    /// One at a time: what it takes of the disk has a bound, and transcoding elsewhere leaves this machine alone.
    turn: Semaphore,
}

/// Why there is no picture.
enum Lost {
    /// The store: all of it is tried again.
    Store(TranscodeError),
    /// This machine: the clip goes without.
    Picture(String),
}

impl Finisher {
    /// `work` is a folder of its own for segments that are fetched; what a server before left there is removed.
    #[must_use]
    pub fn new(objects: Arc<dyn Objects>, tools: Tools, work: PathBuf) -> Self {
        let _ = std::fs::remove_dir_all(&work);
        Self {
            objects,
            tools,
            work,
            turn: Semaphore::new(1),
        }
    }

    async fn run(&self, order: &Order, mut outputs: Outputs) -> Result<Outputs, TranscodeError> {
        self.pictures(order, &mut outputs).await?;
        let text = master(&outputs.renditions)?;
        self.put(order, &mut outputs, MASTER, text.into()).await?;
        outputs.playlist = Some(MASTER.to_owned());
        Ok(outputs)
    }

    async fn pictures(&self, order: &Order, outputs: &mut Outputs) -> Result<(), TranscodeError> {
        let (best, least) = match (outputs.renditions.first(), outputs.renditions.last()) {
            (Some(best), Some(least)) => (best.playlist.clone(), least.clone()),
            _ => return Ok(()),
        };
        let seconds = order.source.duration.as_secs_f64();
        let sheet = Sheet::of((least.width, least.height), seconds);
        let is_there = |name: &str| outputs.files.get(name).is_some_and(|size| *size > 0);
        let has_sprite = is_there(SPRITE) && is_there(VTT);
        let has_poster = outputs.poster.is_some() || is_there(POSTER);
        if !(has_sprite && has_poster) {
            let turn = timeout(CLIP_PICTURES_TURN, self.turn.acquire()).await;
            let _turn = turn.map_err(|_| unavailable("other clips' pictures come first"))?;
            if !has_poster {
                let image = self.poster(order, outputs, &best);
                let image = limited(order, "poster", image).await?;
                self.keep(order, outputs, POSTER, image).await?;
            }
            if !has_sprite {
                let image = self.sprite(order, outputs, &least.playlist, &sheet);
                let image = limited(order, "sprite", image).await?;
                if self.keep(order, outputs, SPRITE, image).await? {
                    let text = sheet.vtt(seconds);
                    self.put(order, outputs, VTT, text.into()).await?;
                }
            }
        }
        if outputs.poster.is_none() && outputs.files.contains_key(POSTER) {
            outputs.poster = Some(POSTER.to_owned());
        }
        outputs.sprite = outputs.files.contains_key(VTT).then(|| Sprite {
            image: SPRITE.to_owned(),
            vtt: VTT.to_owned(),
            interval_ms: sheet.interval_ms(),
        });
        Ok(())
    }

    /// From the first segment of the best rendition.
    async fn poster(&self, order: &Order, outputs: &Outputs, best: &str) -> Result<Bytes, Lost> {
        let segments = self.segments(order, outputs, best).await?;
        let first = segments.get(..1).unwrap_or_default();
        let place = Scratch::new(&self.work).await.map_err(disk)?;
        let index = self.fetch(order, outputs, first, &place).await?;
        let image = place.0.join("poster.jpg");
        let seconds = first.iter().map(|(seconds, _)| seconds).sum();
        let args = poster_args(&index, seconds, &image);
        match self.draw(&args, &image).await {
            Ok(bytes) => Ok(bytes),
            Err(_) => self.draw(&first_args(&index, &image), &image).await,
        }
    }

    /// From those segments of the lowest rendition that have its key frames: at most as many as it has pictures.
    async fn sprite(
        &self,
        order: &Order,
        outputs: &Outputs,
        least: &str,
        sheet: &Sheet,
    ) -> Result<Bytes, Lost> {
        let segments = self.segments(order, outputs, least).await?;
        let (chosen, places) = picks(&segments, sheet.frames());
        let place = Scratch::new(&self.work).await.map_err(disk)?;
        let index = self.fetch(order, outputs, &chosen, &place).await?;
        let image = place.0.join("sprite.jpg");
        let args = sheet.args_of(&index, &image, &places);
        self.draw(&args, &image).await
    }

    /// Seconds and names of a rendition's segments.
    async fn segments(
        &self,
        order: &Order,
        outputs: &Outputs,
        playlist: &str,
    ) -> Result<Vec<(f64, String)>, Lost> {
        let text = read(&*self.objects, order, &outputs.files, playlist).await;
        let media = playlist::media(&text.map_err(Lost::Store)?);
        let media = media.map_err(|why| Lost::Store(incomplete(format!("{playlist}: {why}"))))?;
        let folder = playlist.rsplit_once('/').map_or("", |(folder, _)| folder);
        let named = media.segments.into_iter();
        Ok(named
            .map(|(seconds, uri)| (seconds, format!("{folder}/{uri}")))
            .collect())
    }

    /// Brings segments here, with a playlist of them alone under names of ours.
    async fn fetch(
        &self,
        order: &Order,
        outputs: &Outputs,
        segments: &[(f64, String)],
        place: &Scratch,
    ) -> Result<PathBuf, Lost> {
        let size = |name: &String| outputs.files.get(name).copied().unwrap_or(0);
        let all: u64 = segments.iter().map(|(_, name)| size(name)).sum();
        if all > CLIP_PICTURES_BYTES {
            let most = CLIP_PICTURES_BYTES;
            return Err(Lost::Picture(format!(
                "its segments have {all} bytes: more than {most}"
            )));
        }
        let longest = segments
            .iter()
            .map(|(seconds, _)| *seconds)
            .fold(1.0, f64::max);
        let mut list = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{longest:.0}\n");
        for (number, (seconds, name)) in segments.iter().enumerate() {
            let key = format!("{}{name}", order.processed);
            let file = place.0.join(format!("{number}.ts"));
            self.copy(&key, size(name), &file).await?;
            let _ = write!(list, "#EXTINF:{seconds:.6},\n{number}.ts\n");
        }
        list.push_str("#EXT-X-ENDLIST\n");
        let index = place.0.join("index.m3u8");
        tokio::fs::write(&index, list).await.map_err(disk)?;
        Ok(index)
    }

    async fn copy(&self, key: &str, size: u64, path: &Path) -> Result<(), Lost> {
        let lost = |error: ObjectError| Lost::Store(store(&error));
        let mut bytes = self.objects.read(key, None).await.map_err(lost)?.bytes;
        let mut file = tokio::fs::File::create(path).await.map_err(disk)?;
        let mut copied = 0;
        while let Some(piece) = bytes.try_next().await.map_err(lost)? {
            copied += piece.len() as u64;
            if copied > size {
                break;
            }
            file.write_all(&piece).await.map_err(disk)?;
        }
        if copied != size {
            return Err(Lost::Store(unavailable("a segment is not what was listed")));
        }
        file.flush().await.map_err(disk)
    }

    /// Makes a picture, which FFmpeg may leave out without a word.
    async fn draw(&self, args: &[OsString], image: &Path) -> Result<Bytes, Lost> {
        let cage = Cage {
            // Two threads.
            cpu_s: 2 * CLIP_PICTURES.as_secs(),
            file_bytes: CLIP_PICTURE_BYTES,
            wall: CLIP_PICTURES,
        };
        let none = |why: &str| Lost::Picture(why.to_owned());
        let ran = cage.run(&self.tools, &self.tools.ffmpeg, args).await;
        if !ran.map_err(|_| none("FFmpeg does not run"))?.success {
            return Err(none("FFmpeg gave up"));
        }
        match tokio::fs::read(image).await {
            Ok(bytes) if !bytes.is_empty() => Ok(bytes.into()),
            Ok(_) | Err(_) => Err(none("FFmpeg made none")),
        }
    }

    /// Stores a picture if there is one.
    async fn keep(
        &self,
        order: &Order,
        outputs: &mut Outputs,
        name: &str,
        image: Option<Bytes>,
    ) -> Result<bool, TranscodeError> {
        match image {
            Some(image) => self.put(order, outputs, name, image).await.map(|()| true),
            None => Ok(false),
        }
    }

    async fn put(
        &self,
        order: &Order,
        outputs: &mut Outputs,
        name: &str,
        bytes: Bytes,
    ) -> Result<(), TranscodeError> {
        let (key, size) = (format!("{}{name}", order.processed), bytes.len() as u64);
        let bytes = stream::once(std::future::ready(Ok(bytes))).boxed();
        let stored = self.objects.put(&key, content_type(name), bytes, size);
        stored.await.map_err(|error| store(&error))?;
        outputs.files.insert(name.to_owned(), size);
        Ok(())
    }
}

impl Finish for Finisher {
    fn finish<'a>(
        &'a self,
        order: &'a Order,
        outputs: Outputs,
    ) -> Answer<'a, Outputs, TranscodeError> {
        Box::pin(self.run(order, outputs))
    }
}

/// A picture in time, or none.
async fn limited(
    order: &Order,
    what: &str,
    making: impl Future<Output = Result<Bytes, Lost>>,
) -> Result<Option<Bytes>, TranscodeError> {
    let made = timeout(CLIP_PICTURES / 2, making).await;
    let why = match made {
        Ok(Ok(image)) => return Ok(Some(image)),
        Ok(Err(Lost::Store(error))) => return Err(error),
        Ok(Err(Lost::Picture(why))) => why,
        Err(_) => "it takes too long".to_owned(),
    };
    tracing::warn!(clip = %order.clip, what, why, "a clip goes without a picture");
    Ok(None)
}

fn disk(error: std::io::Error) -> Lost {
    Lost::Picture(format!("the disk: {}", error.kind()))
}

/// Checked as a reader would.
fn master(renditions: &[Rendition]) -> Result<String, TranscodeError> {
    let variants: Vec<_> = renditions
        .iter()
        .map(|r| MasterRendition {
            uri: r.playlist.trim_start_matches("hls/").to_owned(),
            peak: r.peak,
            average: r.average,
            codecs: r.codecs.clone(),
            video: Some((r.width, r.height, r.fps)),
        })
        .collect();
    // MediaConvert's renditions have their sound in them.
    let text = write_master(&variants, None);
    parse_master(&text).map_err(|error| incomplete(error.to_string()))?;
    Ok(text)
}

/// The segments that have these key frames, given by rising number in the clip, and their places among all key frames of
/// those segments. By number and not by time: segments consist of whole groups, also where a second has 29.97 pictures.
fn picks(
    segments: &[(f64, String)],
    frames: impl Iterator<Item = u32>,
) -> (Vec<(f64, String)>, Vec<u32>) {
    let (mut chosen, mut places) = (Vec::new(), Vec::new());
    let (mut first, mut before) = (0, 0);
    let mut frames = frames.peekable();
    for segment in segments {
        let count = key_frames(segment.0);
        let found = places.len();
        while let Some(frame) = frames.next_if(|frame| *frame < first + count) {
            places.push(before + frame - first);
        }
        if places.len() > found {
            chosen.push(segment.clone());
            before += count;
        }
        first += count;
    }
    (chosen, places)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of a segment, at most 3,600"
)]
fn key_frames(seconds: f64) -> u32 {
    // A group of 60 pictures of 29.97 a second is a little longer than its 2 s.
    ((seconds / f64::from(GOP_S) - 0.05).ceil() as u32).max(1)
}

/// A folder that goes with this.
struct Scratch(PathBuf);

impl Scratch {
    async fn new(work: &Path) -> std::io::Result<Self> {
        // Programs run in `/`.
        let folder = std::path::absolute(work)?.join(uuid::Uuid::now_v7().to_string());
        tokio::fs::create_dir_all(&folder).await?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(seconds: f64, count: usize, rest: f64) -> Vec<(f64, String)> {
        let mut all = vec![(seconds, String::from("a.ts")); count];
        all.push((rest, String::from("z.ts")));
        all
    }

    #[test]
    fn a_short_clip_needs_each_segment_and_each_key_frame() {
        let (chosen, places) = picks(&segments(6.006, 2, 1.5), 0..7);
        assert_eq!((chosen.len(), places), (3, (0..7).collect()));
    }

    #[test]
    fn of_a_long_clip_only_segments_with_a_picture_are_fetched() {
        // An hour: of 1,800 key frames each eighteenth, which each sixth segment begins with.
        let (chosen, places) = picks(&segments(6.0, 599, 6.0), (0..100).map(|tile| tile * 18));
        assert_eq!(chosen.len(), 100);
        assert_eq!(places, (0..100).map(|tile| tile * 3).collect::<Vec<_>>());
        // One in four: the second, then the third of its segment's three.
        let (chosen, places) = picks(&segments(6.0, 3, 6.0), (0..3).map(|tile| tile * 4));
        assert_eq!((chosen.len(), places), (3, vec![0, 4, 8]));
    }

    #[test]
    fn a_picture_behind_the_end_is_left_out() {
        let (chosen, places) = picks(&segments(2.0, 1, 0.5), 0..9);
        assert_eq!((chosen.len(), places), (2, vec![0, 1]));
    }
}
