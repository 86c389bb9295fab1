//! Sessions: an authenticated identity with an outbox that survives its connections.
//!
//! [`core`] has the rules, without I/O. [`driver`] is the one task of a connection: it feeds the core
//! and performs what it says. [`dispatch`] hands commands to chat. [`registry`] finds sessions.

pub mod core;

pub mod connect;
pub mod dispatch;
pub mod driver;
pub mod follow;
pub mod registry;
pub mod wire;

use self::core::SessionCore;
use self::core::outbox::Reliable;
use crate::codec::Codec;
use crate::hub::{Follow, Hub};
use crate::metrics::Metrics;
use crate::transport::Frame;
use futures_util::task::AtomicWaker;
use kaiwa_chat::model::Actor;
use kaiwa_chat::service::Chat;
use kaiwa_common::close::CloseCode;
use kaiwa_common::id::{RoomId, SessionId};
use kaiwa_common::limits::Limits;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::TokenKey;
use registry::{Sessions, UserSlot};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Everything that sessions need of the rest.
pub struct Context {
    /// The chat service.
    pub chat: Chat,
    /// Who follows what.
    pub hub: Arc<Hub>,
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

    /// Sends every session away, spread over `over`, and returns when all were told. New connections
    /// are refused from the beginning.
    pub async fn drain(&self, over: Duration) {
        self.draining.store(true, Ordering::SeqCst);
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
    actor: Mutex<Arc<Actor>>,
    core: Mutex<SessionCore>,
    /// Sorted by room.
    follows: Mutex<Vec<(RoomId, Arc<Follow>)>>,
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
        Arc::clone(&lock(&self.actor))
    }

    /// Queues a reliable push and wakes the link.
    pub fn push(&self, push: Reliable) {
        self.core().handle_push(push);
        self.waker.wake();
    }

    /// Queues a reply and wakes the link.
    pub fn reply(&self, frame: Frame) {
        self.core().handle_control(frame);
        self.waker.wake();
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
    pub fn core(&self) -> MutexGuard<'_, SessionCore> {
        lock(&self.core)
    }

    /// The rooms that it follows.
    pub fn follows(&self) -> MutexGuard<'_, Vec<(RoomId, Arc<Follow>)>> {
        lock(&self.follows)
    }
}

/// A panic elsewhere must not spread: each step leaves the state whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
