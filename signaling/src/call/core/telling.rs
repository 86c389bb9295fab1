//! What is told, and when: rosters to those in a call, notices to those who follow its room, qualities.
//! All of it is made when it is due, from what is so then.

use super::effect::{Effect, Push, SessionNo, Signal, Summary};
use super::state::{Call, Participant};
use super::{CallCore, Notice, Timer};
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::{CALL_NOTICE_INTERVAL, CALL_QUALITY_INTERVAL, CALL_ROSTER_INTERVAL};
use kaiwa_common::time::UnixMs;
use kaiwa_sfu::control::ParticipantId;
use std::time::{Duration, Instant};

impl CallCore {
    /// Notes that somebody is different from what was told.
    pub(super) fn changed(&mut self, room: &RoomId, id: ParticipantId, now: Instant) {
        if let Some(call) = self.calls.get_mut(room)
            && call
                .participants
                .get(&id)
                .is_some_and(Participant::is_present)
        {
            call.changed(id);
            self.schedule_roster(room, now);
        }
    }

    pub(super) fn schedule_roster(&mut self, room: &RoomId, now: Instant) {
        let Some(call) = self.calls.get_mut(room) else {
            return;
        };
        if call.roster_due.is_none() {
            let due = after(call.roster_told, CALL_ROSTER_INTERVAL, now);
            call.roster_due = Some(due);
            self.timers.insert((due, Timer::Roster(room.clone())));
        }
    }

    pub(super) fn tell_roster(&mut self, room: &RoomId, now: Instant) {
        let call = self
            .calls
            .get_mut(room)
            .expect("a call's timer goes with it");
        call.roster_due = None;
        call.roster_told = Some(now);
        let roster = call.take_changes(room);
        let to = call.listeners();
        self.push_all(to, Push::Roster(roster));
    }

    pub(super) fn schedule_quality(&mut self, room: &RoomId, now: Instant) {
        let Some(call) = self.calls.get_mut(room) else {
            return;
        };
        if call.quality_due.is_none() {
            let due = after(call.quality_told, CALL_QUALITY_INTERVAL, now);
            call.quality_due = Some(due);
            self.timers.insert((due, Timer::Quality(room.clone())));
        }
    }

    pub(super) fn tell_qualities(&mut self, room: &RoomId, now: Instant) {
        let call = self
            .calls
            .get_mut(room)
            .expect("a call's timer goes with it");
        call.quality_due = None;
        call.quality_told = Some(now);
        let signal = Signal::Quality {
            room: room.clone(),
            qualities: call.qualities(now),
        };
        let to = call.listeners();
        if !to.is_empty() {
            self.effects.push_back(Effect::Signal { to, signal });
        }
    }

    /// The size of a room's call changed.
    pub(super) fn schedule_notice(&mut self, room: &RoomId, now: Instant) {
        let version = self.calls.get(room).map_or(0, Call::version);
        let notice = self.notices.entry(room.clone()).or_insert(Notice {
            told: None,
            due: now,
            is_dirty: false,
            version,
        });
        notice.version = notice.version.max(version);
        if !std::mem::replace(&mut notice.is_dirty, true) {
            self.timers
                .remove(&(notice.due, Timer::Notice(room.clone())));
            notice.due = after(notice.told, CALL_NOTICE_INTERVAL, now);
            self.timers
                .insert((notice.due, Timer::Notice(room.clone())));
        }
    }

    pub(super) fn tell_notice(&mut self, room: &RoomId, now: Instant) {
        let summary = self.summary(room).unwrap_or_else(|| self.over(room));
        let notice = self
            .notices
            .get_mut(room)
            .expect("a notice's timer goes with it");
        if !std::mem::take(&mut notice.is_dirty) {
            // Nothing for a while.
            self.notices.remove(room);
            return;
        }
        notice.told = Some(now);
        notice.due = now + CALL_NOTICE_INTERVAL;
        self.timers
            .insert((notice.due, Timer::Notice(room.clone())));
        let except = self.calls.get(room).map(Call::sessions).unwrap_or_default();
        self.effects.push_back(Effect::Notice {
            room: room.clone(),
            summary,
            except,
        });
    }

    /// Tells somebody what they may do.
    pub(super) fn tell_rights(&mut self, room: &RoomId, id: ParticipantId) {
        let participant = &self.calls[room].participants[&id];
        if participant.listens() {
            let push = Push::Rights {
                room: room.clone(),
                participant: id,
                rights: participant.powers.rights,
                may_moderate: participant.powers.may_moderate,
            };
            self.push(participant.session, push);
        }
    }

    /// What there is to say of a room without a call.
    pub(super) fn over(&self, room: &RoomId) -> Summary {
        let version = match self.calls.get(room) {
            Some(call) => call.version(),
            None => self.notices.get(room).map_or(0, |notice| notice.version),
        };
        Summary {
            version,
            count: 0,
            started: UnixMs(0),
        }
    }

    /// Everything that somebody who was away, or has just come, may have missed.
    pub(super) fn tell_all(&mut self, room: &RoomId, id: ParticipantId, now: Instant) {
        let call = self.calls.get(room).expect("the caller found it");
        let participant = &call.participants[&id];
        if !participant.listens() {
            return;
        }
        let session = participant.session;
        let roster = call.roster(room);
        let has_slots = participant.slots.is_some();
        let qualities = call.qualities(now);
        self.tell_rights(room, id);
        self.push(session, Push::Roster(roster));
        if has_slots {
            self.tell_slots(room, id);
        }
        if !qualities.is_empty() {
            let signal = Signal::Quality {
                room: room.clone(),
                qualities,
            };
            let to = vec![session];
            self.effects.push_back(Effect::Signal { to, signal });
        }
    }

    pub(super) fn push(&mut self, session: SessionNo, push: Push) {
        self.push_all(vec![session], push);
    }

    pub(super) fn push_all(&mut self, to: Vec<SessionNo>, push: Push) {
        if !to.is_empty() {
            self.effects.push_back(Effect::Push { to, push });
        }
    }
}

/// The next time that is `interval` after the last one, or now.
fn after(last: Option<Instant>, interval: Duration, now: Instant) -> Instant {
    last.map_or(now, |last| (last + interval).max(now))
}
