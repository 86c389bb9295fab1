//! Chat, as clips know it: rules and messages.

use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::api::Playback;
use kaiwa_media_pipeline::model::{Clip, ClipId, ClipState};
use kaiwa_media_pipeline::ports::{
    Action, Answer, Asker, Notice, ObjectError, PlaybackIssuer, RoomAuthz, RoomMessages,
    StoreError, Verdict,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

type Shown = (u64, u64, Option<ClipState>);

#[derive(Default)]
pub(crate) struct Chat {
    members: Mutex<BTreeSet<(String, String)>>,
    messages: Mutex<BTreeMap<(ClipId, String), Shown>>,
    pub(crate) ready: Mutex<BTreeMap<ClipId, u32>>,
    pub(crate) failed: Mutex<BTreeMap<ClipId, u32>>,
    pub(crate) notices: Mutex<Vec<Notice>>,
    /// Messages that are refused before one is taken.
    pub(crate) failing: Mutex<u32>,
    /// Posts that are done and whose answer is lost, before one is not.
    pub(crate) losing: Mutex<u32>,
    /// Who is removed from which room right after the next question about them.
    pub(crate) leaving: Mutex<Option<(String, String)>>,
    removals: Mutex<u64>,
}

impl Chat {
    pub(crate) fn join(&self, user: &str, room: &str) {
        let member = (user.to_owned(), room.to_owned());
        self.members.lock().unwrap().insert(member);
    }

    pub(crate) fn leave(&self, user: &str, room: &str) {
        let member = (user.to_owned(), room.to_owned());
        self.members.lock().unwrap().remove(&member);
        *self.removals.lock().unwrap() += 1;
    }

    /// The message's state; `None` inside: a tombstone.
    pub(crate) fn shown(&self, clip: ClipId, room: &str) -> Option<Option<ClipState>> {
        let messages = self.messages.lock().unwrap();
        messages.get(&(clip, room.to_owned())).map(|shown| shown.2)
    }

    fn set(&self, clip: &Clip, state: Option<ClipState>) -> Result<u64, StoreError> {
        let mut failing = self.failing.lock().unwrap();
        if *failing > 0 {
            *failing -= 1;
            return Err(StoreError::Unavailable("scripted".to_owned()));
        }
        let mut messages = self.messages.lock().unwrap();
        let number = messages.values().map(|shown| shown.0).max().unwrap_or(0) + 1;
        let key = (clip.id, clip.room.to_string());
        // The one that was deleted is another than what is posted after it.
        let left = clip.chores.left.get(&clip.room);
        if messages
            .get(&key)
            .is_some_and(|shown| Some(&shown.0) == left)
        {
            messages.remove(&key);
        }
        let shown = messages.entry(key).or_insert((number, 0, state));
        if clip.version >= shown.1 {
            (shown.1, shown.2) = (clip.version, state);
        }
        Ok(shown.0)
    }
}

impl RoomAuthz for Chat {
    fn check<'a>(
        &'a self,
        who: Asker<'a>,
        room: &'a RoomId,
        action: Action,
    ) -> Answer<'a, Verdict, StoreError> {
        let member = (who.user.to_string(), room.to_string());
        let is_member = self.members.lock().unwrap().contains(&member);
        let verdict = match action {
            _ if !is_member => Verdict::Hidden,
            Action::Moderate if who.user.as_str() != "mod" => Verdict::Denied("NOT_MODERATOR"),
            Action::Moderate | Action::View | Action::Upload => Verdict::Allowed,
        };
        let leaving = self.leaving.lock().unwrap().take();
        if let Some((user, room)) = leaving {
            self.leave(&user, &room);
        }
        Box::pin(std::future::ready(Ok(verdict)))
    }

    fn epoch<'a>(&'a self, _: &'a RoomId) -> Answer<'a, u64, StoreError> {
        let epoch = 3 + *self.removals.lock().unwrap();
        Box::pin(std::future::ready(Ok(epoch)))
    }
}

impl RoomMessages for Chat {
    fn post<'a>(&'a self, clip: &'a Clip) -> Answer<'a, u64, StoreError> {
        let mut done = self.set(clip, Some(clip.state));
        let mut losing = self.losing.lock().unwrap();
        if done.is_ok() && *losing > 0 {
            *losing -= 1;
            done = Err(StoreError::Unavailable("lost".to_owned()));
        }
        Box::pin(std::future::ready(done))
    }

    fn update<'a>(&'a self, clip: &'a Clip) -> Answer<'a, (), StoreError> {
        let done = self.set(clip, Some(clip.state)).map(|_| ());
        Box::pin(std::future::ready(done))
    }

    fn remove<'a>(&'a self, clip: &'a Clip) -> Answer<'a, (), StoreError> {
        Box::pin(std::future::ready(self.set(clip, None).map(|_| ())))
    }

    fn ready<'a>(&'a self, clip: &'a Clip) -> Answer<'a, (), StoreError> {
        *self.ready.lock().unwrap().entry(clip.id).or_default() += 1;
        Box::pin(std::future::ready(Ok(())))
    }

    fn notice(&self, notice: Notice) -> Answer<'_, (), StoreError> {
        self.notices.lock().unwrap().push(notice);
        Box::pin(std::future::ready(Ok(())))
    }

    fn failed<'a>(&'a self, clip: &'a Clip) -> Answer<'a, (), StoreError> {
        *self.failed.lock().unwrap().entry(clip.id).or_default() += 1;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Says what it was given.
pub(crate) struct Tokens;

impl PlaybackIssuer for Tokens {
    fn issue<'a>(
        &'a self,
        clip: &'a Clip,
        user: &'a UserId,
        room: &'a RoomId,
        epoch: u64,
    ) -> Answer<'a, Playback, ObjectError> {
        Box::pin(std::future::ready(Ok(Playback {
            url: format!("/v/{user}/{room}/{epoch}/{}", clip.id),
            poster: None,
            sprite: None,
            captions: Vec::new(),
            cookies: Vec::new(),
            expires: UnixMs(0),
        })))
    }
}
