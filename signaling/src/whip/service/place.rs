//! What calls tell a session, and what a player wants of them.

use super::Shared;
use crate::call::command::Command;
use crate::call::core::effect::{Caller, Push, Signal};
use crate::call::service::listen::Listener;
use crate::session::lock;
use crate::whip::core::viewer::Viewer;
use kaiwa_common::id::RoomId;
use kaiwa_sfu::control::{Hears, Rights, Source, Wish};
use std::sync::{Mutex, Weak};

/// A session's place in a call, as calls see it.
pub(super) struct Place {
    pub(super) shared: Weak<Shared>,
    pub(super) caller: Caller,
    pub(super) room: RoomId,
    /// What an encoder publishes; a player nothing.
    pub(super) sources: Vec<Source>,
    /// Of a player that has begun.
    pub(super) viewer: Mutex<Option<Viewer>>,
}

impl Place {
    /// A player is shown what there is.
    pub(super) fn watch(&self, viewer: Viewer) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let mut own = lock(&self.viewer);
        let viewer = own.insert(viewer);
        // Under the lock: what is told from now on is applied to it.
        let wishes = viewer.handle_roster(&shared.calls.snapshot(&self.room));
        let hears = viewer.hears();
        // Also where nobody is yet: who hears one person alone hears nobody until then.
        self.prefer(wishes.unwrap_or_default(), hears);
    }

    fn view(&self, input: impl FnOnce(&mut Viewer) -> Option<Vec<Wish>>) {
        let mut viewer = lock(&self.viewer);
        let wishes = viewer
            .as_mut()
            .and_then(|viewer| Some((input(viewer)?, viewer.hears())));
        if let Some((wishes, hears)) = wishes {
            self.prefer(wishes, hears);
        }
    }

    fn prefer(&self, wishes: Vec<Wish>, hears: Hears) {
        if let Some(shared) = self.shared.upgrade() {
            let command = Command::Prefer {
                room: self.room.clone(),
                wishes,
                hears,
            };
            // Nobody waits for it: what comes of it is what is sent. It is never too soon: rosters come five times a second,
            // speakers three, and preferences may change ten times.
            drop(shared.calls.ask(self.caller.clone(), command));
        }
    }

    /// Nothing of what the session is for is left to it.
    fn is_useless(&self, rights: Rights) -> bool {
        if self.sources.is_empty() {
            return !rights.subscribe;
        }
        let mut sources = self.sources.iter();
        !sources.any(|source| rights.may_publish(*source))
    }
}

impl Listener for Place {
    fn push(&self, push: &Push) {
        let is_over = match push {
            Push::Ended { .. } => true,
            Push::Rights { rights, .. } => self.is_useless(*rights),
            Push::Roster(roster) => {
                self.view(|viewer| viewer.handle_roster(roster));
                false
            }
            Push::Slots { .. } | Push::Ringing(_) => false,
        };
        if is_over && let Some(shared) = self.shared.upgrade() {
            shared.end(self.caller.session);
        }
    }

    fn signal(&self, signal: &Signal) {
        match signal {
            Signal::Speakers { active, .. } => self.view(|viewer| viewer.handle_active(*active)),
            Signal::Quality { .. } => {}
        }
    }
}
