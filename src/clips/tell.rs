//! Failures: told to whoever brought the clip, and to operators (the log, and Slack where it is set up).

use kaiwa_chat::core::relay::event_id;
use kaiwa_chat::ports::{Announce, Announcement};
use kaiwa_common::limits::CLIP_NOTICE;
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::model::{Clip, ClipError};
use kaiwa_media_pipeline::ports::{Notice as Trouble, StoreError};
use kaiwa_notifier::event::{Event, Notice, Severity, What};
use kaiwa_notifier::model::EventId;
use kaiwa_notifier::wire::encode_event;
use kaiwa_platform::queue::{Outgoing, Topic};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where failures are told; nowhere on a server without notifications.
pub(super) struct Tell {
    /// People.
    pub(super) announce: Option<Arc<dyn Announce>>,
    /// The notifications' topic.
    pub(super) topic: Option<Arc<dyn Topic>>,
}

impl Tell {
    /// Its uploader is told that it never can be played; again only when it ended so again, after another try. An attempt
    /// is no mark of that: one that was never begun has the number of the one before.
    pub(super) fn uploader(&self, clip: &Clip) {
        let (Some(announce), Some(error)) = (&self.announce, &clip.error) else {
            return;
        };
        announce.announce(Announcement::ClipFailed {
            user: clip.uploader.clone(),
            room: clip.room.clone(),
            clip: clip.id,
            version: ended(clip),
            title: Redacted(clip.title.clone()),
            reason: error.message.clone(),
        });
    }

    /// A transcode failed for good. Its like is told once in an interval, which the notifier keeps.
    pub(super) async fn operators(&self, clip: &Clip) -> Result<(), StoreError> {
        match &clip.error {
            Some(error) => self.publish(&event(clip, error, UnixMs::now())).await,
            None => Ok(()),
        }
    }

    /// More than one clip is concerned.
    pub(super) async fn notice(&self, trouble: Trouble) -> Result<(), StoreError> {
        self.publish(&wide(trouble, UnixMs::now())).await
    }

    async fn publish(&self, event: &Event) -> Result<(), StoreError> {
        let Some(topic) = &self.topic else {
            return Ok(());
        };
        let attributes = BTreeMap::from([("class".to_owned(), "notice".to_owned())]);
        let message = Outgoing {
            body: encode_event(event),
            attributes,
            ..Outgoing::default()
        };
        let sent = topic.publish(vec![message]).await;
        let sent = sent.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        match sent.into_iter().find_map(Result::err) {
            Some(error) => Err(StoreError::Unavailable(error.to_string())),
            None => Ok(()),
        }
    }
}

/// When it came to its end, in milliseconds: the same however often this end is told.
fn ended(clip: &Clip) -> u64 {
    let since = clip.chores.since.unwrap_or(clip.created);
    u64::try_from(since.0).unwrap_or_default()
}

/// Ids and reasons alone: what people called their clips and files stays here.
fn event(clip: &Clip, error: &ClipError, now: UnixMs) -> Event {
    let attempt = clip.attempt.to_string();
    let code = error.provider_code.map(|code| format!(" (code {code})"));
    let text = format!(
        "{}{}: clip {} in {}, attempt {attempt}. {}",
        error.reason,
        code.unwrap_or_default(),
        clip.id,
        clip.room,
        if error.retryable {
            "Trying it again may help (RetryTranscode)."
        } else {
            "Trying it again does not help."
        }
    );
    Event {
        id: EventId(event_id(&[
            "clip-failed",
            &clip.id.to_string(),
            &ended(clip).to_string(),
        ])),
        time: now,
        expires: now.plus(CLIP_NOTICE),
        traceparent: String::new(),
        recipients: Vec::new(),
        what: What::Notice(Notice {
            severity: Severity::Warning,
            key: format!("clip-failed:{}", error.reason),
            title: "A clip could not be transcoded".to_owned(),
            text,
        }),
    }
}

fn wide(trouble: Trouble, now: UnixMs) -> Event {
    let (key, title, text) = match trouble {
        Trouble::JobsWait { clip, waited } => (
            "clips-wait",
            "Clips wait for the transcoder",
            format!(
                "Clip {clip} has waited for {} minutes. The transcoder has too much to do, or does not answer.",
                waited.as_secs() / 60
            ),
        ),
        Trouble::ManyFail { failed, of } => (
            "clips-fail",
            "Many clips fail",
            format!("Of the last {of} clips {failed} could not be transcoded."),
        ),
    };
    Event {
        // The one who tells keeps the interval: each is another.
        id: EventId(event_id(&[key, &now.0.to_string()])),
        time: now,
        expires: now.plus(CLIP_NOTICE),
        traceparent: String::new(),
        recipients: Vec::new(),
        what: What::Notice(Notice {
            severity: Severity::Warning,
            key: key.to_owned(),
            title: title.to_owned(),
            text,
        }),
    }
}
