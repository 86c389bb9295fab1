//! Whole sessions of participants through a relay that is built from the same parts: on a simulated network
//! with a virtual clock, and once over real sockets.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "call/relay.rs"]
mod relay;

#[path = "call/world.rs"]
mod world;

use kaiwa_loadtest::call::peer::Plan;
use kaiwa_loadtest::call::source::{AudioPlan, VideoPlan};
use kaiwa_loadtest::call::srtp::Profile;
use world::{Network, World};

fn camera(number: u32) -> Plan {
    Plan {
        number,
        video: Some(VideoPlan::bursts(250, 1_100, 10)),
        ..Plan::default()
    }
}

fn viewer() -> Plan {
    Plan {
        video_slots: 1,
        ..Plan::default()
    }
}

#[test]
fn on_a_good_path_everything_comes_once_and_in_order_with_either_profile() {
    for profile in [Profile::Gcm, Profile::Sha1] {
        let mut world = World::new(Network::GOOD, profile, 1);
        let publisher = world.join(
            Plan {
                profile,
                ..camera(7)
            },
            &[],
        );
        for _ in 0..3 {
            world.join(
                Plan {
                    profile,
                    ..viewer()
                },
                &[(publisher, "0")],
            );
        }
        world.run(4_000);
        let sent = world.finish();
        assert!(sent.packets > 700, "{sent:?}");
        for viewer in 1..4 {
            let got = world.received(viewer);
            assert_eq!(got.video.missing(), 0, "{got:?}");
            assert_eq!(
                (
                    got.video.duplicates,
                    got.video.out_of_order,
                    got.video.skipped
                ),
                (0, 0, 0)
            );
            assert_eq!(
                (got.undecryptable, got.unknown, got.corrupt, got.foreign),
                (0, 0, 0, 0)
            );
            assert_eq!((got.nacked, got.rtx), (0, 0));
            assert_eq!(got.pictures.dropped, 0);
            assert_eq!(got.pictures.decoded * 10, got.video.unique);
            assert_eq!(
                (got.sequence.missing(), got.sequence.unique),
                (0, got.video.unique)
            );
        }
        let seen = world.relay.seen;
        assert!(seen.feedback > 30 && seen.acknowledged > 500, "{seen:?}");
    }
}

#[test]
fn what_is_lost_on_either_side_is_repaired() {
    for seed in 0..10 {
        let mut world = World::new(Network::lossy(5), Profile::Gcm, seed);
        let publisher = world.join(camera(1), &[]);
        let viewer = world.join(viewer(), &[(publisher, "0")]);
        world.run(6_000);
        let sent = world.finish();
        let got = world.received(viewer);
        assert_eq!(got.video.missing(), 0, "seed {seed}: {got:?}");
        assert!(
            got.video.repaired > 20 && got.rtx >= got.video.repaired,
            "seed {seed}: {got:?}"
        );
        assert!(got.video.unique > 900, "seed {seed}: {got:?}");
        assert_eq!((got.undecryptable, got.corrupt), (0, 0), "seed {seed}");
        // The publisher has answered the relay, which has answered the viewer.
        assert!(
            sent.resent > 20 && world.relay.seen.uplink_rtx > 20,
            "seed {seed}: {sent:?}"
        );
        assert!(world.relay.seen.resent > 20, "seed {seed}");
        assert!(
            got.pictures.decoded * 10 >= got.video.unique * 9 / 10,
            "seed {seed}: {got:?}"
        );
    }
}

#[test]
fn reordering_is_neither_loss_nor_a_reason_to_ask() {
    let mut world = World::new(Network::JITTERY, Profile::Gcm, 3);
    let publisher = world.join(camera(1), &[]);
    let viewer = world.join(viewer(), &[(publisher, "0")]);
    world.run(4_000);
    world.finish();
    let got = world.received(viewer);
    assert_eq!(
        (got.video.missing(), got.video.duplicates),
        (0, 0),
        "{got:?}"
    );
    assert!(got.video.out_of_order > 50, "{got:?}");
}

#[test]
fn what_the_network_repeats_is_counted() {
    let network = Network {
        repeat: 10,
        ..Network::GOOD
    };
    let mut world = World::new(network, Profile::Gcm, 4);
    let publisher = world.join(camera(1), &[]);
    let viewer = world.join(viewer(), &[(publisher, "0")]);
    world.run(4_000);
    world.finish();
    let got = world.received(viewer);
    assert_eq!(got.video.missing(), 0);
    // The relay forwards what comes to it twice, and what it sends is repeated as well.
    assert!(got.video.duplicates > got.video.unique / 10, "{got:?}");
    assert_eq!(got.sequence.duplicates, got.video.duplicates);
}

#[test]
fn another_layer_of_a_simulcast_begins_with_a_key_frame_and_nothing_is_missing() {
    for seed in 0..5 {
        let mut world = World::new(Network::lossy(2), Profile::Gcm, seed);
        let plan = Plan {
            number: 1,
            video: Some(VideoPlan::simulcast()),
            ..Plan::default()
        };
        let publisher = world.join(plan, &[]);
        let viewer = world.join(viewer(), &[(publisher, "0")]);
        world.run(2_500);
        for layer in [2, 0, 1] {
            world.choose(layer, publisher, "0");
            world.run(2_000);
        }
        world.finish();
        let got = world.received(viewer);
        assert_eq!(got.video.missing(), 0, "seed {seed}: {got:?}");
        assert_eq!(
            (got.pictures.switches, got.video.runs),
            (3, 4),
            "seed {seed}: {got:?}"
        );
        assert!(
            got.pictures.by_layer.iter().all(|&frames| frames > 25),
            "seed {seed}: {got:?}"
        );
        assert!(
            world.relay.seen.uplink_rtx > 0,
            "retransmissions of a RID are known by their RRID"
        );
    }
}

#[test]
fn redundant_sound_conceals_single_losses() {
    let plan = |has_red| Plan {
        number: 1,
        audio: Some(AudioPlan {
            has_red,
            ..AudioPlan::default()
        }),
        ..Plan::default()
    };
    let listener = Plan {
        audio_slots: 1,
        ..Plan::default()
    };
    let missing = |has_red| {
        let mut world = World::new(Network::lossy(5), Profile::Gcm, 9);
        let speaker = world.join(plan(has_red), &[]);
        let listener = world.join(listener.clone(), &[(speaker, "0")]);
        world.run(8_000);
        world.finish();
        let got = world.received(listener);
        assert!(got.audio.unique > 200, "{got:?}");
        (got.audio.missing(), got.audio.repaired)
    };
    let (with, without) = (missing(true), missing(false));
    assert!(without.0 > 15 && without.1 == 0, "{without:?}");
    assert!(with.0 <= 2 && with.1 > 15, "{with:?}");
}

#[test]
fn what_the_server_leaves_out_on_purpose_is_not_missing() {
    let mut world = World::new(Network::GOOD, Profile::Gcm, 5);
    world.relay.thinning = Some(7);
    let plan = Plan {
        number: 1,
        audio: Some(AudioPlan {
            has_red: false,
            ..AudioPlan::default()
        }),
        ..Plan::default()
    };
    let listener = Plan {
        audio_slots: 1,
        ..Plan::default()
    };
    let speaker = world.join(plan, &[]);
    let listener = world.join(listener, &[(speaker, "0")]);
    world.run(5_000);
    let got = world.received(listener);
    let left_out = world.relay.left_out();
    assert!(left_out > 20);
    assert_eq!(got.audio.missing(), 0, "{got:?}");
    assert!(
        left_out - got.audio.skipped <= 1,
        "the last one left out is not known of yet"
    );
}

#[test]
fn a_viewer_that_comes_later_asks_for_a_key_frame() {
    let mut world = World::new(Network::GOOD, Profile::Gcm, 6);
    let publisher = world.join(camera(1), &[]);
    world.run(1_500);
    let late = world.join(viewer(), &[(publisher, "0")]);
    world.run(1_500);
    // The relay forwards nothing before a key frame, so nobody can ask by media: it asks by itself.
    world.choose(0, publisher, "0");
    world.run(1_500);
    let got = world.received(late);
    assert!(
        got.pictures.keys >= 1 && got.pictures.dropped == 0,
        "{got:?}"
    );
    assert!(world.sent(publisher).keys_wanted >= 1);
}

#[test]
fn the_same_seed_gives_the_same_counts() {
    let run = || {
        let mut world = World::new(Network::lossy(8), Profile::Gcm, 12);
        let publisher = world.join(camera(1), &[]);
        let viewer = world.join(viewer(), &[(publisher, "0")]);
        world.connect();
        world.run(3_000);
        let sent = world.finish();
        (sent, world.received(viewer).video.unique > 0)
    };
    assert_eq!(run(), run());
}

#[test]
fn over_real_sockets_everything_comes_too() {
    let (sent, received) = world::loopback(camera(3), viewer(), 400);
    assert!(sent.packets >= 400);
    for got in received {
        assert_eq!(
            (got.video.missing(), got.video.duplicates, got.corrupt),
            (0, 0, 0),
            "{got:?}"
        );
        assert_eq!((got.undecryptable, got.unknown), (0, 0));
        assert!(got.video.unique >= 300, "{got:?}");
    }
}
