//! What the first bytes say. No I/O.
//!
//! FFmpeg guesses: a playlist called `holiday.mp4` makes it open what the playlist names. So the demuxer is chosen
//! here, from bytes that only that format begins with, and everything that names other files is refused by name.

use super::refuse;
use crate::model::{ClipError, ClipKind};

/// A format that may be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// FFmpeg's demuxer, forced with `-f`.
    pub demuxer: &'static str,
    /// What we call it.
    pub name: &'static str,
    /// What it can hold: pictures are told from films here.
    pub kind: ClipKind,
}

const fn format(demuxer: &'static str, name: &'static str, kind: ClipKind) -> Format {
    Format {
        demuxer,
        name,
        kind,
    }
}

/// Says what the bytes are. `head` is up to the first 16 KiB, `tail` up to the last 64 KiB and 22 bytes.
///
/// # Errors
/// Why they may not be shared.
pub fn sniff(head: &[u8], tail: &[u8]) -> Result<Format, ClipError> {
    if head.is_empty() {
        return Err(refuse("EMPTY_FILE", "The file is empty."));
    }
    if let Some(found) = text_format(head) {
        return Err(found);
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Err(refuse(
            "ARCHIVE",
            "This is a ZIP archive, not a film, sound or picture.",
        ));
    }
    if head.get(4..8) == Some(b"ftyp") && is_heif(head) {
        return Err(refuse(
            "CODEC_NOT_ALLOWED",
            "Pictures coded as HEIC are not taken: please share it as JPEG.",
        ));
    }
    let Some(format) = media_format(head) else {
        return Err(refuse(
            "NOT_A_MEDIA_FILE",
            "This is no film, sound or picture that we know.",
        ));
    };
    if let Some(what) = stowaway(head, tail) {
        return Err(refuse(
            "POLYGLOT",
            format!("The file is {} and {what} at once.", format.name),
        ));
    }
    Ok(format)
}

/// Texts that programs take for media, each refused by its name.
fn text_format(head: &[u8]) -> Option<ClipError> {
    let text = text_start(head);
    let starts = |what: &str| {
        text.len() >= what.len() && text[..what.len()].eq_ignore_ascii_case(what.as_bytes())
    };
    let message = "It is a text that names other files, not a film, sound or picture.";
    if starts("#EXTM3U") {
        return Some(refuse("PLAYLIST", message));
    }
    if starts("ffconcat") || is_concat(text) {
        return Some(refuse("CONCAT_SCRIPT", message));
    }
    if starts("v=0\r") || starts("v=0\n") {
        return Some(refuse("SDP", message));
    }
    if !starts("<") {
        return None;
    }
    let reason = if find(text, b"<svg") {
        "SVG"
    } else if find(text, b"<mpd") {
        "DASH_MANIFEST"
    } else if starts("<!doctype html") || find(text, b"<html") || find(text, b"<script") {
        "HTML"
    } else {
        "XML"
    };
    Some(refuse(reason, message))
}

/// After byte order mark and white space.
fn text_start(head: &[u8]) -> &[u8] {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let blank = head.iter().take_while(|b| b.is_ascii_whitespace()).count();
    &head[blank..]
}

/// `file 'x'` as FFmpeg's concat demuxer reads it, also after comments.
fn is_concat(text: &[u8]) -> bool {
    text.split(|b| *b == b'\n')
        .take(64)
        .map(text_start)
        .find(|line| !line.is_empty() && line[0] != b'#')
        .is_some_and(|line| line.starts_with(b"file ") || line.starts_with(b"file\t"))
}

fn media_format(head: &[u8]) -> Option<Format> {
    use ClipKind::{Audio, Image, Video};
    let at = |from: usize, what: &[u8]| head.get(from..).is_some_and(|rest| rest.starts_with(what));
    if at(4, b"ftyp") {
        return iso_format(head);
    }
    if at(0, b"\x1a\x45\xdf\xa3") {
        return Some(format("matroska", "matroska", Video));
    }
    if at(0, b"RIFF") && at(8, b"WAVE") {
        return Some(format("wav", "wav", Audio));
    }
    if at(0, b"RIFF") && at(8, b"WEBP") {
        return Some(format("webp_pipe", "webp", Image));
    }
    if at(0, b"OggS\0") {
        return Some(format("ogg", "ogg", Audio));
    }
    if at(0, b"\x89PNG\r\n\x1a\n") && at(12, b"IHDR") {
        return Some(format("png_pipe", "png", Image));
    }
    if at(0, b"\xff\xd8\xff") {
        return Some(format("jpeg_pipe", "jpeg", Image));
    }
    if at(0, b"GIF87a") || at(0, b"GIF89a") {
        return Some(format("gif", "gif", Image));
    }
    if at(0, b"fLaC\0") {
        return Some(format("flac", "flac", Audio));
    }
    if at(0, b"ID3") && head.get(3).is_some_and(|v| (2..=4).contains(v)) {
        return Some(format("mp3", "mp3", Audio));
    }
    if head.len() >= 188 * 3 && (0..3).all(|packet| head[packet * 188] == 0x47) {
        return Some(format("mpegts", "mpegts", Video));
    }
    audio_frames(head)
}

/// ISO base media (MP4, QuickTime, AVIF) by the brands of its first box.
fn iso_format(head: &[u8]) -> Option<Format> {
    let size = usize::try_from(u32::from_be_bytes(head.get(..4)?.try_into().ok()?)).ok()?;
    if !(16..=4096).contains(&size) || head.len() < size {
        return None;
    }
    let brands = || head[8..12].chunks(4).chain(head[16..size].chunks_exact(4));
    if matches!(&head[8..12], b"avif" | b"avis") {
        return Some(format("mov", "avif", ClipKind::Image));
    }
    const KNOWN: &[&[u8]] = &[
        b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"iso7", b"iso8", b"iso9", b"mp41",
        b"mp42", b"avc1", b"qt  ", b"M4V ", b"M4A ", b"M4VH", b"M4VP", b"dash", b"cmfc", b"cmf2",
        b"3gp4", b"3gp5", b"3gp6", b"3g2a", b"MSNV", b"XAVC", b"f4v ", b"mmp4",
    ];
    brands()
        .any(|brand| KNOWN.contains(&brand))
        .then(|| format("mov", "mov", ClipKind::Video))
}

/// Still pictures of telephones, which FFmpeg 5.1 takes for films of many small ones (ISO/IEC 23008-12, 10).
fn is_heif(head: &[u8]) -> bool {
    head.get(8..12).is_some_and(|brand| {
        matches!(
            brand,
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"mif1" | b"msf1"
        )
    })
}

/// MP3 or ADTS: two frames, each where the one before says.
fn audio_frames(head: &[u8]) -> Option<Format> {
    let adts = |at: usize| -> Option<usize> {
        let h = head.get(at..at + 7)?;
        let sound = h[0] == 0xff && h[1] & 0xf6 == 0xf0 && (h[2] >> 2) & 15 < 13;
        let length =
            (usize::from(h[3] & 3) << 11) | (usize::from(h[4]) << 3) | usize::from(h[5] >> 5);
        (sound && length > 7).then_some(length)
    };
    if adts(0).and_then(adts).is_some() {
        return Some(format("aac", "adts", ClipKind::Audio));
    }
    let second = mp3_frame(head, 0)?;
    mp3_frame(head, second).map(|_| format("mp3", "mp3", ClipKind::Audio))
}

/// Bytes of the MPEG-1 or -2 layer III frame there (ISO/IEC 11172-3, 2.4.1.3).
fn mp3_frame(head: &[u8], at: usize) -> Option<usize> {
    const V1: [usize; 14] = [
        32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ];
    const V2: [usize; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    let h = head.get(at..at + 4)?;
    if h[0] != 0xff || h[1] & 0xe6 != 0xe2 {
        return None;
    }
    let version = (h[1] >> 3) & 3;
    let rate = [44_100, 48_000, 32_000]
        .get(usize::from((h[2] >> 2) & 3))
        .copied()?;
    let kbps =
        *(if version == 3 { &V1 } else { &V2 }).get(usize::from(h[2] >> 4).checked_sub(1)?)?;
    let (samples, rate) = match version {
        3 => (144, rate),
        2 => (72, rate / 2),
        0 => (72, rate / 4),
        _ => return None,
    };
    Some(samples * kbps * 1000 / rate + usize::from((h[2] >> 1) & 1))
}

/// Another file inside the first: what the sniff says then depends on who looks.
fn stowaway(head: &[u8], tail: &[u8]) -> Option<&'static str> {
    for (mark, what) in [
        (&b"#EXTM3U"[..], "a playlist"),
        (b"ffconcat version", "a concat script"),
        (b"<html", "a web page"),
        (b"<script", "a web page"),
        (b"<!doctype html", "a web page"),
        (b"<svg ", "an SVG picture"),
        (b"<svg>", "an SVG picture"),
        (b"<?php", "a program"),
        (b"%pdf-1.", "a document"),
    ] {
        if find(head, mark) {
            return Some(what);
        }
    }
    has_zip_directory(tail).then_some("an archive")
}

/// A ZIP's end of central directory whose comment ends with the file (APPNOTE 4.3.16).
fn has_zip_directory(tail: &[u8]) -> bool {
    (0..tail.len().saturating_sub(21)).any(|at| {
        tail[at..].starts_with(b"PK\x05\x06")
            && usize::from(u16::from_le_bytes([tail[at + 20], tail[at + 21]])) + at + 22
                == tail.len()
    })
}

/// Is `what`, in lower or upper case, in there?
fn find(bytes: &[u8], what: &[u8]) -> bool {
    bytes
        .windows(what.len())
        .any(|window| window.eq_ignore_ascii_case(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reason(head: &[u8]) -> String {
        sniff(head, head).map_or_else(|error| error.reason, |format| format.name.to_owned())
    }

    #[test]
    fn each_kind_of_text_that_names_files_is_refused_by_its_name() {
        for (head, expected) in [
            (&b""[..], "EMPTY_FILE"),
            (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "PLAYLIST"),
            (b"\xef\xbb\xbf\n #extm3u\n", "PLAYLIST"),
            (
                b"ffconcat version 1.0\nfile '/etc/passwd'\n",
                "CONCAT_SCRIPT",
            ),
            (b"# holiday\n\nfile /etc/passwd\n", "CONCAT_SCRIPT"),
            (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", "SDP"),
            (
                b"<?xml version='1.0'?><svg><image href='/etc/passwd'/></svg>",
                "SVG",
            ),
            (b"<?xml version='1.0'?>\n<MPD></MPD>", "DASH_MANIFEST"),
            (b"<!DOCTYPE html><p>", "HTML"),
            (b"<smil></smil>", "XML"),
            (b"PK\x03\x04\x14\0", "ARCHIVE"),
            (b"\x7fELF\x02\x01\x01", "NOT_A_MEDIA_FILE"),
            (b"GIF89a\x01\0\x01\0/*<script>alert(1)</script>", "POLYGLOT"),
            (b"\xff\xd8\xff\xe0#EXTM3U\n", "POLYGLOT"),
            (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "mov"),
            (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "avif"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1isom", "CODEC_NOT_ALLOWED"),
            (b"\0\0\0\x18ftypevil\0\0\0\0evilbad!", "NOT_A_MEDIA_FILE"),
        ] {
            assert_eq!(reason(head), expected, "{}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn an_archive_behind_a_picture_is_found_by_its_directory() {
        let mut file = b"\xff\xd8\xff\xe0JFIF and so on".to_vec();
        assert_eq!(reason(&file), "jpeg");
        file.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x10\0\0\0\x10\0\0\0\x03\0end");
        assert_eq!(reason(&file), "POLYGLOT");
    }

    const HEADS: &[&[u8]] = &[
        b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
        b"\x1a\x45\xdf\xa3",
        b"RIFF\0\0\0\0WAVE",
        b"OggS\0",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"ID3\x04",
        b"\xff\xfb\x90\0",
        b"\xff\xf1\x50\x80",
        b"#EXTM3U",
        b"<svg",
        b"PK\x03\x04",
        b"ffconcat",
        b"\0\0\0\0ftyp",
    ];

    proptest! {
        #[test]
        fn no_bytes_panic_and_an_answer_has_its_mark(
            start in 0..HEADS.len(), cut in 0_usize..32, rest in proptest::collection::vec(any::<u8>(), 0..2048)
        ) {
            let head = HEADS[start];
            let mut bytes = head[..head.len().min(cut)].to_vec();
            bytes.extend(rest);
            if let Ok(format) = sniff(&bytes, &bytes) {
                prop_assert!(media_format(&bytes) == Some(format));
                prop_assert!(!["hls", "concat", "dash", "sdp", "svg_pipe"].contains(&format.demuxer));
            }
        }

        #[test]
        fn nothing_in_front_of_a_playlist_hides_it(
            start in 0..HEADS.len(), between in proptest::collection::vec(any::<u8>(), 0..4096)
        ) {
            let mut bytes = HEADS[start].to_vec();
            bytes.extend(between);
            bytes.extend(b"\n#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n");
            prop_assert!(sniff(&bytes, &bytes).is_err());
        }
    }
}
