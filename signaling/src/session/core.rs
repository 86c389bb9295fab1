//! The session's rules, without I/O: what is sent next, what is kept for a resume, when it ends.
//!
//! ```text
//!            attach                    detach (connection lost)
//!  (new) ───────────► Attached ───────────────────────────────► Detached{until}
//!                      ▲   │ attach (take-over: the older link is Replaced)  │   │ until
//!                      └───┘◄──────────── attach (resume) ───────────────────┘   ▼
//!                      └───────────────── end ──────────────────────────────► Ended
//! ```
//!
//! Inputs are `handle_*` and `attach`/`detach`, outputs [`SessionCore::poll_transmit`] and
//! [`SessionCore::poll_timeout`]. Time is an argument.

pub mod attention;
pub mod bucket;
pub mod outbox;
pub mod watch;

use crate::codec::Codec;
use crate::transport::Frame;
use attention::{Attention, Presence};
use kaiwa_common::close::CloseCode;
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::{Limits, PING_INTERVAL, RESUME};
use kaiwa_common::position::Position;
use outbox::{Outbox, Overflow, Reliable, ResumeRefused, SignalKey};
use std::time::Instant;
use watch::Watch;

/// Which attachment of a session a call is about: an older one has no say any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkNo(u32);

/// What a link should do next.
#[derive(Debug)]
pub enum Transmit {
    /// Send this.
    Frame(Frame),
    /// Send a ping that states this count.
    Ping {
        /// Reliable pushes handed to the transport so far.
        count: u64,
    },
    /// Say goodbye with this code, and close. Nothing follows.
    Close(CloseCode),
    /// Nothing now.
    Nothing,
}

#[derive(Debug)]
enum Link {
    Attached(Attached),
    Detached { until: Instant },
    Ended,
}

#[derive(Debug)]
struct Attached {
    watch: Watch,
    ping_at: Instant,
    closing: Option<CloseCode>,
}

/// One session's state.
#[derive(Debug)]
pub struct SessionCore {
    codec: Codec,
    link: Link,
    link_no: LinkNo,
    token_until: Instant,
    outbox: Outbox,
    /// Its client was told its id: without that nobody can come back to it.
    is_known: bool,
    attention: Attention,
}

impl SessionCore {
    /// A new session, attached to its first link. Pushes are held until [`Self::handle_connected`].
    #[must_use]
    pub fn new(codec: Codec, token_until: Instant, limits: &Limits, now: Instant) -> Self {
        Self {
            codec,
            link: Link::Attached(Attached::new(now)),
            link_no: LinkNo(0),
            token_until,
            outbox: Outbox::new(codec, limits),
            is_known: false,
            attention: Attention::default(),
        }
    }

    /// The present link.
    #[must_use]
    pub fn link_no(&self) -> LinkNo {
        self.link_no
    }

    /// Goes on over another connection, after the pushes that its client has counted.
    ///
    /// # Errors
    /// [`ResumeRefused`]; the session is as before.
    pub fn attach(
        &mut self,
        count: u64,
        codec: Codec,
        token_until: Instant,
        now: Instant,
    ) -> Result<LinkNo, ResumeRefused> {
        let gone = match self.link {
            Link::Ended => true,
            Link::Detached { until } => until <= now,
            // Told to go, though its link is not gone yet. What a slow consumer missed is thrown away.
            Link::Attached(Attached { closing, .. }) => {
                closing.is_some_and(|code| !may_resume(code))
            }
        };
        if gone {
            return Err(ResumeRefused::Expired);
        }
        if codec != self.codec {
            return Err(ResumeRefused::TooFarBehind);
        }
        self.outbox.rewind(count)?;
        self.link = Link::Attached(Attached::new(now));
        self.link_no = LinkNo(self.link_no.0.wrapping_add(1));
        self.token_until = token_until;
        self.attention.handle_link();
        Ok(self.link_no)
    }

    /// A link lost its connection. Gives until when the session waits for another.
    pub fn detach(&mut self, link: LinkNo, now: Instant) -> Option<Instant> {
        match &self.link {
            // Told to go for good: nothing waits.
            Link::Attached(Attached {
                closing: Some(code),
                ..
            }) if link == self.link_no && !may_resume(*code) => {
                self.link = Link::Ended;
                None
            }
            Link::Attached(_) if link == self.link_no && !self.is_known => {
                self.link = Link::Ended;
                None
            }
            Link::Attached(_) if link == self.link_no => {
                let until = now + RESUME;
                self.outbox.drop_replies();
                self.outbox.drop_signals();
                self.attention.handle_detached(now);
                self.link = Link::Detached { until };
                Some(until)
            }
            Link::Attached(_) | Link::Detached { .. } | Link::Ended => None,
        }
    }

    /// Ends a session whose time to be resumed is over; false when it was resumed meanwhile.
    pub fn expire(&mut self, now: Instant) -> bool {
        match self.link {
            Link::Detached { until } if until <= now => {
                self.end();
                true
            }
            Link::Detached { .. } | Link::Attached(_) => false,
            Link::Ended => true,
        }
    }

    /// Ends the session; an attached link is closed with `Replaced`.
    pub fn end(&mut self) {
        self.link = Link::Ended;
        self.outbox.clear();
    }

    /// No link, and none can come.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.link, Link::Ended)
    }

    /// There is a connection.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(self.link, Link::Attached(_))
    }

    /// No connection now.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        matches!(self.link, Link::Detached { .. })
    }

    /// The reply to this link's `Connect`: from now on pushes follow it.
    pub fn handle_connected(&mut self, link_no: LinkNo, reply: Frame) {
        if self.is_current(link_no) {
            self.outbox.push_control(reply);
            self.outbox.release();
            self.is_known = true;
        }
    }

    /// `Connect` failed after the session was made: the reply says so, and the link closes.
    pub fn handle_not_connected(&mut self, link_no: LinkNo, reply: Frame) {
        if self.is_current(link_no) {
            self.outbox.push_control(reply);
            self.handle_close(CloseCode::ServerError);
        }
    }

    /// A reply to what came over this link. One for a link that was replaced meanwhile is dropped: its
    /// id is another command's on the link of now.
    pub fn handle_reply(&mut self, link_no: LinkNo, frame: Frame) {
        if self.is_current(link_no) {
            self.outbox.push_control(frame);
        }
    }

    /// A reliable push.
    pub fn handle_push(&mut self, push: Reliable) {
        if matches!(self.link, Link::Ended) {
            return;
        }
        if let Err(Overflow) = self.outbox.push_reliable(push) {
            self.outbox.clear();
            self.handle_close(CloseCode::SlowConsumer);
        }
    }

    /// A signal; without a link it is dropped.
    pub fn handle_signal(&mut self, key: SignalKey, frame: Frame) {
        if self.is_attached() {
            self.outbox.push_signal(key, frame);
        }
    }

    /// The client answered a ping, and stated how many pushes it has.
    pub fn handle_pong(&mut self, count: u64) {
        self.attention.handle_pong();
        self.outbox.forget(count);
    }

    /// The client stated how many pushes it has, and whether somebody looks.
    pub fn handle_ack(&mut self, count: u64, is_visible: bool) {
        self.attention.handle_ack(is_visible);
        self.outbox.forget(count);
    }

    /// The rooms whose events the client has stated to have since this was asked last, and up to where.
    pub fn take_acknowledged(&mut self) -> Vec<(RoomId, Position)> {
        self.outbox.take_acknowledged()
    }

    /// The peer has ended this link in order.
    pub fn handle_closed(&mut self, link_no: LinkNo) {
        if self.is_current(link_no) {
            self.attention.handle_closed();
        }
    }

    /// Whether somebody is there.
    #[must_use]
    pub fn presence(&self, now: Instant) -> Presence {
        match self.link {
            Link::Attached(_) => self.attention.attached(now),
            Link::Detached { .. } => self.attention.detached(now),
            Link::Ended => Presence::Gone,
        }
    }

    /// Its client has sent an `ack`, so it knows what came to the protocol together with that.
    #[must_use]
    pub fn knows_ack(&self) -> bool {
        self.attention.knows_ack()
    }

    /// Every reliable push was handed to a connection.
    #[must_use]
    pub fn is_handed_over(&self) -> bool {
        self.outbox.has_no_reliable()
    }

    /// Something was heard from the client over this link.
    pub fn handle_heard(&mut self, link_no: LinkNo, now: Instant) {
        if let Some(link) = self.current(link_no) {
            link.watch.heard(now);
        }
    }

    /// How far the link's connection is with reading and writing.
    pub fn handle_progress(&mut self, link_no: LinkNo, progress: watch::Progress, now: Instant) {
        if let Some(link) = self.current(link_no) {
            link.watch.observe(progress, now);
        }
    }

    fn current(&mut self, link_no: LinkNo) -> Option<&mut Attached> {
        match &mut self.link {
            Link::Attached(link) if link_no == self.link_no => Some(link),
            Link::Attached(_) | Link::Detached { .. } | Link::Ended => None,
        }
    }

    /// A later token took the place of the former.
    pub fn handle_refreshed(&mut self, token_until: Instant) {
        self.token_until = token_until;
    }

    /// Closes the present link, after the replies that are queued. The first code counts.
    pub fn handle_close(&mut self, code: CloseCode) {
        match &mut self.link {
            Link::Attached(link) => {
                link.closing.get_or_insert(code);
            }
            Link::Detached { .. } => self.end(),
            Link::Ended => {}
        }
    }

    /// Lets deadlines act; true when one closes the link now, so that there is something to transmit.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let Link::Attached(link) = &mut self.link else {
            return false;
        };
        if link.closing.is_some() {
            return false;
        }
        let expired = (self.token_until <= now).then_some(CloseCode::TokenExpired);
        link.closing = link.watch.verdict(now).or(expired);
        link.closing.is_some()
    }

    /// Why the link is given up at once, whatever still waits: nothing goes in or out of it.
    #[must_use]
    pub fn gives_up(&self, now: Instant) -> Option<CloseCode> {
        let Link::Attached(link) = &self.link else {
            return None;
        };
        link.watch
            .verdict(now)
            .map(|code| link.closing.unwrap_or(code))
    }

    /// When [`Self::handle_timeout`] and [`Self::poll_transmit`] want to be called next. A link that
    /// can't send now is woken by its connection, not by the ping that is due.
    #[must_use]
    pub fn poll_timeout(&self, can_send: bool) -> Option<Instant> {
        match &self.link {
            Link::Attached(link) if link.closing.is_some() => Some(link.watch.deadline()),
            Link::Attached(link) => {
                let ping_at = (can_send && !self.outbox.is_held()).then_some(link.ping_at);
                let deadline = link.watch.deadline().min(self.token_until);
                Some(ping_at.map_or(deadline, |ping_at| deadline.min(ping_at)))
            }
            Link::Detached { until } => Some(*until),
            Link::Ended => None,
        }
    }

    /// Why the present link closes, if it does.
    #[must_use]
    pub fn closing(&self) -> Option<CloseCode> {
        match &self.link {
            Link::Attached(link) => link.closing,
            Link::Detached { .. } | Link::Ended => None,
        }
    }

    /// Whether this link is the one that counts.
    #[must_use]
    pub fn is_current(&self, link_no: LinkNo) -> bool {
        link_no == self.link_no && matches!(self.link, Link::Attached(_))
    }

    /// What the link should do next: control before log before signals, and a ping when it is due.
    pub fn poll_transmit(&mut self, link_no: LinkNo, now: Instant) -> Transmit {
        let is_current = self.is_current(link_no);
        let Link::Attached(link) = &mut self.link else {
            return Transmit::Close(CloseCode::Replaced);
        };
        if !is_current {
            return Transmit::Close(CloseCode::Replaced);
        }
        if let Some(frame) = self.outbox.pop_control() {
            return Transmit::Frame(frame);
        }
        if let Some(code) = link.closing {
            return Transmit::Close(code);
        }
        if self.outbox.is_held() {
            return Transmit::Nothing;
        }
        if link.ping_at <= now {
            link.ping_at = now + PING_INTERVAL;
            self.attention.handle_ping(now);
            return Transmit::Ping {
                count: self.outbox.sent(),
            };
        }
        let push = self.outbox.pop_reliable();
        push.or_else(|| self.outbox.pop_signal())
            .map_or(Transmit::Nothing, Transmit::Frame)
    }

    /// The next push for somebody who sends it past the link's task; `None` as well when there is
    /// anything that only the link's task can do.
    pub fn poll_direct(&mut self) -> Option<Frame> {
        match &self.link {
            Link::Attached(Attached { closing: None, .. })
                if self.outbox.control_waiting().0 == 0 =>
            {
                let push = self.outbox.pop_reliable();
                push.or_else(|| self.outbox.pop_signal())
            }
            Link::Attached(_) | Link::Detached { .. } | Link::Ended => None,
        }
    }

    /// Nothing waits for the link's task.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let closing = matches!(
            self.link,
            Link::Attached(Attached {
                closing: Some(_),
                ..
            })
        );
        !closing && self.outbox.is_empty()
    }

    /// Frames of the control lane that wait, and their bytes.
    #[must_use]
    pub fn control_waiting(&self) -> (usize, usize) {
        self.outbox.control_waiting()
    }

    /// Reliable pushes handed to a transport so far: the count of both sides.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.outbox.sent()
    }
}

impl Attached {
    fn new(now: Instant) -> Self {
        Self {
            watch: Watch::new(now),
            ping_at: now + PING_INTERVAL,
            closing: None,
        }
    }
}

/// Whether a client that was sent away with this code may come back to the same session.
fn may_resume(code: CloseCode) -> bool {
    use kaiwa_common::close::Advice;
    match code.advice() {
        // A slow consumer's queue is what was too much: it starts anew, from the room logs.
        Advice::Resume => code != CloseCode::SlowConsumer,
        Advice::Refresh => code != CloseCode::StateInvalidated,
        Advice::Pause | Advice::Stop => false,
    }
}

#[cfg(test)]
mod tests;
