//! What people ask for.

use super::upload::is_direct;
use super::{Effect, Next, Verdict, error};
use crate::core::mark::is_over;
use crate::model::{Captions, Chore, ClipState, Language};
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::{CLIP_ROOMS, CLIP_ROOMS_LEFT};
use kaiwa_common::redact::Redacted;

impl Next<'_> {
    pub(super) fn abort(&mut self) -> Verdict {
        if self.clip.state == ClipState::Cancelled {
            return Verdict::Stale;
        }
        if !self.is_open() {
            return self.refused();
        }
        self.stop("the upload was given up");
        Verdict::Taken
    }

    pub(super) fn cancel(&mut self) -> Verdict {
        if self.clip.state == ClipState::Cancelled {
            return Verdict::Stale;
        }
        if is_over(self.clip.state) {
            return self.refused();
        }
        self.stop("somebody stopped it");
        Verdict::Taken
    }

    fn stop(&mut self, message: &str) {
        self.drop_upload();
        self.give_up_attempt();
        self.chore(Chore::Erase);
        self.clip.outputs = None;
        self.end(ClipState::Cancelled, error("CANCELLED", message, false));
    }

    pub(super) fn delete(&mut self) -> Verdict {
        if self.clip.state == ClipState::Deleted {
            return Verdict::Stale;
        }
        self.drop_upload();
        self.give_up_attempt();
        self.clip.chores.todo.retain(|chore| match chore {
            Chore::TellReady | Chore::TellFailed(_) => false,
            Chore::AbortUpload(_)
            | Chore::StopJob(_)
            | Chore::Sweep(_)
            | Chore::Erase
            | Chore::Show(_) => true,
        });
        self.chore(Chore::Erase);
        // What people wrote goes with it; what stays is that there was a clip.
        self.clip.title.clear();
        self.clip.labels.clear();
        self.clip.captions.clear();
        self.clip.declared.name = Redacted(String::new());
        self.clip.source = None;
        self.clip.outputs = None;
        self.clip.progress = None;
        self.clip.error = None;
        self.to(ClipState::Deleted);
        Verdict::Taken
    }

    pub(super) fn retry(&mut self) -> Verdict {
        if self.clip.state != ClipState::Failed || self.clip.chores.dropped {
            return self.refused();
        }
        self.clip.chores.retries = 0;
        if self.clip.source.is_none() || self.clip.attempt == 0 {
            self.clip.error = None;
            self.to(ClipState::Uploaded);
            self.begin(Effect::Inspect);
        } else {
            self.new_attempt();
            let attempt = self.clip.attempt;
            self.begin(Effect::Submit(attempt));
        }
        Verdict::Taken
    }

    pub(super) fn captioned(&mut self, language: &Language, captions: &Captions) -> Verdict {
        match self.clip.state {
            ClipState::Expired
            | ClipState::Rejected
            | ClipState::Cancelled
            | ClipState::Deleted => return self.refused(),
            ClipState::Failed if self.clip.chores.dropped => return self.refused(),
            ClipState::Created
            | ClipState::Uploading
            | ClipState::Uploaded
            | ClipState::Validating
            | ClipState::Submitted
            | ClipState::Processing
            | ClipState::Verifying
            | ClipState::Ready
            | ClipState::Failed => {}
        }
        let captions = captions.clone();
        self.clip.captions.insert(language.clone(), captions);
        Verdict::Taken
    }

    /// Noted before anything is posted, so that a message whose number nobody could note is found again.
    pub(super) fn shared(&mut self, room: &RoomId) -> Verdict {
        match self.clip.state {
            ClipState::Expired
            | ClipState::Rejected
            | ClipState::Failed
            | ClipState::Cancelled
            | ClipState::Deleted => return self.refused(),
            ClipState::Created
            | ClipState::Uploading
            | ClipState::Uploaded
            | ClipState::Validating
            | ClipState::Submitted
            | ClipState::Processing
            | ClipState::Verifying
            | ClipState::Ready => {}
        }
        let chores = &mut self.clip.chores;
        if *room == self.clip.room {
            if chores.share {
                return Verdict::Stale;
            }
            chores.share = true;
        } else {
            let is_another = !chores.left.contains_key(room);
            if chores.rooms.contains_key(room)
                || chores.rooms.len() >= CLIP_ROOMS
                || (is_another && chores.left.len() >= CLIP_ROOMS_LEFT)
            {
                return Verdict::Stale;
            }
            chores.rooms.insert(room.clone(), 0);
        }
        self.show();
        Verdict::Taken
    }

    pub(super) fn posted(&mut self, room: &RoomId, number: u64) -> Verdict {
        if *room == self.clip.room {
            if self.clip.message.is_some() {
                return Verdict::Stale;
            }
            self.clip.message = Some(number);
            self.clip.chores.share = true;
        } else {
            match self.clip.chores.rooms.get_mut(room) {
                Some(noted) if *noted == 0 => *noted = number,
                // Known already; or it was deleted while its number was on its way.
                Some(_) | None => return Verdict::Stale,
            }
        }
        // It may have moved on, or be gone, while the message was on its way.
        self.show();
        Verdict::Taken
    }

    /// Who deletes its message in another room ends what was shared there. Its message at home is the clip itself: its
    /// uploader and that room's moderators delete it, as they do by the API.
    pub(super) fn unshown(&mut self, room: &RoomId, number: u64) -> Verdict {
        if *room != self.clip.room {
            let chores = &mut self.clip.chores;
            let noted = chores.rooms.get(room);
            if noted.is_none_or(|noted| *noted != 0 && *noted != number) {
                return Verdict::Stale;
            }
            // Told twice: what was shared there since is another message.
            if chores.left.get(room).is_some_and(|last| *last >= number) {
                return Verdict::Stale;
            }
            chores.rooms.remove(room);
            chores.left.insert(room.clone(), number);
            return Verdict::Taken;
        }
        match self.clip.state {
            // These took the message away themselves.
            ClipState::Expired | ClipState::Cancelled | ClipState::Deleted => Verdict::Stale,
            ClipState::Created
            | ClipState::Uploading
            | ClipState::Uploaded
            | ClipState::Validating
            | ClipState::Submitted
            | ClipState::Processing
            | ClipState::Verifying
            | ClipState::Ready
            | ClipState::Rejected
            | ClipState::Failed => self.delete(),
        }
    }

    pub(super) fn did(&mut self, chore: &Chore) -> Verdict {
        let before = self.clip.chores.todo.len();
        self.clip.chores.todo.retain(|one| one != chore);
        if self.clip.chores.todo.len() == before {
            return Verdict::Stale;
        }
        self.clip.chores.todo_fails = 0;
        if *chore == Chore::Erase && is_direct(self.clip.upload.as_ref()) {
            self.erase_again();
        }
        Verdict::Taken
    }

    /// A form or credentials may still be good: whatever they bring after the end goes when they are not.
    fn erase_again(&mut self) {
        let good_until = self.clip.upload.as_ref().map(|upload| upload.expires);
        let Some(until) = good_until.filter(|until| *until > self.at.now) else {
            return;
        };
        self.clip.chores.todo.push(Chore::Erase);
        if self.clip.chores.todo.len() == 1 {
            self.clip.chores.todo_due = Some(until);
        }
    }

    pub(super) fn chore_failed(&mut self) -> Verdict {
        if self.clip.chores.todo.is_empty() {
            return Verdict::Stale;
        }
        let fails = self.clip.chores.todo_fails.saturating_add(1);
        self.clip.chores.todo_fails = fails;
        if fails > self.at.rules.chore_tries {
            self.clip.chores.todo.clear();
            return Verdict::Taken;
        }
        let wait = super::again(fails, None, self.at);
        self.clip.chores.todo_due = Some(self.at.now.plus(wait));
        Verdict::Taken
    }
}
