//! What the hook last said of those who play, and when it is asked again. Time is an argument.

use super::Question;
use kaiwa_common::limits::{CLIP_HOOK, CLIP_HOOK_ANSWERS, CLIP_HOOK_PLAYING, CLIP_HOOK_SILENT};
use kaiwa_common::time::UnixMs;
use std::collections::BTreeMap;

/// Those who play, or have played of late.
#[derive(Default)]
pub(super) struct Playing(BTreeMap<Question, Said>);

#[derive(Clone, Copy)]
struct Said {
    is_allowed: bool,
    at: UnixMs,
    /// When it is asked again.
    next: UnixMs,
}

impl Playing {
    /// The hook has said something.
    pub(super) fn said(&mut self, question: &Question, is_allowed: bool, now: UnixMs) {
        if self.0.len() >= CLIP_HOOK_ANSWERS && !self.0.contains_key(question) {
            self.0.retain(|_, said| said.next > now);
        }
        if self.0.len() >= CLIP_HOOK_ANSWERS && !self.0.contains_key(question) {
            // They are asked about again when they go on.
            self.0.clear();
        }
        let next = now.plus(CLIP_HOOK_PLAYING);
        let at = now;
        let said = Said {
            is_allowed,
            at,
            next,
        };
        self.0.insert(question.clone(), said);
    }

    /// What is known, if nobody has to ask now. Whoever gets `None` of somebody who is known asks; the others go by what was
    /// said for as long as that may take.
    pub(super) fn known(&mut self, question: &Question, now: UnixMs) -> Option<bool> {
        let said = self.0.get_mut(question)?;
        // A clock that went back makes no answer older than it may get.
        let is_sane = said.next <= now.plus(CLIP_HOOK_PLAYING);
        let is_old = said.is_allowed && now.since(said.at) >= CLIP_HOOK_SILENT;
        if now < said.next && is_sane && !is_old {
            return Some(said.is_allowed);
        }
        said.next = now.plus(CLIP_HOOK);
        None
    }

    /// Nothing was said: what counts instead, if anything does.
    pub(super) fn last(&self, question: &Question, now: UnixMs) -> Option<bool> {
        let said = self.0.get(question)?;
        let is_recent = said.at <= now && now.since(said.at) < CLIP_HOOK_SILENT;
        (is_recent || !said.is_allowed).then_some(said.is_allowed)
    }
}
