//! Groups of packets that left together, and how their spacing changed on the way
//! (draft-ietf-rmcat-gcc-02, section 5.2; grouping as libwebrtc's `InterArrivalDelta`).

/// Packets that left within this time are one group (draft, section 5.2). Shorter, and the pacer's own
/// spacing is measured; longer, and there are too few measurements.
const GROUP_US: u64 = 5_000;

/// Packets that arrive closer than this while their spacing shrinks were held up together on the way,
/// by Wi-Fi say, and belong to one group.
const BURST_US: i64 = 5_000;

/// A group that was held up together is no longer than this, lest it swallow everything.
const MAX_BURST_US: i64 = 100_000;

/// Groups that arrive before their predecessor, after which the filter starts over: the order on this
/// path has changed.
const REORDERED_MAX: u8 = 3;

/// How two neighbouring groups' spacing changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spacing {
    /// Between the groups' departures, in ms.
    pub(super) sent_ms: f64,
    /// Between their arrivals, in ms.
    pub(super) arrived_ms: f64,
    /// When the later one had arrived, in µs of the receiver's clock.
    pub(super) at_us: i64,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent_us: u64,
    last_sent_us: u64,
    first_arrival_us: i64,
    last_arrival_us: i64,
}

impl Group {
    fn of(sent_us: u64, arrival_us: i64) -> Self {
        Self {
            first_sent_us: sent_us,
            last_sent_us: sent_us,
            first_arrival_us: arrival_us,
            last_arrival_us: arrival_us,
        }
    }

    fn takes(&self, sent_us: u64, arrival_us: i64) -> bool {
        if sent_us - self.first_sent_us <= GROUP_US {
            return true;
        }
        let sent = i64::try_from(sent_us.saturating_sub(self.last_sent_us)).unwrap_or(i64::MAX);
        let arrived = arrival_us - self.last_arrival_us;
        arrived < sent && arrived <= BURST_US && arrival_us - self.first_arrival_us < MAX_BURST_US
    }
}

/// Sorts packets into groups.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    previous: Option<Group>,
    current: Option<Group>,
    reordered: u8,
}

impl Arrivals {
    /// Takes a packet that arrived; returns the spacing of the two groups before it when it begins a
    /// new one.
    pub(super) fn handle(&mut self, sent_us: u64, arrival_us: i64) -> Option<Spacing> {
        let Some(current) = &mut self.current else {
            self.current = Some(Group::of(sent_us, arrival_us));
            return None;
        };
        if sent_us < current.first_sent_us {
            // It was overtaken: its group has been judged.
            return None;
        }
        if current.takes(sent_us, arrival_us) {
            current.last_sent_us = current.last_sent_us.max(sent_us);
            current.last_arrival_us = current.last_arrival_us.max(arrival_us);
            return None;
        }
        let done = std::mem::replace(current, Group::of(sent_us, arrival_us));
        let before = self.previous.replace(done)?;
        let arrived_us = done.last_arrival_us - before.last_arrival_us;
        if arrived_us < 0 {
            self.reordered += 1;
            if self.reordered >= REORDERED_MAX {
                *self = Self::default();
            }
            return None;
        }
        self.reordered = 0;
        Some(Spacing {
            sent_ms: done.last_sent_us.saturating_sub(before.last_sent_us) as f64 / 1_000.0,
            arrived_ms: arrived_us as f64 / 1_000.0,
            at_us: done.last_arrival_us,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spacings(packets: &[(u64, i64)]) -> Vec<(f64, f64)> {
        let mut arrivals = Arrivals::default();
        packets
            .iter()
            .filter_map(|&(sent_ms, arrival_ms)| {
                arrivals.handle(sent_ms * 1_000, arrival_ms * 1_000)
            })
            .map(|spacing| (spacing.sent_ms, spacing.arrived_ms))
            .collect()
    }

    #[test]
    fn packets_that_left_within_five_ms_are_one_group() {
        let found = spacings(&[(0, 50), (3, 53), (20, 75), (22, 78), (40, 90)]);
        assert_eq!(found, vec![(19.0, 25.0)]);
    }

    #[test]
    fn packets_that_were_held_up_together_are_one_group() {
        let found = spacings(&[
            (0, 50),
            (20, 100),
            (30, 101),
            (40, 102),
            (60, 120),
            (80, 140),
        ]);
        assert_eq!(found, vec![(40.0, 52.0), (20.0, 18.0)]);
    }

    #[test]
    fn an_overtaken_packet_changes_nothing() {
        let found = spacings(&[(0, 50), (20, 70), (10, 71), (40, 90)]);
        assert_eq!(found, vec![(20.0, 20.0)]);
    }

    #[test]
    fn a_new_order_on_the_path_starts_over() {
        let mut arrivals = Arrivals::default();
        for step in 0..6_u64 {
            let arrival = 1_000_000 - i64::try_from(step * 20_000).expect("small");
            assert_eq!(arrivals.handle(step * 20_000, arrival), None);
        }
        assert!(arrivals.previous.is_none() || arrivals.reordered < REORDERED_MAX);
    }
}
