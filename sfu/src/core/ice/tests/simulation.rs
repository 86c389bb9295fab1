//! A peer behind a network that loses, delays, reorders and repeats; it changes its address,
//! restarts, and goes silent. Everything from one seed.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const SEEDS: u64 = 100;
const TICK: Duration = Duration::from_millis(50);

/// xorshift64*: enough for a simulation.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

struct World {
    dice: Dice,
    now: Instant,
    ice: IceLite<u16>,
    /// In flight, by the time of arrival.
    flying: BTreeMap<(Instant, u64), (u16, Check)>,
    sent: u64,
    generation: u8,
    addr: u16,
    /// When the last new check that is authentic was delivered.
    delivered: Instant,
    checked: BTreeSet<u16>,
    heard: BTreeSet<[u8; 12]>,
    expired: u32,
    /// The address in use was closed, and there is no other yet.
    is_lost: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        Self {
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            now,
            ice: IceLite::new(credentials(0), now),
            flying: BTreeMap::new(),
            sent: 0,
            generation: 0,
            addr: 1,
            delivered: now,
            checked: BTreeSet::new(),
            heard: BTreeSet::new(),
            expired: 0,
            is_lost: false,
        }
    }

    /// The peer sends a check; on a bad network it may be lost, late, or there twice.
    fn send(&mut self, from: u16, generation: u8, nominates: bool, bad: bool) {
        self.sent += 1;
        let mut transaction = [0; 12];
        transaction[..8].copy_from_slice(&self.sent.to_be_bytes());
        let check = Check {
            transaction,
            ufrag: credentials(generation).ufrag(),
            role: Some(PeerRole::Controlling),
            nominates,
        };
        let copies = if bad { self.dice.roll(3) } else { 1 };
        for copy in 0..copies {
            let delay = if bad { self.dice.roll(1_500) } else { 10 };
            let at = self.now + Duration::from_millis(delay);
            self.flying
                .insert((at, self.sent * 2 + copy), (from, check));
        }
    }

    fn tick(&mut self) {
        self.now += TICK;
        while let Some(entry) = self.flying.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (from, check) = entry.remove();
            let is_valid = self.ice.password(check.ufrag).is_some();
            let verdict = self.ice.handle_check(self.now, from, &check);
            if is_valid && self.heard.insert(check.transaction) {
                assert_eq!(verdict, Verdict::Respond);
                self.delivered = self.now;
                self.checked.insert(from);
            } else {
                assert!(verdict == Verdict::Ignore || self.ice.is_valid(from));
            }
            self.settle();
        }
        self.settle();
    }

    /// The peer's TCP connection ends, with what is on its way; it opens another one.
    fn close(&mut self) {
        let closed = self.addr;
        self.flying.retain(|_, (from, _)| *from != closed);
        self.ice.handle_closed(self.now, closed);
        assert!(!self.ice.is_valid(closed));
        self.settle();
        self.addr += 1;
    }

    /// What must hold after each input.
    fn settle(&mut self) {
        while let Some(event) = self.ice.poll_event(self.now) {
            let silence = self.now - self.delivered;
            match event {
                IceEvent::Selected(addr) => {
                    assert!(self.checked.contains(&addr));
                    self.is_lost = false;
                }
                IceEvent::Interrupted => assert!(self.is_lost || silence >= INTERRUPTED_AFTER),
                IceEvent::Lost => self.is_lost = true,
                IceEvent::Expired => {
                    assert!(silence >= EXPIRED_AFTER);
                    assert_eq!(self.ice.selected(), None);
                    self.expired += 1;
                }
                IceEvent::Forgotten(addr) => assert!(!self.ice.is_valid(addr)),
                IceEvent::Retired(ufrag) => assert!(self.ice.password(ufrag).is_none()),
                IceEvent::Recovered => {}
            }
        }
        assert!(self.ice.remotes.len() <= MAX_REMOTES);
        if let Some(selected) = self.ice.selected() {
            assert!(
                self.ice.is_valid(selected),
                "media goes to an unknown address"
            );
        }
        let current = credentials(self.generation);
        assert!(self.ice.password(current.ufrag()).is_some());
    }

    /// The peer's life for some seconds: it checks all the time, on a backup address too.
    fn live(&mut self, ticks: u64, bad: bool) {
        for _ in 0..ticks {
            if self.dice.roll(10) == 0 {
                self.send(self.addr, self.generation, true, bad);
            }
            if self.dice.roll(20) == 0 {
                self.send(1_000, self.generation, false, bad);
            }
            self.tick();
        }
    }
}

#[test]
fn whatever_the_network_does_media_goes_where_the_peer_is() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..12 {
            match world.dice.roll(5) {
                0 => world.addr += 1,
                1 => {
                    world.generation += 1;
                    world.ice.restart(credentials(world.generation), world.now);
                }
                2 => world.close(),
                3 => {
                    let silence = world.dice.roll(45_000) / 50;
                    (0..silence).for_each(|_| world.tick());
                }
                _ => {}
            }
            let ticks = world.dice.roll(300);
            world.live(ticks, true);
        }
        // Late ones arrive, then the network is good for a while.
        world.live(80, false);
        assert_eq!(world.ice.selected(), Some(world.addr), "seed {seed}");
        let events = world.ice.poll_event(world.now);
        assert_eq!(events, None);
    }
}

#[test]
fn a_restart_under_loss_never_stops_media() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        world.live(60, false);
        assert!(world.ice.selected().is_some());
        for _ in 0..6 {
            let old = world.generation;
            world.generation += 1;
            world.ice.restart(credentials(world.generation), world.now);
            for _ in 0..80 {
                // The old path is kept alive while the new one is being found.
                if world.dice.roll(10) == 0 {
                    world.send(world.addr, old, true, true);
                }
                if world.dice.roll(20) == 0 {
                    let nominates = world.dice.roll(2) == 0;
                    world.send(world.addr + 1, world.generation, nominates, true);
                }
                world.tick();
                assert!(world.ice.selected().is_some(), "seed {seed}");
            }
            world.addr += 1;
            world.live(60, false);
            assert_eq!(world.ice.selected(), Some(world.addr), "seed {seed}");
            let old = credentials(old).ufrag();
            assert!(world.ice.password(old).is_none(), "seed {seed}");
        }
        assert_eq!(world.expired, 0);
    }
}
