//! The relay's rules: the log over all rooms is the outbox, and this tells people of its messages, and of clips
//! once they are ready.
//!
//! ```text
//!          commit, due            page                answers            all taken
//!  Idle ────────────────► Reading ─────► Asking ─────────────► Publishing ─────────► Idle
//!   ▲ │                      │ failed      ▲  └─ more recipients ──┘ │ failed            │
//!   │ └── Saving ◄── moved   └───► (wait) ─┴────────── (wait) ◄──────┘                   │
//!   └────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! It reads in the log's order and never skips: a page is behind it when everything of it is published or held,
//! and what fails is tried again, later and later. An event is read again when its grace is over, as it is then:
//! deleted messages are gone, edited ones say what they say now, and the store leaves out who has read it, left,
//! or came later. Who is expected back is held, and the cursor that is saved stays before what is held. So after
//! a crash some is published again, with the same ids, and nothing is lost.
//!
//! An edit is not told, nor are those whom only an edit names: whoever edits could ring again and again.

mod intent;

pub use intent::{Intent, event_id};

use crate::ports::{Among, Attention, LogPos, Logged, Posted, Question};
use kaiwa_common::id::UserId;
use kaiwa_common::limits::{
    LARGE_ROOM, NOTIFY_GRACE, NOTIFY_HELD, NOTIFY_RECIPIENTS, NOTIFY_RETURN,
};
use kaiwa_common::time::UnixMs;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Events read at once. Twice as many only hold twice the memory.
pub const PAGE: usize = 128;

/// Events asked about at once; with their recipients they are a few hundred kilobytes at most.
const ASK: usize = 32;

/// Intents published in one call: what a topic takes.
const PUBLISH: usize = 10;

/// Between two reads that end at an event whose grace is not over: else each such event costs a read of its own.
const ROUND: Duration = Duration::from_millis(50);

/// Between two saves of the cursor. A crash publishes again what was published since: consumers know the ids.
const SAVE: Duration = Duration::from_secs(1);

/// After a first failure; it doubles up to [`RETRY_MOST`].
const RETRY: Duration = Duration::from_millis(200);

/// Between two tries, at most: an outage of the topic is over without anybody's doing.
const RETRY_MOST: Duration = Duration::from_secs(30);

/// What has to be done. The shell does one at a time, and comes back with the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Read the log after this place; then [`RelayCore::handle_read`].
    Read {
        /// After this.
        after: LogPos,
        /// At most so many events.
        limit: usize,
    },
    /// Ask who may have to be told; then [`RelayCore::handle_answers`].
    Ask(Vec<Asked>),
    /// Publish; then [`RelayCore::handle_published`].
    Publish(Vec<Intent>),
    /// Remember the cursor; then [`RelayCore::handle_saved`].
    Save(LogPos),
}

/// A question about one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// To the store.
    pub question: Question,
    /// It is about those who want to hear of all, after this one: the question's `among` is to be filled with
    /// them.
    pub opted_in_after: Option<Option<UserId>>,
    /// To whoever knows who is here.
    pub posted: Box<Posted>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Who may have to be told, and how they stand to it.
    pub people: Vec<(UserId, Attention)>,
    /// There may be more after this one.
    pub next: Option<UserId>,
}

/// It failed; nothing is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// What became of one intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The topic has it.
    Yes,
    /// Try again.
    Again,
    /// It can never be sent.
    Never,
}

/// What was done, from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayStats {
    /// Events of the log that are behind.
    pub events: u64,
    /// People who were told, with repeats.
    pub told: u64,
    /// People who were looking.
    pub looking: u64,
    /// People whose return was waited for.
    pub held: u64,
    /// Messages that nobody wants to hear of any more.
    pub expired: u64,
    /// Intents that the topic refused for good.
    pub refused: u64,
    /// Tries that failed.
    pub failures: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Reading(Source),
    Asking(usize),
    Publishing,
    Saving(LogPos),
}

/// What a read is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Log,
    Held(LogPos),
}

/// A message on its way to its recipients.
#[derive(Debug)]
struct Todo {
    pos: LogPos,
    time: UnixMs,
    posted: Box<Posted>,
    stage: Stage,
}

/// Which recipients come next.
#[derive(Debug)]
enum Stage {
    /// Members after this one.
    Members(Option<UserId>),
    /// Those whom it names or answers; then those who opted in.
    Named,
    /// Those who opted in, after this one.
    OptedIn(Option<UserId>),
    /// Those for whom was waited.
    Held(Vec<UserId>),
}

#[derive(Debug)]
struct Held {
    until: UnixMs,
    users: BTreeSet<UserId>,
}

/// The relay's state.
#[derive(Debug)]
pub struct RelayCore {
    phase: Phase,
    /// Everything up to here is published or held.
    cursor: LogPos,
    /// The cursor once what is in hand is done.
    reached: LogPos,
    saved: LogPos,
    save_due: Option<UnixMs>,
    /// There may be events after the cursor.
    is_woken: bool,
    /// When the next event's grace is over.
    read_due: Option<UnixMs>,
    /// An event whose grace was not over, and when it was first seen.
    seen: Option<(LogPos, UnixMs)>,
    todo: VecDeque<Todo>,
    out: VecDeque<Intent>,
    held: BTreeMap<LogPos, Held>,
    held_users: usize,
    /// The first of those that were held and are in hand now.
    taken: Option<LogPos>,
    failures: u32,
    retry_due: Option<UnixMs>,
    stats: RelayStats,
}

impl RelayCore {
    /// A relay that goes on after this place.
    #[must_use]
    pub fn new(cursor: LogPos) -> Self {
        Self {
            phase: Phase::Idle,
            cursor,
            reached: cursor,
            saved: cursor,
            save_due: None,
            is_woken: true,
            read_due: None,
            seen: None,
            todo: VecDeque::new(),
            out: VecDeque::new(),
            held: BTreeMap::new(),
            held_users: 0,
            taken: None,
            failures: 0,
            retry_due: None,
            stats: RelayStats::default(),
        }
    }

    /// Something was committed.
    pub fn handle_commit(&mut self) {
        self.is_woken = true;
    }

    /// Everything up to here is published or held.
    #[must_use]
    pub fn cursor(&self) -> LogPos {
        self.cursor
    }

    /// What was done.
    #[must_use]
    pub fn stats(&self) -> RelayStats {
        self.stats
    }

    /// Takes what was read.
    pub fn handle_read(&mut self, page: Result<Vec<Logged>, Failed>, now: UnixMs) {
        let Phase::Reading(source) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            unreachable!("a read ends in the phase that asked for it");
        };
        let Ok(page) = page else {
            if source == Source::Log {
                self.is_woken = true;
            }
            return self.failed(now);
        };
        self.failures = 0;
        match source {
            Source::Log => self.take_page(page, now),
            Source::Held(pos) => self.take_held(pos, page, now),
        }
    }

    /// Takes who may have to be told, in the order asked.
    pub fn handle_answers(&mut self, answers: Result<Vec<Answered>, Failed>, now: UnixMs) {
        let Phase::Asking(asked) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            unreachable!("answers come in the phase that asked");
        };
        let Ok(answers) = answers else {
            return self.failed(now);
        };
        self.failures = 0;
        let asked: Vec<Todo> = self.todo.drain(..asked).collect();
        let mut unfinished = Vec::new();
        for (mut todo, answer) in asked.into_iter().zip(answers) {
            self.choose(&todo, answer.people, now);
            if let Some(stage) = next_stage(&todo, answer.next) {
                todo.stage = stage;
                unfinished.push(todo);
            }
        }
        for todo in unfinished.into_iter().rev() {
            self.todo.push_front(todo);
        }
    }

    /// Takes what became of the intents, in their order; [`Failed`] when none is known to be sent.
    pub fn handle_published(&mut self, results: Result<Vec<Sent>, Failed>, now: UnixMs) {
        debug_assert_eq!(self.phase, Phase::Publishing, "a publication was asked for");
        self.phase = Phase::Idle;
        let Ok(results) = results else {
            return self.failed(now);
        };
        let batch: Vec<Intent> = self
            .out
            .drain(..results.len().min(self.out.len()))
            .collect();
        let mut again = Vec::new();
        for (intent, sent) in batch.into_iter().zip(results) {
            match sent {
                Sent::Yes => self.stats.told += intent.recipients.len() as u64,
                Sent::Again => again.push(intent),
                Sent::Never => self.stats.refused += 1,
            }
        }
        if again.is_empty() {
            self.failures = 0;
            return;
        }
        for intent in again.into_iter().rev() {
            self.out.push_front(intent);
        }
        self.failed(now);
    }

    /// Takes whether the cursor is remembered.
    pub fn handle_saved(&mut self, result: Result<(), Failed>, now: UnixMs) {
        let Phase::Saving(at) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            unreachable!("a save ends in the phase that asked for it");
        };
        self.save_due = Some(now.plus(SAVE));
        if result.is_ok() {
            self.saved = at;
        } else {
            self.stats.failures += 1;
        }
    }

    /// The next thing to be done, if there is one now. None while one is under way.
    pub fn poll_effect(&mut self, now: UnixMs) -> Option<Effect> {
        if self.phase != Phase::Idle || self.retry_due.is_some_and(|due| is_ahead(due, now)) {
            return None;
        }
        self.retry_due = None;
        if !self.out.is_empty() {
            self.phase = Phase::Publishing;
            return Some(Effect::Publish(
                self.out.iter().take(PUBLISH).cloned().collect(),
            ));
        }
        if !self.todo.is_empty() {
            let asked: Vec<Asked> = self.todo.iter().take(ASK).map(ask).collect();
            self.phase = Phase::Asking(asked.len());
            return Some(Effect::Ask(asked));
        }
        self.stats.events += self.reached.0.saturating_sub(self.cursor.0);
        (self.cursor, self.taken) = (self.reached, None);
        let low = self.low();
        if low != self.saved && self.save_due.is_none_or(|due| !is_ahead(due, now)) {
            self.phase = Phase::Saving(low);
            return Some(Effect::Save(low));
        }
        self.poll_read(now)
    }

    /// When [`Self::poll_effect`] wants to be called next, without any input.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<UnixMs> {
        if self.phase != Phase::Idle {
            return None;
        }
        if self.retry_due.is_some() {
            return self.retry_due;
        }
        let save = (self.low() != self.saved).then_some(self.save_due.unwrap_or(UnixMs(0)));
        let held = self.held.values().map(|held| held.until).min();
        [save, held, self.read_due].into_iter().flatten().min()
    }

    /// What may be remembered: nothing that is held is before it, nor what was and is not published yet.
    #[must_use]
    pub fn low(&self) -> LogPos {
        let first_held = self.held.keys().next().copied();
        let first = first_held.into_iter().chain(self.taken).min();
        first.map_or(self.cursor, |pos| LogPos(pos.0 - 1).min(self.cursor))
    }

    fn poll_read(&mut self, now: UnixMs) -> Option<Effect> {
        let due = self
            .held
            .iter()
            .find(|(_, held)| !is_ahead(held.until, now));
        if let Some((&pos, _)) = due {
            self.phase = Phase::Reading(Source::Held(pos));
            let after = LogPos(pos.0 - 1);
            return Some(Effect::Read { after, limit: 1 });
        }
        let is_due = match self.read_due {
            Some(due) => !is_ahead(due, now),
            None => self.is_woken,
        };
        if !is_due {
            return None;
        }
        (self.is_woken, self.read_due) = (false, None);
        self.phase = Phase::Reading(Source::Log);
        Some(Effect::Read {
            after: self.cursor,
            limit: PAGE,
        })
    }

    fn take_page(&mut self, page: Vec<Logged>, now: UnixMs) {
        let is_full = page.len() >= PAGE;
        for logged in page {
            let first_seen = match self.seen {
                Some((pos, seen)) if pos == logged.pos => seen,
                Some(_) | None => now,
            };
            // Not longer than the grace from when it was first seen, whatever clocks say.
            let due = logged.time.min(first_seen).plus(NOTIFY_GRACE);
            if is_ahead(due, now) {
                self.seen = Some((logged.pos, first_seen));
                self.read_due = Some(due.max(now.plus(ROUND)));
                return;
            }
            self.reached = logged.pos;
            self.begin(logged, None, now);
        }
        self.is_woken |= is_full;
    }

    fn take_held(&mut self, pos: LogPos, page: Vec<Logged>, now: UnixMs) {
        let Some(held) = self.held.remove(&pos) else {
            return;
        };
        self.held_users -= held.users.len();
        let logged = page.into_iter().find(|logged| logged.pos == pos);
        if let Some(logged) = logged {
            self.taken = self.taken.into_iter().chain([pos]).min();
            let users = held.users.into_iter().collect();
            self.begin(logged, Some(Stage::Held(users)), now);
        }
    }

    fn begin(&mut self, logged: Logged, stage: Option<Stage>, now: UnixMs) {
        let Logged { pos, time, posted } = logged;
        let Some(posted) = posted else { return };
        if now.since(time) > intent::ttl(&posted) {
            self.stats.expired += 1;
            return;
        }
        let is_for_all = posted.joined <= LARGE_ROOM || posted.mentions.all;
        let first = if is_for_all {
            Stage::Members(None)
        } else {
            Stage::Named
        };
        self.todo.push_back(Todo {
            pos,
            time,
            posted,
            stage: stage.unwrap_or(first),
        });
    }

    /// Decides for each of these people, and makes intents of those who are told.
    fn choose(&mut self, todo: &Todo, people: Vec<(UserId, Attention)>, now: UnixMs) {
        let longest = todo.time.plus(NOTIFY_RETURN + NOTIFY_GRACE);
        let mut recipients = Vec::new();
        for (user, attention) in people {
            match attention {
                Attention::Away | Attention::Received => recipients.push(user),
                Attention::Looking => self.stats.looking += 1,
                Attention::Returning(until) => {
                    let until = until.min(longest);
                    if is_ahead(until, now) && self.held_users < NOTIFY_HELD {
                        self.hold(todo.pos, user, until);
                    } else {
                        recipients.push(user);
                    }
                }
            }
        }
        for chunk in recipients.chunks(NOTIFY_RECIPIENTS) {
            self.out
                .push_back(Intent::new(&todo.posted, todo.time, chunk));
        }
    }

    fn hold(&mut self, pos: LogPos, user: UserId, until: UnixMs) {
        let users = BTreeSet::new();
        let held = self.held.entry(pos).or_insert(Held { until, users });
        held.until = held.until.min(until);
        if held.users.insert(user) {
            self.held_users += 1;
            self.stats.held += 1;
        }
    }

    fn failed(&mut self, now: UnixMs) {
        let wait = RETRY * 2_u32.saturating_pow(self.failures);
        self.failures = (self.failures + 1).min(16);
        self.retry_due = Some(now.plus(wait.min(RETRY_MOST)));
        self.stats.failures += 1;
    }
}

fn ask(todo: &Todo) -> Asked {
    let mut opted_in_after = None;
    let among = match &todo.stage {
        Stage::Members(after) => Among::MembersAfter(after.clone()),
        Stage::Named => Among::These(named(&todo.posted)),
        Stage::OptedIn(after) => {
            opted_in_after = Some(after.clone());
            Among::These(Vec::new())
        }
        Stage::Held(users) => Among::These(users.clone()),
    };
    let clip = todo.posted.clip;
    let question = Question {
        room: todo.posted.room.clone(),
        seq: todo.posted.position.seq,
        message: clip.map_or(todo.posted.position.seq, |clip| clip.message),
        // A clip's uploader waits for it as the others do.
        sender: match clip {
            Some(_) => None,
            None => Some(todo.posted.sender.id.clone()),
        },
        among,
        limit: match &todo.stage {
            Stage::Held(users) => users.len(),
            Stage::Members(_) | Stage::Named | Stage::OptedIn(_) => NOTIFY_RECIPIENTS,
        },
    };
    Asked {
        question,
        opted_in_after,
        posted: todo.posted.clone(),
    }
}

/// Whom a message names or answers, ascending; of a clip its uploader.
fn named(posted: &Posted) -> Vec<UserId> {
    let mut named = posted.mentions.users.clone();
    named.extend(posted.answers.clone());
    named.extend(posted.clip.map(|_| posted.sender.id.clone()));
    named.sort();
    named.dedup();
    named
}

fn next_stage(todo: &Todo, next: Option<UserId>) -> Option<Stage> {
    match &todo.stage {
        Stage::Members(_) => next.map(|next| Stage::Members(Some(next))),
        Stage::Named => Some(Stage::OptedIn(None)),
        Stage::OptedIn(_) => next.map(|next| Stage::OptedIn(Some(next))),
        Stage::Held(_) => None,
    }
}

/// Whether a time is still to come. One that is further away than anything here waits has come: the clock was
/// set back.
fn is_ahead(due: UnixMs, now: UnixMs) -> bool {
    due > now && due.since(now) <= 2 * NOTIFY_RETURN
}
