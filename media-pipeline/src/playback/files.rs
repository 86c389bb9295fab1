//! Which files there are, and as what they are sent. What is not in these tables is not served.

use crate::model::ClipKind;

/// The content type of an output, by how its name ends.
pub(super) fn content_type(file: &str) -> Option<&'static str> {
    let (_, ending) = file.rsplit_once('.')?;
    Some(match ending {
        "m3u8" => "application/vnd.apple.mpegurl",
        "m4s" => "video/iso.segment",
        "mp4" => "video/mp4",
        "ts" => "video/mp2t",
        "m4a" => "audio/mp4",
        "aac" => "audio/aac",
        "mp3" => "audio/mpeg",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        "vtt" => "text/vtt; charset=utf-8",
        _ => return None,
    })
}

/// A picture or sound file that is shared as it came: as what its bytes are (the demuxer that they name), which no browser
/// takes for a document. What its uploader called it is not asked.
pub(super) fn source_type(container: &str, kind: ClipKind) -> &'static str {
    match (container, kind) {
        ("png_pipe", _) => "image/png",
        ("jpeg_pipe", _) => "image/jpeg",
        ("webp_pipe", _) => "image/webp",
        ("gif", _) => "image/gif",
        ("mov", ClipKind::Image) => "image/avif",
        ("mov", _) => "audio/mp4",
        ("mp3", _) => "audio/mpeg",
        ("aac", _) => "audio/aac",
        ("ogg", _) => "audio/ogg",
        ("wav", _) => "audio/wav",
        ("flac", _) => "audio/flac",
        ("matroska", _) => "audio/webm",
        _ => "application/octet-stream",
    }
}

/// A relative name as we write them: letters, digits, `.`, `_`, `-`, and `/` between parts that don't begin with a dot.
/// Nothing is decoded, so that nobody decodes it another way.
pub(super) fn is_plain(file: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.');
    file.len() <= 256 && file.bytes().all(allowed) && file.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_as_it_came_is_what_its_bytes_are_or_bytes() {
        for (container, kind, expected) in [
            ("png_pipe", ClipKind::Image, "image/png"),
            ("mov", ClipKind::Image, "image/avif"),
            ("mov", ClipKind::Audio, "audio/mp4"),
            ("mp3", ClipKind::Audio, "audio/mpeg"),
            ("", ClipKind::Image, "application/octet-stream"),
            ("svg_pipe", ClipKind::Image, "application/octet-stream"),
        ] {
            assert_eq!(source_type(container, kind), expected, "{container}");
        }
    }

    #[test]
    fn only_plain_names_pass() {
        for good in ["hls/master.m3u8", "a", "hls/720p/segment-0001.m4s"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "", "/", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/./b", ".a", "a/.b", "a%2fb",
            "a%2Fb", "a\\b", "a b", "a\0b", "a?b", "é", "a;b", "~a",
        ] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }
}
