//! What the server's own writes of clips come to.

use super::{Deciding, Decision, ReplyWith, Ruled};
use crate::core::{access, validate};
use crate::error::ChatError;
use crate::model::{ClipView, EventBody, Mentions};
use crate::ports::MessageFact;
use kaiwa_common::id::ClipId;
use kaiwa_common::position::Seq;
use kaiwa_common::redact::Redacted;

impl Deciding<'_> {
    pub(super) fn post_clip(&self, clip: &ClipView) -> Ruled {
        access::may_send(self.viewer(), self.state.door())?;
        // An old clip may be posted as well: that it was not before, the store knows for ever.
        let text = clip.text();
        validate::text(&text, self.scene.limits.text_bytes)?;
        let body = EventBody::Posted {
            text: Some(Redacted(text)),
            reply_to: None,
            mentions: Mentions::default(),
            clip: Some(Box::new(clip.clone())),
        };
        Ok(Decision::Change {
            cid: self.command.write.cid().map(|(cid, _)| cid),
            bodies: vec![body],
            reply: ReplyWith::Position,
            by: None,
        })
    }

    /// Views may come in any order and again: only a newer one of the message's clip changes anything.
    pub(super) fn show_clip(&self, target: Seq, clip: &ClipView) -> Ruled {
        validate::text(&clip.text(), self.scene.limits.text_bytes)?;
        let fact = self.fact(target)?;
        let is_newer =
            |&(shown, version): &(ClipId, u64)| shown == clip.clip && version < clip.version;
        if !fact.clip.as_ref().is_some_and(is_newer) {
            return Ok(Decision::Unchanged(ReplyWith::Position));
        }
        let body = EventBody::ClipChanged {
            target,
            clip: Some(Box::new(clip.clone())),
        };
        Ok(for_uploader(fact, body))
    }

    pub(super) fn remove_clip(&self, target: Seq) -> Ruled {
        let fact = self.fact(target)?;
        if fact.deleted {
            return Ok(Decision::Unchanged(ReplyWith::Position));
        }
        if fact.clip.is_none() {
            return Err(ChatError::MessageNotFound);
        }
        Ok(for_uploader(fact, EventBody::Deleted { target }))
    }
}

/// The server changes a clip's message in its uploader's name, who may have left since.
fn for_uploader(fact: &MessageFact, body: EventBody) -> Decision {
    Decision::Change {
        cid: None,
        bodies: vec![body],
        reply: ReplyWith::Position,
        by: Some(fact.sender.clone()),
    }
}
