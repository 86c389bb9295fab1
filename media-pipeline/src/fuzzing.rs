//! One function for each parser of bytes from outside: what has to hold for any of them. The fuzz targets
//! (`media-pipeline/fuzz`) and the replay of their corpus call them; nothing else does. They panic where something
//! doesn't hold.

use crate::inspect::boxes;
use crate::inspect::policy::{self, Policy};
use crate::inspect::sniff::{Format, sniff};
use crate::mediaconvert::webhook::{SIGNATURE, Verifier, sign};
use crate::mediaconvert::{Hint, WebhookOptions, hint, playlist as theirs};
use crate::model::{ClipId, ClipKind};
use crate::objects::check_key;
use crate::objects::sign::{FormClaim, Keyring, PartClaim, SigningKey};
use crate::playback::range::{Wanted, wanted};
use crate::playback::{Claims, PlaybackKey, PlaybackKeys};
use crate::playlist::{parse_master, parse_media, write_media};
use crate::ports::PartPlan;
use crate::{inspect, playlist, webvtt};
use axum::http::{HeaderMap, HeaderValue};
use kaiwa_common::limits::{CLIP_CUE_BYTES, CLIP_CUES};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use std::io::Cursor;
use uuid::Uuid;

/// The time at which everything is read.
const NOW: UnixMs = UnixMs(1_790_000_000_000);

/// What a file is, by its first and last bytes, and whether a film names other files.
pub fn file(data: &[u8]) {
    let head = data.get(..16 * 1024).unwrap_or(data);
    let _ = sniff(head, data);
    let _ = boxes::names_other_files(data);
    let end = u64::try_from(data.len()).unwrap_or(u64::MAX);
    if let Ok(movie) = boxes::movie_in(&mut Cursor::new(data), end) {
        assert!(movie.len() <= data.len());
    }
}

/// `ffprobe`'s JSON; the first byte says of which kind of file.
pub fn probe(data: &[u8]) {
    let Some((first, json)) = data.split_first() else {
        return;
    };
    let kinds = [ClipKind::Video, ClipKind::Audio, ClipKind::Image];
    let kind = kinds[usize::from(*first) % kinds.len()];
    let format = Format {
        demuxer: "mov",
        name: "MP4",
        kind,
    };
    if let Ok(probed) = inspect::probe::read(json, format, 1) {
        let policy = Policy::default();
        let is_taken = policy::check(&policy, &probed, kind).is_ok();
        if let (true, Some(video)) = (is_taken, &probed.source.video) {
            assert!(video.width <= policy.max_side && video.height <= policy.max_side);
        }
    }
}

/// Playlists of ours and of MediaConvert's: nothing that they name leads out of their folder.
pub fn playlists(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(read) = parse_media(text) {
        let mut named = read.segments.iter().map(|segment| &segment.uri);
        assert!(named.all(|uri| playlist::is_plain(uri)) && playlist::is_plain(&read.init));
        if let Ok(again) = parse_media(&write_media(&read)) {
            assert_eq!(again.segments.len(), read.segments.len());
        }
    }
    if let Ok(read) = parse_master(text) {
        let mut variants = read.variants.iter();
        assert!(variants.all(|variant| playlist::is_plain(&variant.uri)));
    }
    let is_inside = |uri: &String| !uri.contains('/') && !uri.starts_with('.');
    if let Ok(read) = theirs::media(text) {
        assert!(read.segments.iter().all(|(_, uri)| is_inside(uri)));
        assert!(read.map.iter().all(is_inside));
    }
    if let Ok(read) = theirs::master(text) {
        assert!(read.keys().all(is_inside));
    }
}

/// Events of S3 and MediaConvert, from a queue or a webhook.
pub fn hints(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match hint::read(text) {
        Ok(Hint::Objects(objects)) => assert!(!objects.is_empty()),
        Ok(Hint::Job(_) | Hint::Nothing(_)) => {}
        Err(error) => assert!(error.reason().starts_with("hint_")),
    }
}

/// A webhook's signature, a newline, and its body: what holds was signed with the secret.
pub fn webhook(data: &[u8]) {
    let secret = b"a secret of sixteen bytes or more".to_vec();
    let options = WebhookOptions {
        secrets: vec![Secret::new(secret.clone())],
        ..WebhookOptions::default()
    };
    let verifier = Verifier::new(&options).expect("the secret is long enough");
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (header, body) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let holds = |value: &[u8]| {
        let value = HeaderValue::from_bytes(value).ok()?;
        let headers = HeaderMap::from_iter([(SIGNATURE.parse().ok()?, value)]);
        Some(verifier.holds(&verifier.claim(&headers, NOW)?, body))
    };
    if holds(header) == Some(true) {
        let text = std::str::from_utf8(header).expect("it was read as text");
        let time = text
            .split(',')
            .find_map(|part| part.trim().strip_prefix("t="));
        let seconds: i64 = time.and_then(|t| t.parse().ok()).expect("it has a time");
        let ours = sign(&secret, UnixMs(seconds * 1000), body);
        let tag = ours.split_once("v1=").expect("it has a tag").1;
        assert!(text.to_ascii_lowercase().contains(tag));
    }
    assert_eq!(holds(sign(&secret, NOW, body).as_bytes()), Some(true));
}

/// Tokens of uploads and of playback: what is opened was issued so, and what is issued is opened as it was meant, or not
/// at all.
pub fn tokens(data: &[u8]) {
    let uploads = Keyring::new(SigningKey::new("k", &Secret::new([7; 32])), None);
    let key = PlaybackKey::new(1, &Secret::new(vec![7; 32])).expect("32 bytes");
    let playback = PlaybackKeys::new(key, None).expect("one key");
    let text = String::from_utf8_lossy(data);
    if let Some((claims, whose)) = playback.open_named(&text, NOW) {
        let again = match whose {
            Some(user) => playback.issue_named(&claims, &user),
            None => playback.issue(&claims),
        };
        assert_eq!(again, text);
    }
    if let Ok(claim) = uploads.open_part(&text, NOW) {
        assert!(check_key(&claim.key).is_ok());
    }
    if let Ok(claim) = uploads.open_form(&text, NOW) {
        assert!(check_key(&claim.key).is_ok());
    }
    let number = |at: usize| {
        let bytes = data.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        u64::from_le_bytes(bytes.unwrap_or_default())
    };
    let expires = UnixMs(number(0).cast_signed());
    let (key, rest) = text.split_at(text.floor_char_boundary(text.len() / 2));
    let form = FormClaim {
        key: key.to_owned(),
        content_type: rest.to_owned(),
        max: number(8),
        expires,
    };
    if let Ok(opened) = uploads.open_form(&uploads.sign_form(&form), NOW) {
        assert_eq!(opened, form);
    }
    let part = PartClaim {
        key: key.to_owned(),
        upload: rest.to_owned(),
        part: PartPlan {
            number: u32::from(data.len() > 9),
            size: number(8),
            checksum: None,
        },
        expires,
    };
    if let Ok(opened) = uploads.open_part(&uploads.sign_part(&part), NOW) {
        assert_eq!(opened, part);
    }
    let claims = Claims {
        clip: ClipId(Uuid::from_u64_pair(number(0), number(8))),
        person: [data.first().copied().unwrap_or_default(); 16],
        expires,
        epoch: number(16),
    };
    let opened = playback.open(&playback.issue(&claims), NOW);
    assert_eq!(opened, (expires > NOW).then_some(claims));
}

/// A `Range` header, behind the size of the file in eight bytes: what is sent is within the file.
pub fn range(data: &[u8]) {
    let Some((size, header)) = data.split_first_chunk() else {
        return;
    };
    let size = u64::from_be_bytes(*size);
    if let Wanted::Part(from, to) = wanted(std::str::from_utf8(header).ok(), size) {
        assert!(from < to && to <= size, "{from}-{to} of {size}");
    }
}

/// Subtitles: cues are bounded, and each is shown for a while.
pub fn subtitles(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match webvtt::parse(text) {
        Ok(cues) => {
            assert!(cues.len() <= CLIP_CUES);
            let is_good =
                |cue: &webvtt::Cue| cue.from_ms < cue.to_ms && cue.bytes <= CLIP_CUE_BYTES;
            assert!(cues.iter().all(is_good));
        }
        Err(wrong) => assert!((1..=text.len() + 1).contains(&wrong.line)),
    }
}
