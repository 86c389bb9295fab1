//! Ours to theirs. Names of objects, of uploads and keys stay here.

use crate::admin::{Letters, Redriven};
use crate::api::{Grant, Playback, WatchItem};
use crate::checksum::{Checksum, ChecksumKind};
use crate::model::{
    AudioInfo, Backend, Clip, ClipKind, ClipState, Phase, Rendition, Source, VideoInfo,
};
use crate::ports::{Page, Part, SignedRequest};
use kaiwa_proto::media::v1;
use std::time::Duration;

pub(crate) fn clip(clip: &Clip) -> v1::Clip {
    let outputs = clip.outputs.as_ref();
    let is_awaited = matches!(clip.state, ClipState::Created | ClipState::Uploading);
    let upload = clip.upload.as_ref().filter(|_| is_awaited);
    v1::Clip {
        id: clip.id.to_string(),
        room_id: clip.room.to_string(),
        uploader_id: clip.uploader.to_string(),
        title: clip.title.clone(),
        kind: kind(clip.kind).into(),
        state: state(clip.state).into(),
        version: clip.version,
        attempt: clip.attempt,
        declared: Some(v1::DeclaredFile {
            name: clip.declared.name.0.clone(),
            size: clip.declared.size,
            sha256: digest(clip.declared.sha256),
            content_type: clip.declared.content_type.clone(),
        }),
        source: clip.source.as_ref().map(source),
        job: clip.job.as_ref().map(|job| v1::Job {
            backend: backend(job.backend).into(),
            id: job.id.clone(),
            submit_time_ms: job.submitted.0,
        }),
        progress: clip.progress.map(|progress| v1::Progress {
            phase: phase(progress.phase).into(),
            percent: progress.percent.into(),
        }),
        renditions: outputs.map_or_else(Vec::new, |o| o.renditions.iter().map(rendition).collect()),
        has_poster: outputs.is_some_and(|o| o.poster.is_some()),
        has_sprite: outputs.is_some_and(|o| o.sprite.is_some()),
        captions: captions(clip),
        error: clip.error.as_ref().map(|error| v1::ClipError {
            reason: error.reason.clone(),
            message: error.message.clone(),
            retryable: error.retryable,
            provider_code: error.provider_code.unwrap_or(0),
        }),
        message_seq: clip.message,
        labels: clip.labels.clone().into_iter().collect(),
        create_time_ms: clip.created.0,
        update_time_ms: clip.updated.0,
        upload_expire_time_ms: upload.map_or(0, |upload| upload.expires.0),
    }
}

fn captions(clip: &Clip) -> Vec<v1::Captions> {
    let all = clip.captions.iter();
    all.map(|(language, captions)| v1::Captions {
        language: language.0.clone(),
        label: captions.label.clone(),
    })
    .collect()
}

fn digest(digest: Option<[u8; 32]>) -> Vec<u8> {
    digest.map_or_else(Vec::new, |digest| digest.to_vec())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn source(source: &Source) -> v1::Source {
    v1::Source {
        size: source.size,
        sha256: digest(source.sha256),
        container: source.container.clone(),
        duration_ms: millis(source.duration),
        video: source.video.as_ref().map(video),
        audio: source.audio.as_ref().map(audio),
    }
}

fn video(video: &VideoInfo) -> v1::VideoInfo {
    v1::VideoInfo {
        codec: video.codec.clone(),
        width: video.width,
        height: video.height,
        fps: video.fps,
        rotation: video.rotation,
        bitrate: video.bitrate.unwrap_or(0),
        hdr: video.hdr,
    }
}

fn audio(audio: &AudioInfo) -> v1::AudioInfo {
    v1::AudioInfo {
        codec: audio.codec.clone(),
        channels: audio.channels,
        sample_rate: audio.sample_rate,
    }
}

fn rendition(rendition: &Rendition) -> v1::Rendition {
    v1::Rendition {
        name: rendition.name.clone(),
        width: rendition.width,
        height: rendition.height,
        fps: rendition.fps,
        peak_bitrate: rendition.peak,
        average_bitrate: rendition.average,
        codecs: rendition.codecs.clone(),
    }
}

fn kind(kind: ClipKind) -> v1::ClipKind {
    match kind {
        ClipKind::Video => v1::ClipKind::Video,
        ClipKind::Audio => v1::ClipKind::Audio,
        ClipKind::Image => v1::ClipKind::Image,
    }
}

fn phase(phase: Phase) -> v1::Phase {
    match phase {
        Phase::Probing => v1::Phase::Probing,
        Phase::Transcoding => v1::Phase::Transcoding,
        Phase::Storing => v1::Phase::Storing,
    }
}

fn backend(backend: Backend) -> v1::Backend {
    match backend {
        Backend::Ffmpeg => v1::Backend::Ffmpeg,
        Backend::MediaConvert => v1::Backend::Mediaconvert,
    }
}

pub(crate) fn state(state: ClipState) -> v1::ClipState {
    match state {
        ClipState::Created => v1::ClipState::Created,
        ClipState::Uploading => v1::ClipState::Uploading,
        ClipState::Uploaded => v1::ClipState::Uploaded,
        ClipState::Validating => v1::ClipState::Validating,
        ClipState::Submitted => v1::ClipState::Submitted,
        ClipState::Processing => v1::ClipState::Processing,
        ClipState::Verifying => v1::ClipState::Verifying,
        ClipState::Ready => v1::ClipState::Ready,
        ClipState::Expired => v1::ClipState::Expired,
        ClipState::Rejected => v1::ClipState::Rejected,
        ClipState::Failed => v1::ClipState::Failed,
        ClipState::Cancelled => v1::ClipState::Cancelled,
        ClipState::Deleted => v1::ClipState::Deleted,
    }
}

pub(crate) fn grant(grant: Grant) -> v1::UploadGrant {
    use v1::upload_grant::Way;
    let way = match grant {
        Grant::Parts {
            part_size,
            requests,
            expires,
            checksum,
        } => Way::Parts(v1::SignedParts {
            part_size,
            parts: requests.into_iter().map(signed_part).collect(),
            expire_time_ms: expires.0,
            checksum: checksum_kind(checksum).into(),
        }),
        Grant::Form(form) => Way::Form(v1::SignedForm {
            url: form.url,
            fields: form.fields.into_iter().collect(),
            expire_time_ms: form.expires.0,
        }),
        Grant::Credentials(credentials) => Way::Credentials(v1::UploadCredentials {
            access_key_id: credentials.access_key_id,
            secret_access_key: credentials.secret_access_key.expose().clone(),
            session_token: credentials.session_token.expose().clone(),
            region: credentials.region,
            bucket: credentials.bucket,
            key: credentials.key,
            endpoint: credentials.endpoint.unwrap_or_default(),
            expire_time_ms: credentials.expires.0,
        }),
    };
    v1::UploadGrant { way: Some(way) }
}

fn signed_part((number, request): (u32, SignedRequest)) -> v1::SignedPart {
    v1::SignedPart {
        number,
        method: request.method.to_owned(),
        url: request.url,
        headers: request.headers.into_iter().collect(),
        expire_time_ms: request.expires.0,
    }
}

const fn checksum_kind(kind: ChecksumKind) -> v1::ChecksumKind {
    match kind {
        ChecksumKind::Sha256 => v1::ChecksumKind::Sha256,
        ChecksumKind::Crc32c => v1::ChecksumKind::Crc32c,
    }
}

/// The sum, if it is of that kind.
fn sum(kind: ChecksumKind, sum: Option<Checksum>) -> Vec<u8> {
    let sum = sum.filter(|sum| sum.kind() == kind);
    sum.map_or_else(Vec::new, |sum| sum.bytes().to_vec())
}

pub(crate) fn parts(parts: Vec<Part>) -> v1::UploadedParts {
    let parts = parts.into_iter().map(|part| v1::UploadedPart {
        number: part.number,
        size: part.size,
        etag: part.etag,
        sha256: sum(ChecksumKind::Sha256, part.checksum),
        crc32c: sum(ChecksumKind::Crc32c, part.checksum),
    });
    v1::UploadedParts {
        parts: parts.collect(),
    }
}

pub(crate) fn page(page: &Page) -> v1::ListClipsResponse {
    let last = page.clips.last().filter(|_| page.more);
    v1::ListClipsResponse {
        clips: page.clips.iter().map(clip).collect(),
        next_page_token: last.map_or_else(String::new, |last| last.id.to_string()),
    }
}

pub(crate) fn event(item: WatchItem) -> v1::ClipEvent {
    use v1::clip_event::What;
    let (revision, what) = match item {
        WatchItem::Snapshot { revision, clips } => {
            let clips = clips.iter().map(clip).collect();
            (revision, What::Snapshot(v1::Snapshot { clips }))
        }
        WatchItem::Changed {
            revision,
            clip: changed,
        } => (revision, What::Changed(clip(&changed))),
        WatchItem::Heartbeat { revision } => (revision, What::Heartbeat(v1::Heartbeat {})),
    };
    v1::ClipEvent {
        revision,
        what: Some(what),
    }
}

pub(crate) fn playback(playback: Playback) -> v1::PlaybackGrant {
    let captions = playback.captions.into_iter();
    let captions = captions.map(|(language, label, url)| v1::PlaybackCaptions {
        language: language.0,
        label,
        url,
    });
    v1::PlaybackGrant {
        url: playback.url,
        poster_url: playback.poster.unwrap_or_default(),
        sprite_url: playback.sprite.unwrap_or_default(),
        captions: captions.collect(),
        cookies: playback.cookies.into_iter().collect(),
        expire_time_ms: playback.expires.0,
    }
}

pub(crate) fn stuck(jobs: &[(Clip, Duration)]) -> v1::ListStuckJobsResponse {
    let jobs = jobs.iter().map(|(stuck, overdue)| v1::StuckJob {
        clip: Some(clip(stuck)),
        overdue_ms: millis(*overdue),
    });
    v1::ListStuckJobsResponse {
        jobs: jobs.collect(),
    }
}

pub(crate) fn letters(page: Letters) -> v1::ListDeadLettersResponse {
    let letters = page.letters.into_iter().map(|letter| v1::DeadLetter {
        queue: letter.queue,
        id: letter.id,
        reason: letter.reason,
        component: letter.component,
        first_seen_time_ms: letter.first_seen_ms,
        trace_id: letter.trace_id.unwrap_or_default(),
    });
    v1::ListDeadLettersResponse {
        letters: letters.collect(),
        has_more: page.more,
    }
}

pub(crate) fn redriven(redriven: Redriven) -> v1::RedriveDeadLettersResponse {
    v1::RedriveDeadLettersResponse {
        redriven: redriven.done,
        failed: redriven.failed.into_iter().collect(),
        has_more: redriven.more,
    }
}
