//! Exact accounting of one stream as one subscriber gets it: each packet once, late, twice or never,
//! whatever sequence numbers the server gave it.
//!
//! A server may leave packets out on purpose (temporal layers, a stream that is paused or switched away
//! from); then its sequence numbers go on without a hole. A packet is *missing* when there is a hole,
//! and *skipped* when there is none.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// Counters remembered behind the greatest: 16 s of 250 packets/s. What comes later still is `stale`.
pub const WINDOW: u32 = 4_096;

/// Words of the window.
const WORDS: usize = 64;

/// How a packet got here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As media.
    Media,
    /// As a retransmission, or as redundancy in a later packet.
    Repair,
}

/// What a packet was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The first of its kind.
    New,
    /// It was here before.
    Again,
    /// Too old to tell.
    Stale,
}

/// The sums; those of several streams can be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Packets from the first to the last of every run.
    pub span: u64,
    /// Different packets.
    pub unique: u64,
    /// Of them, those that came by repair.
    pub repaired: u64,
    /// Media packets that were here before.
    pub duplicates: u64,
    /// Repairs of what was here: needless, or the original was late.
    pub repeats: u64,
    /// New media packets behind the greatest.
    pub out_of_order: u64,
    /// Left out by the server without a hole.
    pub skipped: u64,
    /// So old that the window had moved past them.
    pub stale: u64,
    /// How often the stream began, or began again after another.
    pub runs: u64,
}

impl Totals {
    /// Packets that should have come and did not.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.span.saturating_sub(self.unique + self.skipped)
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.span += other.span;
        self.unique += other.unique;
        self.repaired += other.repaired;
        self.duplicates += other.duplicates;
        self.repeats += other.repeats;
        self.out_of_order += other.out_of_order;
        self.skipped += other.skipped;
        self.stale += other.stale;
        self.runs += other.runs;
    }
}

/// One stream's count.
#[derive(Debug, Clone)]
pub struct Counter {
    seen: [u64; WORDS],
    run: Option<Run>,
    totals: Totals,
}

/// From when the stream began on a source until another took its place.
#[derive(Debug, Clone, Copy)]
struct Run {
    id: u32,
    first: u32,
    highest: u32,
    /// The sequence number of the greatest.
    seq: u64,
}

impl Default for Counter {
    fn default() -> Self {
        Self {
            seen: [0; WORDS],
            run: None,
            totals: Totals::default(),
        }
    }
}

impl Counter {
    /// A packet with this counter came with this sequence number, in this run; another run than the
    /// last means that the stream began anew.
    pub fn handle(&mut self, counter: u32, seq: u64, run: u32, way: Way) -> Verdict {
        let Some(now) = self.run else {
            self.begin(run, counter, seq);
            return self.note(counter, way);
        };
        if counter > now.highest {
            if now.id == run {
                self.advance(now, counter, seq);
            } else {
                self.clear(now.highest, counter);
                self.begin(run, counter, seq);
            }
            return self.note(counter, way);
        }
        if now.highest - counter >= WINDOW {
            self.totals.stale += 1;
            return Verdict::Stale;
        }
        if self.is_seen(counter) {
            match way {
                Way::Media => self.totals.duplicates += 1,
                Way::Repair => self.totals.repeats += 1,
            }
            return Verdict::Again;
        }
        if way == Way::Media {
            self.totals.out_of_order += 1;
        }
        if counter < now.first && now.id == run {
            self.totals.span += u64::from(now.first - counter);
            self.run = Some(Run {
                first: counter,
                ..now
            });
        }
        self.note(counter, way)
    }

    /// The greatest counter that came.
    #[must_use]
    pub fn highest(&self) -> Option<u32> {
        self.run.map(|run| run.highest)
    }

    /// The sums so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The sums when the publisher's last packet was this one and all of it was to come: what is not
    /// here at the end is missing as well.
    #[must_use]
    pub fn finished(&self, last: u32) -> Totals {
        let mut totals = self.totals;
        if let Some(run) = self.run {
            totals.span += u64::from(last.saturating_sub(run.highest));
        }
        totals
    }

    fn begin(&mut self, id: u32, counter: u32, seq: u64) {
        self.run = Some(Run {
            id,
            first: counter,
            highest: counter,
            seq,
        });
        self.totals.runs += 1;
        self.totals.span += 1;
    }

    fn advance(&mut self, now: Run, counter: u32, seq: u64) {
        let ahead = u64::from(counter - now.highest);
        self.totals.span += ahead;
        // As many holes as sequence numbers are absent; the rest was left out.
        self.totals.skipped += ahead.saturating_sub(seq.saturating_sub(now.seq).max(1));
        self.clear(now.highest, counter);
        self.run = Some(Run {
            highest: counter,
            seq: seq.max(now.seq),
            ..now
        });
    }

    /// Forgets what the window's places between two counters were.
    fn clear(&mut self, from: u32, to: u32) {
        if to - from >= WINDOW {
            self.seen = [0; WORDS];
            return;
        }
        for counter in from + 1..=to {
            let (word, bit) = place(counter);
            self.seen[word] &= !bit;
        }
    }

    fn is_seen(&self, counter: u32) -> bool {
        let (word, bit) = place(counter);
        self.seen[word] & bit != 0
    }

    fn note(&mut self, counter: u32, way: Way) -> Verdict {
        let (word, bit) = place(counter);
        self.seen[word] |= bit;
        self.totals.unique += 1;
        if way == Way::Repair {
            self.totals.repaired += 1;
        }
        Verdict::New
    }
}

fn place(counter: u32) -> (usize, u64) {
    let slot = counter % WINDOW;
    (usize::try_from(slot / 64).unwrap_or(0), 1 << (slot % 64))
}

#[cfg(test)]
mod tests;
