//! A provider's breaker: when it is of no use to send, nobody sends, but for one that tries.
//!
//! ```text
//!            auth error, or more than half of the last minute's failed
//!   Closed ───────────────────────────────────────────────────────────► Open{until}
//!      ▲                                                                  │     ▲
//!      │ the probe was answered                              time is up   ▼     │ it failed: twice as long
//!      └──────────────────────────────────────────────────────────────── Probing
//! ```

use kaiwa_common::time::UnixMs;
use std::time::Duration;

/// What an attempt says of its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answered, whatever it said of the push.
    Well,
    /// No connection, time-out, 5xx.
    Ill,
    /// It does not know us.
    Refused,
}

/// Why it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It does not know us: somebody has to mend it.
    Refused,
    /// It fails.
    Ill,
}

/// Whether to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// Yes.
    Send,
    /// Yes, and the breaker waits for what becomes of it.
    Probe,
    /// Ask again then.
    Wait(UnixMs),
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It opened, or stays open for longer.
    Opened(Cause),
    /// It closed.
    Closed,
}

/// What a breaker that is not closed does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// One push tries whether the provider is well again.
    HalfOpen,
    /// Nothing is sent.
    Open,
    /// Nothing is sent: the provider does not know us, and somebody has to mend that.
    Unauthorized,
}

/// The breaker of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Breaker {
    state: State,
    /// The last minute by tens of seconds; index 0 is the newest.
    window: [Counts; 6],
    newest: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Closed,
    Open {
        until: UnixMs,
        wait: Duration,
        cause: Cause,
    },
    Probing {
        since: UnixMs,
        wait: Duration,
        cause: Cause,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    all: u32,
    ill: u32,
}

/// Attempts in a minute of which more than half have to fail. With fewer, one dead network packet would
/// stop a quiet server; with more, a message of a quiet server would use up its receives first.
const ATTEMPTS: u32 = 4;

/// The first wait; it doubles with each probe that fails.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// The longest: so much later than the provider's return everything goes on.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

/// A probe that says nothing for so long has been lost with its task; another one may try.
const PROBE: Duration = Duration::from_secs(60);

/// Who comes while a probe is under way asks again after this: it is usually answered by then, and what waits for it
/// elsewhere than in memory hears nothing of that.
const PROBED: Duration = Duration::from_secs(3);

const SLOT_MS: i64 = 10_000;

/// A time that is further away than any breaker waits has come: the clock was set back.
fn is_due(until: UnixMs, now: UnixMs) -> bool {
    now >= until || until.since(now) > 2 * LONGEST_WAIT
}

/// When to ask again during a probe.
fn probed(since: UnixMs, now: UnixMs) -> UnixMs {
    since.plus(PROBE).min(now.plus(PROBED))
}

impl Breaker {
    /// Whether to send now.
    pub fn admit(&mut self, now: UnixMs) -> Admit {
        match self.state {
            State::Closed => Admit::Send,
            State::Open { until, wait, cause } if is_due(until, now) => {
                self.state = State::Probing {
                    since: now,
                    wait,
                    cause,
                };
                Admit::Probe
            }
            State::Open { until, .. } => Admit::Wait(until),
            State::Probing { since, wait, cause } if is_due(since.plus(PROBE), now) => {
                self.state = State::Probing {
                    since: now,
                    wait,
                    cause,
                };
                Admit::Probe
            }
            State::Probing { since, .. } => Admit::Wait(probed(since, now)),
        }
    }

    /// When [`admit`](Self::admit) would next say something else than wait; `None` when it would now.
    #[must_use]
    pub fn waits(&self, now: UnixMs) -> Option<UnixMs> {
        let until = match self.state {
            State::Closed => return None,
            State::Open { until, .. } => until,
            State::Probing { since, .. } if is_due(since.plus(PROBE), now) => return None,
            State::Probing { since, .. } => probed(since, now),
        };
        (!is_due(until, now)).then_some(until)
    }

    /// What it does, and when it would let one try next; `None` when it is closed.
    #[must_use]
    pub fn view(&self) -> Option<(BreakerState, UnixMs)> {
        match self.state {
            State::Closed => None,
            State::Open { until, cause, .. } => Some(match cause {
                Cause::Refused => (BreakerState::Unauthorized, until),
                Cause::Ill => (BreakerState::Open, until),
            }),
            State::Probing { since, .. } => Some((BreakerState::HalfOpen, since.plus(PROBE))),
        }
    }

    /// It lets nothing through, or one only.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// What became of an attempt that was admitted as `Send`. `roll` is any number.
    pub fn record(&mut self, health: Health, now: UnixMs, roll: u64) -> Option<Change> {
        // Those that were under way when it opened say nothing new.
        if self.is_open() {
            return None;
        }
        if health == Health::Refused {
            return Some(self.open(Cause::Refused, FIRST_WAIT, now, roll));
        }
        self.turn(now);
        self.window[0].all += 1;
        self.window[0].ill += u32::from(health == Health::Ill);
        let all: u32 = self.window.iter().map(|slot| slot.all).sum();
        let ill: u32 = self.window.iter().map(|slot| slot.ill).sum();
        (all >= ATTEMPTS && 2 * ill > all).then(|| self.open(Cause::Ill, FIRST_WAIT, now, roll))
    }

    /// What became of the probe; `None` when nothing was sent after all.
    pub fn record_probe(
        &mut self,
        health: Option<Health>,
        now: UnixMs,
        roll: u64,
    ) -> Option<Change> {
        let State::Probing { wait, cause, .. } = self.state else {
            return None;
        };
        let longer = wait.saturating_mul(2).min(LONGEST_WAIT);
        match health {
            None => {
                self.state = State::Open {
                    until: now,
                    wait,
                    cause,
                };
                None
            }
            Some(Health::Well) => {
                *self = Self::default();
                Some(Change::Closed)
            }
            Some(Health::Ill) => Some(self.open(Cause::Ill, longer, now, roll)),
            Some(Health::Refused) => Some(self.open(Cause::Refused, longer, now, roll)),
        }
    }

    fn open(&mut self, cause: Cause, wait: Duration, now: UnixMs, roll: u64) -> Change {
        // Up to a fifth more, so that several notifiers do not probe together.
        let fifth_ms = u64::try_from(wait.as_millis() / 5).unwrap_or(u64::MAX);
        let until = now.plus(wait + Duration::from_millis(roll % (fifth_ms + 1)));
        self.state = State::Open { until, wait, cause };
        self.window = Default::default();
        Change::Opened(cause)
    }

    fn turn(&mut self, now: UnixMs) {
        let slot = now.0.div_euclid(SLOT_MS);
        if self.newest.saturating_sub(slot) > 6 {
            // The clock was set back by more than a minute: what was counted is of no minute that can be told.
            self.window = Default::default();
            self.newest = slot;
        }
        // One that was set back by less counts into the newest.
        let passed = usize::try_from(slot.saturating_sub(self.newest)).unwrap_or(0);
        let passed = passed.min(self.window.len());
        self.window.rotate_right(passed);
        for old in &mut self.window[..passed] {
            *old = Counts::default();
        }
        self.newest = self.newest.max(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> UnixMs {
        UnixMs(second * 1_000)
    }

    #[test]
    fn more_than_half_of_a_minutes_attempts_open_it_and_half_does_not() {
        let mut breaker = Breaker::default();
        for second in 0..20 {
            assert_eq!(breaker.record(Health::Well, at(second), 0), None);
            assert_eq!(breaker.record(Health::Ill, at(second), 0), None);
        }
        let opened = breaker.record(Health::Ill, at(20), 0);
        assert_eq!(opened, Some(Change::Opened(Cause::Ill)));
        assert_eq!(breaker.admit(at(21)), Admit::Wait(at(25)));
    }

    #[test]
    fn failures_older_than_a_minute_do_not_count() {
        let mut breaker = Breaker::default();
        for second in [0, 100, 200, 300, 400] {
            assert_eq!(breaker.record(Health::Ill, at(second), 0), None);
        }
    }

    #[test]
    fn one_refusal_opens_it_and_one_good_probe_closes_it() {
        let mut breaker = Breaker::default();
        let opened = breaker.record(Health::Refused, at(0), 0);
        assert_eq!(opened, Some(Change::Opened(Cause::Refused)));
        let (refused, open) = (BreakerState::Unauthorized, BreakerState::Open);
        assert_eq!(breaker.view(), Some((refused, at(5))));
        assert_eq!(breaker.admit(at(5)), Admit::Probe);
        assert_eq!(breaker.view(), Some((BreakerState::HalfOpen, at(65))));
        assert_eq!(breaker.admit(at(6)), Admit::Wait(at(9)), "one at a time");
        breaker.record_probe(Some(Health::Ill), at(7), 0);
        assert_eq!(breaker.admit(at(16)), Admit::Wait(at(17)), "twice as long");
        assert_eq!(breaker.view(), Some((open, at(17))));
        assert_eq!(breaker.admit(at(17)), Admit::Probe);
        let closed = breaker.record_probe(Some(Health::Well), at(18), 0);
        assert_eq!(closed, Some(Change::Closed));
        assert_eq!(breaker.admit(at(18)), Admit::Send);
        assert_eq!(breaker.view(), None);
    }

    #[test]
    fn a_clock_that_is_set_back_by_a_day_does_not_close_a_provider_off_for_a_day() {
        const DAY: i64 = 24 * 3600;
        let mut breaker = Breaker::default();
        breaker.record(Health::Refused, at(DAY), 0);
        assert_eq!(
            breaker.waits(at(DAY - 60)),
            Some(at(DAY + 5)),
            "a bit is waited for"
        );
        assert_eq!(breaker.waits(at(0)), None);
        assert_eq!(breaker.admit(at(0)), Admit::Probe);
    }

    #[test]
    fn after_a_clock_was_set_back_by_hours_a_minute_is_a_minute_again() {
        const DAY: i64 = 24 * 3600;
        let mut breaker = Breaker::default();
        breaker.record(Health::Well, at(DAY), 0);
        for second in [0, 100, 200, 300, 400] {
            let opened = breaker.record(Health::Ill, at(second), 0);
            assert_eq!(opened, None, "one failure in a minute opens nothing");
        }
    }

    #[test]
    fn who_comes_during_a_probe_asks_again_soon() {
        let mut breaker = Breaker::default();
        breaker.record(Health::Refused, at(0), 0);
        assert_eq!(breaker.admit(at(5)), Admit::Probe);
        assert_eq!(breaker.admit(at(6)), Admit::Wait(at(9)));
        assert_eq!(breaker.waits(at(6)), Some(at(9)));
        assert_eq!(breaker.admit(at(64)), Admit::Wait(at(65)));
        breaker.record_probe(Some(Health::Well), at(64), 0);
        assert_eq!(breaker.admit(at(64)), Admit::Send);
    }

    #[test]
    fn a_probe_that_was_lost_is_followed_by_another() {
        let mut breaker = Breaker::default();
        breaker.record(Health::Refused, at(0), 0);
        assert_eq!(breaker.admit(at(5)), Admit::Probe);
        assert_eq!(breaker.admit(at(65)), Admit::Probe);
        breaker.record_probe(None, at(66), 0);
        assert_eq!(breaker.admit(at(66)), Admit::Probe);
    }
}
