//! One direction of a path: a queue before a bottleneck, then delay, and what goes wrong on the way.

use crate::random::Random;

/// What a path does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) loss_permille: u64,
    pub(crate) duplicate_permille: u64,
    /// So many are held back and overtaken.
    pub(crate) late_permille: u64,
    pub(crate) delay_us: u64,
    pub(crate) jitter_us: u64,
    pub(crate) rate_bps: u64,
    /// What waits longer at the bottleneck is dropped.
    pub(crate) queue_us: u64,
}

impl Weather {
    pub(crate) const FINE: Self = Self {
        loss_permille: 0,
        duplicate_permille: 0,
        late_permille: 0,
        delay_us: 15_000,
        jitter_us: 500,
        rate_bps: 20_000_000,
        queue_us: 300_000,
    };

    pub(crate) fn bad(random: &mut Random) -> Self {
        let pick =
            |random: &mut Random, of: [u64; 4]| of[usize::try_from(random.below(4)).unwrap()];
        Self {
            loss_permille: pick(random, [0, 10, 50, 100]),
            duplicate_permille: pick(random, [0, 5, 20, 50]),
            late_permille: pick(random, [0, 0, 10, 50]),
            delay_us: pick(random, [2_000, 15_000, 50_000, 120_000]),
            jitter_us: pick(random, [0, 1_000, 5_000, 30_000]),
            rate_bps: pick(random, [300_000, 800_000, 2_000_000, 10_000_000]),
            queue_us: pick(random, [60_000, 150_000, 300_000, 600_000]),
        }
    }
}

/// One direction.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) weather: Weather,
    free_us: u64,
    newest_us: u64,
    pub(crate) lost: u64,
    /// Of all datagrams that were not.
    pub(crate) bytes: u64,
}

/// IP's and UDP's headers.
const OVERHEAD: u64 = 28;

impl Link {
    pub(crate) fn new(weather: Weather) -> Self {
        Self {
            weather,
            free_us: 0,
            newest_us: 0,
            lost: 0,
            bytes: 0,
        }
    }

    /// When a datagram that leaves now arrives: not at all, once or twice.
    pub(crate) fn pass(&mut self, random: &mut Random, now_us: u64, bytes: u64) -> Vec<u64> {
        let weather = self.weather;
        let start = self.free_us.max(now_us);
        if start - now_us > weather.queue_us || random.permille(weather.loss_permille) {
            self.lost += 1;
            return Vec::new();
        }
        self.bytes += bytes;
        self.free_us = start + (bytes + OVERHEAD) * 8_000_000 / weather.rate_bps;
        let jitter = random.below(weather.jitter_us + 1);
        let arrival = (self.free_us + weather.delay_us + jitter).max(self.newest_us);
        let mut arrivals = vec![arrival];
        if random.permille(weather.late_permille) {
            arrivals[0] += random.below(60_000);
        } else {
            self.newest_us = arrival;
        }
        if random.permille(weather.duplicate_permille) {
            arrivals.push(arrival + random.below(30_000));
        }
        arrivals
    }
}
