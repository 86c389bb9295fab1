//! Which sessions there are, by their id and by their person.

use super::core::SessionCore;
use super::core::bucket::TokenBucket;
use super::{Linked, Session, lock};
use crate::codec::Codec;
use dashmap::DashMap;
use futures_util::task::AtomicWaker;
use kaiwa_chat::model::Actor;
use kaiwa_common::id::{SessionId, UserId};
use kaiwa_common::limits::{Limits, PUSH_CHANGE_BURST, PUSH_CHANGES_PER_S};
use kaiwa_common::token::CallGrant;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Sessions begun between two looks for people who are gone: what they leave is a few hundred bytes.
const SWEEP: u64 = 1_024;

/// All sessions of this node.
pub struct Sessions {
    by_id: DashMap<SessionId, Arc<Session>>,
    users: DashMap<UserId, Arc<UserSlot>>,
    next_no: AtomicU64,
    limits: Limits,
}

/// What a person's sessions share.
pub struct UserSlot {
    /// Who.
    pub id: UserId,
    commands: Mutex<TokenBucket>,
    push_changes: Mutex<TokenBucket>,
    sessions: Mutex<Vec<Arc<Session>>>,
}

impl UserSlot {
    /// Counts a command against the person's rate.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take_command(&self, now: Instant) -> Result<(), Duration> {
        lock(&self.commands).take(now)
    }

    /// Counts a change of devices or settings against the person's rate.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take_push_change(&self, now: Instant) -> Result<(), Duration> {
        lock(&self.push_changes).take(now)
    }

    /// Nobody is here, and nothing is owed to the rate limits.
    fn is_forgettable(&self, now: Instant) -> bool {
        lock(&self.sessions).is_empty()
            && lock(&self.commands).is_full(now)
            && lock(&self.push_changes).is_full(now)
    }

    /// The person's sessions, the oldest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        lock(&self.sessions).clone()
    }
}

impl Sessions {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            by_id: DashMap::new(),
            users: DashMap::new(),
            next_no: AtomicU64::new(1),
            limits,
        }
    }

    /// A number that no session has or will have, for somebody in a call without one.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.next_no.fetch_add(1, Ordering::Relaxed)
    }

    /// Begins a session. Gives it, and an older one of the same person that has to make room.
    pub fn begin(
        &self,
        (actor, grant): (Arc<Actor>, CallGrant),
        codec: Codec,
        token_until: Instant,
        now: Instant,
    ) -> (Arc<Session>, Option<Arc<Session>>) {
        let user_id = actor.user.id.clone();
        let entry = self.users.entry(user_id.clone());
        // The entry's lock is held until the session is in the slot, so that `remove` cannot take
        // the slot away in between.
        let slot = entry.or_insert_with(|| {
            let rate = (self.limits.commands_per_s, self.limits.command_burst);
            let changes = TokenBucket::new(PUSH_CHANGES_PER_S, PUSH_CHANGE_BURST, now);
            Arc::new(UserSlot {
                id: user_id,
                commands: Mutex::new(TokenBucket::new(rate.0, rate.1, now)),
                push_changes: Mutex::new(changes),
                sessions: Mutex::new(Vec::new()),
            })
        });
        let session = Arc::new(Session {
            id: SessionId::generate(),
            no: self.next_no.fetch_add(1, Ordering::Relaxed),
            user: Arc::clone(&slot),
            codec,
            identity: Mutex::new((actor, grant)),
            origin: Mutex::default(),
            core: Mutex::new(Linked::new(SessionCore::new(
                codec,
                token_until,
                &self.limits,
                now,
            ))),
            follows: Mutex::new(Vec::new()),
            expects_reply: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        self.by_id.insert(session.id.clone(), Arc::clone(&session));
        let mut sessions = lock(&slot.sessions);
        // Taken out at once, so that two that begin together don't choose the same one.
        let evicted = (sessions.len() >= self.limits.sessions_per_user as usize).then(|| {
            let waiting = sessions.iter().position(|s| s.core().is_detached());
            sessions.remove(waiting.unwrap_or(0))
        });
        sessions.push(Arc::clone(&session));
        drop(sessions);
        drop(slot);
        if session.no.is_multiple_of(SWEEP) {
            self.users.retain(|_, slot| !slot.is_forgettable(now));
        }
        (session, evicted)
    }

    /// The session of this id.
    #[must_use]
    pub fn get(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.by_id.get(id).map(|entry| Arc::clone(&entry))
    }

    /// The sessions of this person.
    #[must_use]
    pub fn of(&self, user: &UserId) -> Vec<Arc<Session>> {
        let slot = self.users.get(user).map(|entry| Arc::clone(&entry));
        slot.map(|slot| slot.sessions()).unwrap_or_default()
    }

    /// Forgets a session that ended. What its person owes to the rate limit is kept until a sweep.
    pub fn remove(&self, session: &Session) {
        self.by_id.remove(&session.id);
        lock(&session.user.sessions).retain(|s| s.no != session.no);
    }

    /// Every session, in the order in which they began.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Session>> {
        let mut all: Vec<_> = self.by_id.iter().map(|entry| Arc::clone(&entry)).collect();
        all.sort_unstable_by_key(|session| session.no);
        all
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
