//! Who is heard: levels without decoding (RFC 6464), the loudest few of a large room, and who has the
//! floor.
//!
//! One more stands by, for those who are among the loudest and are not sent their own voice: the last
//! that had to give way, or that spoke louder than it.
//!
//! Levels are smoothed, quick to rise and slow to fall. In a room with more voices than are forwarded,
//! a voice takes the place of the weakest with its first loud packet, so that no syllable is cut; who
//! has spoken keeps the place for a while, so that a cough does not cost it.
//!
//! Who has the floor is told by three windows, as in Volfin and Cohen's dominant speaker
//! identification (2013): speech now, in the last second, in the last three. The one who has it keeps
//! it through pauses while nobody else speaks.

mod voice;

use super::forward::SourceKey;
use crate::wire::rtp::AudioLevel;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use voice::Voice;

/// How often it is said who speaks.
pub const SPEAKERS_INTERVAL: Duration = Duration::from_millis(300);

/// Speakers that are named at a time: as many as a person can make out, and more.
pub const MAX_SPEAKERS: usize = 8;

/// Voices of one room. One more is not forwarded and not measured.
pub const MAX_VOICES: usize = 4_096;

/// Changes that there is room for from the beginning. One and its opposite cancel out while they wait,
/// so that there is never more than one of a voice.
const CHANGES: usize = 16;

/// A voice keeps its place for so long after it last spoke.
const HOLD: Duration = Duration::from_secs(2);

/// So much louder must a voice be than the weakest that has a place, in dB.
const MARGIN: u8 = 3;

/// A voice that keeps its place counts for so much louder, in dB.
const HOLD_BONUS: u8 = 10;

/// A voice's place in an [`AudioRoom`]: a small number, used again after it was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VoiceIndex(u32);

/// A voice begins or ceases to be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is forwarded from now on.
    Heard(SourceKey),
    /// It is not forwarded any more.
    Withheld(SourceKey),
}

/// Somebody who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaking {
    /// Who.
    pub source: SourceKey,
    /// −dBov, smoothed.
    pub level: u8,
}

/// The voices of one room.
#[derive(Debug)]
pub struct AudioRoom {
    /// Forwarded at a time.
    limit: usize,
    voices: Vec<Option<Seat>>,
    heard: usize,
    standby: Option<VoiceIndex>,
    changes: VecDeque<Change>,
    floor: Option<SourceKey>,
    /// As last said.
    said: Vec<SourceKey>,
    said_floor: Option<SourceKey>,
    due: Option<Instant>,
}

#[derive(Debug)]
struct Seat {
    source: SourceKey,
    voice: Voice,
    is_heard: bool,
}

impl AudioRoom {
    /// A room of which the `limit` loudest are forwarded.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            voices: Vec::new(),
            heard: 0,
            standby: None,
            changes: VecDeque::with_capacity(CHANGES),
            floor: None,
            said: Vec::with_capacity(MAX_SPEAKERS),
            said_floor: None,
            due: None,
        }
    }

    /// A voice joins; it is forwarded at once while there is room. `None` at [`MAX_VOICES`].
    pub fn insert(&mut self, source: SourceKey) -> Option<VoiceIndex> {
        let free = self.voices.iter().position(Option::is_none);
        let index = free.unwrap_or(self.voices.len());
        if index >= MAX_VOICES {
            return None;
        }
        let is_heard = self.heard < self.limit;
        let seat = Seat {
            source,
            voice: Voice::new(),
            is_heard,
        };
        if is_heard {
            self.heard += 1;
            self.note(Change::Heard(source));
        }
        match self.voices.get_mut(index) {
            Some(place) => *place = Some(seat),
            None => self.voices.push(Some(seat)),
        }
        let index = u32::try_from(index).ok().map(VoiceIndex)?;
        if !is_heard && self.standby.is_none() {
            self.standby = Some(index);
        }
        Some(index)
    }

    /// A voice leaves; the loudest of those that are not forwarded takes its place.
    pub fn remove(&mut self, now: Instant, index: VoiceIndex) {
        let Some(seat) = self.seat_mut(index).and_then(Option::take) else {
            return;
        };
        if self.floor == Some(seat.source) {
            self.floor = None;
        }
        if seat.is_heard {
            self.heard -= 1;
            self.note(Change::Withheld(seat.source));
            if let Some(next) = self.loudest_withheld(now) {
                self.admit(next);
            }
        }
        if self.standby().is_none() || self.standby == Some(index) {
            self.standby = self.loudest_withheld(now);
        }
    }

    /// A packet of a voice came. `level` is its header extension; without one it counts as speech at a
    /// fixed level. Says whether the voice is forwarded, this packet included.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        index: VoiceIndex,
        level: Option<AudioLevel>,
        payload_len: u16,
    ) -> bool {
        let Some(Some(seat)) = self.seat_mut(index) else {
            return false;
        };
        let is_speech = seat.voice.handle_packet(now, level, payload_len);
        if seat.is_heard || !is_speech {
            return seat.is_heard;
        }
        let loudness = seat.voice.loudness(now);
        if self.heard < self.limit {
            self.admit(index);
            return true;
        }
        let Some((weakest, rank)) = self.weakest_heard(now) else {
            return false;
        };
        if loudness <= rank.saturating_add(MARGIN) {
            self.stand_by(now, index, loudness);
            return false;
        }
        self.withhold(weakest);
        self.admit(index);
        self.standby = Some(weakest);
        true
    }

    /// The voice that stands by: whoever is heard is sent it in place of their own.
    #[must_use]
    pub fn standby(&self) -> Option<SourceKey> {
        let seat = self.voices.get(position(self.standby?))?.as_ref()?;
        (!seat.is_heard).then_some(seat.source)
    }

    /// Whether a voice is forwarded.
    #[must_use]
    pub fn is_heard(&self, index: VoiceIndex) -> bool {
        let seat = self.voices.get(position(index)).and_then(Option::as_ref);
        seat.is_some_and(|seat| seat.is_heard)
    }

    /// What changed, in order; to be asked after each input.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Every [`SPEAKERS_INTERVAL`]: who speaks now, the loudest first, at most [`MAX_SPEAKERS`], into
    /// `out`. Says whether they or their order, or [`Self::floor`] changed since it last said so;
    /// otherwise `out` is left empty.
    pub fn poll_speakers(&mut self, now: Instant, out: &mut Vec<Speaking>) -> bool {
        out.clear();
        if self.due.is_some_and(|due| now < due) {
            return false;
        }
        self.due = Some(now + SPEAKERS_INTERVAL);
        self.decide_floor(now);
        for seat in self.voices.iter().flatten() {
            if seat.voice.now(now) == 0 {
                continue;
            }
            let level = 127 - seat.voice.loudness(now).min(127);
            let speaking = Speaking {
                source: seat.source,
                level,
            };
            let place = out.partition_point(|other| other.level <= level);
            if place < MAX_SPEAKERS {
                out.truncate(MAX_SPEAKERS - 1);
                out.insert(place, speaking);
            }
        }
        let is_same = self.said_floor == self.floor
            && self
                .said
                .iter()
                .eq(out.iter().map(|speaking| &speaking.source));
        if is_same {
            out.clear();
            return false;
        }
        self.said_floor = self.floor;
        self.said.clear();
        self.said.extend(out.iter().map(|speaking| speaking.source));
        true
    }

    /// When [`Self::poll_speakers`] has something to do next.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.due
    }

    /// Who has the floor.
    #[must_use]
    pub fn floor(&self) -> Option<SourceKey> {
        self.floor
    }

    fn decide_floor(&mut self, now: Instant) {
        let holder = self.voices.iter().flatten();
        let holder = holder
            .filter(|seat| Some(seat.source) == self.floor)
            .map(|seat| &seat.voice)
            .next();
        let challengers = self.voices.iter().flatten();
        let best = challengers
            .filter(|seat| Some(seat.source) != self.floor)
            .filter(|seat| seat.voice.takes_floor_from(holder, now))
            .max_by_key(|seat| (seat.voice.second(now), seat.voice.loudness(now)));
        if let Some(seat) = best {
            self.floor = Some(seat.source);
        }
    }

    fn admit(&mut self, index: VoiceIndex) {
        if let Some(Some(seat)) = self.seat_mut(index) {
            seat.is_heard = true;
            let source = seat.source;
            self.heard += 1;
            self.note(Change::Heard(source));
        }
    }

    fn withhold(&mut self, index: VoiceIndex) {
        if let Some(Some(seat)) = self.seat_mut(index) {
            seat.is_heard = false;
            let source = seat.source;
            self.heard -= 1;
            self.note(Change::Withheld(source));
        }
    }

    /// A voice that is too soft to be heard speaks: perhaps it stands by from now on.
    fn stand_by(&mut self, now: Instant, index: VoiceIndex, loudness: u8) {
        let present = self.standby.filter(|standby| *standby != index);
        let seat = present.and_then(|standby| self.voices.get(position(standby))?.as_ref());
        let seat = seat.filter(|seat| !seat.is_heard);
        let is_softer = |seat: &Seat| loudness > seat.rank(now).saturating_add(MARGIN);
        if seat.is_none_or(is_softer) {
            self.standby = Some(index);
        }
    }

    /// Of those that are forwarded, with what it counts for.
    fn weakest_heard(&self, now: Instant) -> Option<(VoiceIndex, u8)> {
        let ranked = self.seats().filter(|(_, seat)| seat.is_heard);
        let ranked = ranked.map(|(index, seat)| (index, seat.rank(now)));
        ranked.min_by_key(|&(_, rank)| rank)
    }

    fn loudest_withheld(&self, now: Instant) -> Option<VoiceIndex> {
        let withheld = self.seats().filter(|(_, seat)| !seat.is_heard);
        let loudest = withheld.max_by_key(|(_, seat)| seat.voice.loudness(now));
        loudest.map(|(index, _)| index)
    }

    fn seats(&self) -> impl Iterator<Item = (VoiceIndex, &Seat)> {
        (0u32..)
            .map(VoiceIndex)
            .zip(&self.voices)
            .filter_map(|(index, seat)| Some((index, seat.as_ref()?)))
    }

    fn note(&mut self, change: Change) {
        let opposite = match change {
            Change::Heard(source) => Change::Withheld(source),
            Change::Withheld(source) => Change::Heard(source),
        };
        match self.changes.iter().position(|waits| *waits == opposite) {
            Some(index) => drop(self.changes.remove(index)),
            None => self.changes.push_back(change),
        }
    }

    fn seat_mut(&mut self, index: VoiceIndex) -> Option<&mut Option<Seat>> {
        self.voices.get_mut(position(index))
    }
}

impl Seat {
    /// What it counts for against one that would have its place.
    fn rank(&self, now: Instant) -> u8 {
        let bonus = if self.voice.spoke_within(now, HOLD) {
            HOLD_BONUS
        } else {
            0
        };
        self.voice.loudness(now).saturating_add(bonus)
    }
}

fn position(index: VoiceIndex) -> usize {
    usize::try_from(index.0).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
