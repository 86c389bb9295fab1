//! Seeded simulation of the media path: a publisher with simulcast and temporal layers behind a bad
//! network, a slot that changes its mind all the time, and a subscriber that loses packets. A model of
//! VP8 says whether what comes out could be decoded.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

#[path = "media/check.rs"]
mod check;
#[path = "media/publisher.rs"]
mod publisher;
#[path = "media/random.rs"]
mod random;
#[path = "media/world.rs"]
mod world;

use world::{Profile, World};

/// Runs of each scenario; each is some seconds of a call.
const SEEDS: u64 = 100;

fn run(seed: u64, profile: Profile) -> World {
    let mut world = World::new(seed, profile);
    world.run();
    world
}

#[test]
fn on_a_good_path_the_output_is_one_stream_without_a_gap() {
    for seed in 0..SEEDS {
        let world = run(seed, Profile::GOOD);
        check::all(&world, seed);
        check::without_loss(&world, seed);
    }
}

#[test]
fn on_a_bad_path_what_comes_out_can_be_decoded() {
    let (mut nacks, mut answered) = (0, 0);
    for seed in 0..SEEDS {
        let world = run(seed, Profile::bad(seed));
        check::all(&world, seed);
        nacks += world.nacks;
        answered += world.answered;
    }
    assert!(answered * 100 >= nacks * 95, "{answered} of {nacks}");
}

#[test]
fn the_same_seed_is_the_same_call() {
    let outcome = |seed| {
        let world = run(seed, Profile::bad(seed));
        (world.out.len(), world.answered, world.plis.len())
    };
    assert_eq!(outcome(7), outcome(7));
    assert_ne!(outcome(7), outcome(8));
}
