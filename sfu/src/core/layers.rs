//! What is sent of a publication against what is wanted: the spatial layer changes on key frames
//! alone, the temporal one between pictures.
//!
//! A higher temporal layer may be entered where a picture needs nothing of it (its Y bit, RFC 7741,
//! section 4.2), one at a time; a lower one at any picture; all of them at a key frame. What holds for
//! a picture holds for each of its packets, however late one is.

use super::ring::Meta;
use crate::unit::RtpTime;

/// Encodings of one publication: small, middle, large. More are not answered in negotiation.
pub const MAX_LAYERS: usize = 3;

/// Changes of the temporal layer that are remembered for late packets. The fifth within the time that
/// packets are out of order would decide some late packets wrongly; they would be filled in.
const CHANGES: usize = 4;

/// What a subscription should get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The spatial layer, 0 the smallest.
    pub layer: u8,
    /// The highest temporal layer, 0 the slowest.
    pub temporal: u8,
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
    /// Of the newest picture.
    newest: RtpTime,
    /// From which picture on which temporal layers are sent, the latest first.
    limits: [Limit; CHANGES],
}

#[derive(Debug, Clone, Copy)]
struct Limit {
    from: RtpTime,
    temporal: u8,
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

    /// The spatial layer that is sent.
    #[must_use]
    pub fn current(&self) -> Option<u8> {
        self.current.as_ref().map(|current| current.layer)
    }

    /// The highest temporal layer that is sent.
    #[must_use]
    pub fn temporal(&self) -> Option<u8> {
        self.current.as_ref().map(Current::limit)
    }

    /// The layer of which a key frame is needed to go on.
    #[must_use]
    pub fn wanted_keyframe(&self) -> Option<u8> {
        let target = self.target?;
        (self.current() != Some(target.layer)).then_some(target.layer)
    }

    /// What is sent can't be gone on with: only a key frame helps.
    pub fn handle_break(&mut self) {
        self.current = None;
    }

    /// Goes over to the packet's layer if it is the one that is wanted and the packet begins a key
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
            from: meta.time,
            temporal: target.temporal,
        };
        self.current = Some(Current {
            layer,
            newest: meta.time,
            limits: [limit; CHANGES],
        });
        true
    }

    /// Whether a packet of the current layer is sent. Asked once for each packet.
    pub fn admits(&mut self, meta: &Meta) -> bool {
        let (Some(target), Some(current)) = (self.target, self.current.as_mut()) else {
            return false;
        };
        let Some(vp8) = meta.vp8 else {
            return true;
        };
        let age = meta.time.since(current.newest);
        let opens_all = age >= 0 && meta.is_keyframe && meta.starts_frame;
        if age > 0 || opens_all {
            current.newest = meta.time;
            let wanted = current.adjusted(target.temporal, vp8.temporal, vp8.is_sync);
            let wanted = if opens_all { target.temporal } else { wanted };
            current.change(meta.time, wanted);
        }
        vp8.temporal <= current.limit_at(meta.time)
    }
}

impl Current {
    fn limit(&self) -> u8 {
        self.limits[0].temporal
    }

    fn adjusted(&self, target: u8, temporal: u8, is_sync: bool) -> u8 {
        let limit = self.limit();
        if target < limit {
            return target;
        }
        let can_enter = is_sync && temporal <= target && Some(temporal) == limit.checked_add(1);
        if can_enter { temporal } else { limit }
    }

    fn change(&mut self, from: RtpTime, temporal: u8) {
        if temporal != self.limit() {
            self.limits.rotate_right(1);
            self.limits[0] = Limit { from, temporal };
        }
    }

    fn limit_at(&self, time: RtpTime) -> u8 {
        let found = self.limits.iter().find(|limit| time.since(limit.from) >= 0);
        found.unwrap_or(&self.limits[CHANGES - 1]).temporal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ring::{Format, Vp8};
    use std::time::Instant;

    fn picture(time: u32, temporal: u8, is_sync: bool) -> Meta {
        Meta {
            time: RtpTime(time),
            received_at: Instant::now(),
            captured: None,
            payload_len: 1,
            format: Format::Primary,
            marker: false,
            starts_frame: true,
            is_keyframe: false,
            vp8: Some(Vp8 {
                temporal,
                is_sync,
                ..Vp8::default()
            }),
            level: None,
        }
    }

    fn keyframe(time: u32) -> Meta {
        Meta {
            is_keyframe: true,
            ..picture(time, 0, false)
        }
    }

    fn selector(temporal: u8) -> LayerSelector {
        let mut selector = LayerSelector::new();
        selector.set_target(Some(Target { layer: 0, temporal }));
        assert!(selector.try_switch(0, &keyframe(0)));
        assert!(selector.admits(&keyframe(0)));
        selector
    }

    #[test]
    fn a_layer_is_entered_on_a_key_frame_alone() {
        let mut selector = selector(2);
        let target = Target {
            layer: 1,
            temporal: 2,
        };
        selector.set_target(Some(target));
        assert!(!selector.try_switch(1, &picture(10, 0, true)));
        assert!(!selector.try_switch(2, &keyframe(10)));
        assert_eq!(selector.wanted_keyframe(), Some(1));
        assert_eq!(selector.current(), Some(0));
        assert!(selector.try_switch(1, &keyframe(10)));
        assert_eq!(selector.wanted_keyframe(), None);
        selector.handle_break();
        assert_eq!(selector.wanted_keyframe(), Some(1));
    }

    #[test]
    fn a_higher_temporal_layer_is_entered_at_a_sync_picture_one_at_a_time() {
        let mut selector = selector(0);
        assert!(!selector.admits(&picture(1, 1, true)));
        selector.set_target(Some(Target {
            layer: 0,
            temporal: 2,
        }));
        assert!(!selector.admits(&picture(2, 2, true)));
        assert!(!selector.admits(&picture(3, 1, false)));
        assert!(selector.admits(&picture(4, 1, true)));
        assert!(!selector.admits(&picture(5, 2, false)));
        assert!(selector.admits(&picture(6, 2, true)));
        assert_eq!(selector.temporal(), Some(2));
    }

    #[test]
    fn a_late_packet_is_decided_as_its_picture_was() {
        let mut selector = selector(2);
        assert!(selector.admits(&picture(1, 2, false)));
        selector.set_target(Some(Target {
            layer: 0,
            temporal: 0,
        }));
        assert!(selector.admits(&picture(2, 0, false)));
        assert!(selector.admits(&picture(1, 2, false)));
        assert!(!selector.admits(&picture(3, 1, false)));
    }

    #[test]
    fn a_key_frame_opens_all_temporal_layers() {
        let mut selector = selector(0);
        selector.set_target(Some(Target {
            layer: 0,
            temporal: 2,
        }));
        // Its second packet overtook the first.
        assert!(selector.admits(&picture(u32::MAX, 0, false)));
        assert!(selector.admits(&picture(7, 0, false)));
        assert!(selector.admits(&keyframe(7)));
        assert!(selector.admits(&picture(8, 2, false)));
    }

    #[test]
    fn nothing_is_sent_without_a_target() {
        let mut selector = selector(2);
        selector.set_target(None);
        assert!(!selector.admits(&picture(1, 0, false)));
        assert!(!selector.try_switch(0, &keyframe(2)));
        assert_eq!(selector.wanted_keyframe(), None);
    }
}
