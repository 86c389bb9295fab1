//! The shell of calls: performs what the core says, in order, and runs its deadlines.
//!
//! Whoever has an input takes the core's lock for one step and wakes the one task, which performs the
//! effects. So commands to the SFU are given in the order in which they were decided, and each session gets
//! its pushes in that order, while nobody waits for a push to be written under the core's lock.

use super::causes::Cause;
use super::command::Command;
use super::core::effect::{
    At, CallError, Caller, Effect, LookUp, Push, Reply, RingOutcome, RingState, Ringing, SessionNo,
    SfuCommand, Signal, Ticket,
};
use super::core::rights::Standing;
use super::core::{CallCore, CallTimes};
use super::events::Inbox;
use super::failures::{Asking, Failures, Report, Stage};
use super::journal;
use super::whence::{Way, Whence};
use super::wire;
use crate::codec::EncodedOnce;
use crate::hub::{Hub, Notice};
use crate::metrics::Metrics;
use crate::session::core::outbox::{Reliable, SignalKey};
use crate::session::registry::Sessions;
use crate::session::{Session, lock};
use kaiwa_chat::bus::MemberChange;
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{Actor, User};
use kaiwa_chat::ports::{self, Announce, Announcement};
use kaiwa_chat::service::Chat;
use kaiwa_common::error::Refusal;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{CALL_SFU_ANSWER, Limits};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::ServerRole;
use kaiwa_proto::client::v1 as proto;
use kaiwa_proto::client::v1::reply::Result as ReplyResult;
use kaiwa_sfu::control::trace::{Probe, Reach};
use kaiwa_sfu::control::{Connectivity, Event, Pending, Sfu, SfuError};
use listen::Listener;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub mod inspect;
pub mod listen;

/// Deliveries after which other tasks get their turn.
const TURN: usize = 64;

/// Events of the SFU that are taken in one step.
const EVENTS: usize = 256;

/// The longest sleep without a deadline.
const IDLE: Duration = Duration::from_secs(3600);

/// What calls need of the rest.
pub struct Parts {
    /// Carries the media.
    pub sfu: Sfu,
    /// How clients reach it.
    pub reach: Reach,
    /// What it tells.
    pub inbox: Inbox,
    /// Who follows what; it is told to hand member changes to these calls.
    pub hub: Arc<Hub>,
    /// Who is here.
    pub sessions: Arc<Sessions>,
    /// Who is in which room.
    pub chat: Chat,
    /// Bounds.
    pub limits: Limits,
    /// Where people are told who are not here; `None` on a server that tells nobody.
    pub announce: Option<Arc<dyn Announce>>,
    /// What is counted.
    pub metrics: Metrics,
    /// The wall clock.
    pub clock: fn() -> UnixMs,
}

/// The calls of this node. Clones are the same.
#[derive(Clone)]
pub struct Calls {
    shared: Arc<Shared>,
}

/// Calls as somebody sees them who must not keep them alive.
#[derive(Clone)]
pub(crate) struct WeakCalls(Weak<Shared>);

impl WeakCalls {
    pub(crate) fn upgrade(&self) -> Option<Calls> {
        self.0.upgrade().map(|shared| Calls { shared })
    }
}

struct Shared {
    state: Mutex<State>,
    sfu: Sfu,
    hub: Arc<Hub>,
    sessions: Arc<Sessions>,
    chat: Chat,
    announce: Option<Arc<dyn Announce>>,
    metrics: Metrics,
    failures: Arc<Failures>,
    probe: Option<Probe>,
    clock: fn() -> UnixMs,
    wake: mpsc::Sender<()>,
    next_ticket: AtomicU64,
}

struct State {
    core: CallCore,
    replies: HashMap<Ticket, Waiting>,
    failures: Arc<Failures>,
    /// The sessions that ever joined a call, until they end.
    sessions: HashMap<SessionNo, Arc<Session>>,
    /// Those who came without a session, until they are gone.
    listeners: HashMap<SessionNo, Guest>,
}

/// Somebody who came without a session.
struct Guest {
    listener: Arc<dyn Listener>,
    whence: Arc<Whence>,
}

/// A command that waits for its reply.
struct Waiting {
    reply: oneshot::Sender<Result<Reply, CallError>>,
    /// One whose refusal is remembered: whose it is.
    asking: Option<(SessionNo, Asking)>,
}

impl Calls {
    /// Starts the service. Must be called within a tokio runtime; its task ends with the last clone.
    #[must_use]
    pub fn start(parts: Parts) -> Self {
        let (wake, woken) = mpsc::channel(1);
        // Participants' ids are never used again, not even after a restart: they begin where a
        // thousand a millisecond could not have come since 1970.
        let first = u64::try_from((parts.clock)().0).unwrap_or(0) << 10;
        let failures = Failures::new(parts.reach.told, parts.metrics.clone(), parts.clock);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                failures: Arc::clone(&failures),
                core: CallCore::new(
                    first,
                    parts.limits.call_participants,
                    CallTimes {
                        away: Duration::from_secs(parts.limits.call_away_s.into()),
                        ring: Duration::from_secs(parts.limits.call_ring_s.into()),
                    },
                ),
                replies: HashMap::new(),
                sessions: HashMap::new(),
                listeners: HashMap::new(),
            }),
            sfu: parts.sfu,
            hub: Arc::clone(&parts.hub),
            sessions: parts.sessions,
            chat: parts.chat,
            announce: parts.announce,
            metrics: parts.metrics,
            failures,
            probe: parts.reach.probe,
            clock: parts.clock,
            wake,
            next_ticket: AtomicU64::new(1),
        });
        parts.hub.link_calls(WeakCalls(Arc::downgrade(&shared)));
        tokio::spawn(run(Arc::downgrade(&shared), woken, parts.inbox));
        Self { shared }
    }

    /// Takes a session's command. Those of one session are taken in the order in which they are
    /// submitted. Dropping the future undoes nothing.
    pub fn submit(
        &self,
        session: &Arc<Session>,
        command: Command,
    ) -> impl Future<Output = ReplyResult> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let ticket = self.shared.ticket();
        let (actor, grant) = session.identity();
        let no = SessionNo(session.no);
        let caller = Caller {
            session: no,
            actor: Actor::clone(&actor),
            grant,
            way: Way::Socket,
        };
        let is_join = matches!(command, Command::Join { .. });
        let asking = asking(&caller, &command, || {
            let origin = session.origin();
            Arc::new(Whence {
                way: Way::Socket,
                origin,
                agent: None,
            })
        });
        self.shared.step(|state, at| {
            state.replies.insert(ticket, Waiting { reply, asking });
            if is_join {
                // One that has ended in between has said so already, and would stay for ever.
                if session.core().is_ended() {
                    return state.answer(ticket, Err(CallError::NotInCall));
                }
                state.sessions.insert(no, Arc::clone(session));
            }
            state.core.handle_command(caller, command, ticket, at);
        });
        let metrics = self.shared.metrics.clone();
        async move {
            let result = answer.await.unwrap_or(Err(CallError::Unavailable));
            if let Err(error) = &result {
                metrics.call_refused(Refusal::from(error.clone()).code.reason());
            }
            wire::reply(result)
        }
    }

    /// The joins that failed.
    #[must_use]
    pub fn failures(&self) -> &Arc<Failures> {
        &self.shared.failures
    }

    /// What the SFU answers checks with that are nobody's, if it does.
    #[must_use]
    pub fn probe(&self) -> Option<&Probe> {
        self.shared.probe.as_ref()
    }

    /// A client says what it saw of a join that failed or works badly; gives the cause, if anything is wrong by what
    /// was seen here.
    pub async fn report(
        &self,
        room: &RoomId,
        user: &UserId,
        report: Report,
        whence: &Whence,
    ) -> Option<Cause> {
        let failures = &self.shared.failures;
        if let Some(id) = failures.participant(room, user, report.participant) {
            let trace = self.shared.sfu.trace(id);
            let trace = tokio::time::timeout(CALL_SFU_ANSWER, trace).await;
            // Before an answer there is nothing to be seen: at most what an offer was refused for.
            if let Ok(Ok(trace)) = trace
                && trace.is_answered
            {
                if trace.was_connected {
                    return self.quality(room, id).await;
                }
                return failures.reported_now(id, trace, report, whence);
            }
        }
        failures.reported(room, user, report)
    }

    /// Who is in a room's call, for somebody who may read the room.
    ///
    /// # Errors
    /// When they may not.
    pub async fn get(&self, actor: &Actor, room: &RoomId) -> Result<proto::CallRoster, ChatError> {
        Ok(wire::roster(&self.roster(actor, room).await?))
    }

    /// A room's call in three numbers, if there is one.
    #[must_use]
    pub fn summary(&self, room: &RoomId) -> Option<proto::CallRoster> {
        let summary = lock(&self.shared.state).core.summary(room)?;
        Some(wire::summary(room, summary))
    }

    /// A session begins: what rings for its person rings for it too.
    pub fn session_begun(&self, session: &Session) {
        let state = lock(&self.shared.state);
        // Under the lock, so that the end of a ring comes after it.
        for ring in state.core.ringing(&session.user.id) {
            let push = EncodedOnce::new(wire::push(&Push::Ringing(ring)));
            session.push(reliable(&push, session));
        }
    }

    /// A session got a connection, or lost it.
    pub fn link_changed(&self, session: &Session) {
        self.shared.step(|state, at| {
            // Read under the lock: the last of two changes is told last, and tells how it is.
            let is_attached = session.core().is_attached();
            state
                .core
                .handle_link(SessionNo(session.no), is_attached, at);
        });
    }

    /// A session has another token.
    pub fn identity_changed(&self, session: &Session) {
        self.shared.step(|state, _| {
            let (actor, grant) = session.identity();
            let no = SessionNo(session.no);
            state.core.handle_identity(no, actor.role, grant);
        });
    }

    /// A session ended.
    pub fn session_ended(&self, session: &Session) {
        let no = SessionNo(session.no);
        self.shared.step(|state, at| {
            state.sessions.remove(&no);
            state.core.handle_session_ended(no, at);
        });
    }

    /// People's parts in a room changed.
    pub(crate) fn members_changed(&self, changes: &[MemberChange]) {
        self.shared.step(|state, at| {
            for change in changes {
                state.core.handle_member_change(change, at);
            }
        });
    }
}

impl State {
    fn answer(&mut self, ticket: Ticket, result: Result<Reply, CallError>) {
        if let Some(waiting) = self.replies.remove(&ticket) {
            if let Some((session, asking)) = &waiting.asking {
                let participant = self.core.participant_of(*session);
                self.failures.answered(asking, participant, &result);
            }
            // Whoever asked may be gone.
            let _ = waiting.reply.send(result);
        }
    }
}

impl Shared {
    fn ticket(&self) -> Ticket {
        Ticket(self.next_ticket.fetch_add(1, Ordering::Relaxed))
    }

    fn at(&self) -> At {
        At {
            now: Instant::now().into_std(),
            wall: (self.clock)(),
        }
    }

    /// One input.
    fn step(&self, input: impl FnOnce(&mut State, At)) {
        let at = self.at();
        input(&mut lock(&self.state), at);
        // Full: the task is told already.
        let _ = self.wake.try_send(());
    }

    /// The effects that wait, and the next deadline.
    fn effects(&self) -> (Vec<Effect>, Option<std::time::Instant>) {
        let mut state = lock(&self.state);
        state.core.handle_timeout(self.at());
        let effects = std::iter::from_fn(|| state.core.poll_effect())
            .take(TURN)
            .collect();
        let stats = state.core.stats();
        self.metrics.calls.set(count(stats.calls));
        for (series, participants) in self
            .metrics
            .call_participants
            .iter()
            .zip(stats.participants)
        {
            series.set(count(participants));
        }
        (effects, state.core.poll_timeout())
    }

    async fn perform(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::LookUp { ticket, what } => self.look_up(ticket, what),
            Effect::Sfu(command) => self.command(command),
            Effect::Note(noted) => journal::note(&self.metrics, &noted),
            Effect::Reply { ticket, result } => lock(&self.state).answer(ticket, result),
            Effect::Push { to, push } => {
                self.listeners(&to, |listener| listener.push(&push));
                let push = EncodedOnce::new(wire::push(&push));
                self.deliver(&to, |session| session.push(reliable(&push, session)))
                    .await;
            }
            Effect::Signal { to, signal } => {
                self.listeners(&to, |listener| listener.signal(&signal));
                let key = match signal {
                    Signal::Speakers { .. } => SignalKey::Speakers,
                    Signal::Quality { .. } => SignalKey::Quality,
                };
                let push = EncodedOnce::new(wire::signal(&signal));
                self.deliver(&to, |session| {
                    session.signal(key.clone(), push.frame(session.codec()).clone());
                })
                .await;
            }
            Effect::PushUser { user, except, push } => {
                if matches!(&push, Push::Ringing(ring) if ring.is_ringing()) {
                    self.metrics.call_rings.increment(1);
                }
                if let (Push::Ringing(ring), Some(announce)) = (&push, &self.announce) {
                    announce.announce(announcement(&user, ring));
                }
                let push = EncodedOnce::new(wire::push(&push));
                for session in self.sessions.of(&user) {
                    if Some(SessionNo(session.no)) != except {
                        session.push(reliable(&push, &session));
                    }
                }
            }
            Effect::Notice {
                room,
                summary,
                except,
            } => {
                let push = proto::push::Push::CallRoster(wire::summary(&room, summary));
                let except = except.into_iter().map(|no| no.0).collect();
                self.hub.tell(&room, Notice::new(push, except));
            }
        }
    }

    async fn deliver(&self, to: &[SessionNo], deliver: impl Fn(&Session)) {
        for turn in to.chunks(TURN) {
            let sessions: Vec<Arc<Session>> = {
                let state = lock(&self.state);
                let known = turn.iter().filter_map(|no| state.sessions.get(no));
                known.cloned().collect()
            };
            sessions.iter().for_each(|session| deliver(session));
            if to.len() > TURN {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Gives a command to the SFU at once, and takes its answer when it comes.
    fn command(self: &Arc<Self>, command: SfuCommand) {
        match command {
            SfuCommand::Join(join) => {
                let id = join.participant;
                self.await_answer(self.sfu.join(join), move |core, result, at| {
                    core.handle_entered(id, result, at);
                });
            }
            SfuCommand::SetRights(id, rights) => {
                self.await_answer(self.sfu.set_rights(id, rights), move |core, result, at| {
                    core.handle_rights_set(id, result, at);
                });
            }
            SfuCommand::Leave(id) => {
                self.await_answer(self.sfu.leave(id), move |core, result, _| {
                    core.handle_leave_taken(id, result.is_ok());
                });
            }
            SfuCommand::Offer {
                ticket,
                offer,
                refused,
            } => {
                let id = offer.participant;
                self.await_answer(self.sfu.offer(offer), move |core, result, at| {
                    core.handle_answer(ticket, id, refused, result, at);
                });
            }
            SfuCommand::Prefer { ticket, prefer } => {
                let id = prefer.participant;
                self.await_answer(self.sfu.prefer(prefer), move |core, result, at| {
                    core.handle_done(ticket, id, result, at);
                });
            }
            SfuCommand::Mute { ticket, mute } => {
                let id = mute.participant;
                self.await_answer(self.sfu.mute(mute), move |core, result, at| {
                    core.handle_done(ticket, id, result, at);
                });
            }
        }
    }

    fn await_answer<T: Send + 'static>(
        self: &Arc<Self>,
        pending: Pending<T>,
        take: impl FnOnce(&mut CallCore, Result<T, SfuError>, At) + Send + 'static,
    ) {
        let shared = Arc::downgrade(self);
        tokio::spawn(async move {
            let answer = tokio::time::timeout(CALL_SFU_ANSWER, pending).await;
            let result = answer.unwrap_or(Err(SfuError::Unavailable));
            if let Some(shared) = shared.upgrade() {
                shared.step(|state, at| take(&mut state.core, result, at));
            }
        });
    }

    fn look_up(self: &Arc<Self>, ticket: Ticket, what: LookUp) {
        let shared = Arc::downgrade(self);
        let chat = self.chat.clone();
        tokio::spawn(async move {
            match what {
                LookUp::Standing { actor, room } => {
                    let answer = chat.room(&actor, &room).await;
                    let answer = answer.map(|info| Standing::of(&info, info.head.seq));
                    if let Some(shared) = shared.upgrade() {
                        shared.step(|state, at| state.core.handle_standing(ticket, answer, at));
                    }
                }
                LookUp::Members { room, users } => {
                    let answer = all_members(&chat, &room, users).await;
                    if let Some(shared) = shared.upgrade() {
                        shared.step(|state, at| state.core.handle_members(ticket, answer, at));
                    }
                }
            }
        });
    }
}

/// Whether all of these are in the room.
async fn all_members(chat: &Chat, room: &RoomId, users: Vec<UserId>) -> Result<(), CallError> {
    let reads = users.into_iter().map(|id| async move {
        let actor = Actor {
            user: User {
                id: id.clone(),
                name: Redacted(String::new()),
            },
            role: ServerRole::Viewer,
        };
        let mut answers = chat.authorize_read(&actor, vec![room.clone()]).await;
        match answers.pop().expect("one answer for one room") {
            Ok(_) => Ok(()),
            Err(ChatError::RoomNotFound | ChatError::NotAMember) => Err(CallError::NotRingable(id)),
            Err(error) => Err(error.into()),
        }
    });
    futures_util::future::join_all(reads)
        .await
        .into_iter()
        .collect()
}

/// A ring for devices whose app is not open, or its end: to be told at once, wherever else it rings.
fn announcement(user: &UserId, ring: &Ringing) -> Announcement {
    let (user, room, from) = (user.clone(), ring.room.clone(), ring.from.clone());
    let until = ring.until;
    let outcome = match &ring.state {
        RingState::Rings(_) => {
            return Announcement::Ringing {
                user,
                room,
                from,
                until,
            };
        }
        RingState::Over(RingOutcome::Answered, _) => ports::RingOutcome::Answered,
        RingState::Over(RingOutcome::Declined, _) => ports::RingOutcome::Declined,
        RingState::Over(RingOutcome::Cancelled, _) => ports::RingOutcome::Cancelled,
        RingState::Over(RingOutcome::TimedOut, _) => ports::RingOutcome::TimedOut,
    };
    Announcement::RingOver {
        user,
        room,
        from,
        until,
        outcome,
    }
}

fn reliable(push: &EncodedOnce, session: &Session) -> Reliable {
    Reliable {
        room: None,
        frame: push.frame(session.codec()).clone(),
        pushes: 1,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(count: usize) -> f64 {
    count as f64
}

/// What is remembered of a command that is refused: a join's and an offer's refusals are.
fn asking(
    caller: &Caller,
    command: &Command,
    whence: impl FnOnce() -> Arc<Whence>,
) -> Option<(SessionNo, Asking)> {
    let (stage, room) = match command {
        Command::Join { room, .. } => (Stage::Join, room),
        Command::Offer { room, .. } => (Stage::Offer, room),
        Command::Leave { .. }
        | Command::Candidate { .. }
        | Command::Prefer { .. }
        | Command::Mute { .. }
        | Command::Remove { .. }
        | Command::Ring { .. }
        | Command::Decline { .. } => return None,
    };
    let asking = Asking {
        stage,
        room: room.clone(),
        user: caller.actor.user.id.clone(),
        whence: whence(),
    };
    Some((caller.session, asking))
}

/// What of an event says how a join went.
fn note(failures: &Failures, event: &Event) {
    match event {
        Event::Connectivity {
            participant,
            connectivity: Connectivity::Connected,
            ..
        } => failures.connected(*participant),
        Event::Gone {
            participant,
            reason,
            trace,
            ..
        } => failures.gone(*participant, *reason, trace.as_deref().cloned()),
        Event::Connectivity { .. }
        | Event::Published { .. }
        | Event::Unpublished { .. }
        | Event::Slots { .. }
        | Event::Speakers { .. }
        | Event::Quality { .. } => {}
    }
}

/// Performs effects, takes the SFU's events and runs deadlines, until the calls are gone.
async fn run(shared: Weak<Shared>, mut woken: mpsc::Receiver<()>, mut inbox: Inbox) {
    let mut events = Vec::new();
    let mut is_open = true;
    loop {
        let deadline = match shared.upgrade() {
            Some(shared) => turn(&shared, &mut events, &inbox).await,
            None => return,
        };
        tokio::select! {
            more = woken.recv() => if more.is_none() { return },
            count = inbox.queue.recv_many(&mut events, EVENTS), if is_open => is_open = count > 0,
            () = tokio::time::sleep_until(deadline) => {}
        }
    }
}

/// Takes these events, and performs all that waits. Gives the next deadline.
async fn turn(shared: &Arc<Shared>, events: &mut Vec<Event>, inbox: &Inbox) -> Instant {
    let has_lost = inbox.take_lost();
    if has_lost {
        tracing::warn!("events of the SFU were lost: rosters are told whole");
    }
    let taken = std::mem::take(events);
    whole(|| {
        let at = shared.at();
        let mut state = lock(&shared.state);
        for event in taken {
            note(&shared.failures, &event);
            state.core.handle_event(event, at);
        }
        if has_lost {
            let core = &state.core;
            shared.failures.retain(|id| core.has(id));
            state.core.handle_events_lost(at);
        }
    });
    loop {
        let mut due = None;
        let mut effects = Vec::new();
        whole(|| (effects, due) = shared.effects());
        if effects.is_empty() {
            let idle = Instant::now() + IDLE;
            return due.map_or(idle, |due| Instant::from_std(due).min(idle));
        }
        for effect in effects {
            shared.perform(effect).await;
        }
        tokio::task::yield_now().await;
    }
}

/// A panic costs this step, and not the calls of everybody else.
fn whole(step: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(step)).is_err() {
        tracing::error!("a step of calls panicked");
    }
}
