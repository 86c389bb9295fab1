//! The SSRCs of slots.

use crate::unit::{Mid, Ssrc};
use std::collections::BTreeMap;

/// A slot's SSRCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotSources {
    /// Of its media.
    pub primary: Ssrc,
    /// Of retransmissions; `None` where the client takes none.
    pub rtx: Option<Ssrc>,
}

/// Who has which, and where the next ones come from.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    random: u64,
    /// By m-line: media's, and retransmissions', drawn whether or not they are used.
    taken: BTreeMap<Mid, (Ssrc, Ssrc)>,
}

impl Slots {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: seed,
            taken: BTreeMap::new(),
        }
    }

    /// The slot's SSRCs, drawn when it is new. They are none of the client's at that time (RFC 3550,
    /// section 8.2).
    pub(super) fn of(&mut self, mid: Mid, is_clients: impl Fn(Ssrc) -> bool) -> (Ssrc, Ssrc) {
        if let Some(&sources) = self.taken.get(&mid) {
            return sources;
        }
        let primary = self.draw(&is_clients);
        let rtx = self.draw(|ssrc| ssrc == primary || is_clients(ssrc));
        self.taken.insert(mid, (primary, rtx));
        (primary, rtx)
    }

    /// Forgets the slots of m-lines that are no more.
    pub(super) fn keep(&mut self, is_live: impl Fn(Mid) -> bool) {
        self.taken.retain(|&mid, _| is_live(mid));
    }

    /// Ends: out of 2^32 numbers an offer and all slots together take some hundreds.
    fn draw(&mut self, is_taken: impl Fn(Ssrc) -> bool) -> Ssrc {
        loop {
            let ssrc = Ssrc(self.next());
            let is_slots = |&(primary, rtx): &(Ssrc, Ssrc)| ssrc == primary || ssrc == rtx;
            if ssrc.0 != 0 && !is_taken(ssrc) && !self.taken.values().any(is_slots) {
                return ssrc;
            }
        }
    }

    /// SplitMix64: equal seeds give equal answers.
    fn next(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) >> 32).expect("32 bits are left")
    }
}
