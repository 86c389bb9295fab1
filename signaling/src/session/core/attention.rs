//! Whether somebody is there: what a link's client says of itself, and whether it still answers.
//!
//! A client that knows `ack` says what it has and whether its person looks. One that never sent one is believed to
//! have what was handed to its connection, and to be looked at, as long as it has not missed a ping.

use kaiwa_common::limits::{NOTIFY_RETURN, PONG_GRACE};
use std::time::Instant;

/// How somebody stands to what is pushed to their session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// There is a connection.
    Here {
        /// Somebody looks, as far as is known.
        is_looking: bool,
        /// What was handed to the connection counts as acknowledged.
        is_trusted: bool,
    },
    /// The connection broke while somebody looked: they are waited for until then.
    Returning(Instant),
    /// Nobody is there.
    Gone,
}

/// What is known of a session's client.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attention {
    /// What its last `ack` said; `None` when there was none.
    is_visible: Option<bool>,
    /// The oldest ping that was not answered.
    pinged: Option<Instant>,
    /// Its peer has closed the connection in order.
    is_closed: bool,
    /// When its connection broke.
    lost: Option<Instant>,
}

impl Attention {
    /// A link begins.
    pub(super) fn handle_link(&mut self) {
        *self = Self {
            is_visible: self.is_visible,
            ..Self::default()
        };
    }

    pub(super) fn handle_ack(&mut self, is_visible: bool) {
        self.is_visible = Some(is_visible);
    }

    pub(super) fn handle_ping(&mut self, now: Instant) {
        self.pinged.get_or_insert(now);
    }

    pub(super) fn handle_pong(&mut self) {
        self.pinged = None;
    }

    pub(super) fn handle_closed(&mut self) {
        self.is_closed = true;
    }

    /// The link is gone.
    pub(super) fn handle_detached(&mut self, now: Instant) {
        self.lost = (!self.is_closed).then_some(now);
    }

    pub(super) fn knows_ack(&self) -> bool {
        self.is_visible.is_some()
    }

    fn is_looking(&self) -> bool {
        self.is_visible.unwrap_or(true)
    }

    pub(super) fn attached(&self, now: Instant) -> Presence {
        let overdue = |at: Instant| now.saturating_duration_since(at) > PONG_GRACE;
        Presence::Here {
            is_looking: self.is_looking(),
            is_trusted: self.is_visible.is_none() && !self.pinged.is_some_and(overdue),
        }
    }

    pub(super) fn detached(&self, now: Instant) -> Presence {
        let until = self.lost.map(|lost| lost + NOTIFY_RETURN);
        match until.filter(|until| *until > now && self.is_looking()) {
            Some(until) => Presence::Returning(until),
            None => Presence::Gone,
        }
    }
}
