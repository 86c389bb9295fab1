//! Writes playlists.

use super::MediaPlaylist;
use std::fmt::Write;

/// What the master playlist says of a rendition; rates with sound.
#[derive(Debug, Clone, PartialEq)]
pub struct MasterRendition {
    /// Its media playlist, relative to the master.
    pub uri: String,
    /// The heaviest run of segments, bits a second.
    pub peak: u64,
    /// Over all, bits a second.
    pub average: u64,
    /// RFC 6381.
    pub codecs: String,
    /// Width, height, frames a second; none for sound alone.
    pub video: Option<(u32, u32, f64)>,
}

/// The master playlist; `audio` is the shared sound's playlist and its channels.
#[must_use]
pub fn write_master(renditions: &[MasterRendition], audio: Option<(&str, u32)>) -> String {
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    if let Some((uri, channels)) = audio {
        let _ = writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aud\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,\
             CHANNELS=\"{channels}\",URI=\"{uri}\""
        );
    }
    for rendition in renditions {
        let _ = write!(
            out,
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\"",
            rendition.peak, rendition.average, rendition.codecs
        );
        if let Some((width, height, fps)) = rendition.video {
            let _ = write!(out, ",RESOLUTION={width}x{height},FRAME-RATE={fps:.3}");
        }
        if audio.is_some() {
            out.push_str(",AUDIO=\"aud\"");
        }
        let _ = writeln!(out, "\n{}", rendition.uri);
    }
    out
}

/// A media playlist.
#[must_use]
pub fn write_media(playlist: &MediaPlaylist) -> String {
    let longest = playlist
        .segments
        .iter()
        .map(|s| s.seconds)
        .fold(0.0, f64::max);
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:7\n");
    // RFC 8216, 4.3.3.1: each duration, rounded to the nearest second, is at most the target.
    let _ = writeln!(out, "#EXT-X-TARGETDURATION:{:.0}", longest.round().max(1.0));
    out.push_str("#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n");
    if playlist.independent {
        out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    let _ = writeln!(out, "#EXT-X-MAP:URI=\"{}\"", playlist.init);
    for segment in &playlist.segments {
        let _ = writeln!(out, "#EXTINF:{:.6},\n{}", segment.seconds, segment.uri);
    }
    out.push_str("#EXT-X-ENDLIST\n");
    out
}

/// The peak rate (RFC 8216, 4.1): the highest of any run of segments that lasts between half and one and a half
/// targets; of a shorter stream its average.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "bits a second of files that fit a disk"
)]
#[must_use]
pub fn peak_bps(segments: &[(f64, u64)]) -> u64 {
    let target = segments
        .iter()
        .map(|(seconds, _)| *seconds)
        .fold(0.0, f64::max)
        .round()
        .max(1.0);
    let mut peak = 0.0_f64;
    for from in 0..segments.len() {
        let (mut seconds, mut bytes) = (0.0, 0_u64);
        for (length, size) in &segments[from..] {
            seconds += length;
            bytes += size;
            if seconds > target * 1.5 {
                break;
            }
            if seconds >= target * 0.5 {
                peak = peak.max(bytes as f64 * 8.0 / seconds);
            }
        }
    }
    if peak == 0.0 {
        let seconds: f64 = segments.iter().map(|(length, _)| length).sum();
        let bytes: u64 = segments.iter().map(|(_, size)| size).sum();
        peak = bytes as f64 * 8.0 / seconds.max(0.001);
    }
    peak.ceil() as u64
}
