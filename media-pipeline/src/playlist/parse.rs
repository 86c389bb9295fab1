//! Reads playlists and refuses what RFC 8216 or our own rules do not allow.

use super::{MediaPlaylist, Segment, is_plain};
use kaiwa_common::limits::{CLIP_PLAYLIST_BYTES, CLIP_SEGMENTS};
use std::collections::BTreeMap;

/// What is wrong, and the section of RFC 8216 that says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the playlist is not valid: {0}")]
pub struct PlaylistError(pub String);

/// A variant of a master playlist.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its media playlist, relative.
    pub uri: String,
    /// Its attributes as written, without quotes.
    pub attributes: BTreeMap<String, String>,
}

/// A master playlist.
#[derive(Debug, Clone, PartialEq)]
pub struct MasterPlaylist {
    /// In order.
    pub variants: Vec<Variant>,
    /// `EXT-X-MEDIA`, as written, without quotes.
    pub media: Vec<BTreeMap<String, String>>,
}

fn bad<T>(what: impl Into<String>) -> Result<T, PlaylistError> {
    Err(PlaylistError(what.into()))
}

/// Lines without blanks; the first is `#EXTM3U` (4.3.1.1).
fn lines(text: &str) -> Result<Vec<&str>, PlaylistError> {
    if text.len() > CLIP_PLAYLIST_BYTES {
        return bad("longer than a playlist may be");
    }
    if text.starts_with('\u{feff}')
        || text
            .chars()
            .any(|c| c.is_control() && c != '\n' && c != '\r')
    {
        return bad("a byte order mark or control character (4)");
    }
    let mut lines = text.lines().filter(|line| !line.is_empty());
    if lines.next() != Some("#EXTM3U") {
        return bad("does not begin with #EXTM3U (4.3.1.1)");
    }
    Ok(lines.collect())
}

/// Attributes `NAME=value,…` (4.2), each at most once.
fn attributes(text: &str) -> Result<BTreeMap<String, String>, PlaylistError> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once('=') else {
            return bad("an attribute without a value (4.2)");
        };
        if name.is_empty()
            || !name
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-')
        {
            return bad("an attribute's name (4.2)");
        }
        let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
            let Some((value, after)) = quoted.split_once('"') else {
                return bad("a text without its end (4.2)");
            };
            (value, after)
        } else {
            after.split_at(after.find(',').unwrap_or(after.len()))
        };
        if found.insert(name.to_owned(), value.to_owned()).is_some() {
            return bad("an attribute twice (4.2)");
        }
        rest = match after.strip_prefix(',') {
            Some("") => return bad("a comma at the end (4.2)"),
            Some(more) => more,
            None if after.is_empty() => after,
            None => return bad("something behind a text (4.2)"),
        };
    }
    Ok(found)
}

fn uri(text: &str) -> Result<String, PlaylistError> {
    if is_plain(text) {
        Ok(text.to_owned())
    } else {
        bad("a URI that leaves the clip's folder")
    }
}

/// Reads and checks a media playlist.
///
/// # Errors
/// What is wrong with it.
pub fn parse_media(text: &str) -> Result<MediaPlaylist, PlaylistError> {
    let mut once = BTreeMap::new();
    let (mut init, mut pending, mut segments) = (None, None, Vec::new());
    for line in lines(text)? {
        if once.contains_key("#EXT-X-ENDLIST") {
            return bad("something after its end (4.3.3.4)");
        }
        if let Some(duration) = line.strip_prefix("#EXTINF:") {
            let seconds = duration
                .split(',')
                .next()
                .and_then(|s| s.parse::<f64>().ok());
            match seconds {
                Some(s)
                    if s.is_finite() && s >= 0.0 && duration.contains(',') && pending.is_none() =>
                {
                    pending = Some(s);
                }
                _ => return bad("EXTINF (4.3.2.1)"),
            }
        } else if let Some(map) = line.strip_prefix("#EXT-X-MAP:") {
            let map = attributes(map)?;
            let Some(named) = map.get("URI") else {
                return bad("EXT-X-MAP without URI (4.3.2.5)");
            };
            if init.replace(uri(named)?).is_some() || !segments.is_empty() {
                return bad("EXT-X-MAP twice or late");
            }
        } else if let Some(tag) = line.strip_prefix("#EXT") {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            if tag.starts_with("-X-STREAM-INF") || tag.starts_with("-X-MEDIA:") {
                return bad("a master playlist's tag in a media playlist (4.3.4)");
            }
            if once.insert(name, value).is_some() {
                return bad(format!("{name} twice (4.3.3)"));
            }
        } else if !line.starts_with('#') {
            let Some(seconds) = pending.take() else {
                return bad("a URI without EXTINF (4.3.2.1)");
            };
            segments.push(Segment {
                uri: uri(line)?,
                seconds,
            });
            if segments.len() > CLIP_SEGMENTS {
                return bad("too many segments");
            }
        }
    }
    check_media(&once, pending.is_some(), &segments)?;
    let Some(init) = init else {
        return bad("no EXT-X-MAP, which CMAF needs (3.3)");
    };
    Ok(MediaPlaylist {
        init,
        segments,
        independent: once.contains_key("#EXT-X-INDEPENDENT-SEGMENTS"),
    })
}

fn check_media(
    once: &BTreeMap<&str, &str>,
    dangling: bool,
    segments: &[Segment],
) -> Result<(), PlaylistError> {
    const KNOWN: &[&str] = &[
        "#EXT-X-VERSION",
        "#EXT-X-TARGETDURATION",
        "#EXT-X-MEDIA-SEQUENCE",
        "#EXT-X-PLAYLIST-TYPE",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        "#EXT-X-ENDLIST",
    ];
    if let Some(name) = once.keys().find(|name| !KNOWN.contains(name)) {
        return bad(format!("a tag that ours never have: {name}"));
    }
    let number = |name: &str| once.get(name).and_then(|value| value.parse::<u32>().ok());
    let Some(target) = number("#EXT-X-TARGETDURATION") else {
        return bad("no EXT-X-TARGETDURATION (4.3.3.1)");
    };
    if number("#EXT-X-VERSION").is_none_or(|version| version < 6) {
        return bad("EXT-X-MAP needs version 6 (7)");
    }
    if once.get("#EXT-X-PLAYLIST-TYPE") != Some(&"VOD") || !once.contains_key("#EXT-X-ENDLIST") {
        return bad("not the whole of it: VOD with EXT-X-ENDLIST (4.3.3.5)");
    }
    if dangling || segments.is_empty() {
        return bad("EXTINF without a segment, or none at all");
    }
    if segments
        .iter()
        .any(|segment| segment.seconds.round() > f64::from(target))
    {
        return bad("a segment longer than EXT-X-TARGETDURATION (4.3.3.1)");
    }
    let mut names: Vec<_> = segments.iter().map(|segment| &segment.uri).collect();
    names.sort();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return bad("a segment twice");
    }
    Ok(())
}

/// Reads and checks a master playlist.
///
/// # Errors
/// What is wrong with it.
pub fn parse_master(text: &str) -> Result<MasterPlaylist, PlaylistError> {
    let mut master = MasterPlaylist {
        variants: Vec::new(),
        media: Vec::new(),
    };
    let mut pending = None;
    for line in lines(text)? {
        if let Some(info) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            if pending.replace(attributes(info)?).is_some() {
                return bad("EXT-X-STREAM-INF without its URI (4.3.4.2)");
            }
        } else if let Some(media) = line.strip_prefix("#EXT-X-MEDIA:") {
            let media = attributes(media)?;
            if ["TYPE", "GROUP-ID", "NAME"]
                .iter()
                .any(|name| !media.contains_key(*name))
            {
                return bad("EXT-X-MEDIA without TYPE, GROUP-ID or NAME (4.3.4.1)");
            }
            media.get("URI").map(|named| uri(named)).transpose()?;
            master.media.push(media);
        } else if line.starts_with("#EXTINF") || line.starts_with("#EXT-X-TARGETDURATION") {
            return bad("a media playlist's tag in a master playlist (4.3.2)");
        } else if !line.starts_with('#') {
            let Some(attributes) = pending.take() else {
                return bad("a URI without EXT-X-STREAM-INF");
            };
            master.variants.push(Variant {
                uri: uri(line)?,
                attributes,
            });
        }
        if master.variants.len() + master.media.len() > 32 {
            return bad("too many variants");
        }
    }
    if pending.is_some() || master.variants.is_empty() {
        return bad("no variant, or one without its URI (4.3.4.2)");
    }
    master
        .variants
        .iter()
        .try_for_each(|variant| check_variant(variant, &master.media))?;
    Ok(master)
}

fn check_variant(
    variant: &Variant,
    media: &[BTreeMap<String, String>],
) -> Result<(), PlaylistError> {
    let rate = |name: &str| {
        variant
            .attributes
            .get(name)
            .and_then(|value| value.parse::<u64>().ok())
    };
    match (rate("BANDWIDTH"), rate("AVERAGE-BANDWIDTH")) {
        (Some(peak), Some(average)) if average <= peak && average > 0 => {}
        _ => return bad("BANDWIDTH and AVERAGE-BANDWIDTH (4.3.4.2)"),
    }
    if variant
        .attributes
        .get("CODECS")
        .is_none_or(String::is_empty)
    {
        return bad("no CODECS (4.3.4.2)");
    }
    if let Some(group) = variant.attributes.get("AUDIO")
        && !media
            .iter()
            .any(|m| m.get("GROUP-ID") == Some(group) && m["TYPE"] == "AUDIO")
    {
        return bad("AUDIO names a group that is not there (4.3.4.2)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::{MasterRendition, peak_bps, write_master, write_media};
    use proptest::prelude::*;

    const MEDIA: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:0\n\
        #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:6.000000,\na.m4s\n#EXT-X-ENDLIST\n";

    #[test]
    fn a_playlist_with_a_fault_is_refused() {
        assert!(parse_media(MEDIA).is_ok());
        for (from, to) in [
            ("#EXTM3U\n", ""),
            ("#EXTINF:6.000000,\n", ""),
            ("a.m4s", "../a.m4s"),
            ("a.m4s", "/etc/passwd"),
            ("a.m4s", "https://x.example/a.m4s"),
            ("a.m4s\n", ""),
            ("DURATION:6", "DURATION:5"),
            ("#EXT-X-ENDLIST\n", ""),
            ("VERSION:7", "VERSION:3"),
            ("6.000000", "NaN"),
            ("#EXT-X-MAP:URI=\"init.mp4\"\n", ""),
            (
                "#EXT-X-MEDIA-SEQUENCE:0\n",
                "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n",
            ),
            ("a.m4s\n", "a.m4s\n#EXTINF:6.0,\na.m4s\n"),
        ] {
            assert!(
                parse_media(&MEDIA.replace(from, to)).is_err(),
                "{from:?} → {to:?}"
            );
        }
    }

    #[test]
    fn the_peak_is_of_runs_near_the_target_and_not_of_a_short_rest() {
        assert_eq!(
            peak_bps(&[(6.0, 600_000), (6.0, 300_000), (0.1, 100_000)]),
            800_000
        );
        assert_eq!(peak_bps(&[(0.2, 1_000)]), 40_000);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(lengths in proptest::collection::vec(0.02_f64..12.0, 1..40)) {
            let playlist = MediaPlaylist {
                init: "init.mp4".into(),
                segments: lengths.iter().enumerate().map(|(n, seconds)| Segment {
                    uri: format!("seg_{n:05}.m4s"),
                    seconds: (seconds * 1e6).round() / 1e6,
                }).collect(),
                independent: true,
            };
            prop_assert_eq!(parse_media(&write_media(&playlist)), Ok(playlist));
        }

        #[test]
        fn a_master_reads_as_written(peak in 2_u64..10_000_000, sound in any::<bool>()) {
            let one = MasterRendition {
                uri: "720p/index.m3u8".into(), peak, average: peak / 2, codecs: "avc1.4d401f,mp4a.40.2".into(),
                video: Some((1280, 720, 29.97)),
            };
            let text = write_master(&[one], sound.then_some(("audio/index.m3u8", 2)));
            let master = parse_master(&text).unwrap();
            prop_assert_eq!(&master.variants[0].attributes["RESOLUTION"], "1280x720");
            prop_assert_eq!(&master.variants[0].attributes["FRAME-RATE"], "29.970");
            prop_assert_eq!(master.media.len(), usize::from(sound));
        }

        #[test]
        fn no_text_panics(text in "(#EXT[A-Z0-9:=\",.-]{0,20}\n|[a-z/.]{0,9}\n|#EXTM3U\n){0,20}") {
            let _ = parse_media(&text);
            let _ = parse_master(&format!("#EXTM3U\n{text}"));
        }
    }
}
