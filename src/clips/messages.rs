//! A clip's message in its rooms: which state is shown, and how far it is.

use super::remembered::Remembered;
use super::rooms::unavailable;
use super::tell::Tell;
use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{ClipKind as Kind, ClipShown, ClipView, User};
use kaiwa_chat::service::Chat;
use kaiwa_common::position::Seq;
use kaiwa_common::redact::Redacted;
use kaiwa_media_pipeline::model::{Clip, ClipKind, ClipState, Progress};
use kaiwa_media_pipeline::ports::{Answer, Notice, RoomMessages, StoreError};
use std::sync::{Mutex, PoisonError};

/// Chat's messages of clips.
pub(super) struct Messages {
    chat: Chat,
    names: SqliteStore,
    tell: Tell,
    /// What each message shows, as far as this process knows: a change within a state is no event.
    shown: Mutex<Remembered>,
}

/// What its message is to be.
enum Wanted {
    Shown(ClipShown),
    Gone,
}

impl Messages {
    pub(super) fn new(chat: Chat, names: SqliteStore, tell: Tell) -> Self {
        Self {
            chat,
            names,
            tell,
            shown: Mutex::default(),
        }
    }

    /// Whoever gets true shows it; the others find it shown, or something newer. Errands of one clip run beside each other.
    fn claim(&self, clip: &Clip, state: ClipShown) -> bool {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.note((clip.id, clip.room.clone()), state, clip.version)
    }

    fn forget(&self, clip: &Clip) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.forget(&(clip.id, clip.room.clone()));
    }

    async fn show(&self, clip: &Clip, target: Seq) -> Result<(), StoreError> {
        match wanted(clip) {
            Wanted::Gone => self.take_away(clip, target).await,
            Wanted::Shown(state) if self.claim(clip, state) => {
                let view = view(clip, state);
                let shown = self.chat.show_clip(&clip.room, target, view).await;
                // The next one shows it again: no view that is older than what is shown changes anything.
                settled(shown).inspect_err(|_| self.forget(clip))
            }
            Wanted::Shown(_) => {
                if let Some(Progress { percent, .. }) = clip.progress {
                    self.chat
                        .clip_progress(&clip.room, target, clip.id, clip.version, percent);
                }
                Ok(())
            }
        }
    }

    async fn take_away(&self, clip: &Clip, target: Seq) -> Result<(), StoreError> {
        settled(self.chat.remove_clip(&clip.room, target).await)?;
        self.forget(clip);
        Ok(())
    }
}

/// What is not there any more needs nothing.
fn settled(done: Result<(), ChatError>) -> Result<(), StoreError> {
    match done {
        Ok(()) | Err(ChatError::RoomNotFound | ChatError::MessageNotFound) => Ok(()),
        Err(error) => Err(unavailable(&error)),
    }
}

impl RoomMessages for Messages {
    fn post<'a>(&'a self, clip: &'a Clip) -> Answer<'a, u64, StoreError> {
        Box::pin(async move {
            let name = self.names.name_of(&clip.uploader).await;
            let name = name.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            let uploader = User {
                id: clip.uploader.clone(),
                name: name.unwrap_or_default(),
            };
            let state = match wanted(clip) {
                Wanted::Shown(state) => state,
                // What is over before it was posted is posted and taken away, so that nobody asks again.
                Wanted::Gone => ClipShown::Failed,
            };
            let view = view(clip, state);
            let posted = match clip.chores.left.get(&clip.room) {
                None => self.chat.post_clip(&clip.room, &uploader, view).await,
                Some(deleted) => {
                    let deleted = Seq(*deleted);
                    self.chat
                        .post_clip_anew(&clip.room, &uploader, view, deleted)
                        .await
                }
            };
            let posted = posted.map_err(|error| unavailable(&error))?;
            let seq = posted.position.seq;
            if posted.dup {
                // Deleted before anybody knew its number: that is heard of, and the room is not shown the clip by itself.
                let recalled = self.names.recall_gone(&clip.room, seq).await;
                recalled.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            } else {
                // So that the way from `created` to `uploading` is no event.
                self.claim(clip, state);
            }
            Ok(seq.0)
        })
    }

    fn update<'a>(&'a self, clip: &'a Clip) -> Answer<'a, (), StoreError> {
        Box::pin(async move {
            match clip.message {
                Some(target) => self.show(clip, Seq(target)).await,
                None => Ok(()),
            }
        })
    }

    fn remove<'a>(&'a self, clip: &'a Clip) -> Answer<'a, (), StoreError> {
        Box::pin(async move {
            match clip.message {
                Some(target) => self.take_away(clip, Seq(target)).await,
                None => Ok(()),
            }
        })
    }

    fn ready<'a>(&'a self, _: &'a Clip) -> Answer<'a, (), StoreError> {
        // The event by which its message shows it as ready is what the relay tells of.
        Box::pin(std::future::ready(Ok(())))
    }

    fn failed<'a>(&'a self, clip: &'a Clip) -> Answer<'a, (), StoreError> {
        Box::pin(async move {
            // No operator can mend a file that may not be shared.
            if clip.state == ClipState::Failed {
                self.tell.operators(clip).await?;
            }
            self.tell.uploader(clip);
            Ok(())
        })
    }

    fn notice(&self, notice: Notice) -> Answer<'_, (), StoreError> {
        tracing::warn!(?notice, "operators should look into it");
        Box::pin(self.tell.notice(notice))
    }
}

/// How a clip's message shows this state.
fn wanted(clip: &Clip) -> Wanted {
    Wanted::Shown(match clip.state {
        ClipState::Created | ClipState::Uploading => ClipShown::Uploading,
        ClipState::Uploaded
        | ClipState::Validating
        | ClipState::Submitted
        | ClipState::Processing
        | ClipState::Verifying => ClipShown::Processing,
        ClipState::Ready => ClipShown::Ready,
        ClipState::Rejected | ClipState::Failed => ClipShown::Failed,
        ClipState::Expired | ClipState::Cancelled | ClipState::Deleted => return Wanted::Gone,
    })
}

fn view(clip: &Clip, state: ClipShown) -> ClipView {
    let source = clip.source.as_ref();
    let video = source.and_then(|source| source.video.as_ref());
    let duration = source.map_or(0, |source| source.duration.as_millis());
    ClipView {
        clip: clip.id,
        version: clip.version,
        kind: match clip.kind {
            ClipKind::Video => Kind::Video,
            ClipKind::Audio => Kind::Audio,
            ClipKind::Image => Kind::Image,
        },
        state,
        title: Redacted(clip.title.clone()),
        duration_ms: u64::try_from(duration).unwrap_or(u64::MAX),
        width: video.map_or(0, |video| video.width),
        height: video.map_or(0, |video| video.height),
    }
}
