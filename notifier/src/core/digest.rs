//! A room that is busy: the first messages come one by one, what follows comes as one push with a count.

use kaiwa_common::time::UnixMs;
use std::time::Duration;

/// When a room counts as busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestRule {
    /// Pushes of one room that go out at once within the window.
    pub pushes: u32,
    /// The window, from its first push on. What is gathered goes out at its end.
    pub window: Duration,
}

impl Default for DigestRule {
    /// Three in a minute: a phone that buzzes more often is put away.
    fn default() -> Self {
        Self {
            pushes: 3,
            window: Duration::from_secs(60),
        }
    }
}

/// What a person was told of a room lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recent {
    /// When the window began.
    pub began: UnixMs,
    /// Pushes in it.
    pub pushes: u32,
}

/// What to do with one more message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gather {
    /// Push it; this was told then.
    Push(Recent),
    /// Keep it until then.
    Hold(UnixMs),
}

impl DigestRule {
    /// What to do with one more message of a room.
    #[must_use]
    pub fn gather(self, recent: Option<Recent>, now: UnixMs) -> Gather {
        match recent {
            // A clock that was set back must not hold for longer than a window.
            Some(recent) if now >= recent.began && now < recent.began.plus(self.window) => {
                if recent.pushes < self.pushes {
                    Gather::Push(Recent {
                        pushes: recent.pushes + 1,
                        ..recent
                    })
                } else {
                    Gather::Hold(recent.began.plus(self.window))
                }
            }
            Some(_) | None => Gather::Push(Recent {
                began: now,
                pushes: 1,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_three_pushes_and_one_at_the_windows_end() {
        let rule = DigestRule::default();
        let mut recent = None;
        let mut held = 0;
        for second in 0..60 {
            match rule.gather(recent, UnixMs(second * 1_000)) {
                Gather::Push(now) => recent = Some(now),
                Gather::Hold(until) => {
                    assert_eq!(until, UnixMs(60_000));
                    held += 1;
                }
            }
        }
        assert_eq!((recent.map(|r| r.pushes), held), (Some(3), 57));
        let after = rule.gather(recent, UnixMs(60_000));
        assert!(matches!(after, Gather::Push(Recent { pushes: 1, .. })));
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing() {
        let recent = Recent {
            began: UnixMs(1_000_000),
            pushes: 3,
        };
        let now = DigestRule::default().gather(Some(recent), UnixMs(5));
        assert!(matches!(now, Gather::Push(_)));
    }
}
