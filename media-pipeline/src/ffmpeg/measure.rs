//! What FFmpeg has written: measured, and written down in our own playlists.

use super::work::failed;
use crate::ladder::Rung;
use crate::model::{ClipError, Rendition};
use crate::playlist::{
    MasterRendition, MediaPlaylist, is_whole, parse_master, parse_media, peak_bps, write_master,
    write_media,
};
use std::path::Path;

/// A stream's segments: seconds and bytes.
struct Measured {
    playlist: MediaPlaylist,
    segments: Vec<(f64, u64)>,
    init: Vec<u8>,
}

impl Measured {
    /// Reads what FFmpeg wrote, checks that all of it is there, and writes its playlist anew.
    fn of(folder: &Path) -> Result<Self, ClipError> {
        let invalid = |what: &str| failed("OUTPUT_INVALID", what, true);
        let index = folder.join("index.m3u8");
        let text = std::fs::read_to_string(&index).map_err(|_| invalid("a playlist is missing"))?;
        let mut playlist = parse_media(&text).map_err(|error| invalid(&error.to_string()))?;
        playlist.independent = true;
        let init = std::fs::read(folder.join(&playlist.init))
            .map_err(|_| invalid("an init segment is missing"))?;
        let mut segments = Vec::new();
        for segment in &playlist.segments {
            let size = std::fs::metadata(folder.join(&segment.uri)).map_or(0, |m| m.len());
            if size == 0 {
                return Err(invalid("a segment is missing or empty"));
            }
            segments.push((segment.seconds, size));
        }
        let text = write_media(&playlist);
        parse_media(&text).map_err(|error| invalid(&error.to_string()))?;
        std::fs::write(&index, text)
            .map_err(|_| failed("DISK", "a playlist cannot be written", true))?;
        Ok(Self {
            playlist,
            segments,
            init,
        })
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "bits a second of files that fit a disk"
    )]
    fn average(&self) -> u64 {
        let bytes: u64 = self.segments.iter().map(|(_, bytes)| bytes).sum();
        (bytes as f64 * 8.0 / self.playlist.seconds().max(0.001)) as u64
    }
}

/// Measures all streams below `hls`, and writes the master playlist.
pub(super) fn measure(
    hls: &Path,
    rungs: &[Rung],
    channels: Option<u32>,
    seconds: f64,
) -> Result<Vec<Rendition>, ClipError> {
    let audio = channels
        .map(|_| Measured::of(&hls.join("audio")))
        .transpose()?;
    let (audio_peak, audio_average) = audio
        .as_ref()
        .map_or((0, 0), |audio| (peak_bps(&audio.segments), audio.average()));
    let mut renditions = Vec::new();
    for rung in rungs {
        let video = Measured::of(&hls.join(&rung.name))?;
        check_length(&video, seconds)?;
        let sound = if audio.is_some() { ",mp4a.40.2" } else { "" };
        let average = video.average() + audio_average;
        renditions.push(Rendition {
            name: rung.name.clone(),
            width: rung.width,
            height: rung.height,
            fps: rung.rate.value(),
            peak: (peak_bps(&video.segments) + audio_peak).max(average),
            average,
            codecs: format!("{}{sound}", avc_codec(&video.init)?),
            playlist: format!("hls/{}/index.m3u8", rung.name),
        });
    }
    if let (true, Some(audio)) = (rungs.is_empty(), &audio) {
        check_length(audio, seconds)?;
        renditions.push(Rendition {
            name: "audio".to_owned(),
            width: 0,
            height: 0,
            fps: 0.0,
            peak: audio_peak.max(audio_average),
            average: audio_average,
            codecs: "mp4a.40.2".to_owned(),
            playlist: "hls/audio/index.m3u8".to_owned(),
        });
    }
    let shared = audio.is_some() && !rungs.is_empty();
    write(hls, &renditions, shared)?;
    Ok(renditions)
}

fn write(hls: &Path, renditions: &[Rendition], shared: bool) -> Result<(), ClipError> {
    let variants: Vec<_> = renditions
        .iter()
        .map(|r| MasterRendition {
            uri: format!("{}/index.m3u8", r.name),
            peak: r.peak,
            average: r.average,
            codecs: r.codecs.clone(),
            video: (r.width > 0).then_some((r.width, r.height, r.fps)),
        })
        .collect();
    let master = write_master(&variants, shared.then_some(("audio/index.m3u8", 2)));
    parse_master(&master).map_err(|error| failed("OUTPUT_INVALID", &error.to_string(), true))?;
    std::fs::write(hls.join("master.m3u8"), master)
        .map_err(|_| failed("DISK", "the master playlist cannot be written", true))
}

fn check_length(stream: &Measured, seconds: f64) -> Result<(), ClipError> {
    if !is_whole(stream.playlist.seconds(), seconds) {
        return Err(failed(
            "OUTPUT_INVALID",
            "a rendition is shorter or longer than the clip",
            true,
        ));
    }
    Ok(())
}

/// RFC 6381's name of what an init segment's `avcC` box says (ISO/IEC 14496-15, 5.3.3.1).
fn avc_codec(init: &[u8]) -> Result<String, ClipError> {
    init.windows(8)
        .find(|window| window.starts_with(b"avcC"))
        .map(|b| format!("avc1.{:02x}{:02x}{:02x}", b[5], b[6], b[7]))
        .ok_or_else(|| failed("OUTPUT_INVALID", "an init segment says no codec", true))
}
