//! How one subscriber's estimate is divided among what they want to see.
//!
//! Sound comes first. Then every wanted video gets its lowest layer, then the lowest layer's full frame
//! rate, then each as much as is useful, always by importance. Who has a layer keeps it until the whole
//! is 5 % too much; who shall get a higher one needs 10 % of headroom that lasts, or a probe that has
//! shown it. So unchanged inputs come to unchanged outputs.

mod ladder;

#[cfg(test)]
mod tests;

use crate::control::LimitedBy;
use crate::unit::Bitrate;
use ladder::{Ladder, Step};
use std::time::{Duration, Instant};

/// Spatial layers of a video at most; further ones are not used.
pub const SPATIAL_MAX: usize = 4;

/// Temporal layers of a spatial one at most (L1T3 is the highest of W3C's modes).
pub const TEMPORAL_MAX: usize = 3;

/// Videos that one subscriber gets at most: more fit on no screen. What is wanted beyond is paused.
pub const DEMANDS_MAX: usize = 128;

/// Between allocations; what changes in the meantime is seen with the next one.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// The estimate must exceed what a higher layer needs by so many per cent. Layers' rates vary by about
/// as much; less makes layers flap.
pub const HEADROOM_PERCENT: u64 = 10;

/// What is sent may exceed the estimate by so many per cent before somebody has to give way.
pub const OVERSHOOT_PERCENT: u64 = 5;

/// The lowest step of a picture that is there may exceed it by so many: rates vary by as much from second to
/// second, and there is nothing lower to go to.
pub const LOWEST_OVERSHOOT_PERCENT: u64 = 25;

/// How long the headroom must last, unless a probe has shown it.
const LASTING: Duration = Duration::from_millis(500);

/// How long a probe's result is as good as that.
const PROBED: Duration = Duration::from_secs(1);

/// Between two upgrades of one video, unless a probe has shown that the path carries the second as well: who
/// joins would else look at a middle layer for two seconds while the path is known to be wide.
const UP_INTERVAL: Duration = Duration::from_secs(2);

/// Between a downgrade for want of rate and the next upgrade. Doubled for each upgrade in a row that did
/// not last [`FAILED_WITHIN`], up to 4 times; but not doubled once the estimate is so many per cent of
/// that of the upgrade which failed: then the path is another one.
const DOWN_INTERVAL: Duration = Duration::from_secs(5);

/// The same for a picture that was stopped altogether: any is better than none.
const STARVED_INTERVAL: Duration = Duration::from_secs(1);
const FAILED_WITHIN: Duration = Duration::from_secs(4);
const FAILURES_MAX: u8 = 2;
const RECOVERED_PERCENT: u64 = 120;

/// An upgrade that lasted so long, or so long without one, makes failures forgotten.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// What kind of picture it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Motion matters: full frame rate before a higher resolution.
    Camera,
    /// Text matters: resolution before frame rate.
    Screen,
}

/// A layer of a publication as it comes in at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerInfo {
    /// Of its pictures, in pixels.
    pub width: u16,
    /// See `width`.
    pub height: u16,
    /// What it takes with this temporal layer and those below; smoothed over a second or more, or the
    /// expected rate while it can't be measured. Zero: does not come in.
    pub rates: [Bitrate; TEMPORAL_MAX],
}

/// A video that the subscriber wants.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a, K> {
    /// Which.
    pub id: K,
    /// What kind of picture.
    pub kind: Kind,
    /// The size at which it is shown, in pixels of the device.
    pub width: u16,
    /// See `width`.
    pub height: u16,
    /// Nothing is to be sent.
    pub is_paused: bool,
    /// Its layers, the smallest first.
    pub layers: &'a [LayerInfo],
}

/// What a subscription gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Nothing.
    Paused,
    /// A layer.
    Layer {
        /// Index into the demand's layers.
        spatial: u8,
        /// The highest temporal layer.
        temporal: u8,
    },
}

/// What a subscription gets, and why not more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<K> {
    /// Which.
    pub id: K,
    /// What is to be sent.
    pub target: Target,
    /// What stands against more; `None` when it is as it was wanted.
    pub limited_by: Option<LimitedBy>,
}

/// What an estimate rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// On nothing: the operator assumes it. What nobody has measured is no reason to show nothing, so
    /// that the most important picture gets its lowest step whatever it takes.
    Assumed,
    /// On what is sent anyway.
    Measured,
    /// On a probe: it can be used at once.
    Probed,
}

/// What is remembered of a subscription from one allocation to the next.
#[derive(Debug, Clone, Copy)]
struct Held<K> {
    id: K,
    wish: (u16, u16, bool),
    present: Option<Step>,
    /// It has nothing for want of rate, not because there was nothing.
    is_starved: bool,
    wants_up_since: Option<Instant>,
    up: Option<Up>,
    down: Option<Down>,
    /// Upgrades in a row that did not last, and the estimate of the last one.
    failures: u8,
    failed: Bitrate,
}

/// When a subscription got a higher step, and the estimate that allowed it.
#[derive(Debug, Clone, Copy)]
struct Up {
    at: Instant,
    estimate: Bitrate,
}

/// When a subscription got a lower step for want of rate.
#[derive(Debug, Clone, Copy)]
struct Down {
    at: Instant,
    /// The estimate then, if it had not fallen since the upgrade: what is sent had become more, as it does
    /// while a layer's rate is being learnt. Then nothing is known against the path, and a probe that shows
    /// [`RECOVERED_PERCENT`] of it need not wait.
    unfallen: Option<Bitrate>,
}

/// The working state of one allocation, by demand.
#[derive(Debug, Clone, Copy)]
struct Row {
    ladder: Ladder,
    /// Index of the present step; `None` when it has nothing.
    present: Option<usize>,
    /// The highest step that it may get.
    cap: Option<usize>,
    chosen: Option<usize>,
    may_rise: bool,
}

/// Divides one subscriber's estimate. `K` names subscriptions.
#[derive(Debug)]
pub struct Allocator<K> {
    estimate: Bitrate,
    probed_at: Option<Instant>,
    is_probe_new: bool,
    is_assumed: bool,
    allocated_at: Option<Instant>,
    is_outdated: bool,
    held: Vec<Held<K>>,
    /// The next `held`; swapped, so that nothing is allocated.
    spare: Vec<Held<K>>,
    rows: Vec<Row>,
    decisions: Vec<Decision<K>>,
    allocated: Bitrate,
    desired: Bitrate,
}

impl<K: Copy + Eq> Allocator<K> {
    /// Nothing is wanted yet.
    #[must_use]
    pub fn new(estimate: Bitrate) -> Self {
        Self {
            estimate,
            probed_at: None,
            is_probe_new: false,
            is_assumed: false,
            allocated_at: None,
            is_outdated: false,
            held: Vec::new(),
            spare: Vec::new(),
            rows: Vec::new(),
            decisions: Vec::new(),
            allocated: Bitrate(0),
            desired: Bitrate(0),
        }
    }

    /// Takes an estimate; call [`Self::allocate`] for its effect.
    pub fn handle_estimate(&mut self, estimate: Bitrate, basis: Basis) {
        self.estimate = estimate;
        self.is_probe_new |= basis == Basis::Probed;
        self.is_assumed = basis == Basis::Assumed;
    }

    /// Decides what each demand gets. `demands` come by falling importance, `audio` is what sound takes.
    /// Within [`INTERVAL`] of the last time the decisions are still those of then.
    pub fn allocate(
        &mut self,
        now: Instant,
        audio: Bitrate,
        demands: &[Demand<'_, K>],
    ) -> &[Decision<K>] {
        if self.allocated_at.is_some_and(|last| now < last + INTERVAL) {
            self.is_outdated = true;
            return &self.decisions;
        }
        self.allocated_at = Some(now);
        self.is_outdated = false;
        if std::mem::take(&mut self.is_probe_new) {
            self.probed_at = Some(now);
        }
        let demands = &demands[..demands.len().min(DEMANDS_MAX)];
        self.begin(now, demands);
        self.plan(audio);
        if self.hold_back(now) {
            self.plan(audio);
        }
        self.finish(now, audio, demands);
        &self.decisions
    }

    /// Whether nothing was wanted at the last allocation.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.decisions.is_empty()
    }

    /// When another allocation may come to something else although nothing has changed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let last = self.allocated_at?;
        if self.is_outdated || self.is_probe_new {
            return Some(last + INTERVAL);
        }
        self.held
            .iter()
            .filter_map(|held| {
                let lasting = held.wants_up_since? + LASTING;
                Some(
                    held.up_due(self.estimate)
                        .map_or(lasting, |due| due.max(lasting)),
                )
            })
            .min()
            .map(|due| due.max(last + INTERVAL))
    }

    /// What is sent now by the decisions, sound included.
    #[must_use]
    pub fn allocated(&self) -> Bitrate {
        self.allocated
    }

    /// What would be used if the path carried it, with the headroom that an upgrade needs. For
    /// [`set_desired`](super::congestion::Estimator::set_desired).
    #[must_use]
    pub fn desired(&self) -> Bitrate {
        self.desired
    }

    /// Matches demands with what is remembered, and makes their ladders.
    fn begin(&mut self, now: Instant, demands: &[Demand<'_, K>]) {
        self.rows.clear();
        self.spare.clear();
        // Most have a picture or two, and a vector's own first step is four.
        self.rows.reserve_exact(demands.len());
        self.spare.reserve_exact(demands.len());
        for (index, demand) in demands.iter().enumerate() {
            let wish = (demand.width, demand.height, demand.is_paused);
            let mut held = self.remember(index, demand.id);
            let is_new_wish = held.wish != wish;
            held.wish = wish;
            if is_new_wish {
                held.down = None;
                held.up = None;
                held.failures = 0;
            }
            let last = held.up.map(|up| up.at).max(held.down.map(|down| down.at));
            if last.is_some_and(|last| now >= last + FORGOTTEN) {
                held.failures = 0;
            }
            let ladder = Ladder::of(demand);
            self.rows.push(Row {
                ladder,
                present: held.present.and_then(|step| ladder.nearest(step)),
                cap: ladder.top(),
                chosen: None,
                may_rise: is_new_wish || (held.present.is_none() && !held.is_starved),
            });
            self.spare.push(held);
        }
        std::mem::swap(&mut self.held, &mut self.spare);
    }

    fn remember(&self, index: usize, id: K) -> Held<K> {
        let same = |held: &&Held<K>| held.id == id;
        self.held
            .get(index)
            .filter(same)
            .or_else(|| self.held.iter().find(same))
            .copied()
            .unwrap_or(Held {
                id,
                wish: (0, 0, true),
                present: None,
                is_starved: false,
                wants_up_since: None,
                up: None,
                down: None,
                failures: 0,
                failed: Bitrate(0),
            })
    }

    /// Chooses steps within the estimate.
    fn plan(&mut self, audio: Bitrate) {
        let budget = self.estimate.0;
        let mut total = audio.0;
        let mut is_granted = self.is_assumed;
        for row in &mut self.rows {
            row.chosen = None;
            let bottom = row.ladder.bottom();
            let is_first = bottom.is_some() && std::mem::take(&mut is_granted);
            let budget = if is_first { u64::MAX } else { budget };
            row.raise(bottom, (budget, LOWEST_OVERSHOOT_PERCENT), &mut total);
        }
        for row in &mut self.rows {
            let top_of_bottom = row.ladder.top_of_bottom();
            row.raise(top_of_bottom, (budget, OVERSHOOT_PERCENT), &mut total);
        }
        for row in &mut self.rows {
            let top = row.ladder.top();
            row.raise(top, (budget, OVERSHOOT_PERCENT), &mut total);
        }
    }

    /// Finds upgrades whose time has not come and caps them; returns whether there are any.
    fn hold_back(&mut self, now: Instant) -> bool {
        let is_probed = self.probed_at.is_some_and(|at| now < at + PROBED);
        let mut is_any = false;
        for (row, held) in self.rows.iter_mut().zip(&mut self.held) {
            if row.chosen <= row.present {
                held.wants_up_since = None;
                row.cap = row.present.max(row.chosen);
                continue;
            }
            let since = *held.wants_up_since.get_or_insert(now);
            let is_lasting = is_probed || now >= since + LASTING;
            let due = if is_probed {
                held.probed_due(self.estimate)
            } else {
                held.up_due(self.estimate)
            };
            let is_due = due.is_none_or(|due| now >= due);
            let is_time = row.may_rise || (is_lasting && is_due);
            if !is_time {
                row.cap = row.present;
                is_any = true;
            }
        }
        is_any
    }

    /// Remembers the plan and makes decisions of it.
    fn finish(&mut self, now: Instant, audio: Bitrate, demands: &[Demand<'_, K>]) {
        self.decisions.clear();
        self.decisions.reserve_exact(demands.len());
        let (mut total, mut most) = (audio.0, audio.0);
        let mut is_best = true;
        for ((row, held), demand) in self.rows.iter().zip(&mut self.held).zip(demands) {
            held.apply(row, now, self.estimate);
            let top = row.ladder.top();
            is_best &= row.chosen == top;
            total += row.rate(row.chosen);
            most += row.rate(top);
            self.decisions.push(Decision {
                id: demand.id,
                target: row.ladder.target(row.chosen),
                limited_by: if demand.is_paused {
                    None
                } else if row.chosen < top {
                    Some(LimitedBy::Bandwidth)
                } else {
                    (!row.ladder.is_enough()).then_some(LimitedBy::Publisher)
                },
            });
        }
        self.allocated = Bitrate(total);
        // A little more than the headroom, lest a probe's result fall short of it by a hair.
        let factor = if is_best { 100 } else { HEADROOM_PERCENT + 102 };
        // What is there may cost more for the moment than the better layer would.
        self.desired = Bitrate(most.max(total).saturating_mul(factor) / 100);
    }
}

impl Row {
    fn rate(&self, index: Option<usize>) -> u64 {
        index.map_or(0, |index| self.ladder.step(index).rate.0)
    }

    /// Takes the highest step up to `limit` that fits; what one has may exceed the budget by so many per cent.
    fn raise(&mut self, limit: Option<usize>, (budget, overshoot): (u64, u64), total: &mut u64) {
        let (Some(limit), Some(cap)) = (limit, self.cap) else {
            return;
        };
        let others = *total - self.rate(self.chosen);
        let lowest = self.chosen.map_or(0, |chosen| chosen + 1);
        for index in (lowest..=limit.min(cap)).rev() {
            let sum = others.saturating_add(self.rate(Some(index)));
            let fits = if Some(index) <= self.present {
                percent(budget, 100 + overshoot) >= sum
            } else {
                budget >= percent(sum, 100 + HEADROOM_PERCENT)
            };
            if fits {
                self.chosen = Some(index);
                *total = sum;
                return;
            }
        }
    }
}

impl<K> Held<K> {
    /// When it may get a higher step again, the estimate being what it is.
    fn up_due(&self, estimate: Bitrate) -> Option<Instant> {
        let after_up = self.up.map(|up| up.at + UP_INTERVAL);
        after_up.max(self.down_due(estimate))
    }

    /// The same after a downgrade alone.
    fn down_due(&self, estimate: Bitrate) -> Option<Instant> {
        let is_another = estimate.0 >= percent(self.failed.0, RECOVERED_PERCENT);
        let failures = if is_another { 0 } else { self.failures };
        let interval = if self.is_starved {
            STARVED_INTERVAL
        } else {
            DOWN_INTERVAL
        };
        self.down.map(|down| down.at + interval * (1 << failures))
    }

    /// The same when a probe has shown the estimate.
    fn probed_due(&self, estimate: Bitrate) -> Option<Instant> {
        let is_news = self
            .down
            .and_then(|down| down.unfallen)
            .is_some_and(|then| estimate.0 >= percent(then.0, RECOVERED_PERCENT));
        if is_news {
            None
        } else {
            self.down_due(estimate)
        }
    }

    fn apply(&mut self, row: &Row, now: Instant, estimate: Bitrate) {
        let is_paused = self.wish.2;
        if row.ladder.top().is_none() && !is_paused {
            // Nothing comes in for the moment; what it had it has again afterwards.
            return;
        }
        if row.chosen > row.present {
            self.up = Some(Up { at: now, estimate });
            self.wants_up_since = None;
        } else if row.chosen < row.present {
            let before = self.up.map(|up| up.estimate);
            let before = before.or_else(|| self.down.and_then(|down| down.unfallen));
            let unfallen = before.is_some_and(|before| estimate >= before);
            // One upgrade fails once, however many steps it goes down again.
            if let Some(up) = self.up.take_if(|up| now < up.at + FAILED_WITHIN) {
                self.failures = (self.failures + 1).min(FAILURES_MAX);
                self.failed = up.estimate;
            }
            self.down = Some(Down {
                at: now,
                unfallen: unfallen.then_some(estimate),
            });
        }
        self.is_starved = row.chosen.is_none() && !is_paused;
        self.present = row.chosen.map(|index| row.ladder.step(index));
    }
}

fn percent(value: u64, percent: u64) -> u64 {
    value.saturating_mul(percent) / 100
}
