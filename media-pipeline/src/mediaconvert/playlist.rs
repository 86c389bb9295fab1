//! Reads the playlists that MediaConvert writes (RFC 8216): as much as outputs are resolved from. Writing and
//! validating ours is `crate::playlist`.

use std::collections::BTreeMap;

/// A media playlist that is whole.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Media {
    /// Seconds and URI of each segment, in order.
    pub segments: Vec<(f64, String)>,
    /// The file that players need before the segments (`EXT-X-MAP`).
    pub map: Option<String>,
}

/// What a master playlist says of a variant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Variant {
    /// RFC 6381.
    pub codecs: Option<String>,
    /// Frames a second.
    pub fps: Option<f64>,
}

/// Why a playlist is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub &'static str);

/// A media playlist.
///
/// # Errors
/// [`Broken`] for what is none, has no end, or leads out of its folder.
pub fn media(text: &str) -> Result<Media, Broken> {
    let mut lines = lines(text)?;
    let (mut media, mut next, mut has_ended) = (Media::default(), None, false);
    for line in &mut lines {
        if let Some(value) = line.strip_prefix("#EXTINF:") {
            let seconds = value
                .split(',')
                .next()
                .and_then(|text| text.parse::<f64>().ok());
            let is_good = |s: &f64| s.is_finite() && *s > 0.0 && *s < 3600.0;
            next = Some(
                seconds
                    .filter(is_good)
                    .ok_or(Broken("a segment's length"))?,
            );
        } else if let Some(value) = line.strip_prefix("#EXT-X-MAP:") {
            let uri = attributes(value)
                .remove("URI")
                .ok_or(Broken("a map's URI"))?;
            media.map = Some(inside(&uri)?);
        } else if line == "#EXT-X-ENDLIST" {
            has_ended = true;
        } else if !line.starts_with('#') {
            let seconds = next.take().ok_or(Broken("a segment without a length"))?;
            media.segments.push((seconds, inside(line)?));
        }
    }
    if !has_ended {
        return Err(Broken("no end"));
    }
    if media.segments.is_empty() {
        return Err(Broken("no segments"));
    }
    Ok(media)
}

/// A master playlist: its variants by URI.
///
/// # Errors
/// [`Broken`] for what is none, or leads out of its folder.
pub fn master(text: &str) -> Result<BTreeMap<String, Variant>, Broken> {
    let mut variants = BTreeMap::new();
    let mut next = None;
    for line in lines(text)? {
        if let Some(value) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            let mut attributes = attributes(value);
            next = Some(Variant {
                codecs: attributes.remove("CODECS"),
                fps: attributes.remove("FRAME-RATE").and_then(|t| t.parse().ok()),
            });
        } else if !line.starts_with('#') {
            let variant = next.take().ok_or(Broken("a variant without attributes"))?;
            variants.insert(inside(line)?, variant);
        }
    }
    Ok(variants)
}

fn lines(text: &str) -> Result<impl Iterator<Item = &str>, Broken> {
    let mut lines = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty());
    if lines.next() != Some("#EXTM3U") {
        return Err(Broken("no playlist"));
    }
    Ok(lines)
}

/// A name in the playlist's own folder.
fn inside(uri: &str) -> Result<String, Broken> {
    let is_good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if uri.is_empty() || uri.starts_with('.') || uri.len() > 255 || !uri.bytes().all(is_good) {
        return Err(Broken("a URI that leads elsewhere"));
    }
    Ok(uri.to_owned())
}

/// An attribute list (RFC 8216, 4.2), quotes taken off.
fn attributes(mut list: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while let Some((name, rest)) = list.split_once('=') {
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest
                .split_once(',')
                .map_or((rest, ""), |(value, _)| (value, &rest[value.len()..])),
        };
        found.insert(name.trim().to_owned(), value.to_owned());
        list = rest.trim_start_matches(',');
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_playlist_gives_its_segments() {
        let text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:6.006,\na.ts\r\n#EXTINF:1.5,x\nb.ts\n\
                    #EXT-X-ENDLIST\n";
        let read = media(text).expect("a playlist");
        assert_eq!(
            read.segments,
            [(6.006, "a.ts".to_owned()), (1.5, "b.ts".to_owned())]
        );
        assert_eq!(read.map.as_deref(), Some("i.mp4"));
    }

    #[test]
    fn what_is_not_whole_or_leads_out_is_refused() {
        for (text, why) in [
            ("", "no playlist"),
            ("<html>", "no playlist"),
            ("#EXTM3U\n#EXTINF:6,\na.ts\n", "no end"),
            ("#EXTM3U\n#EXT-X-ENDLIST\n", "no segments"),
            (
                "#EXTM3U\na.ts\n#EXT-X-ENDLIST\n",
                "a segment without a length",
            ),
            ("#EXTM3U\n#EXTINF:NaN,\na.ts\n", "a segment's length"),
            ("#EXTM3U\n#EXTINF:-1,\na.ts\n", "a segment's length"),
            (
                "#EXTM3U\n#EXTINF:6,\n../a.ts\n",
                "a URI that leads elsewhere",
            ),
            (
                "#EXTM3U\n#EXTINF:6,\n.hidden\n",
                "a URI that leads elsewhere",
            ),
            (
                "#EXTM3U\n#EXTINF:6,\nhttp://x/a.ts\n",
                "a URI that leads elsewhere",
            ),
        ] {
            assert_eq!(media(text), Err(Broken(why)), "{text}");
        }
    }

    #[test]
    fn a_master_playlist_gives_codecs_and_frame_rates() {
        let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.4d401f,mp4a.40.2\",FRAME-RATE=29.970\nv.m3u8\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=1\nw.m3u8\n";
        let read = master(text).expect("a playlist");
        assert_eq!(
            read["v.m3u8"].codecs.as_deref(),
            Some("avc1.4d401f,mp4a.40.2")
        );
        assert_eq!(read["v.m3u8"].fps, Some(29.97));
        assert_eq!(read["w.m3u8"], Variant::default());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_none_leads_out(
            text in "(#EXT[A-Z0-9:=\",.-]{0,20}\n|[a-z/.]{0,9}\n|#EXTINF:[0-9.e-]{0,6},\n|#EXT-X-ENDLIST\n){0,20}"
        ) {
            let text = format!("#EXTM3U\n{text}");
            let _ = master(&text);
            if let Ok(read) = media(&text) {
                let is_inside = |uri: &str| !uri.contains('/') && !uri.starts_with('.');
                proptest::prop_assert!(read.segments.iter().all(|(s, uri)| *s > 0.0 && is_inside(uri)));
            }
        }
    }
}
