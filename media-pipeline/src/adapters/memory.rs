//! Clips in memory: for tests, and for trying the pipeline out. It forgets everything when it ends.

use crate::adapters::asked::{counted, is_asked_for};
use crate::core::mark::is_over;
use crate::model::{Backend, Clip, ClipId, ClipState};
use crate::ports::{Answer, ClipStore, Page, Query, Request, StoreError, Usage};
use kaiwa_common::id::UserId;
use kaiwa_common::limits::{CLIP_EVENT_AGE, CLIP_PAGE, CLIP_REQUEST_AGE};
use kaiwa_common::time::UnixMs;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Clips in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    clips: BTreeMap<ClipId, (u64, Clip)>,
    requests: BTreeMap<(String, String), Request>,
    events: BTreeMap<String, UnixMs>,
    revision: u64,
}

impl MemoryStore {
    fn with<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Answer<'static, T, StoreError> {
        let done = run(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(std::future::ready(done))
    }
}

impl State {
    fn put(&mut self, clip: &Clip, request: Option<&Request>) -> Result<u64, StoreError> {
        if let Some(request) = request {
            self.note(request)?;
        }
        self.revision += 1;
        self.clips.insert(clip.id, (self.revision, clip.clone()));
        Ok(self.revision)
    }

    fn note(&mut self, request: &Request) -> Result<(), StoreError> {
        let key = (request.caller.clone(), request.key.clone());
        let known = self.requests.get(&key);
        if known.is_some_and(|known| request.at.since(known.at) < CLIP_REQUEST_AGE) {
            return Err(StoreError::Conflict);
        }
        self.requests.insert(key, request.clone());
        Ok(())
    }
}

impl ClipStore for MemoryStore {
    fn insert<'a>(
        &'a self,
        clip: &'a Clip,
        request: Option<&'a Request>,
    ) -> Answer<'a, u64, StoreError> {
        self.with(|state| {
            if state.clips.contains_key(&clip.id) {
                return Err(StoreError::Conflict);
            }
            state.put(clip, request)
        })
    }

    fn get(&self, id: ClipId) -> Answer<'_, Option<Clip>, StoreError> {
        self.with(|state| Ok(state.clips.get(&id).map(|(_, clip)| clip.clone())))
    }

    fn get_many<'a>(&'a self, ids: &'a [ClipId]) -> Answer<'a, Vec<Clip>, StoreError> {
        self.with(|state| {
            let found = ids.iter().filter_map(|id| state.clips.get(id));
            Ok(found
                .take(CLIP_PAGE)
                .map(|(_, clip)| clip.clone())
                .collect())
        })
    }

    fn update<'a>(
        &'a self,
        expected: u64,
        clip: &'a Clip,
        request: Option<&'a Request>,
    ) -> Answer<'a, u64, StoreError> {
        self.with(|state| {
            let stored = state.clips.get(&clip.id);
            let is_expected = stored.is_some_and(|(_, stored)| stored.version == expected);
            if !is_expected || clip.version != expected + 1 {
                return Err(StoreError::Conflict);
            }
            state.put(clip, request)
        })
    }

    fn list<'a>(&'a self, query: &'a Query) -> Answer<'a, Page, StoreError> {
        self.with(|state| {
            let limit = query.limit.min(CLIP_PAGE);
            let clips = state.clips.values().rev().map(|(_, clip)| clip);
            let mut found: Vec<Clip> = clips
                .filter(|clip| is_asked_for(clip, query))
                .take(limit + 1)
                .cloned()
                .collect();
            let more = found.len() > limit;
            found.truncate(limit);
            Ok(Page { clips: found, more })
        })
    }

    fn due(&self, now: UnixMs, limit: usize) -> Answer<'_, Vec<Clip>, StoreError> {
        self.with(|state| {
            let clips = state.clips.values().map(|(_, clip)| clip);
            let mut due: Vec<&Clip> = clips
                .filter(|clip| clip.due.is_some_and(|due| due <= now))
                .collect();
            due.sort_by_key(|clip| (clip.due, clip.id));
            Ok(due.into_iter().take(limit).cloned().collect())
        })
    }

    fn by_job<'a>(
        &'a self,
        backend: Backend,
        job: &'a str,
    ) -> Answer<'a, Option<Clip>, StoreError> {
        self.with(|state| {
            let mut clips = state.clips.values().map(|(_, clip)| clip);
            let is_of = |clip: &&Clip| {
                let known = clip.job.as_ref();
                known.is_some_and(|known| known.backend == backend && known.id == job)
            };
            Ok(clips.find(is_of).cloned())
        })
    }

    fn answered<'a>(
        &'a self,
        caller: &'a str,
        request: &'a str,
    ) -> Answer<'a, Option<Request>, StoreError> {
        let key = (caller.to_owned(), request.to_owned());
        self.with(|state| Ok(state.requests.get(&key).cloned()))
    }

    fn note<'a>(&'a self, request: &'a Request) -> Answer<'a, (), StoreError> {
        self.with(|state| state.note(request))
    }

    fn first_time<'a>(&'a self, event: &'a str, now: UnixMs) -> Answer<'a, bool, StoreError> {
        self.with(|state| {
            let known = state.events.get(event).copied();
            if known.is_some_and(|known| now.since(known) < CLIP_EVENT_AGE) {
                return Ok(false);
            }
            state.events.insert(event.to_owned(), now);
            Ok(true)
        })
    }

    fn revision(&self) -> Answer<'_, u64, StoreError> {
        self.with(|state| Ok(state.revision))
    }

    fn changes(&self, after: u64, limit: usize) -> Answer<'_, Vec<(u64, Clip)>, StoreError> {
        self.with(|state| {
            let clips = state.clips.values();
            let mut changed: Vec<_> = clips.filter(|(revision, _)| *revision > after).collect();
            changed.sort_by_key(|(revision, _)| *revision);
            Ok(changed.into_iter().take(limit).cloned().collect())
        })
    }

    fn usage<'a>(&'a self, uploader: &'a UserId, since: UnixMs) -> Answer<'a, Usage, StoreError> {
        self.with(|state| {
            let clips = state.clips.values().map(|(_, clip)| clip);
            let mut usage = Usage::default();
            for clip in clips.filter(|clip| clip.uploader == *uploader) {
                if clip.created >= since {
                    usage.bytes = usage.bytes.saturating_add(clip.declared.size);
                    usage.media = usage.media.saturating_add(clip.chores.media);
                }
                let is_open = matches!(clip.state, ClipState::Created | ClipState::Uploading);
                usage.open += u32::from(is_open);
            }
            Ok(usage)
        })
    }

    fn under_way(&self, limit: usize) -> Answer<'_, BTreeMap<ClipState, usize>, StoreError> {
        self.with(|state| {
            let clips = state.clips.values().map(|(_, clip)| clip);
            let going = clips.filter(|clip| !is_over(clip.state));
            Ok(counted(going.take(limit)))
        })
    }

    fn stored(&self) -> Answer<'_, Option<u64>, StoreError> {
        self.with(|state| {
            let clips = state.clips.values().map(|(_, clip)| clip);
            Ok(Some(clips.map(Clip::stored_bytes).sum()))
        })
    }

    fn trim(&self, now: UnixMs) -> Answer<'_, usize, StoreError> {
        self.with(|state| {
            let before = state.events.len() + state.requests.len();
            state.events.retain(|_, at| now.since(*at) < CLIP_EVENT_AGE);
            let requests = &mut state.requests;
            requests.retain(|_, request| now.since(request.at) < CLIP_REQUEST_AGE);
            Ok(before - state.events.len() - state.requests.len())
        })
    }
}
