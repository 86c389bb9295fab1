//! Making the right to play. Pure: who may was asked before, and time is an argument.

use super::cloudfront::CloudFront;
use super::source::SOURCE;
use super::token::{Claims, PlaybackKeys, room_epoch};
use crate::api::Playback;
use crate::model::{Clip, ClipState};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{CLIP_PLAYBACK, CLIP_PLAYBACK_SLACK};
use kaiwa_common::time::UnixMs;
use std::sync::Arc;
use std::time::Duration;

/// How long a token for a clip of this length is good.
#[must_use]
pub fn life(duration: Duration) -> Duration {
    duration
        .saturating_add(CLIP_PLAYBACK_SLACK)
        .min(CLIP_PLAYBACK)
}

/// Makes them.
pub struct Issuer {
    keys: Arc<PlaybackKeys>,
    is_named: bool,
    cloudfront: Option<CloudFront>,
}

impl Issuer {
    /// Path tokens of these keys.
    #[must_use]
    pub fn new(keys: Arc<PlaybackKeys>) -> Self {
        Self {
            keys,
            is_named: false,
            cloudfront: None,
        }
    }

    /// Tokens say whose they are, sealed: where another system is asked again while somebody plays.
    #[must_use]
    pub fn naming(mut self) -> Self {
        self.is_named = true;
        self
    }

    /// CloudFront's cookies instead, where it is in front of the objects.
    #[must_use]
    pub fn with_cloudfront(mut self, cloudfront: CloudFront) -> Self {
        self.cloudfront = Some(cloudfront);
        self
    }

    /// The right of this person to play this clip, whose objects are below `prefix`, as it is shown in this room of
    /// this epoch.
    ///
    /// # Errors
    /// The state of a clip that is not ready.
    pub fn playback(
        &self,
        clip: &Clip,
        prefix: &str,
        user: &UserId,
        (room, epoch): (&RoomId, u64),
        now: UnixMs,
    ) -> Result<Playback, ClipState> {
        let ready = clip.outputs.as_ref();
        let outputs = ready
            .filter(|_| clip.state == ClipState::Ready)
            .ok_or(clip.state)?;
        let duration = clip
            .source
            .as_ref()
            .map_or(Duration::ZERO, |source| source.duration);
        let expires = now.plus(life(duration));
        let (base, processed, cookies) = if let Some(cloudfront) = &self.cloudfront {
            // Of a clip that was transcoded the file itself is nobody's to play.
            let below = match outputs.playlist {
                Some(_) => format!("{prefix}processed/"),
                None => prefix.to_owned(),
            };
            let cookies = cloudfront.cookies(&below, expires);
            (cloudfront.url(prefix), "processed/", cookies)
        } else {
            let person = self.keys.pseudonym(user);
            let claims = Claims {
                clip: clip.id,
                person,
                expires,
                epoch: room_epoch(room, epoch),
            };
            let token = if self.is_named {
                self.keys.issue_named(&claims, user)
            } else {
                self.keys.issue(&claims)
            };
            (format!("/v/{token}/{}/", clip.id), "", Vec::new())
        };
        let url = |file: &String| format!("{base}{processed}{file}");
        let captions = clip.captions.iter();
        let captions = captions.map(|(language, captions)| {
            (
                language.clone(),
                captions.label.clone(),
                url(&captions.file),
            )
        });
        let source = || format!("{base}{SOURCE}");
        Ok(Playback {
            url: outputs.playlist.as_ref().map_or_else(source, url),
            poster: outputs.poster.as_ref().map(url),
            sprite: outputs.sprite.as_ref().map(|sprite| url(&sprite.vtt)),
            captions: captions.collect(),
            cookies,
            expires,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_for_the_clip_and_half_an_hour_and_never_over_six_hours() {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        assert_eq!(life(Duration::ZERO), minutes(30));
        assert_eq!(life(minutes(10)), minutes(40));
        assert_eq!(life(minutes(600)), minutes(360));
        assert_eq!(life(Duration::MAX), minutes(360));
    }
}
