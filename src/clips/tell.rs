//! Failures, told to operators through the notifier: the log, and Slack where it is set up.

use kaiwa_chat::core::relay::event_id;
use kaiwa_common::limits::CLIP_NOTICE;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::model::{Clip, ClipError};
use kaiwa_media_pipeline::ports::StoreError;
use kaiwa_notifier::event::{Event, Notice, Severity, What};
use kaiwa_notifier::model::EventId;
use kaiwa_notifier::wire::encode_event;
use kaiwa_platform::queue::{Outgoing, Topic};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The notifications' topic.
pub(super) struct Operators(pub(super) Arc<dyn Topic>);

impl Operators {
    /// A transcode failed for good. Its like is told once in an interval, which the notifier keeps.
    pub(super) async fn failed(&self, clip: &Clip) -> Result<(), StoreError> {
        let Some(error) = &clip.error else {
            return Ok(());
        };
        let attributes = BTreeMap::from([("class".to_owned(), "notice".to_owned())]);
        let message = Outgoing {
            body: encode_event(&event(clip, error, UnixMs::now())),
            attributes,
            ..Outgoing::default()
        };
        let sent = self.0.publish(vec![message]).await;
        let sent = sent.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        match sent.into_iter().find_map(Result::err) {
            Some(error) => Err(StoreError::Unavailable(error.to_string())),
            None => Ok(()),
        }
    }
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
        id: EventId(event_id(&["clip-failed", &clip.id.to_string(), &attempt])),
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
