//! Seeded simulation of the whole engine: a shard's rules on a virtual clock and network, and participants
//! with ICE, DTLS, SRTP, feedback and repair of their own. They come and go, publish, mute, wish, renegotiate,
//! move, fall silent and are attacked, while a model of what the engine has said looks at each packet that
//! it sends.
//!
//! `KAIWA_SEEDS` sets how many calls each test has, `KAIWA_SEED` the first one;
//! `KAIWA_TRACE` says what happens. DTLS has randomness of its own, so that a call may differ from run to run by a
//! signature's length.

#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

#[path = "simulation/alone.rs"]
mod alone;
#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/inspected.rs"]
mod inspected;
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
#[path = "simulation/wire.rs"]
mod wire;
#[path = "simulation/world.rs"]
mod world;

use network::Weather;
use random::Random;
use whims::{Well, check_reached};
use world::World;

/// Calls of each test without `KAIWA_SEEDS`.
const SEEDS: u64 = 100;

/// A call in milliseconds: whims, then quiet.
const LIVELY_MS: u64 = 4_000;
const QUIET_MS: u64 = 2_500;

/// Until estimates and the pauses after a downgrade have recovered.
const RECOVERY_MS: u64 = 20_000;

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

/// The seeds of a test that does one in so many.
fn seeds(one_in: u64) -> impl Iterator<Item = u64> {
    let first = variable("KAIWA_SEED");
    let count = variable("KAIWA_SEEDS").unwrap_or(if first.is_some() { one_in } else { SEEDS });
    let first = first.unwrap_or(0);
    first..first + count / one_in
}

fn call(seed: u64, audio_slots: u8, weather: fn(&mut Random) -> Weather, quiet_ms: u64) -> World {
    let mut world = World::new(seed, audio_slots, weather);
    for _ in 0..2 {
        whims::newcomer(&mut world);
    }
    play(world, quiet_ms)
}

/// What happens in a call that has begun.
fn play(mut world: World, quiet_ms: u64) -> World {
    world.whim = whims::whim;
    world.push_whim(300);
    world.run_until(LIVELY_MS);
    whims::calm_down(&mut world);
    world.run_until(LIVELY_MS + quiet_ms);
    world
}

#[test]
fn on_good_paths_every_promise_is_kept_without_a_gap() {
    for seed in seeds(1) {
        let _said = Seed(seed);
        let mut world = call(seed, 3, |_| Weather::FINE, QUIET_MS);
        check_reached(&world, Well::Limited);
        world.end(true);
    }
}

#[test]
fn on_bad_paths_every_promise_is_kept() {
    for seed in seeds(1) {
        let _said = Seed(seed);
        let mut world = call(seed, 3, Weather::bad, QUIET_MS);
        check_reached(&world, Well::Limited);
        world.end(false);
    }
}

/// From four subscribers on what came of a picture waits for the rest of it; otherwise there are seldom so many.
#[test]
fn before_an_audience_every_promise_is_kept() {
    for seed in seeds(4) {
        let _said = Seed(seed);
        for (weather, is_calm) in [
            (fine as fn(&mut Random) -> Weather, true),
            (Weather::bad, false),
        ] {
            let mut world = World::new(seed, 3, weather);
            whims::audience(&mut world, 6);
            let mut world = play(world, QUIET_MS);
            check_reached(&world, Well::Limited);
            world.end(is_calm);
        }
    }
}

fn fine(_: &mut Random) -> Weather {
    Weather::FINE
}

#[test]
fn after_bad_times_everybody_sees_and_hears_all_again() {
    for seed in seeds(10) {
        let _said = Seed(seed);
        let mut world = call(seed, 3, Weather::bad, RECOVERY_MS);
        check_reached(&world, Well::Whole);
        world.end(false);
    }
}
