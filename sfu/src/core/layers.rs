//! What is sent of a publication against what is wanted.
//!
//! Encodings of a simulcast are changed on key frames alone, temporal layers between pictures: a higher
//! one of VP8 may be entered where a picture needs nothing of it (its Y bit, RFC 7741, section 4.2), one at
//! a time; a lower one at any picture; all of them at a key frame.
//!
//! Within a stream that has spatial layers too, each frame says which [choices](Choice) can be entered with it.
//! Who can decode the frame, since it is part of what is sent anyway, goes over there; what a choice contains
//! can be gone down to at any picture, without a key frame.
//!
//! What holds for a frame holds for each of its packets, however late one is.

use super::ring::{Choice, Coding, Layered, Meta, Vp8};
use crate::unit::RtpTime;

/// Encodings of one publication: small, middle, large. More are not answered in negotiation.
pub const MAX_LAYERS: usize = 3;

/// Changes within an encoding that are remembered for late packets. The seventh within the time that
/// packets are out of order would decide some late packets wrongly; they would be filled in.
const CHANGES: usize = 6;

/// What a subscription should get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The encoding, by its place among the publication's; of a simulcast 0 is the smallest.
    pub layer: u8,
    /// The highest spatial layer within it, 0 the smallest; 0 too where there are none.
    pub spatial: u8,
    /// The highest temporal layer, 0 the slowest.
    pub temporal: u8,
}

impl Target {
    fn choice(self) -> Choice {
        Choice {
            spatial: self.spatial,
            temporal: self.temporal,
        }
    }
}

/// Chooses the packets that are sent.
#[derive(Debug, Default)]
pub struct LayerSelector {
    target: Option<Target>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    layer: u8,
    /// Of the newest frame.
    newest: Moment,
    /// Whether a lower spatial layer can be gone down to without a key frame.
    is_nested: bool,
    /// From which frame on which choice is sent, the latest first.
    limits: [Limit; CHANGES],
}

#[derive(Debug, Clone, Copy)]
struct Limit {
    from: Moment,
    choice: Choice,
}

/// A frame's place in its stream: the frames of a picture are in the order of their spatial layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    time: RtpTime,
    spatial: u8,
}

impl Moment {
    fn of(meta: &Meta) -> Self {
        Self {
            time: meta.time,
            spatial: meta.coding.spatial(),
        }
    }

    /// The first frame of the same picture.
    fn start(self) -> Self {
        Self { spatial: 0, ..self }
    }

    /// Above 0 if it is later.
    fn since(self, earlier: Self) -> i64 {
        let ticks = i64::from(self.time.since(earlier.time));
        ticks * 4 + i64::from(self.spatial) - i64::from(earlier.spatial)
    }
}

impl LayerSelector {
    /// Nothing is wanted and nothing sent.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What should be sent; `None` for nothing.
    pub fn set_target(&mut self, target: Option<Target>) {
        self.target = target;
        if target.is_none() {
            self.current = None;
        }
    }

    /// What should be sent.
    #[must_use]
    pub fn target(&self) -> Option<Target> {
        self.target
    }

    /// The encoding that is sent.
    #[must_use]
    pub fn current(&self) -> Option<u8> {
        self.current.as_ref().map(|current| current.layer)
    }

    /// The highest layers within it that are sent.
    #[must_use]
    pub fn choice(&self) -> Option<Choice> {
        self.current.as_ref().map(Current::limit)
    }

    /// The encoding of which a key frame is needed to go on.
    #[must_use]
    pub fn wanted_keyframe(&self) -> Option<u8> {
        let target = self.target?;
        let is_reachable = self.current.as_ref().is_some_and(|current| {
            let spatial = current.limit().spatial;
            let goes_down = target.spatial < spatial && current.is_nested;
            current.layer == target.layer && (target.spatial == spatial || goes_down)
        });
        (!is_reachable).then_some(target.layer)
    }

    /// What is sent can't be gone on with: only a key frame helps.
    pub fn handle_break(&mut self) {
        self.current = None;
    }

    /// Goes over to the packet's encoding if it is the one that is wanted and the packet begins a key
    /// frame. Says whether it did.
    pub fn try_switch(&mut self, layer: u8, meta: &Meta) -> bool {
        let Some(target) = self.target else {
            return false;
        };
        let is_entry = meta.is_keyframe && meta.starts_frame;
        if target.layer != layer || self.current() == Some(layer) || !is_entry {
            return false;
        }
        let limit = Limit {
            from: Moment::of(meta),
            choice: target.choice(),
        };
        self.current = Some(Current {
            layer,
            newest: limit.from,
            is_nested: true,
            limits: [limit; CHANGES],
        });
        true
    }

    /// Whether a packet of the current encoding is sent: if so, as part of which choice. Asked once for each
    /// packet.
    pub fn admit(&mut self, meta: &Meta) -> Option<Choice> {
        let (target, current) = (self.target?.choice(), self.current.as_mut()?);
        let at = Moment::of(meta);
        let age = at.since(current.newest);
        let opens_all = age >= 0 && meta.is_keyframe && meta.starts_frame;
        if meta.coding != Coding::Plain && (age > 0 || opens_all) {
            let is_new_picture = at.time != current.newest.time;
            current.newest = at;
            match &meta.coding {
                Coding::Vp8(_) | Coding::Layered(_) if opens_all => current.change(at, target),
                Coding::Plain => {}
                Coding::Vp8(vp8) => current.change(at, current.adjusted(target, vp8)),
                Coding::Layered(frame) => {
                    if is_new_picture {
                        current.change(at.start(), current.lowered(target, frame));
                    }
                    current.change(at, current.raised(target, frame));
                }
            }
        }
        if let Coding::Layered(frame) = &meta.coding {
            current.is_nested = frame.is_nested;
        }
        let choice = current.limit_at(at);
        let is_part = match &meta.coding {
            Coding::Plain => true,
            Coding::Vp8(vp8) => vp8.temporal <= choice.temporal,
            Coding::Layered(frame) => frame.part_of.has(choice),
        };
        is_part.then_some(choice)
    }
}

impl Current {
    fn limit(&self) -> Choice {
        self.limits[0].choice
    }

    fn adjusted(&self, target: Choice, vp8: &Vp8) -> Choice {
        let limit = self.limit();
        let temporal = vp8.temporal;
        if target.temporal < limit.temporal {
            return target;
        }
        let is_next = Some(temporal) == limit.temporal.checked_add(1);
        let can_enter = vp8.is_sync && temporal <= target.temporal && is_next;
        Choice {
            temporal: if can_enter { temporal } else { limit.temporal },
            ..limit
        }
    }

    /// In a stream with spatial layers, what is gone down to at the beginning of a picture: within one, the rest
    /// would be missing.
    fn lowered(&self, target: Choice, frame: &Layered) -> Choice {
        let limit = self.limit();
        let spatial = limit.spatial.min(target.spatial);
        Choice {
            spatial: if frame.is_nested {
                spatial
            } else {
                limit.spatial
            },
            temporal: limit.temporal.min(target.temporal),
        }
    }

    /// As much of what is wanted as can be entered with a frame, if it is sent anyway.
    fn raised(&self, target: Choice, frame: &Layered) -> Choice {
        let limit = self.limit();
        if !frame.part_of.has(limit) {
            return limit;
        }
        let steps = [target.spatial, limit.spatial].map(|spatial| Choice {
            spatial,
            temporal: target.temporal,
        });
        let entered = steps.into_iter().find(|step| frame.enters.has(*step));
        entered.unwrap_or(limit)
    }

    fn change(&mut self, from: Moment, choice: Choice) {
        if choice != self.limit() {
            self.limits.rotate_right(1);
            self.limits[0] = Limit { from, choice };
        }
    }

    fn limit_at(&self, at: Moment) -> Choice {
        let found = self.limits.iter().find(|limit| at.since(limit.from) >= 0);
        found.unwrap_or(&self.limits[CHANGES - 1]).choice
    }
}

#[cfg(test)]
mod tests;
