//! The ICE-lite responder: whom a peer's datagrams may come from, and where ours go (RFC 8445,
//! section 2.5; RFC 7675 for consent).
//!
//! A peer checks, we answer. A check that is authentic makes its source address *valid*; one with
//! USE-CANDIDATE makes it *nominated*, and what we send goes to the address nominated last. Before
//! any nomination it goes to the first valid one. Consent follows what is heard:
//!
//! ```text
//!            check             silent 7 s                silent 30 s
//!  Awaited ───────► Given ───────────────► Interrupted ──────────────► Expired
//!     │               ▲                        │ heard                    │
//!     │               ├────────────────────────┘                          │
//!     │ 30 s          └──────────────────── check ────────────────────────┤
//!     └──────────────────────────────────────────────────────────────────►┘
//! ```
//!
//! A TCP connection that [ends](IceLite::handle_closed) interrupts as silence does when it was the only address.
//!
//! The shell parses STUN, finds the peer by the user fragment, and verifies MESSAGE-INTEGRITY with
//! [`IceLite::password`]; only then it calls [`IceLite::handle_check`]. Addresses are of a type that
//! the shell chooses, usually a pair of local and remote socket address.
//!
//! A check that was seen before is answered but moves nothing, so that nobody turns a peer's media
//! elsewhere with a check that they overheard. Checks carry no time, and not all of a long call can be
//! remembered: once some of a pair of credentials are forgotten, a nomination moves media away from an
//! address that is alive only when something else that is authentic has come from the new one. SRTP and
//! SRTCP can't be replayed, and every client sends reports once a second or so.

mod credentials;

#[cfg(test)]
mod tests;

pub use credentials::{Credentials, Ufrag};

use std::collections::VecDeque;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Silence after which a peer counts as interrupted. Consent is asked for every 4 to 6 seconds (RFC
/// 7675, section 5.1), so less than this would be noticed of a peer that is well and sends no media.
/// It is also the silence after which a nominated address is given up for another that is heard.
pub const INTERRUPTED_AFTER: Duration = Duration::from_secs(7);
/// Silence after which consent is gone and nothing may be sent (RFC 7675, section 5.1). It is also how
/// long a first check is waited for.
pub const EXPIRED_AFTER: Duration = Duration::from_secs(30);
/// The most addresses of one peer: a host with several interfaces and both address families behind a
/// relay or two has ten. At the bound the one that was silent longest, and is not in use, goes.
pub const MAX_REMOTES: usize = 16;
/// The transactions that are remembered, 6 KiB of them: half a minute of a browser's busiest checking,
/// and twenty minutes of what it does once it has a pair.
const MAX_SEEN: usize = 512;
/// The most events that wait. The shell polls after each input, which makes [`MAX_REMOTES`] and a few
/// at most; when it does not, the oldest are lost.
const MAX_EVENTS: usize = 64;

/// The role that a peer says it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerRole {
    /// ICE-CONTROLLING: right, since we are lite (RFC 8445, section 6.1.1).
    Controlling,
    /// ICE-CONTROLLED: a conflict.
    Controlled,
}

/// A binding request whose integrity has been verified with [`IceLite::password`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// STUN's transaction id.
    pub transaction: [u8; 12],
    /// The first part of its USERNAME: whose password it was verified with.
    pub ufrag: Ufrag,
    /// Its role; `None` when it has none, as old agents do (RFC 8445, section 7.3.1.1).
    pub role: Option<PeerRole>,
    /// It has USE-CANDIDATE.
    pub nominates: bool,
}

/// What to answer a check with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// With success, XOR-MAPPED-ADDRESS and the same password.
    Respond,
    /// With this error and the same password.
    Refuse(Refusal),
    /// With nothing.
    Ignore,
}

/// Why a check is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The peer takes itself for controlled. We never control, so it has to change (RFC 8445,
    /// section 7.3.1.1).
    RoleConflict,
}

impl Refusal {
    /// STUN's error code.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::RoleConflict => 487,
        }
    }
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceEvent<A> {
    /// From now on [`IceLite::selected`] is this.
    Selected(A),
    /// There is nowhere to send to, until the next [`IceEvent::Selected`].
    Lost,
    /// An address is no longer the peer's: what comes from it is not for this peer any more.
    Forgotten(A),
    /// Credentials are no longer valid: no check with this user fragment is for this peer any more.
    Retired(Ufrag),
    /// Nothing was heard for [`INTERRUPTED_AFTER`]. Sending goes on.
    Interrupted,
    /// The peer is heard again.
    Recovered,
    /// Nothing was heard for [`EXPIRED_AFTER`]. Nothing is sent any more, unless the peer checks again.
    Expired,
}

#[derive(Debug, Clone, Copy)]
enum Consent {
    Awaited { since: Instant },
    Given { heard: Instant },
    Interrupted { heard: Instant },
    Expired,
}

/// Which credentials an address was last checked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    Previous,
    Current,
}

/// Checks that came, the last [`MAX_SEEN`] of them.
#[derive(Debug, Default)]
struct Seen {
    transactions: VecDeque<[u8; 12]>,
    /// All that came, and those since the last restart.
    count: u64,
    since_restart: u64,
}

impl Seen {
    /// Takes a check; false when it was taken before.
    fn insert(&mut self, transaction: [u8; 12]) -> bool {
        if self.transactions.contains(&transaction) {
            return false;
        }
        if self.transactions.len() == MAX_SEEN {
            self.transactions.pop_front();
        }
        self.transactions.push_back(transaction);
        self.count += 1;
        self.since_restart += 1;
        true
    }

    /// Checks with other credentials come from now on.
    fn restart(&mut self) {
        self.since_restart = 0;
    }

    /// Whether all checks with these credentials are remembered, so that one which is not is new.
    fn is_complete(&self, generation: Generation) -> bool {
        let count = match generation {
            Generation::Previous => self.count,
            Generation::Current => self.since_restart,
        };
        count <= MAX_SEEN as u64
    }
}

#[derive(Debug)]
struct Remote<A> {
    addr: A,
    heard: Instant,
    generation: Generation,
}

/// One peer's ICE, in its whole life.
pub struct IceLite<A> {
    current: Credentials,
    /// Valid besides, from a restart on until the peer has nominated with the new ones: so media goes
    /// on over the old path until the new one stands (RFC 8445, section 9).
    previous: Option<Credentials>,
    remotes: Vec<Remote<A>>,
    selected: Option<A>,
    consent: Consent,
    seen: Seen,
    /// Nominated by a check that may be an old one; in use from the first proof on.
    unproven: Option<A>,
    events: VecDeque<IceEvent<A>>,
}

impl<A: Copy + Eq + Hash> IceLite<A> {
    /// Waits for the first check.
    #[must_use]
    pub fn new(credentials: Credentials, now: Instant) -> Self {
        Self {
            current: credentials,
            previous: None,
            remotes: Vec::new(),
            selected: None,
            consent: Consent::Awaited { since: now },
            seen: Seen::default(),
            unproven: None,
            events: VecDeque::new(),
        }
    }

    /// What the answer says.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.current
    }

    /// What checks and answers with this user fragment are authenticated with; `None` when it is not
    /// valid.
    #[must_use]
    pub fn password(&self, ufrag: Ufrag) -> Option<&str> {
        let previous = self.previous.as_ref();
        [Some(&self.current), previous]
            .into_iter()
            .flatten()
            .find(|credentials| credentials.ufrag() == ufrag)
            .map(Credentials::password)
    }

    /// Where to send; `None` before the first check, and when consent has expired.
    #[must_use]
    pub fn selected(&self) -> Option<A> {
        self.selected
    }

    /// Whether an authentic check came from there: only then other datagrams from it are the peer's.
    #[must_use]
    pub fn is_valid(&self, addr: A) -> bool {
        self.remotes.iter().any(|remote| remote.addr == addr)
    }

    /// Whether anything authentic came from there of late. What did not may have become another's.
    #[must_use]
    pub fn hears(&self, now: Instant, addr: A) -> bool {
        let mut remotes = self.remotes.iter();
        remotes.any(|remote| {
            remote.addr == addr && now.duration_since(remote.heard) < INTERRUPTED_AFTER
        })
    }

    /// An authentic check came from `from`.
    pub fn handle_check(&mut self, now: Instant, from: A, check: &Check) -> Verdict {
        let Some(generation) = self.generation(check.ufrag) else {
            return Verdict::Ignore;
        };
        if check.role == Some(PeerRole::Controlled) {
            return Verdict::Refuse(Refusal::RoleConflict);
        }
        if !self.seen.insert(check.transaction) {
            return if self.is_valid(from) {
                Verdict::Respond
            } else {
                Verdict::Ignore
            };
        }
        self.hear_check(now);
        self.note_remote(now, from, generation);
        if self.may_leave_selected(now) || (check.nominates && self.seen.is_complete(generation)) {
            if check.nominates && generation == Generation::Current {
                self.finish_restart();
            }
            self.select(from);
        } else if check.nominates && generation == Generation::Current {
            self.unproven = Some(from).filter(|from| Some(*from) != self.selected);
        }
        Verdict::Respond
    }

    /// Something else that is authentic (SRTP, SRTCP, DTLS once connected) came from `from`. It keeps
    /// consent, but does not bring back one that has expired.
    pub fn handle_authentic(&mut self, now: Instant, from: A) {
        let remote = self.remotes.iter_mut().find(|remote| remote.addr == from);
        let Some(remote) = remote else {
            return;
        };
        remote.heard = now;
        if self.unproven == Some(from) {
            self.finish_restart();
            self.select(from);
        }
        match self.consent {
            Consent::Given { .. } => self.consent = Consent::Given { heard: now },
            Consent::Interrupted { .. } => {
                self.consent = Consent::Given { heard: now };
                self.push_event(IceEvent::Recovered);
                if self.selected.is_none() {
                    self.select(from);
                }
            }
            Consent::Awaited { .. } | Consent::Expired => {}
        }
    }

    /// An address is no more: a TCP connection that has ended. Nothing can be sent there, so that another one that is
    /// heard is used; without one the peer counts as interrupted at once, until it is heard over another.
    pub fn handle_closed(&mut self, now: Instant, addr: A) {
        let before = self.remotes.len();
        self.remotes.retain(|remote| remote.addr != addr);
        if self.remotes.len() == before {
            return;
        }
        self.push_event(IceEvent::Forgotten(addr));
        self.unproven = self.unproven.filter(|unproven| *unproven != addr);
        if self.selected != Some(addr) {
            return;
        }
        let heard = self
            .remotes
            .iter()
            .filter(|remote| now.duration_since(remote.heard) < INTERRUPTED_AFTER)
            .max_by_key(|remote| remote.heard);
        if let Some(addr) = heard.map(|remote| remote.addr) {
            return self.select(addr);
        }
        self.selected = None;
        self.push_event(IceEvent::Lost);
        if let Consent::Given { heard } = self.consent {
            self.consent = Consent::Interrupted { heard };
            self.push_event(IceEvent::Interrupted);
        }
    }

    /// The peer has offered new credentials, and is answered with these (RFC 8839, section 4.4.1.1.1).
    /// The old ones stay valid until it has nominated with the new ones. A peer that was silent gets
    /// its time anew.
    pub fn restart(&mut self, credentials: Credentials, now: Instant) {
        let replaced = std::mem::replace(&mut self.current, credentials);
        self.seen.restart();
        self.unproven = None;
        if self.previous.is_none() {
            for remote in &mut self.remotes {
                remote.generation = Generation::Previous;
            }
            self.previous = Some(replaced);
        } else {
            // Nothing was nominated with these: what media goes over are still the ones before.
            self.push_event(IceEvent::Retired(replaced.ufrag()));
            self.forget(Generation::Current);
        }
        match self.consent {
            Consent::Interrupted { .. } => self.consent = Consent::Interrupted { heard: now },
            Consent::Awaited { .. } | Consent::Expired => {
                self.consent = Consent::Awaited { since: now };
            }
            Consent::Given { .. } => {}
        }
    }

    /// What has changed, until there is nothing more. Silence is measured here.
    pub fn poll_event(&mut self, now: Instant) -> Option<IceEvent<A>> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if self.poll_timeout()? > now {
            return None;
        }
        match self.consent {
            Consent::Given { heard } => {
                self.consent = Consent::Interrupted { heard };
                Some(IceEvent::Interrupted)
            }
            Consent::Awaited { .. } | Consent::Interrupted { .. } => {
                self.consent = Consent::Expired;
                self.selected = None;
                Some(IceEvent::Expired)
            }
            Consent::Expired => None,
        }
    }

    /// Whether [`Self::poll_event`] has something to say at once.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When [`Self::poll_event`] has something to say of silence.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.consent {
            Consent::Awaited { since } => Some(since + EXPIRED_AFTER),
            Consent::Given { heard } => Some(heard + INTERRUPTED_AFTER),
            Consent::Interrupted { heard } => Some(heard + EXPIRED_AFTER),
            Consent::Expired => None,
        }
    }

    fn generation(&self, ufrag: Ufrag) -> Option<Generation> {
        if self.current.ufrag() == ufrag {
            Some(Generation::Current)
        } else {
            let previous = self.previous.as_ref()?;
            (previous.ufrag() == ufrag).then_some(Generation::Previous)
        }
    }

    fn hear_check(&mut self, now: Instant) {
        match self.consent {
            Consent::Awaited { .. } | Consent::Given { .. } => {}
            Consent::Interrupted { .. } | Consent::Expired => {
                self.push_event(IceEvent::Recovered);
            }
        }
        self.consent = Consent::Given { heard: now };
    }

    fn note_remote(&mut self, now: Instant, addr: A, generation: Generation) {
        if let Some(remote) = self.remotes.iter_mut().find(|remote| remote.addr == addr) {
            remote.heard = now;
            if generation == Generation::Current {
                remote.generation = generation;
            }
            return;
        }
        if self.remotes.len() == MAX_REMOTES {
            let unused = self.remotes.iter().enumerate();
            let silent_longest = unused
                .filter(|(_, remote)| Some(remote.addr) != self.selected)
                .min_by_key(|(_, remote)| remote.heard);
            if let Some((at, _)) = silent_longest {
                let forgotten = self.remotes.swap_remove(at).addr;
                self.push_event(IceEvent::Forgotten(forgotten));
            }
        }
        self.remotes.push(Remote {
            addr,
            heard: now,
            generation,
        });
    }

    /// The peer has nominated with the current credentials: the previous ones and their addresses go.
    fn finish_restart(&mut self) {
        let Some(previous) = self.previous.take() else {
            return;
        };
        self.push_event(IceEvent::Retired(previous.ufrag()));
        self.forget(Generation::Previous);
    }

    fn forget(&mut self, generation: Generation) {
        let mut remotes = std::mem::take(&mut self.remotes);
        remotes.retain(|remote| {
            // The one in use stays until another one is.
            let stays = remote.generation != generation || Some(remote.addr) == self.selected;
            if !stays {
                self.push_event(IceEvent::Forgotten(remote.addr));
            }
            stays
        });
        self.remotes = remotes;
    }

    /// An address that is not nominated is taken when there is none, or when the one in use is silent:
    /// an agent that nominates every pair it checks goes on with a pair that need not be the last one.
    fn may_leave_selected(&self, now: Instant) -> bool {
        let in_use = self
            .remotes
            .iter()
            .find(|remote| Some(remote.addr) == self.selected);
        in_use.is_none_or(|remote| now.duration_since(remote.heard) >= INTERRUPTED_AFTER)
    }

    fn select(&mut self, addr: A) {
        if self.selected == Some(addr) {
            return;
        }
        self.selected = Some(addr);
        self.unproven = None;
        self.push_event(IceEvent::Selected(addr));
        // The one that was kept only because it was in use.
        if self.previous.is_none() {
            self.forget(Generation::Previous);
        }
    }

    fn push_event(&mut self, event: IceEvent<A>) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}
