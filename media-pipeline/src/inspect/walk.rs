//! A walk through the whole file. What a header says of length and pictures is what its maker wanted it to say: a clip of
//! ten hours may call itself five seconds long, and a recording that was made live says nothing.

use super::inspector::FfprobeInspector;
use super::sniff::Format;
use super::{input, refuse, words};
use crate::model::{ClipError, ClipKind, Source};
use crate::ports::InspectError;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Packets {
    /// Pictures; none of a still picture, which is not walked through.
    pub(super) pictures: u64,
    /// From the first packet to the end of the last.
    pub(super) duration: Duration,
}

/// Puts what was found in the place of what was said, where it is more by over a second or a fiftieth.
///
/// # Errors
/// `TRUNCATED` when nothing was found, or much less than the header promises.
pub(super) fn believe(
    source: &mut Source,
    packets: &Packets,
    format: Format,
) -> Result<(), ClipError> {
    if format.kind == ClipKind::Image {
        return Ok(());
    }
    let (told, found) = (source.duration, packets.duration);
    let near = (found / 50).max(Duration::from_secs(1));
    if found.is_zero()
        || (source.video.is_some() && packets.pictures == 0)
        || (is_written(format) && told > found + near)
    {
        return Err(refuse(
            "TRUNCATED",
            "The file is shorter than it says: it is damaged or cut off.",
        ));
    }
    if told.is_zero() || told.abs_diff(found) > near {
        source.duration = found;
    }
    #[expect(clippy::cast_precision_loss, reason = "pictures of a file")]
    let fps = packets.pictures as f64 / source.duration.as_secs_f64();
    if let Some(video) = &mut source.video
        // A recording with changing distances says the finest of them: 1000 a second.
        && !(video.fps > 0.0 && video.fps <= 240.0 && video.fps >= fps * 0.9)
    {
        video.fps = fps;
    }
    Ok(())
}

/// Whether its header says how long it is. Of others FFmpeg guesses by their size and rate.
fn is_written(format: Format) -> bool {
    !matches!(format.demuxer, "mp3" | "aac" | "mpegts")
}

impl FfprobeInspector {
    /// Reads every packet of what would be shown, and decodes none.
    pub(super) async fn walk(&self, file: &Path, format: Format) -> Result<Packets, InspectError> {
        if format.kind == ClipKind::Image && format.name != "gif" {
            return Ok(Packets::default());
        }
        let mut args = quiet();
        args.extend(input(format.demuxer, file));
        args.extend(words(&["-map", "0:V:0?", "-map", "0:a:0?", "-c", "copy"]));
        args.extend(words(&["-f", "null", "-"]));
        let ran = self.run(&self.tools.ffmpeg, &args).await?;
        let said = String::from_utf8_lossy(&ran.stdout);
        if !ran.success {
            return Err(InspectError::Rejected(refuse(
                "UNREADABLE",
                "The file is damaged, or not what it begins like.",
            )));
        }
        let number = |name| last(&said, name).and_then(|n| u64::try_from(n).ok());
        let pictures = number("frame=").unwrap_or(0);
        let mut duration = Duration::from_micros(number("out_time_us=").unwrap_or(0));
        if duration.is_zero() && pictures > 0 {
            // A film of one picture that does not say how long: as long as one of 25 a second.
            duration = Duration::from_millis(40 * pictures);
        }
        Ok(Packets { pictures, duration })
    }

    /// Decodes the first and the last second: what is there in name only is no film. `told` is what its header said.
    pub(super) async fn decode_ends(
        &self,
        file: &Path,
        source: &Source,
        told: Duration,
        format: Format,
    ) -> Result<(), InspectError> {
        let seconds = source.duration.as_secs_f64();
        // Nobody finds a place in a file whose header does not say its length.
        let has_end = seconds > 1.0
            && source.duration == told
            && format.kind != ClipKind::Image
            && is_written(format);
        let starts = [Some(None), has_end.then_some(Some(seconds - 1.0))];
        for start in starts.into_iter().flatten() {
            let mut args = quiet();
            args.extend(words(&["-threads", "2"]));
            if let Some(start) = start {
                args.extend(words(&["-ss", &format!("{start:.3}")]));
            }
            args.extend(input(format.demuxer, file));
            // Pictures may end before the sound does, and begin after it.
            args.extend(words(&["-t", "1", "-map", "0:V:0?", "-map", "0:a:0?"]));
            args.extend(words(&["-f", "null", "-"]));
            let ran = self.run(&self.tools.ffmpeg, &args).await?;
            let said = String::from_utf8_lossy(&ran.stdout);
            let has_some = |name| last(&said, name).is_some_and(|amount| amount > 0);
            if !ran.success || !(has_some("frame=") || has_some("out_time_us=")) {
                let message =
                    "Its beginning or its end cannot be played: it is damaged or cut off.";
                return Err(InspectError::Rejected(refuse("TRUNCATED", message)));
            }
        }
        Ok(())
    }
}

fn quiet() -> Vec<OsString> {
    words(&[
        "-hide_banner",
        "-v",
        "error",
        "-nostdin",
        "-progress",
        "pipe:1",
    ])
}

/// The last that was said of a number.
fn last(said: &str, name: &str) -> Option<i64> {
    said.lines()
        .rev()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|value| value.trim().parse().ok())
}
