//! Sessions: an authenticated identity with an outbox that survives its connections.
//!
//! [`core`] has the rules, without I/O. [`driver`] is the one task of a connection: it feeds the core
//! and performs what it says. [`dispatch`] hands commands to chat. [`registry`] finds sessions.

pub mod core;

pub mod attendance;
pub mod connect;
pub mod dispatch;
pub mod driver;
pub mod follow;
pub mod registry;
pub mod wire;

use self::core::outbox::{Reliable, SignalKey};
use self::core::{LinkNo, SessionCore};
use crate::call::service::Calls;
use crate::call::whence::Origin;
use crate::codec::Codec;
use crate::hub::{Follow, Hub};
use crate::metrics::Metrics;
use crate::push::Push;
use crate::transport::{Direct, DirectWrite, Frame};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use kaiwa_chat::model::Actor;
use kaiwa_chat::ports::Announce;
use kaiwa_chat::service::Chat;
use kaiwa_common::close::CloseCode;
use kaiwa_common::id::{RoomId, SessionId};
use kaiwa_common::limits::Limits;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::{CallGrant, TokenKey};
use registry::{Sessions, UserSlot};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Everything that sessions need of the rest.
pub struct Context {
    /// The chat service.
    pub chat: Chat,
    /// Who follows what.
    pub hub: Arc<Hub>,
    /// Who talks; `None` on a server without calls.
    pub calls: Option<Calls>,
    /// Who tells people that are away; `None` on a server without notifications.
    pub push: Option<Arc<dyn Push>>,
    /// Who is here.
    pub sessions: Arc<Sessions>,
    /// Checks tokens.
    pub tokens: TokenKey,
    /// Bounds.
    pub limits: Limits,
    /// This node's name.
    pub node: String,
    /// The wall clock.
    pub now: fn() -> UnixMs,
    /// Where people are told at once who have other devices; `None` on a server that tells nobody.
    pub announce: Option<Arc<dyn Announce>>,
    /// What is counted.
    pub metrics: Metrics,
    /// The server is about to stop.
    pub draining: AtomicBool,
    /// Over how long clients that are sent away by a drain come back, in ms.
    pub drain_spread_ms: AtomicU32,
}

impl Context {
    /// How long a client that is closed with this code should wait, as (least, most) in ms.
    #[must_use]
    pub fn retry_ms(&self, code: CloseCode) -> (u32, u32) {
        let (least, most) = code.retry_ms();
        if code == CloseCode::Drain {
            (
                least,
                most.max(least + self.drain_spread_ms.load(Ordering::Relaxed)),
            )
        } else {
            (least, most)
        }
    }

    /// Refuses new connections from now on.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Sends every session away, spread over `over`, and returns when all were told.
    pub async fn drain(&self, over: Duration) {
        let sessions = self.sessions.all();
        let spread = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
        // Ten thousand reconnects take five seconds: two thousand handshakes a second are what one
        // core bears beside its work.
        self.drain_spread_ms.store(spread / 2, Ordering::SeqCst);
        let slice = over / u32::try_from(sessions.chunks(256).count().max(1)).unwrap_or(1);
        for chunk in sessions.chunks(256) {
            for session in chunk {
                session.close(CloseCode::Drain);
            }
            if sessions.len() > 256 {
                tokio::time::sleep(slice).await;
            }
        }
        // Whoever slipped in while the others were told.
        self.sessions
            .all()
            .iter()
            .for_each(|session| session.close(CloseCode::Drain));
    }
}

/// One session.
pub struct Session {
    /// Its unguessable name.
    pub id: SessionId,
    /// Its number on this node: the order in which sessions began.
    pub no: u64,
    /// Whose it is.
    pub user: Arc<UserSlot>,
    codec: Codec,
    identity: Mutex<(Arc<Actor>, CallGrant)>,
    /// Of its last connection.
    origin: Mutex<Origin>,
    core: Mutex<Linked>,
    /// Sorted by room.
    follows: Mutex<Vec<(RoomId, Arc<Follow>)>>,
    /// A reply is on its way: pushes wait for the link's task, which writes both at once.
    expects_reply: AtomicBool,
    /// Of the link's task.
    waker: AtomicWaker,
}

impl Session {
    /// The form in which it speaks.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Who commands, as the latest token says.
    #[must_use]
    pub fn actor(&self) -> Arc<Actor> {
        Arc::clone(&lock(&self.identity).0)
    }

    /// Who commands, and what they may do in calls, as the latest token says.
    #[must_use]
    pub fn identity(&self) -> (Arc<Actor>, CallGrant) {
        lock(&self.identity).clone()
    }

    /// From where its last connection came.
    #[must_use]
    pub fn origin(&self) -> Origin {
        *lock(&self.origin)
    }

    /// It has another connection, from there.
    fn set_origin(&self, origin: Origin) {
        *lock(&self.origin) = origin;
    }

    /// Another token took the place of the former.
    fn set_identity(&self, context: &Context, actor: Actor, grant: CallGrant) {
        *lock(&self.identity) = (Arc::new(actor), grant);
        if let Some(calls) = &context.calls {
            calls.identity_changed(self);
        }
    }

    /// Queues a reliable push. It is written at once where the link's connection is idle; else the
    /// link's task is woken.
    pub fn push(&self, push: Reliable) {
        let mut linked = self.core();
        linked.core.handle_push(push);
        self.send_or_wake(linked);
    }

    /// Queues a signal, in the place of one of its kind that waits. It is written like a push.
    pub fn signal(&self, key: SignalKey, frame: Frame) {
        let mut linked = self.core();
        linked.core.handle_signal(key, frame);
        self.send_or_wake(linked);
    }

    fn send_or_wake(&self, mut linked: MutexGuard<'_, Linked>) {
        if !self.expects_reply.load(Ordering::Relaxed) && linked.send_directly() {
            return;
        }
        drop(linked);
        self.waker.wake();
    }

    /// Notes for each room what the client has said that it has.
    pub(crate) fn note_acknowledged(&self) {
        let acknowledged = self.core().take_acknowledged();
        if acknowledged.is_empty() {
            return;
        }
        let follows = self.follows();
        for (room, at) in acknowledged {
            if let Ok(index) = follows.binary_search_by(|(r, _)| r.cmp(&room)) {
                follows[index].1.acknowledge(at);
            }
        }
    }

    /// Closes the link, after the replies that wait.
    pub fn close(&self, code: CloseCode) {
        self.core().handle_close(code);
        self.waker.wake();
    }

    /// Ends it for good.
    pub fn end(&self) {
        self.core().end();
        self.waker.wake();
    }

    /// Its state, for one synchronous step.
    pub fn core(&self) -> MutexGuard<'_, Linked> {
        lock(&self.core)
    }

    /// The rooms that it follows.
    pub fn follows(&self) -> MutexGuard<'_, Vec<(RoomId, Arc<Follow>)>> {
        lock(&self.follows)
    }
}

/// A session's core, and who may write to its connection now: its link's task, or whoever pushes.
///
/// ```text
///            claim (the task has something to write)
///   idle ─────────────────────────────────────────────► claimed
///     ▲  └─ a pusher wrote a part: the rest is left ──────► │
///     └────────── release (all of it is written) ──────────┘
/// ```
pub struct Linked {
    core: SessionCore,
    direct: Option<Arc<dyn DirectWrite>>,
    /// The link's task has unwritten bytes, or a pusher left it some.
    is_claimed: bool,
    /// The rest of a frame that a pusher began on this link.
    rest: Option<(LinkNo, Bytes)>,
}

impl Linked {
    fn new(core: SessionCore) -> Self {
        // Until its link's task has said that nothing is queued there.
        Self {
            core,
            direct: None,
            is_claimed: true,
            rest: None,
        }
    }

    /// The way past a link's task. A link that was replaced before it came to this has none.
    fn link(&mut self, link: LinkNo, direct: Option<Arc<dyn DirectWrite>>) {
        if self.core.is_current(link) {
            self.direct = direct;
            self.is_claimed = true;
        }
    }

    /// A link is gone; gives until when the session waits for another.
    fn unlink(&mut self, link: LinkNo, now: Instant) -> Option<Instant> {
        if self.core.is_current(link) {
            self.direct = None;
            self.is_claimed = true;
            self.rest = None;
        }
        self.core.detach(link, now)
    }

    /// Writes what may be written past the link's task; true when nothing is left for it to do.
    fn send_directly(&mut self) -> bool {
        if self.is_claimed {
            return false;
        }
        let Some(direct) = self.direct.clone() else {
            return false;
        };
        while let Some(frame) = self.core.poll_direct() {
            if let Direct::Left(rest) = direct.try_send(&frame) {
                self.rest = Some((self.core.link_no(), rest));
                self.is_claimed = true;
                return false;
            }
        }
        self.core.is_quiet()
    }

    /// The link's task is about to write; gives the rest of a frame that has to go first.
    fn claim(&mut self, link: LinkNo) -> Option<Bytes> {
        self.is_claimed = true;
        self.rest
            .take_if(|(of, _)| *of == link)
            .map(|(_, rest)| rest)
    }

    /// A pusher left something for the link's task.
    fn has_rest(&self) -> bool {
        self.rest.is_some()
    }

    /// The link's task has written all it had.
    fn release(&mut self, link: LinkNo) {
        if self.core.is_current(link) && self.rest.is_none() {
            self.is_claimed = false;
        }
    }
}

impl Deref for Linked {
    type Target = SessionCore;

    fn deref(&self) -> &SessionCore {
        &self.core
    }
}

impl DerefMut for Linked {
    fn deref_mut(&mut self) -> &mut SessionCore {
        &mut self.core
    }
}

/// A panic elsewhere must not spread: each step leaves the state whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
