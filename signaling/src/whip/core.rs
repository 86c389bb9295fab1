//! Which sessions there are by WHIP and WHEP, whose they are and until when, and what is asked of one. Time is an
//! argument.
//!
//! ```text
//!          open             begin              remove, or its token's end
//!  (none) ──────► Opening ────────► Open(Ice) ─────────────────────────────► (gone)
//!                    └──────────────── remove ─────────────────────────────────►┘
//! ```

pub mod viewer;

use crate::call::core::effect::SessionNo;
use crate::session::core::bucket::TokenBucket;
use kaiwa_common::id::{RoomId, SessionId, UserId};
use kaiwa_common::limits::{
    WHIP_BEGIN_BURST, WHIP_BEGINS_PER_S, WHIP_CHANGE_BURST, WHIP_CHANGES_PER_S, WHIP_REMEMBERED,
    WHIP_SESSIONS, WHIP_SESSIONS_EACH, WHIP_SESSIONS_ROOM,
};
use kaiwa_sfu::control::Track;
use kaiwa_sfu::exchange::{IceCredentials, Offered, Way};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A session that is to begin.
#[derive(Debug, Clone)]
pub struct Opening {
    /// What its URL ends with.
    pub id: SessionId,
    /// Its number in calls.
    pub no: SessionNo,
    /// Whose.
    pub user: UserId,
    /// In which room's call.
    pub room: RoomId,
    /// Encoder or player.
    pub way: Way,
    /// When its token ends, and it with it.
    pub until: Instant,
}

/// The state of a session's ICE.
#[derive(Debug, Clone)]
struct Ice {
    /// The last offer that was answered.
    offered: Offered,
    /// What it publishes.
    tracks: Vec<Track>,
    /// Names the ICE session, unlike all others of all sessions.
    etag: String,
    /// How many restarts were begun before the one that is in force.
    generation: u64,
}

#[derive(Debug)]
struct Entry {
    opening: Opening,
    ice: Option<Ice>,
    /// Restarts that were begun.
    begun: u64,
    changes: TokenBucket,
}

/// Why there is no place for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// Too soon after others of the same person.
    #[error("too many sessions in so short a time")]
    TooSoon(Duration),
    /// The person has as many as one may.
    #[error("a person has at most {WHIP_SESSIONS_EACH} sessions by WHIP and WHEP: end one first")]
    Person,
    /// The room's call has as many.
    #[error("a call has at most {WHIP_SESSIONS_ROOM} sessions by WHIP and WHEP")]
    Room,
    /// The node has as many.
    #[error("the server has as many sessions by WHIP and WHEP as it can bear")]
    Node,
}

/// What a request knows of the session it is for.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The end of its URL.
    pub id: &'a SessionId,
    /// Of its URL.
    pub room: &'a RoomId,
    /// Of its URL.
    pub way: Way,
    /// Who asks.
    pub user: &'a UserId,
}

/// What a PATCH asks for.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its If-Match, if it has one.
    pub precondition: Option<Precondition>,
    /// The credentials in its fragment.
    pub credentials: Option<IceCredentials>,
}

/// If-Match (RFC 9110, section 13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// `*`: there is a session.
    Any,
    /// One of these strong entity tags, with their quotation marks.
    Tags(Vec<String>),
}

/// What becomes of a PATCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Candidates; nothing has to be done, since checks tell the addresses.
    Trickled,
    /// ICE starts anew: this is to be offered.
    Restart(Box<Restart>),
}

/// An ICE restart under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// For calls.
    pub no: SessionNo,
    /// What the new offer is.
    pub offered: Offered,
    /// What it publishes, as before.
    pub tracks: Vec<Track>,
    /// The restarts' number, from 1.
    pub generation: u64,
}

/// Why a request to a session is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotChanged {
    /// None of this name, or somebody else's: nobody learns which.
    #[error("there is no such session: it has ended, or is not yours")]
    Unknown,
    /// Too many requests to it.
    #[error("too many requests to one session")]
    TooSoon(Duration),
    /// No If-Match.
    #[error("If-Match is missing: the session's ETag, or * for an ICE restart")]
    NoPrecondition,
    /// Another ICE session is meant.
    #[error("If-Match does not name the present ICE session")]
    OtherSession,
    /// The kept offer can't take it.
    #[error("{0}")]
    Unacceptable(String),
}

/// All sessions of a node.
#[derive(Debug, Default)]
pub struct Table {
    sessions: BTreeMap<SessionId, Entry>,
    by_no: BTreeMap<SessionNo, SessionId>,
    ends: BTreeSet<(Instant, SessionNo)>,
    people: BTreeMap<UserId, u32>,
    rooms: BTreeMap<RoomId, u32>,
    begins: BTreeMap<UserId, TokenBucket>,
}

impl Table {
    /// Takes a place for a session. It is given back by [`Self::remove`].
    ///
    /// # Errors
    /// [`NoPlace`].
    pub fn open(&mut self, opening: Opening, now: Instant) -> Result<(), NoPlace> {
        if self.sessions.len() >= WHIP_SESSIONS {
            return Err(NoPlace::Node);
        }
        let has = |count: Option<&u32>| count.copied().unwrap_or(0);
        if has(self.rooms.get(&opening.room)) >= WHIP_SESSIONS_ROOM {
            return Err(NoPlace::Room);
        }
        if has(self.people.get(&opening.user)) >= WHIP_SESSIONS_EACH {
            return Err(NoPlace::Person);
        }
        self.begin_rate(&opening.user, now)?;
        *self.people.entry(opening.user.clone()).or_insert(0) += 1;
        *self.rooms.entry(opening.room.clone()).or_insert(0) += 1;
        self.by_no.insert(opening.no, opening.id.clone());
        self.ends.insert((opening.until, opening.no));
        let entry = Entry {
            ice: None,
            begun: 0,
            changes: TokenBucket::new(WHIP_CHANGES_PER_S, WHIP_CHANGE_BURST, now),
            opening,
        };
        self.sessions.insert(entry.opening.id.clone(), entry);
        Ok(())
    }

    fn begin_rate(&mut self, user: &UserId, now: Instant) -> Result<(), NoPlace> {
        if !self.begins.contains_key(user) && self.begins.len() >= WHIP_REMEMBERED {
            self.begins.retain(|_, bucket| !bucket.is_full(now));
            if self.begins.len() >= WHIP_REMEMBERED {
                return Err(NoPlace::Node);
            }
        }
        let new = || TokenBucket::new(WHIP_BEGINS_PER_S, WHIP_BEGIN_BURST, now);
        let bucket = self.begins.entry(user.clone()).or_insert_with(new);
        bucket.take(now).map_err(NoPlace::TooSoon)
    }

    /// A session's offer was answered; gives its entity tag. `None` when it has ended meanwhile.
    pub fn begin(
        &mut self,
        id: &SessionId,
        offered: Offered,
        tracks: Vec<Track>,
    ) -> Option<String> {
        let entry = self.sessions.get_mut(id)?;
        let etag = etag(entry.opening.no, 0);
        entry.ice = Some(Ice {
            offered,
            tracks,
            etag: etag.clone(),
            generation: 0,
        });
        Some(etag)
    }

    /// A session that the asker may ask something of.
    ///
    /// # Errors
    /// [`NotChanged::Unknown`].
    pub fn find(&mut self, named: Named<'_>) -> Result<SessionNo, NotChanged> {
        Ok(self.entry(named)?.opening.no)
    }

    fn entry(&mut self, named: Named<'_>) -> Result<&mut Entry, NotChanged> {
        let entry = self.sessions.get_mut(named.id);
        let is_it = |entry: &&mut Entry| {
            let of = &entry.opening;
            let same_place = of.room == *named.room && of.way == named.way;
            same_place && of.user == *named.user && entry.ice.is_some()
        };
        entry.filter(is_it).ok_or(NotChanged::Unknown)
    }

    /// What a PATCH means. A restart it is by its credentials alone: those of another ICE session.
    ///
    /// # Errors
    /// [`NotChanged`].
    pub fn change(
        &mut self,
        named: Named<'_>,
        change: Change,
        now: Instant,
    ) -> Result<Verdict, NotChanged> {
        let entry = self.entry(named)?;
        entry.changes.take(now).map_err(NotChanged::TooSoon)?;
        let ice = entry.ice.as_ref().ok_or(NotChanged::Unknown)?;
        match &change.precondition {
            None => return Err(NotChanged::NoPrecondition),
            Some(Precondition::Any) => {}
            Some(Precondition::Tags(tags)) => {
                if !tags.contains(&ice.etag) {
                    return Err(NotChanged::OtherSession);
                }
            }
        }
        let credentials = change.credentials.filter(|new| new != ice.offered.remote());
        let Some(credentials) = credentials else {
            return Ok(Verdict::Trickled);
        };
        let offered = ice.offered.restarted(credentials);
        let offered = offered.map_err(|why| NotChanged::Unacceptable(why.to_string()))?;
        entry.begun += 1;
        Ok(Verdict::Restart(Box::new(Restart {
            no: entry.opening.no,
            offered,
            tracks: ice.tracks.clone(),
            generation: entry.begun,
        })))
    }

    /// A restart was answered; gives the new entity tag. `None` when the session has ended meanwhile. Of several that
    /// were under way at once the last one begun is in force, in whichever order they are told.
    pub fn restarted(&mut self, restart: Restart) -> Option<String> {
        let id = self.by_no.get(&restart.no)?;
        let ice = self.sessions.get_mut(id)?.ice.as_mut()?;
        let etag = etag(restart.no, restart.generation);
        if restart.generation > ice.generation {
            *ice = Ice {
                offered: restart.offered,
                tracks: restart.tracks,
                etag: etag.clone(),
                generation: restart.generation,
            };
        }
        Some(etag)
    }

    /// Its person has shown a token that is good for longer; false when it is not.
    pub fn renew(&mut self, no: SessionNo, until: Instant) -> bool {
        let id = self.by_no.get(&no);
        let Some(entry) = id.and_then(|id| self.sessions.get_mut(id)) else {
            return false;
        };
        let before = entry.opening.until;
        if until <= before {
            return false;
        }
        entry.opening.until = until;
        self.ends.remove(&(before, no));
        self.ends.insert((until, no));
        true
    }

    /// A session has ended; false when it had already.
    pub fn remove(&mut self, no: SessionNo) -> bool {
        let Some(id) = self.by_no.remove(&no) else {
            return false;
        };
        let entry = self.sessions.remove(&id).expect("a number's session");
        self.ends.remove(&(entry.opening.until, no));
        less(&mut self.people, &entry.opening.user);
        less(&mut self.rooms, &entry.opening.room);
        true
    }

    /// Whose tokens have ended. Each has to be ended.
    #[must_use]
    pub fn ended(&self, now: Instant) -> Vec<SessionNo> {
        let due = self.ends.iter().take_while(|(until, _)| *until <= now);
        due.map(|(_, no)| *no).collect()
    }

    /// When [`Self::ended`] has something to give next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// All sessions.
    #[must_use]
    pub fn all(&self) -> Vec<SessionNo> {
        self.by_no.keys().copied().collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

/// Unlike that of every other ICE session of this process: numbers are never used again.
fn etag(no: SessionNo, generation: u64) -> String {
    format!("\"{:x}.{generation:x}\"", no.0)
}

fn less<K: Ord + Clone>(counts: &mut BTreeMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
