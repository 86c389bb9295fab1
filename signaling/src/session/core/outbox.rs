//! What waits for a session's client, and what was sent and may have to be sent again.
//!
//! Three lanes: control (replies) goes before log (reliable pushes), and that before signals. Reliable
//! pushes are counted as they leave; the ring keeps the last ones until the client says that it has them.
//! Signals go at most once, are not counted, and a later one takes the place of one of its kind that waits.
//!
//! # Bounds
//! - The log lane past its soft cap: the queued events of the room that is pushed are replaced by one
//!   `gap`; the client reads them from the room's log when it can.
//! - The log lane past its hard cap: [`Overflow`], the session is given up.
//! - The ring past its frames or bytes: the oldest are forgotten, and a resume before them is refused.
//! - The signal lane: one of each kind, [`SIGNALS`] at most; past it the oldest is dropped.
//! - The control lane is bounded by its caller: no command begins while too many replies, or too many
//!   bytes of them, are in work or wait.

use crate::codec::Codec;
use crate::transport::Frame;
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::{Limits, SIGNALS};
use kaiwa_common::position::{Position, Seq};
use kaiwa_proto::client::v1 as wire;
use std::collections::VecDeque;

/// The estimated bytes of a `gap` push on the wire, for accounting.
const GAP_BYTES: usize = 96;

/// A reliable push, encoded.
#[derive(Debug, Clone)]
pub struct Reliable {
    /// The room whose events these are, and where they end; `None` for a push of another kind.
    pub room: Option<(RoomId, Position)>,
    /// One or more pushes.
    pub frame: Frame,
    /// How many.
    pub pushes: u32,
}

/// What a signal tells; the latest of a kind is all that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalKey {
    /// Who speaks in one's call.
    Speakers,
    /// How well people's media gets through in one's call.
    Quality,
    /// How far a message's clip is: one clip may be shown in several rooms.
    Clip(RoomId, Seq),
}

/// Signals that wait, the oldest first; one of each kind.
#[derive(Debug, Default)]
struct Signals(VecDeque<(SignalKey, Frame)>);

/// Too much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

/// Why a session can't go on where its client stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResumeRefused {
    /// No such session.
    #[error("unknown")]
    Unknown,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// What came after the count is no longer kept.
    #[error("too_far_behind")]
    TooFarBehind,
    /// It is somebody else's.
    #[error("other_identity")]
    OtherIdentity,
}

#[derive(Debug)]
enum Queued {
    Push(Reliable),
    Gap(RoomId, Position),
}

impl Queued {
    fn bytes(&self) -> usize {
        match self {
            Self::Push(push) => push.frame.len(),
            Self::Gap(..) => GAP_BYTES,
        }
    }

    fn room(&self) -> Option<&RoomId> {
        match self {
            Self::Push(push) => push.room.as_ref().map(|(room, _)| room),
            Self::Gap(room, _) => Some(room),
        }
    }
}

/// A push that left, and the count after it.
#[derive(Debug)]
struct Sent {
    push: Reliable,
    count_after: u64,
}

/// The queues of one session.
#[derive(Debug)]
pub struct Outbox {
    codec: Codec,
    soft_bytes: usize,
    hard_bytes: usize,
    ring_frames: usize,
    ring_max_bytes: usize,

    control: VecDeque<Frame>,
    control_bytes: usize,
    log: VecDeque<Queued>,
    log_bytes: usize,
    gaps: usize,
    /// Nothing of the log lane leaves before the reply to `Connect`.
    held: bool,
    /// None for the many sessions that have none: 8 bytes of a connection's memory.
    signals: Option<Box<Signals>>,

    sent: u64,
    ring: VecDeque<Sent>,
    ring_bytes: usize,
    /// What was forgotten since it was asked last; no more than the ring held.
    acknowledged: Vec<(RoomId, Position)>,
}

impl Outbox {
    /// An empty outbox, held until [`Self::release`].
    #[must_use]
    pub fn new(codec: Codec, limits: &Limits) -> Self {
        Self {
            codec,
            soft_bytes: limits.outbox_soft_bytes as usize,
            hard_bytes: limits.outbox_hard_bytes as usize,
            ring_frames: limits.resume_frames as usize,
            ring_max_bytes: limits.resume_bytes as usize,
            control: VecDeque::new(),
            control_bytes: 0,
            log: VecDeque::new(),
            log_bytes: 0,
            gaps: 0,
            held: true,
            signals: None,
            sent: 0,
            ring: VecDeque::new(),
            ring_bytes: 0,
            acknowledged: Vec::new(),
        }
    }

    /// Lets the log lane go.
    pub fn release(&mut self) {
        self.held = false;
    }

    /// Whether the log lane waits for the reply to `Connect`.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Queues a reply.
    pub fn push_control(&mut self, frame: Frame) {
        self.control_bytes += frame.len();
        self.control.push_back(frame);
    }

    /// The next reply.
    pub fn pop_control(&mut self) -> Option<Frame> {
        let frame = self.control.pop_front()?;
        self.control_bytes -= frame.len();
        shrink(&mut self.control);
        Some(frame)
    }

    /// Whether nothing waits in any lane.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.control.is_empty() && self.log.is_empty() && self.signals.is_none()
    }

    /// Queues a signal, in the place of one of its kind that waits.
    pub fn push_signal(&mut self, key: SignalKey, frame: Frame) {
        let Signals(signals) = &mut **self.signals.get_or_insert_default();
        if let Some((_, waiting)) = signals.iter_mut().find(|(other, _)| *other == key) {
            *waiting = frame;
            return;
        }
        if signals.len() >= SIGNALS {
            signals.pop_front();
        }
        signals.push_back((key, frame));
    }

    /// The next signal, once the log lane is empty.
    pub fn pop_signal(&mut self) -> Option<Frame> {
        if self.held || !self.log.is_empty() {
            return None;
        }
        let Signals(signals) = &mut **self.signals.as_mut()?;
        let (_, frame) = signals.pop_front()?;
        if signals.is_empty() {
            self.signals = None;
        }
        Some(frame)
    }

    /// Signals are for a link that is there.
    pub fn drop_signals(&mut self) {
        self.signals = None;
    }

    /// Replies that wait, and their bytes.
    #[must_use]
    pub fn control_waiting(&self) -> (usize, usize) {
        (self.control.len(), self.control_bytes)
    }

    /// Replies die with the connection that asked.
    pub fn drop_replies(&mut self) {
        self.control = VecDeque::new();
        self.control_bytes = 0;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.drop_replies();
        self.drop_signals();
        self.log = VecDeque::new();
        self.ring = VecDeque::new();
        self.acknowledged = Vec::new();
        (self.log_bytes, self.ring_bytes, self.gaps) = (0, 0, 0);
    }

    /// Queues a reliable push.
    ///
    /// # Errors
    /// [`Overflow`] past the hard cap; the session can't be kept.
    pub fn push_reliable(&mut self, push: Reliable) -> Result<(), Overflow> {
        if let Some((room, head)) = &push.room {
            if self.gaps > 0 && self.move_gap(room, *head) {
                return Ok(());
            }
            let bytes = push.frame.len();
            if !self.log.is_empty() && self.log_bytes + bytes > self.soft_bytes {
                self.replace_by_gap(room.clone(), *head);
                return self.check();
            }
        }
        self.log_bytes += push.frame.len();
        self.log.push_back(Queued::Push(push));
        self.check()
    }

    fn check(&self) -> Result<(), Overflow> {
        if self.log_bytes > self.hard_bytes {
            Err(Overflow)
        } else {
            Ok(())
        }
    }

    /// Moves a queued gap of this room to a later head; false when there is none.
    fn move_gap(&mut self, wanted: &RoomId, to: Position) -> bool {
        for queued in &mut self.log {
            if let Queued::Gap(room, head) = queued
                && room == wanted
            {
                *head = to;
                return true;
            }
        }
        false
    }

    fn replace_by_gap(&mut self, room: RoomId, head: Position) {
        let mut kept_bytes = 0;
        self.log.retain(|queued| {
            let keep = queued.room() != Some(&room);
            kept_bytes += if keep { queued.bytes() } else { 0 };
            keep
        });
        self.log_bytes = kept_bytes + GAP_BYTES;
        self.log.push_back(Queued::Gap(room, head));
        self.gaps += 1;
    }

    /// The next reliable push; it is counted and kept for a resume.
    pub fn pop_reliable(&mut self) -> Option<Frame> {
        if self.held {
            return None;
        }
        let queued = self.log.pop_front()?;
        self.log_bytes -= queued.bytes();
        shrink(&mut self.log);
        let push = match queued {
            Queued::Push(push) => push,
            Queued::Gap(room, head) => {
                self.gaps -= 1;
                Reliable {
                    frame: self.gap_frame(&room, head),
                    room: Some((room, head)),
                    pushes: 1,
                }
            }
        };
        let frame = push.frame.clone();
        self.sent += u64::from(push.pushes);
        self.keep(push);
        Some(frame)
    }

    fn gap_frame(&self, room: &RoomId, head: Position) -> Frame {
        let gap = wire::Gap {
            room: room.to_string(),
            epoch: head.epoch.0,
            head: head.seq.0,
        };
        let push = wire::Push {
            push: Some(wire::push::Push::Gap(gap)),
        };
        let message = wire::server_message::Message::Push(push);
        self.codec.encode(&[wire::ServerMessage {
            message: Some(message),
        }])
    }

    fn keep(&mut self, push: Reliable) {
        self.ring_bytes += push.frame.len();
        self.ring.push_back(Sent {
            push,
            count_after: self.sent,
        });
        while self.ring.len() > self.ring_frames || self.ring_bytes > self.ring_max_bytes {
            let Some(oldest) = self.ring.pop_front() else {
                break;
            };
            self.ring_bytes -= oldest.push.frame.len();
        }
    }

    /// How many reliable pushes left.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The client has these: they need not be kept.
    pub fn forget(&mut self, count: u64) {
        while self
            .ring
            .front()
            .is_some_and(|sent| sent.count_after <= count)
        {
            let oldest = self.ring.pop_front().expect("there is a first one");
            self.ring_bytes -= oldest.push.frame.len();
            if self.acknowledged.len() < self.ring_frames {
                self.acknowledged.extend(oldest.push.room);
            }
        }
        shrink(&mut self.ring);
    }

    /// The rooms of pushes that the client has said it has, and where those end. What left the ring before it
    /// was acknowledged is not among them.
    pub fn take_acknowledged(&mut self) -> Vec<(RoomId, Position)> {
        std::mem::take(&mut self.acknowledged)
    }

    /// Whether no reliable push waits.
    #[must_use]
    pub fn has_no_reliable(&self) -> bool {
        self.log.is_empty()
    }

    /// Goes back to `count`: what left after it is queued again, before everything else. Holds the
    /// log lane until [`Self::release`].
    ///
    /// # Errors
    /// [`ResumeRefused::TooFarBehind`] when that is no longer kept, or was never sent.
    pub fn rewind(&mut self, count: u64) -> Result<(), ResumeRefused> {
        let first_kept = self.ring.front().map_or(self.sent, |sent| {
            sent.count_after - u64::from(sent.push.pushes)
        });
        // A frame arrives whole or not at all, so a count within one is not this client's.
        let is_boundary = count == first_kept || self.ring.iter().any(|s| s.count_after == count);
        if !is_boundary {
            return Err(ResumeRefused::TooFarBehind);
        }
        self.drop_replies();
        self.drop_signals();
        while self
            .ring
            .back()
            .is_some_and(|sent| sent.count_after > count)
        {
            let Sent { push, .. } = self.ring.pop_back().expect("there is a last one");
            self.ring_bytes -= push.frame.len();
            self.log_bytes += push.frame.len();
            self.log.push_front(Queued::Push(push));
        }
        self.forget(count);
        self.sent = count;
        self.held = true;
        Ok(())
    }
}

/// After a burst a queue gives back what it does not need.
fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > 8 && queue.len() <= queue.capacity() / 4 {
        queue.shrink_to(queue.len() * 2);
    }
}

#[cfg(test)]
mod tests;
