//! The calls, each from its checks to its answer.

use super::access::{Need, as_seen};
use super::requests::Fingerprint;
use super::{ClipService, Inner};
use crate::api::{
    Answer, ApiError, Caller, Clips, Grant, NewClip, Playback, WantGrant, Watch, WatchItem,
};
use crate::core::step::Input;
use crate::model::{Clip, ClipId, ClipState, Language};
use crate::ports::{ObjectError, Page, Part, Query, StoreError};
use crate::replay;
use futures_util::stream::BoxStream;
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::{CLIP_ATTEMPTS, CLIP_LEAST_DEADLINE, CLIP_PAGE};
use std::sync::Arc;

pub(super) fn store(error: StoreError) -> ApiError {
    super::metrics::failed("store");
    match error {
        StoreError::Conflict => ApiError::Conflict,
        StoreError::Unavailable(message) => {
            tracing::warn!(message, "the store does not answer");
            ApiError::Unavailable("store")
        }
        StoreError::Broken(message) => {
            tracing::error!(message, "the store is broken");
            ApiError::Unavailable("store")
        }
    }
}

/// Nobody can tell who may do what in a room: chat, or the permission hook after it.
pub(super) fn rules(error: StoreError) -> ApiError {
    super::metrics::failed("rules");
    match error {
        StoreError::Broken(message) => tracing::error!(message, "the room's rules are broken"),
        StoreError::Unavailable(message) => {
            tracing::warn!(message, "the room's rules do not answer");
        }
        StoreError::Conflict => tracing::warn!("the room's rules change"),
    }
    ApiError::Unavailable("the room's rules, or the permission hook")
}

pub(super) fn objects(error: ObjectError) -> ApiError {
    super::metrics::failed("objects");
    match error {
        ObjectError::NotFound => ApiError::NotFound,
        ObjectError::Mismatch(what) => ApiError::Corrupt(what),
        ObjectError::Unavailable(_) | ObjectError::Refused(_) | ObjectError::Unsupported(_) => {
            tracing::warn!(%error, "the object store does not do it");
            ApiError::Unavailable("object store")
        }
    }
}

/// Gives the answer in time. The work goes on in its own task: what has begun is done to its end.
async fn in_time<T: Send + 'static>(
    inner: &Arc<Inner>,
    caller: &Caller,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    if inner.stop.is_cancelled() {
        return Err(ApiError::Unavailable("shutting down"));
    }
    let deadline = caller.deadline;
    let left = deadline.map(|deadline| deadline.since(inner.clock.now()));
    if left.is_some_and(|left| left < CLIP_LEAST_DEADLINE) {
        return Err(ApiError::Deadline);
    }
    // What is noticed in the work's own task is said again in the caller's.
    let task = inner.tasks.spawn(replay::noticed(work));
    let until = async {
        match deadline {
            Some(deadline) => inner.clock.sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = task => {
            let (answer, is_replay) = done.unwrap_or((Err(ApiError::Unavailable("this server")), false));
            if is_replay {
                replay::mark();
            }
            answer
        }
        () = until => Err(ApiError::Deadline),
    }
}

/// A call: the caller and the service move into the work.
macro_rules! call {
    ($self:ident, $caller:ident, |$inner:ident, $who:ident| $work:expr) => {{
        let ($inner, $who) = (Arc::clone(&$self.inner), $caller.clone());
        let work = async move { $work.await };
        Box::pin(in_time(&$self.inner, $caller, work))
    }};
}

impl Clips for ClipService {
    fn create<'a>(&'a self, caller: &'a Caller, new: NewClip) -> Answer<'a, Clip> {
        call!(self, caller, |inner, who| inner.create(&who, new))
    }

    fn grant<'a>(&'a self, caller: &'a Caller, clip: ClipId, want: WantGrant) -> Answer<'a, Grant> {
        call!(self, caller, |inner, who| inner.grant(&who, clip, &want))
    }

    fn parts<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Vec<Part>> {
        call!(self, caller, |inner, who| inner.parts(&who, clip))
    }

    fn complete<'a>(
        &'a self,
        caller: &'a Caller,
        clip: ClipId,
        parts: Vec<Part>,
    ) -> Answer<'a, Clip> {
        call!(self, caller, |inner, who| inner.complete(&who, clip, parts))
    }

    fn abort<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip> {
        call!(self, caller, |inner, who| inner.change(
            &who,
            clip,
            Input::Abort
        ))
    }

    fn get<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip> {
        call!(self, caller, |inner, who| inner.view_for(&who, clip))
    }

    fn get_many<'a>(&'a self, caller: &'a Caller, clips: Vec<ClipId>) -> Answer<'a, Vec<Clip>> {
        call!(self, caller, |inner, who| inner.several(&who, clips))
    }

    fn list<'a>(&'a self, caller: &'a Caller, query: Query) -> Answer<'a, Page> {
        call!(self, caller, |inner, who| inner.page(&who, query))
    }

    fn watch<'a>(
        &'a self,
        caller: &'a Caller,
        what: Watch,
        after: Option<u64>,
    ) -> Answer<'a, BoxStream<'static, Result<WatchItem, ApiError>>> {
        call!(self, caller, |inner, who| inner
            .begin_watch(&who, what, after))
    }

    fn retry<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip> {
        call!(self, caller, |inner, who| inner.change(
            &who,
            clip,
            Input::Retry
        ))
    }

    fn cancel<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip> {
        call!(self, caller, |inner, who| inner.change(
            &who,
            clip,
            Input::Cancel
        ))
    }

    fn delete<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip> {
        call!(self, caller, |inner, who| inner.change(
            &who,
            clip,
            Input::Delete
        ))
    }

    fn playback<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Playback> {
        call!(self, caller, |inner, who| inner.play(&who, clip))
    }

    fn share<'a>(&'a self, caller: &'a Caller, clip: ClipId, room: RoomId) -> Answer<'a, u64> {
        call!(self, caller, |inner, who| inner.share(&who, clip, room))
    }

    fn add_captions<'a>(
        &'a self,
        caller: &'a Caller,
        clip: ClipId,
        language: Language,
        label: String,
        vtt: String,
    ) -> Answer<'a, Clip> {
        call!(self, caller, |inner, who| inner
            .caption(&who, clip, language, label, vtt))
    }
}

impl Inner {
    /// What people ask for that is one input.
    async fn change(
        self: &Arc<Self>,
        caller: &Caller,
        id: ClipId,
        input: Input,
    ) -> Result<Clip, ApiError> {
        let print = Fingerprint::about(&format!("{input:?}"), id);
        let request = self.request(caller, print, id)?;
        // Rights come before memory: whoever lost them gets no answer that they once had.
        let clip = if input == Input::Retry {
            self.worked_on(caller, id).await?
        } else {
            self.theirs(caller, id).await?
        };
        if let Some(clip) = self.replay(request.as_ref()).await? {
            return Ok(clip);
        }
        if input == Input::Retry && clip.attempt >= CLIP_ATTEMPTS {
            return Err(ApiError::Quota {
                what: "attempts of a clip",
                retry_after: None,
            });
        }
        self.asked(id, &input, request.as_ref()).await
    }

    async fn several(&self, caller: &Caller, ids: Vec<ClipId>) -> Result<Vec<Clip>, ApiError> {
        let ids = &ids[..ids.len().min(CLIP_PAGE)];
        let mut seen = Vec::new();
        for clip in self.store.get_many(ids).await.map_err(store)? {
            match self.view(caller, clip).await {
                Ok(clip) => seen.push(clip),
                Err(ApiError::NotFound | ApiError::Denied(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }

    async fn page(&self, caller: &Caller, mut query: Query) -> Result<Page, ApiError> {
        match &query.room {
            Some(room) => self.room(caller, room, Need::View).await?,
            // Without a room people see what they brought themselves.
            None if query.uploader.as_ref() == Some(&caller.user) => {}
            None => return Err(ApiError::Denied("NOT_UPLOADER")),
        }
        query.limit = query.limit.clamp(1, CLIP_PAGE);
        let mut page = self.store.list(&query).await.map_err(store)?;
        if let Some(room) = &query.room {
            let clips = page.clips.into_iter();
            page.clips = clips.map(|clip| as_seen(clip, caller, room)).collect();
        }
        Ok(page)
    }

    async fn play(&self, caller: &Caller, id: ClipId) -> Result<Playback, ApiError> {
        let clip = self.store.get(id).await.map_err(store)?;
        let clip = clip.ok_or(ApiError::NotFound)?;
        // Also whoever brought it: playing is for those who are in a room where it is shown.
        let (room, epoch) = self.plays_in(caller, &clip).await?;
        if clip.state != ClipState::Ready {
            return Err(ApiError::State(clip.state));
        }
        let issued = self.playback.issue(&clip, &caller.user, &room, epoch).await;
        issued.map_err(objects)
    }

    async fn share(
        self: &Arc<Self>,
        caller: &Caller,
        id: ClipId,
        room: RoomId,
    ) -> Result<u64, ApiError> {
        let print = Fingerprint::about("share", id).with(room.as_str().as_bytes());
        let request = self.request(caller, print, id)?;
        let clip = self.clip_for(caller, id).await?;
        self.seen_in(caller, &clip).await?;
        self.room(caller, &room, Need::Upload).await?;
        let clip = match self.replay(request.as_ref()).await? {
            Some(clip) => clip,
            None => {
                let shared = Input::Shared(room.clone());
                self.asked(id, &shared, request.as_ref()).await?
            }
        };
        let number = if clip.room == room {
            Some(clip.message.unwrap_or(0))
        } else {
            clip.chores.rooms.get(&room).copied()
        };
        match number {
            None => Err(ApiError::Quota {
                what: "rooms of a clip",
                retry_after: None,
            }),
            Some(0) => self.post(&clip, &room).await.map_err(store),
            Some(number) => Ok(number),
        }
    }

    /// Posts its message in a room, once: posting again gives the same.
    pub(super) async fn post(
        self: &Arc<Self>,
        clip: &Clip,
        room: &RoomId,
    ) -> Result<u64, StoreError> {
        let is_gone = matches!(
            clip.state,
            ClipState::Expired | ClipState::Cancelled | ClipState::Deleted
        );
        let shown = Clip {
            room: room.clone(),
            message: None,
            // A message of what is gone is only made to be taken away: one from before a crash must not stay.
            state: if is_gone {
                ClipState::Failed
            } else {
                clip.state
            },
            ..clip.clone()
        };
        let number = self.messages.post(&shown).await?;
        let posted = Input::Posted(room.clone(), number);
        self.apply(clip.id, &posted, None).await?;
        Ok(number)
    }
}
