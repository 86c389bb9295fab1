//! Notices to operators: the same trouble is told once per interval.

use crate::model::EventId;
use kaiwa_common::limits::NOTIFY_NOTICE_KEYS;
use kaiwa_common::time::UnixMs;
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two notices of the same trouble.
pub const INTERVAL: Duration = Duration::from_secs(15 * 60);

/// What was told when.
#[derive(Debug, Default)]
pub struct Notices {
    told: BTreeMap<String, Told>,
}

#[derive(Debug)]
struct Told {
    event: EventId,
    at: UnixMs,
    since: u32,
}

impl Notices {
    /// Whether to tell this: `Some` with how many of its kind were not told since the last one.
    pub fn admit(&mut self, key: &str, event: EventId, now: UnixMs) -> Option<u32> {
        if let Some(told) = self.told.get_mut(key) {
            // The same event again, because its first delivery was not finished.
            if told.event == event {
                return Some(0);
            }
            if now < told.at.plus(INTERVAL) {
                told.since = told.since.saturating_add(1);
                return None;
            }
        }
        if self.told.len() >= NOTIFY_NOTICE_KEYS && !self.told.contains_key(key) {
            let oldest = self.told.iter().min_by_key(|(_, told)| told.at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.told.remove(&oldest);
            }
        }
        let told = Told {
            event,
            at: now,
            since: 0,
        };
        let before = self.told.insert(key.to_owned(), told);
        Some(before.map_or(0, |before| before.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn equal_keys_are_told_once_an_interval_with_how_many_there_were() {
        let mut notices = Notices::default();
        let id = |n| EventId(Uuid::from_u128(n));
        assert_eq!(notices.admit("disk", id(1), UnixMs(0)), Some(0));
        assert_eq!(notices.admit("disk", id(1), UnixMs(1)), Some(0), "a repeat");
        assert_eq!(notices.admit("disk", id(2), UnixMs(2)), None);
        assert_eq!(notices.admit("disk", id(3), UnixMs(3)), None);
        assert_eq!(notices.admit("cpu", id(4), UnixMs(3)), Some(0));
        assert_eq!(notices.admit("disk", id(5), UnixMs(900_000)), Some(2));
    }

    #[test]
    fn keys_are_bounded() {
        let mut notices = Notices::default();
        for n in 0..=NOTIFY_NOTICE_KEYS {
            let id = EventId(Uuid::from_u128(n as u128));
            notices.admit(&n.to_string(), id, UnixMs(n as i64));
        }
        assert_eq!(notices.told.len(), NOTIFY_NOTICE_KEYS);
        assert!(!notices.told.contains_key("0"));
    }
}
