//! What a stream's layers cost, and which there are.

use super::{ReceiveStream, Resolution};
use crate::core::ring::Choice;
use crate::unit::Bitrate;
use std::time::Instant;

impl ReceiveStream {
    /// Bits per second of the last second, of the temporal layers up to this one, repairs included.
    #[must_use]
    pub fn bitrate(&self, now: Instant, temporal: u8) -> Bitrate {
        self.rates.bitrate(now, temporal)
    }

    /// Whether [`Self::bitrate`] can be relied on: it has come for a second without a long pause. What has
    /// just begun is on its way to its rate, and shows only some of its temporal layers.
    #[must_use]
    pub fn is_steady(&self, now: Instant) -> bool {
        self.rates.is_steady(now)
    }

    /// The highest spatial layer within the stream that was seen in the last second.
    #[must_use]
    pub fn highest_spatial(&self, now: Instant) -> u8 {
        let choices = self.choices.as_ref();
        let seen = choices.map_or(0, |choices| choices.highest_spatial(now));
        // What is not made any more is known at once.
        let made = self.dependencies.as_ref();
        made.map_or(seen, |known| seen.min(known.highest_spatial()))
    }

    /// Bits per second of the last two, of what is part of a choice, repairs included. As [`Self::bitrate`]
    /// where there is one spatial layer.
    #[must_use]
    pub fn choice_bitrate(&self, now: Instant, choice: Choice) -> Bitrate {
        match &self.choices {
            Some(choices) if choices.highest_spatial(now) > 0 => choices.bitrate(now, choice),
            Some(_) | None => self.bitrate(now, choice.temporal),
        }
    }

    /// Pictures of the last second.
    #[must_use]
    pub fn frame_rate(&self, now: Instant) -> u32 {
        self.rates.frames(now)
    }

    /// The highest temporal layer that was seen in the last second.
    #[must_use]
    pub fn highest_temporal(&self, now: Instant) -> u8 {
        self.rates.highest_temporal(now)
    }

    /// The size of its pictures, as the last key frame said.
    #[must_use]
    pub fn resolution(&self) -> Option<Resolution> {
        self.resolution
    }

    /// The size of a spatial layer's pictures. Where no descriptor says it, each has half the size of the next, as
    /// in all of W3C's scalability modes but the rare ones that end in `h`.
    #[must_use]
    pub fn layer_resolution(&self, now: Instant, spatial: u8) -> Resolution {
        let said = self.dependencies.as_ref().map(|known| known.size(spatial));
        if let Some(said) = said.filter(|size| *size != Resolution::default()) {
            return said;
        }
        let whole = self.resolution.unwrap_or_default();
        let halvings = self.highest_spatial(now).saturating_sub(spatial);
        Resolution {
            width: whole.width >> halvings,
            height: whole.height >> halvings,
        }
    }
}
