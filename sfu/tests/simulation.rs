//! Seeded simulation of the whole engine: a shard's rules on a virtual clock and network, and participants
//! with ICE, DTLS, SRTP, feedback and repair of their own. They come and go, publish, mute, wish, renegotiate,
//! move, fall silent and are attacked, while a model of what the engine has said looks at each packet that
//! it sends.
//!
//! `KAIWA_SEEDS` sets how many calls each test has, `KAIWA_SEED` the first one.

#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/media.rs"]
mod media;
#[path = "simulation/network.rs"]
mod network;
#[allow(dead_code, reason = "each test uses a part")]
#[path = "media/publisher.rs"]
mod publisher;
#[path = "media/random.rs"]
mod random;
#[path = "simulation/sdp.rs"]
mod sdp;
#[path = "simulation/tap.rs"]
mod tap;
#[path = "simulation/whims.rs"]
mod whims;
#[path = "simulation/world.rs"]
mod world;

use network::Weather;
use random::Random;
use world::World;

/// Calls of each test without `KAIWA_SEEDS`.
const SEEDS: u64 = 60;

/// A call in milliseconds: whims, then quiet.
const LIVELY_MS: u64 = 4_000;
const QUIET_MS: u64 = 2_500;

/// Says which call a panic was in.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("KAIWA_SEED={}", self.0);
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seeds() -> impl Iterator<Item = u64> {
    let first = variable("KAIWA_SEED");
    let count = variable("KAIWA_SEEDS").unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let first = first.unwrap_or(0);
    first..first + count
}

fn call(seed: u64, audio_slots: u8, weather: fn(&mut Random) -> Weather) -> World {
    let mut world = World::new(seed, audio_slots, weather);
    world.whim = whims::whim;
    for _ in 0..2 {
        whims::newcomer(&mut world);
    }
    world.push_whim(300);
    world.run_until(LIVELY_MS);
    whims::calm_down(&mut world);
    world.run_until(LIVELY_MS + QUIET_MS);
    world
}

#[test]
fn on_good_paths_everybody_gets_what_they_want_without_a_gap() {
    for seed in seeds() {
        let _said = Seed(seed);
        let mut world = call(seed, 3, |_| Weather::FINE);
        whims::check_reached(&world, 500);
        world.end(false);
    }
}

#[test]
fn on_bad_paths_every_promise_is_kept_and_all_is_well_afterwards() {
    for seed in seeds() {
        let _said = Seed(seed);
        let mut world = call(seed, 2, Weather::bad);
        whims::check_reached(&world, 2_000);
        world.end(false);
    }
}
