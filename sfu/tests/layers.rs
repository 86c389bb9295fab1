//! Streams with layers through one slot, over a path that loses, delays and reorders: does a decoder have all that a
//! forwarded frame needs, and are layers gone down without a key frame?

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "layers/check.rs"]
mod check;
#[path = "media/random.rs"]
mod random;
#[path = "layers/source.rs"]
mod source;
#[path = "layers/world.rs"]
mod world;

use source::Kind;
use world::World;

/// Each a world of its own, of twenty seconds.
const SEEDS: std::ops::Range<u64> = 0..24;

fn run(kind: Kind, losses_permille: u64) {
    for seed in SEEDS {
        let mut world = World::new(kind, losses_permille, seed);
        world.run();
        check::all(&world, seed);
    }
}

#[test]
fn vp9_by_its_own_descriptor() {
    run(Kind::Vp9, 0);
    run(Kind::Vp9, 30);
}

#[test]
fn three_spatial_layers_by_dependency_descriptor() {
    run(
        Kind::Described {
            is_nested: true,
            spatials: 3,
        },
        0,
    );
    run(
        Kind::Described {
            is_nested: true,
            spatials: 3,
        },
        30,
    );
}

#[test]
fn layers_that_rest_on_others_in_key_frames_alone() {
    run(
        Kind::Described {
            is_nested: false,
            spatials: 3,
        },
        30,
    );
}

#[test]
fn temporal_layers_alone_by_dependency_descriptor() {
    run(
        Kind::Described {
            is_nested: true,
            spatials: 1,
        },
        30,
    );
}

#[test]
fn h264_in_two_encodings() {
    run(Kind::H264, 0);
    run(Kind::H264, 30);
}
