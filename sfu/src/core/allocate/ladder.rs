//! The steps that a video can be sent in, from the least to the most that is useful.

use super::{Demand, Kind, LayerInfo, SPATIAL_MAX, TEMPORAL_MAX, Target};
use crate::unit::Bitrate;

const STEPS_MAX: usize = SPATIAL_MAX * TEMPORAL_MAX;

/// A layer does when its pictures have to be enlarged by no more than a quarter: 4 pixels become 5.
const ENLARGED: u32 = 5;
const FROM: u32 = 4;

/// A spatial and a temporal layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Step {
    pub(super) spatial: u8,
    pub(super) temporal: u8,
    pub(super) rate: Bitrate,
}

/// Steps by rising quality, which mostly is by rising rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ladder {
    steps: [Step; STEPS_MAX],
    len: usize,
    is_enough: bool,
}

impl Ladder {
    /// The steps that serve a demand; none when it is paused or nothing comes in.
    pub(super) fn of<K>(demand: &Demand<'_, K>) -> Self {
        let mut ladder = Self {
            steps: [Step::default(); STEPS_MAX],
            len: 0,
            is_enough: false,
        };
        if demand.is_paused {
            return ladder;
        }
        let layers = &demand.layers[..demand.layers.len().min(SPATIAL_MAX)];
        let first_enough = layers
            .iter()
            .position(|layer| is_sent(layer) && is_enough(layer, demand.width, demand.height));
        ladder.is_enough = first_enough.is_some();
        let layers = &layers[..first_enough.map_or(layers.len(), |index| index + 1)];
        match demand.kind {
            Kind::Camera => ladder.fill_camera(layers),
            Kind::Screen => ladder.fill_screen(layers),
        }
        ladder
    }

    /// Whether its top is as large as the demand.
    pub(super) fn is_enough(&self) -> bool {
        self.is_enough
    }

    pub(super) fn step(&self, index: usize) -> Step {
        self.steps[index]
    }

    pub(super) fn bottom(&self) -> Option<usize> {
        (self.len > 0).then_some(0)
    }

    pub(super) fn top(&self) -> Option<usize> {
        self.len.checked_sub(1)
    }

    /// The highest step of the lowest layer.
    pub(super) fn top_of_bottom(&self) -> Option<usize> {
        let lowest = self.steps[0].spatial;
        self.steps[..self.len]
            .iter()
            .rposition(|step| step.spatial == lowest)
    }

    /// The step that is the same as one of before, or comes closest to it from below, or the lowest.
    pub(super) fn nearest(&self, before: Step) -> Option<usize> {
        let steps = &self.steps[..self.len];
        steps
            .iter()
            .position(|step| (step.spatial, step.temporal) == (before.spatial, before.temporal))
            .or_else(|| steps.iter().rposition(|step| step.rate <= before.rate))
            .or(self.bottom())
    }

    pub(super) fn target(&self, index: Option<usize>) -> Target {
        index.map_or(Target::Paused, |index| Target::Layer {
            spatial: self.steps[index].spatial,
            temporal: self.steps[index].temporal,
        })
    }

    /// All of the lowest layer, then those above at half their frame rate or more.
    fn fill_camera(&mut self, layers: &[LayerInfo]) {
        for (spatial, layer) in layers.iter().enumerate() {
            let top = layer.rates.iter().rposition(|rate| rate.0 > 0).unwrap_or(0);
            let lowest = if self.len == 0 {
                0
            } else {
                top.saturating_sub(1)
            };
            for temporal in lowest..=top {
                self.push(spatial, temporal, layer);
            }
        }
    }

    /// The lowest frame rate of each layer, then all of the highest.
    fn fill_screen(&mut self, layers: &[LayerInfo]) {
        for (spatial, layer) in layers.iter().enumerate() {
            self.push(spatial, 0, layer);
        }
        if let Some(highest) = layers.iter().rposition(is_sent) {
            for temporal in 1..TEMPORAL_MAX {
                self.push(highest, temporal, &layers[highest]);
            }
        }
    }

    /// Adds a better step; those of the same layer that cost as much or more are of no use then. Those of
    /// lower layers stay although they may cost more for the moment: who has one shall not be taken for
    /// having the better one, for which they would have to wait.
    fn push(&mut self, spatial: usize, temporal: usize, layer: &LayerInfo) {
        let rate = layer.rates[temporal];
        if rate.0 == 0 {
            return;
        }
        let spatial = u8::try_from(spatial).unwrap_or(u8::MAX);
        let is_useless = |step: &Step| step.spatial == spatial && step.rate >= rate;
        while self.len > 0 && is_useless(&self.steps[self.len - 1]) {
            self.len -= 1;
        }
        self.steps[self.len] = Step {
            spatial,
            temporal: u8::try_from(temporal).unwrap_or(u8::MAX),
            rate,
        };
        self.len += 1;
    }
}

fn is_sent(layer: &LayerInfo) -> bool {
    layer.rates.iter().any(|rate| rate.0 > 0)
}

/// The picture is shown whole, so the tighter side decides; a portrait in a wide tile is as high as it.
fn is_enough(layer: &LayerInfo, width: u16, height: u16) -> bool {
    let serves = |has: u16, wanted: u16| u32::from(has) * ENLARGED >= u32::from(wanted) * FROM;
    serves(layer.width, width) || serves(layer.height, height)
}
