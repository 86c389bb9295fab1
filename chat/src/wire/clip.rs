//! Clips, as rooms show them.

use super::enums;
use super::event::InvalidEvent;
use crate::model::{ClipProgress, ClipShown, ClipView};
use kaiwa_common::id::ClipId;
use kaiwa_common::redact::Redacted;
use kaiwa_proto::client::v1 as proto;

impl From<&ClipView> for proto::Clip {
    fn from(view: &ClipView) -> Self {
        Self {
            id: view.clip.to_string(),
            version: view.version,
            kind: proto::ClipKind::from(view.kind).into(),
            state: state(view.state).into(),
            title: view.title.0.clone(),
            duration_ms: view.duration_ms,
            width: view.width,
            height: view.height,
        }
    }
}

impl TryFrom<proto::Clip> for ClipView {
    type Error = InvalidEvent;

    fn try_from(clip: proto::Clip) -> Result<Self, InvalidEvent> {
        Ok(Self {
            clip: ClipId::parse(&clip.id)?,
            version: clip.version,
            kind: enums::clip_kind(clip.kind).ok_or(InvalidEvent::Field("clip.kind"))?,
            state: shown(clip.state).ok_or(InvalidEvent::Field("clip.state"))?,
            title: Redacted(clip.title),
            duration_ms: clip.duration_ms,
            width: clip.width,
            height: clip.height,
        })
    }
}

/// How far a clip is.
#[must_use]
pub fn clip_progress(progress: &ClipProgress) -> proto::ClipProgress {
    proto::ClipProgress {
        room: progress.room.to_string(),
        seq: progress.target.0,
        clip: progress.clip.to_string(),
        percent: progress.percent.into(),
        version: progress.version,
    }
}

pub(super) fn boxed(view: &ClipView) -> Box<proto::Clip> {
    Box::new(view.into())
}

pub(super) fn read(clip: Option<Box<proto::Clip>>) -> Result<Option<Box<ClipView>>, InvalidEvent> {
    let clip = clip.map(|clip| ClipView::try_from(*clip));
    Ok(clip.transpose()?.map(Box::new))
}

const fn state(shown: ClipShown) -> proto::ClipState {
    match shown {
        ClipShown::Uploading => proto::ClipState::Uploading,
        ClipShown::Processing => proto::ClipState::Processing,
        ClipShown::Ready => proto::ClipState::Ready,
        ClipShown::Failed => proto::ClipState::Failed,
    }
}

fn shown(number: i32) -> Option<ClipShown> {
    match proto::ClipState::try_from(number).ok()? {
        proto::ClipState::Unspecified => None,
        proto::ClipState::Uploading => Some(ClipShown::Uploading),
        proto::ClipState::Processing => Some(ClipShown::Processing),
        proto::ClipState::Ready => Some(ClipShown::Ready),
        proto::ClipState::Failed => Some(ClipShown::Failed),
    }
}
