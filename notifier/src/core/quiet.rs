//! Quiet hours: by the clock on a device's wall, over changes of that clock.
//!
//! The window of a local day begins at the first instant at which that wall shows `from` or later, and
//! ends at the last at which it gets to `to`. So
//! - a bound in the hour that spring leaves out is at the change itself;
//! - of an hour that autumn has twice, a window takes what is longer: it begins at the first and ends at
//!   the second, and is not interrupted in between.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, ToSpan as _};
use kaiwa_common::time::UnixMs;

/// When a device is to be quiet, every day. A window with `from` after `to` goes over midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietHours {
    from: Minute,
    to: Minute,
    zone: TimeZone,
    lets: Lets,
}

/// What comes through quiet hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lets {
    /// Calls ring.
    pub calls: bool,
    /// Mentions are shown.
    pub mentions: bool,
}

/// A minute of a day, 0 to 1,439.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Minute(u16);

/// Why there are no such quiet hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuietHours {
    /// A minute of a day is less than 1,440.
    #[error("not a minute of a day")]
    Minute,
    /// They begin when they end.
    #[error("quiet hours begin and end at the same minute")]
    Empty,
    /// The IANA database that was built in does not have it.
    #[error("not a time zone of the IANA database")]
    Zone,
}

impl Minute {
    /// Of the day, in minutes since midnight.
    ///
    /// # Errors
    /// [`InvalidQuietHours::Minute`] from 1,440 on.
    pub fn new(minute: u32) -> Result<Self, InvalidQuietHours> {
        match u16::try_from(minute) {
            Ok(minute) if minute < 24 * 60 => Ok(Self(minute)),
            Ok(_) | Err(_) => Err(InvalidQuietHours::Minute),
        }
    }

    /// Minutes since midnight.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }

    fn time(self) -> Time {
        let hour = i8::try_from(self.0 / 60).expect("less than 24");
        let minute = i8::try_from(self.0 % 60).expect("less than 60");
        Time::constant(hour, minute, 0, 0)
    }
}

impl QuietHours {
    /// From one minute to another, in this zone. They let nothing through.
    ///
    /// # Errors
    /// [`InvalidQuietHours`]: the window is empty, or the zone is not known.
    pub fn new(from: Minute, to: Minute, zone: &str) -> Result<Self, InvalidQuietHours> {
        if from == to {
            return Err(InvalidQuietHours::Empty);
        }
        // IANA names have at most 14 characters in a part, and three parts.
        if zone.len() > 64 {
            return Err(InvalidQuietHours::Zone);
        }
        let zone = TimeZone::get(zone).map_err(|_| InvalidQuietHours::Zone)?;
        if zone.iana_name().is_none() {
            return Err(InvalidQuietHours::Zone);
        }
        Ok(Self {
            from,
            to,
            zone,
            lets: Lets::default(),
        })
    }

    /// The same, which let this through.
    #[must_use]
    pub fn letting(self, lets: Lets) -> Self {
        Self { lets, ..self }
    }

    /// What comes through them.
    #[must_use]
    pub fn lets(&self) -> Lets {
        self.lets
    }

    /// When they begin.
    #[must_use]
    pub fn from(&self) -> Minute {
        self.from
    }

    /// When they end.
    #[must_use]
    pub fn to(&self) -> Minute {
        self.to
    }

    /// By whose clock: the IANA database's name.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// When the window ends that this time is in; `None` when it is in none.
    #[must_use]
    pub fn end(&self, now: UnixMs) -> Option<UnixMs> {
        // Beyond the calendar's ends nobody is to be woken or spared.
        let now = Timestamp::from_millisecond(now.0).ok()?;
        let today = self.zone.to_datetime(now).date();
        let days = [today.yesterday().ok(), Some(today), today.tomorrow().ok()];
        days.into_iter()
            .flatten()
            .filter_map(|day| self.window(day))
            .filter(|(begin, end)| *begin <= now && now < *end)
            .map(|(_, end)| UnixMs(end.as_millisecond()))
            .max()
    }

    fn window(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        let last_day = if self.from < self.to {
            day
        } else {
            day.checked_add(1.day()).ok()?
        };
        let begin = self.instant(day.to_datetime(self.from.time()), Of::TwoTheFirst)?;
        let end = self.instant(last_day.to_datetime(self.to.time()), Of::TwoTheLast)?;
        Some((begin, end))
    }

    /// When the wall's clock shows this.
    fn instant(&self, shown: DateTime, which: Of) -> Option<Timestamp> {
        let at = |offset: Offset| offset.to_timestamp(shown).ok();
        match self.zone.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => at(offset),
            AmbiguousOffset::Fold { before, after } => match which {
                Of::TwoTheFirst => at(before),
                Of::TwoTheLast => at(after),
            },
            AmbiguousOffset::Gap { before, .. } => {
                // As if the clock had not been changed, it is at the change or later, and before the next.
                let late = at(before)?.checked_add(SignedDuration::from_secs(1)).ok()?;
                self.zone
                    .preceding(late)
                    .next()
                    .map(|change| change.timestamp())
            }
        }
    }
}

/// Which instant of an hour that is there twice.
enum Of {
    TwoTheFirst,
    TwoTheLast,
}
