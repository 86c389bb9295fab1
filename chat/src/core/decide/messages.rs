//! What people do with messages.

use super::{Deciding, Decision, ReplyWith, Ruled};
use crate::core::{access, validate};
use crate::error::ChatError;
use crate::model::{EventBody, Membership, Mentions};
use kaiwa_common::id::{Cid, UserId};
use kaiwa_common::position::Seq;
use kaiwa_common::redact::Redacted;

impl Deciding<'_> {
    pub(super) fn send(
        &self,
        cid: Cid,
        text: &Redacted<String>,
        reply_to: Option<Seq>,
        mentions: &Mentions,
    ) -> Ruled {
        access::may_send(self.viewer(), self.state.door())?;
        validate::cid(&cid, self.scene.now)?;
        validate::text(&text.0, self.scene.limits.text_bytes)?;
        self.mentions(mentions)?;
        if let Some(target) = reply_to {
            // A deleted message may be replied to: the deletion may cross the reply on its way.
            self.message(target)?;
        }
        let body = EventBody::Posted {
            text: Some(text.clone()),
            reply_to,
            mentions: mentions.clone(),
            clip: None,
        };
        Ok(Decision::Change {
            cid: Some(cid),
            bodies: vec![body],
            reply: ReplyWith::Position,
            by: None,
        })
    }

    pub(super) fn edit(
        &self,
        cid: Cid,
        target: Seq,
        text: &Redacted<String>,
        mentions: &Mentions,
    ) -> Ruled {
        access::may_send(self.viewer(), self.state.door())?;
        validate::cid(&cid, self.scene.now)?;
        validate::text(&text.0, self.scene.limits.text_bytes)?;
        self.mentions(mentions)?;
        let (own, deleted) = self.message(target)?;
        access::may_edit(self.viewer(), self.state.door(), own)?;
        if deleted {
            return Err(ChatError::MessageDeleted);
        }
        if self.fact(target)?.clip.is_some() {
            return Err(NOT_EDITABLE);
        }
        let body = EventBody::Edited {
            target,
            text: Some(text.clone()),
            mentions: mentions.clone(),
        };
        Ok(Decision::Change {
            cid: Some(cid),
            bodies: vec![body],
            reply: ReplyWith::Position,
            by: None,
        })
    }

    /// Whom a message may name: people who have joined; everybody by who may in a room of this size.
    fn mentions(&self, mentions: &Mentions) -> Result<(), ChatError> {
        validate::mentions(mentions)?;
        if mentions.all {
            access::may_mention_all(self.viewer(), self.state.door(), self.state.counts.joined)?;
        }
        let has_joined = |user: &UserId| {
            let part = self.part(user);
            part.is_some_and(|part| part.membership == Membership::Joined)
        };
        if mentions.users.iter().all(has_joined) {
            Ok(())
        } else {
            Err(NOT_MENTIONABLE)
        }
    }

    pub(super) fn delete(&self, cid: Cid, target: Seq) -> Ruled {
        access::may_delete(self.viewer(), self.state.door(), true)?;
        validate::cid(&cid, self.scene.now)?;
        let (own, deleted) = self.message(target)?;
        access::may_delete(self.viewer(), self.state.door(), own)?;
        if deleted {
            return Err(ChatError::MessageDeleted);
        }
        let body = EventBody::Deleted { target };
        Ok(Decision::Change {
            cid: Some(cid),
            bodies: vec![body],
            reply: ReplyWith::Position,
            by: None,
        })
    }
}

const NOT_MENTIONABLE: ChatError = ChatError::Invalid {
    field: "mentions",
    rule: "people who have joined the room",
};

const NOT_EDITABLE: ChatError = ChatError::Invalid {
    field: "target",
    rule: "a clip's message cannot be edited",
};
