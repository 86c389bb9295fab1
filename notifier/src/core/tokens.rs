//! When a device is forgotten because its provider says so.
//!
//! | provider's word | the device |
//! |---|---|
//! | unregistered, with a time (APNs 410) | removed, unless it was registered later than that |
//! | unregistered (FCM 404 `UNREGISTERED`, Web Push 404 and 410) | removed |
//! | bad token | the first time left alone for a week; the second time removed |
//! | any of them, while more than 5 % of a minute's pushes end so | kept: we are set up wrongly, they are not dead |

use super::settings::Device;
use crate::model::Outcome;
use kaiwa_common::time::UnixMs;
use std::time::Duration;

/// What becomes of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Keep,
    /// It is removed, if its address is still the one that was registered then.
    Prune,
    /// Nothing is sent to it before this.
    Quarantine(UnixMs),
}

/// How long a device is left alone after its first bad token.
pub const QUARANTINE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Pushes in a minute from which on the share counts.
const PUSHES: u32 = 50;

/// Of a hundred pushes: so many may end with an invalid token.
const PERCENT: u32 = 5;

/// For how long after the last minute with too many nothing is removed.
const HALT: Duration = Duration::from_secs(10 * 60);

const SLOT_MS: i64 = 5_000;

/// Watches over one channel's removals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens {
    /// The last minute in slots; index 0 is the newest: pushes, and those with an invalid token.
    window: [(u32, u32); 12],
    newest: i64,
    halted: Option<UnixMs>,
}

/// What was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// What becomes of the device.
    pub fate: Fate,
    /// From now on nothing is removed: somebody should look.
    pub is_alarm: bool,
}

impl Tokens {
    /// What becomes of the device to which a push ended so.
    pub fn judge(&mut self, device: &Device, outcome: &Outcome, now: UnixMs) -> Judgement {
        let fate = match outcome {
            // Nothing was learned about the token.
            Outcome::Throttled { .. } | Outcome::Transient { .. } | Outcome::AuthFailed { .. } => {
                return Judgement {
                    fate: Fate::Keep,
                    is_alarm: false,
                };
            }
            Outcome::Accepted { .. } | Outcome::TooLarge { .. } | Outcome::Rejected { .. } => {
                Fate::Keep
            }
            Outcome::Unregistered { since } => match since {
                Some(since) if *since <= device.registered => Fate::Keep,
                Some(_) | None => Fate::Prune,
            },
            Outcome::BadToken { .. } if device.strikes == 0 => {
                Fate::Quarantine(now.plus(QUARANTINE))
            }
            Outcome::BadToken { .. } => Fate::Prune,
        };
        let is_alarm = self.count(fate != Fate::Keep, now);
        let fate = if self.is_halted(now) {
            Fate::Keep
        } else {
            fate
        };
        Judgement { fate, is_alarm }
    }

    /// Nothing is removed now.
    #[must_use]
    pub fn is_halted(&self, now: UnixMs) -> bool {
        // Further away than a halt lasts it is of before the clock was set back.
        self.halted
            .is_some_and(|until| now < until && until.since(now) <= 2 * HALT)
    }

    fn count(&mut self, is_invalid: bool, now: UnixMs) -> bool {
        let slot = now.0.div_euclid(SLOT_MS);
        if self.newest.saturating_sub(slot) > 12 {
            // The clock was set back by more than a minute.
            self.window = Default::default();
            self.newest = slot;
        }
        let passed = usize::try_from(slot.saturating_sub(self.newest)).unwrap_or(0);
        let passed = passed.min(self.window.len());
        self.window.rotate_right(passed);
        for old in &mut self.window[..passed] {
            *old = (0, 0);
        }
        self.newest = self.newest.max(slot);
        self.window[0].0 += 1;
        self.window[0].1 += u32::from(is_invalid);
        let pushes: u32 = self.window.iter().map(|slot| slot.0).sum();
        let invalid: u32 = self.window.iter().map(|slot| slot.1).sum();
        if pushes < PUSHES || invalid * 100 <= pushes * PERCENT {
            return false;
        }
        let was_halted = self.is_halted(now);
        self.halted = Some(now.plus(HALT));
        !was_halted
    }
}
