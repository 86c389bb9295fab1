//! The right to play a clip, as the settings have it: path tokens.

use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::api::Playback;
use kaiwa_media_pipeline::core::names;
use kaiwa_media_pipeline::model::Clip;
use kaiwa_media_pipeline::playback::Issuer;
use kaiwa_media_pipeline::ports::{Answer, ObjectError, PlaybackIssuer};

/// Makes them for clips whose objects are where `core` names them.
pub(super) struct Issue(pub(super) Issuer);

impl PlaybackIssuer for Issue {
    fn issue<'a>(
        &'a self,
        clip: &'a Clip,
        user: &'a UserId,
        room: &'a RoomId,
        epoch: u64,
    ) -> Answer<'a, Playback, ObjectError> {
        let prefix = names::keys(clip).prefix;
        let room = (room, epoch);
        let right = self.0.playback(clip, &prefix, user, room, UnixMs::now());
        // It was ready when it was asked for.
        Box::pin(std::future::ready(right.map_err(|_| ObjectError::NotFound)))
    }
}
