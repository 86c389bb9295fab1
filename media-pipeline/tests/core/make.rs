//! Clips and what goes with them.

use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::checksum::ChecksumKind;
use kaiwa_media_pipeline::core::mark::Word;
use kaiwa_media_pipeline::core::rules::Rules;
use kaiwa_media_pipeline::core::step::{At, Input, Step, step};
use kaiwa_media_pipeline::model::{
    Backend, Chores, Clip, ClipError, ClipId, ClipKind, ClipState, Declared, Job, Outputs, Phase,
    Progress, Source, Upload, UploadMode, VideoInfo,
};
use kaiwa_media_pipeline::ports::Report;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

pub(crate) const START: UnixMs = UnixMs(1_795_000_000_000);
pub(crate) const SIZE: u64 = 1_000_000;

pub(crate) fn clip() -> Clip {
    Clip {
        id: ClipId(Uuid::from_u128(7)),
        room: RoomId::parse("r_1").unwrap(),
        uploader: UserId::parse("alice").unwrap(),
        title: "Holidays".to_owned(),
        kind: ClipKind::Video,
        state: ClipState::Created,
        version: 1,
        attempt: 0,
        declared: Declared {
            name: Redacted("a.mp4".to_owned()),
            size: SIZE,
            sha256: Some([1; 32]),
            content_type: "video/mp4".to_owned(),
        },
        upload: None,
        source: None,
        job: None,
        progress: None,
        outputs: None,
        captions: BTreeMap::new(),
        error: None,
        message: Some(5),
        labels: BTreeMap::new(),
        created: START,
        updated: START,
        due: Some(START.plus(Duration::from_secs(86_400))),
        chores: Chores {
            share: true,
            work_due: Some(START.plus(Duration::from_secs(86_400))),
            ..Chores::default()
        },
    }
}

pub(crate) fn upload() -> Upload {
    Upload {
        mode: UploadMode::Multipart,
        id: Some("u1".to_owned()),
        part_size: 5 << 20,
        checksum: ChecksumKind::Crc32c,
        expires: START.plus(Duration::from_secs(86_400)),
    }
}

pub(crate) fn source() -> Source {
    Source {
        size: SIZE,
        sha256: Some([1; 32]),
        container: "mov".to_owned(),
        duration: Duration::from_secs(60),
        video: Some(VideoInfo {
            codec: "h264".to_owned(),
            width: 1920,
            height: 1080,
            fps: 30.0,
            rotation: 0,
            bitrate: None,
            hdr: false,
        }),
        audio: None,
    }
}

pub(crate) fn job(attempt: u32) -> Job {
    Job {
        backend: Backend::MediaConvert,
        id: format!("job-{attempt}"),
        submitted: START,
    }
}

pub(crate) fn outputs(attempt: u32) -> Outputs {
    Outputs {
        playlist: Some(format!("of-{attempt}.m3u8")),
        renditions: Vec::new(),
        poster: None,
        sprite: None,
        files: BTreeMap::from([(format!("of-{attempt}.m3u8"), 10)]),
    }
}

pub(crate) fn word(attempt: u32, at: i64, report: Report) -> Input {
    Input::Word(Box::new(Word {
        attempt: Some(attempt),
        backend: Backend::MediaConvert,
        job: job(attempt).id,
        at: UnixMs(START.0 + at),
        report,
    }))
}

pub(crate) fn working(percent: u8) -> Report {
    Report::Working(Progress {
        phase: Phase::Transcoding,
        percent,
    })
}

pub(crate) fn transient() -> ClipError {
    ClipError {
        reason: "TRANSCODER_INTERNAL".to_owned(),
        message: "once more".to_owned(),
        retryable: true,
        provider_code: Some(1999),
    }
}

pub(crate) fn go_at(clip: &Clip, input: &Input, now: UnixMs) -> Step {
    let rules = Rules::default();
    let at = At {
        now,
        roll: 0,
        rules: &rules,
    };
    step(clip, input, at)
}

/// The clip after these inputs.
pub(crate) fn after(inputs: &[Input]) -> Clip {
    inputs.iter().fold(clip(), |clip, input| {
        go_at(&clip, input, START).clip.unwrap_or(clip)
    })
}
