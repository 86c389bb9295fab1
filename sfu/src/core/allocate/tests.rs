//! How estimates are divided.

use super::*;
use proptest::prelude::*;

const LAYERS: [LayerInfo; 3] = [layer(320, 150), layer(640, 500), layer(1280, 1_500)];
const AUDIO: Bitrate = Bitrate::kbps(40);

/// 16:9, with 40, 70 and 100 % of the rate in its temporal layers.
const fn layer(width: u16, kbps: u64) -> LayerInfo {
    LayerInfo {
        width,
        height: width / 16 * 9,
        rates: [
            Bitrate::kbps(kbps * 4 / 10),
            Bitrate::kbps(kbps * 7 / 10),
            Bitrate::kbps(kbps),
        ],
    }
}

fn camera(id: u32, width: u16) -> Demand<'static, u32> {
    Demand {
        id,
        kind: Kind::Camera,
        width,
        height: width / 16 * 9,
        is_paused: false,
        layers: &LAYERS,
    }
}

fn at(spatial: u8, temporal: u8) -> Target {
    Target::Layer { spatial, temporal }
}

fn targets(decisions: &[Decision<u32>]) -> Vec<Target> {
    decisions.iter().map(|decision| decision.target).collect()
}

/// A subscriber whose allocations are made every 100 ms.
struct Subscriber {
    allocator: Allocator<u32>,
    now: Instant,
}

impl Subscriber {
    fn new(kbps: u64) -> Self {
        Self {
            allocator: Allocator::new(Bitrate::kbps(kbps)),
            now: Instant::now(),
        }
    }

    fn allocate(&mut self, demands: &[Demand<'_, u32>]) -> Vec<Target> {
        self.now += INTERVAL;
        targets(self.allocator.allocate(self.now, AUDIO, demands))
    }

    fn run(&mut self, ms: u64, demands: &[Demand<'_, u32>]) -> Vec<Target> {
        let mut last = Vec::new();
        for _ in 0..ms / 100 {
            last = self.allocate(demands);
        }
        last
    }

    fn is_at_the_lowest(&self) -> bool {
        let rows = &self.allocator.rows;
        rows.iter()
            .all(|row| row.chosen.is_none_or(|step| step == 0))
    }

    fn estimate(&mut self, kbps: u64, basis: Basis) {
        self.allocator.handle_estimate(Bitrate::kbps(kbps), basis);
    }
}

#[test]
fn the_size_that_is_shown_decides_how_much_is_useful() {
    let mut subscriber = Subscriber::new(50_000);
    let demands = [0, 320, 400, 430, 640, 800, 1_920].map(|width| camera(u32::from(width), width));
    let got = subscriber.allocate(&demands);
    let spatial = [0, 0, 0, 1, 1, 1, 2];
    assert_eq!(got, spatial.map(|spatial| at(spatial, 2)).to_vec());
    let limits: Vec<_> = subscriber
        .allocator
        .decisions
        .iter()
        .map(|decision| decision.limited_by)
        .collect();
    assert_eq!(limits[..6], [None; 6]);
    assert_eq!(limits[6], Some(LimitedBy::Publisher));
}

#[test]
fn everybody_gets_the_lowest_layer_before_anybody_gets_a_higher_one() {
    let mut subscriber = Subscriber::new(900);
    let demands = [1, 2, 3, 4].map(|id| camera(id, 1_280));
    // 4 × 150 + 40 are 640; the headroom to a second layer at half its frame rate is missing.
    assert_eq!(subscriber.allocate(&demands), vec![at(0, 2); 4]);
    let mut subscriber = Subscriber::new(1_100);
    let got = subscriber.allocate(&demands);
    assert_eq!(got, vec![at(1, 2), at(0, 2), at(0, 2), at(0, 2)].clone());
}

#[test]
fn when_not_even_that_fits_the_least_important_are_paused() {
    let mut subscriber = Subscriber::new(190);
    let demands = [1, 2, 3, 4].map(|id| camera(id, 1_280));
    let got = subscriber.allocate(&demands);
    assert_eq!(got[..2], [at(0, 0), at(0, 0)]);
    assert_eq!(got[2..], [Target::Paused; 2]);
    assert_eq!(
        subscriber.allocator.decisions[3].limited_by,
        Some(LimitedBy::Bandwidth)
    );
}

#[test]
fn a_screen_gets_resolution_before_frame_rate() {
    let screen = Demand {
        kind: Kind::Screen,
        ..camera(1, 1_280)
    };
    assert_eq!(Subscriber::new(800).allocate(&[screen]), vec![at(2, 0)]);
    assert_eq!(
        Subscriber::new(800).allocate(&[camera(1, 1_280)]),
        vec![at(1, 2)]
    );
}

#[test]
fn an_upgrade_waits_until_the_headroom_has_lasted() {
    let demands = [camera(1, 1_280)];
    let mut subscriber = Subscriber::new(600);
    assert_eq!(subscriber.run(3_000, &demands), vec![at(1, 2)]);
    subscriber.estimate(1_650, Basis::Measured);
    assert_eq!(
        subscriber.run(5_000, &demands),
        vec![at(2, 1)],
        "1,540 × 1.1 are more"
    );
    subscriber.estimate(1_700, Basis::Measured);
    assert_eq!(subscriber.run(500, &demands), vec![at(2, 1)]);
    assert_eq!(subscriber.run(200, &demands), vec![at(2, 2)]);
}

#[test]
fn after_a_probe_it_does_not_wait() {
    let demands = [camera(1, 1_280)];
    let mut subscriber = Subscriber::new(600);
    subscriber.run(3_000, &demands);
    subscriber.estimate(2_000, Basis::Probed);
    assert_eq!(subscriber.allocate(&demands), vec![at(2, 2)]);
}

#[test]
fn a_probe_right_after_an_upgrade_brings_the_next_one_and_nothing_else_does() {
    let demands = [camera(1, 1_280)];
    let mut probed = Subscriber::new(600);
    let mut measured = Subscriber::new(600);
    for subscriber in [&mut probed, &mut measured] {
        assert_eq!(subscriber.allocate(&demands), vec![at(1, 2)]);
    }
    probed.estimate(2_000, Basis::Probed);
    assert_eq!(probed.allocate(&demands), vec![at(2, 2)]);
    measured.estimate(2_000, Basis::Measured);
    assert_eq!(measured.run(1_000, &demands), vec![at(1, 2)]);
}

#[test]
fn a_downgrade_is_at_once_and_its_return_takes_its_time() {
    let demands = [camera(1, 1_280)];
    let mut subscriber = Subscriber::new(2_000);
    assert_eq!(subscriber.run(30_000, &demands), vec![at(2, 2)]);
    subscriber.estimate(1_480, Basis::Measured);
    assert_eq!(
        subscriber.allocate(&demands),
        vec![at(2, 2)],
        "within the overshoot"
    );
    subscriber.estimate(600, Basis::Measured);
    assert_eq!(subscriber.allocate(&demands), vec![at(1, 2)]);
    subscriber.estimate(2_000, Basis::Probed);
    assert_eq!(subscriber.run(4_900, &demands), vec![at(1, 2)]);
    assert_eq!(subscriber.run(700, &demands), vec![at(2, 2)]);
}

#[test]
fn a_downgrade_because_a_layer_became_dearer_ends_with_a_probe() {
    let cheap = [layer(320, 100), layer(640, 300)];
    let dear = [layer(320, 100), layer(640, 700)];
    let demand = |layers| Demand {
        id: 1,
        kind: Kind::Camera,
        width: 640,
        height: 360,
        is_paused: false,
        layers,
    };
    let mut subscriber = Subscriber::new(600);
    assert_eq!(subscriber.allocate(&[demand(&cheap)]), vec![at(1, 2)]);
    let lower = subscriber.run(300, &[demand(&dear)]);
    assert_ne!(lower, vec![at(1, 2)]);
    assert_eq!(subscriber.run(1_000, &[demand(&dear)]), lower);
    subscriber.estimate(2_000, Basis::Probed);
    assert_eq!(subscriber.allocate(&[demand(&dear)]), vec![at(1, 2)]);
}

#[test]
fn an_upgrade_that_fails_again_and_again_is_tried_less_and_less() {
    let demands = [camera(1, 1_280)];
    let mut subscriber = Subscriber::new(600);
    let mut ups = Vec::new();
    let mut before = subscriber.allocate(&demands);
    for step in 0..1_200_u32 {
        // The higher layer always turns out to be too much.
        let kbps = if before == vec![at(2, 2)] { 600 } else { 2_000 };
        subscriber.estimate(kbps, Basis::Measured);
        let got = subscriber.allocate(&demands);
        if got != before && got == vec![at(2, 2)] {
            ups.push(step);
        }
        before = got;
    }
    assert!((4..=7).contains(&ups.len()), "{ups:?}");
    assert!(
        ups.windows(2).all(|pair| pair[1] - pair[0] >= 50),
        "{ups:?}"
    );
}

#[test]
fn a_picture_at_its_lowest_bears_a_quarter_too_much_and_comes_back_after_a_second() {
    let demands = [camera(1, 320)];
    let mut subscriber = Subscriber::new(300);
    subscriber.run(5_000, &demands);
    subscriber.estimate(85, Basis::Measured);
    assert_eq!(subscriber.allocate(&demands), vec![at(0, 0)]);
    subscriber.run(10_000, &demands);
    subscriber.estimate(75, Basis::Measured);
    assert_eq!(subscriber.allocate(&demands), vec![Target::Paused]);
    subscriber.estimate(200, Basis::Measured);
    assert_eq!(subscriber.run(900, &demands), vec![Target::Paused]);
    assert_ne!(subscriber.run(200, &demands), vec![Target::Paused]);
}

#[test]
fn a_publisher_that_stalls_goes_on_where_it_was() {
    let demand = camera(1, 1_280);
    let stalled = Demand {
        layers: &[],
        ..demand
    };
    let mut subscriber = Subscriber::new(600);
    subscriber.run(3_000, &[demand]);
    subscriber.estimate(2_000, Basis::Probed);
    assert_eq!(subscriber.allocate(&[demand]), vec![at(2, 2)]);
    subscriber.run(2_000, &[stalled]);
    // Too little to rise to it, enough to keep it.
    subscriber.estimate(1_600, Basis::Measured);
    assert_eq!(subscriber.allocate(&[demand]), vec![at(2, 2)]);
}

#[test]
fn a_higher_layer_that_is_cheap_for_a_moment_is_not_taken_for_what_one_has() {
    let mut subscriber = Subscriber::new(600);
    let demands = [camera(1, 640)];
    subscriber.run(5_000, &demands);
    subscriber.estimate(250, Basis::Measured);
    assert_eq!(subscriber.run(300, &demands), vec![at(0, 2)]);
    let mut layers = LAYERS;
    layers[1].rates = [50, 60, 70].map(Bitrate::kbps);
    let cheap = Demand {
        layers: &layers,
        ..camera(1, 640)
    };
    assert_eq!(subscriber.run(1_000, &[cheap]), vec![at(0, 2)]);
    assert_eq!(subscriber.run(9_000, &[cheap]), vec![at(1, 2)]);
}

#[test]
fn a_new_wish_is_served_at_once_at_the_expense_of_the_less_important() {
    let mut subscriber = Subscriber::new(1_900);
    let small = [camera(1, 1_280), camera(2, 320)];
    assert_eq!(subscriber.run(10_000, &small), vec![at(2, 2), at(0, 2)]);
    let swapped = [camera(2, 1_280), camera(1, 320)];
    assert_eq!(subscriber.allocate(&swapped), vec![at(2, 2), at(0, 2)]);
}

#[test]
fn a_layer_that_ends_is_replaced_by_what_is_left() {
    let mut subscriber = Subscriber::new(3_000);
    subscriber.run(3_000, &[camera(1, 1_280)]);
    let mut layers = LAYERS;
    layers[2].rates = [Bitrate(0); TEMPORAL_MAX];
    let lesser = Demand {
        layers: &layers,
        ..camera(1, 1_280)
    };
    assert_eq!(subscriber.allocate(&[lesser]), vec![at(1, 2)]);
    assert_eq!(
        subscriber.allocator.decisions[0].limited_by,
        Some(LimitedBy::Publisher)
    );
    let nothing = Demand {
        layers: &[],
        ..camera(1, 1_280)
    };
    assert_eq!(subscriber.allocate(&[nothing]), vec![Target::Paused]);
    assert_eq!(subscriber.run(6_000, &[camera(1, 1_280)]), vec![at(2, 2)]);
}

#[test]
fn it_says_what_more_it_would_use() {
    let mut subscriber = Subscriber::new(600);
    let demands = [camera(1, 1_280)];
    subscriber.allocate(&demands);
    assert_eq!(subscriber.allocator.allocated(), Bitrate::kbps(540));
    assert_eq!(
        subscriber.allocator.desired(),
        Bitrate(1_540_000 * 112 / 100)
    );
    let mut rich = Subscriber::new(6_000);
    rich.allocate(&demands);
    assert_eq!(rich.allocator.desired(), Bitrate::kbps(1_540));
    let mut paused = Subscriber::new(600);
    paused.allocate(&[Demand {
        is_paused: true,
        ..camera(1, 1_280)
    }]);
    assert_eq!(paused.allocator.desired(), AUDIO);
    assert_eq!(paused.allocator.decisions[0].limited_by, None);
}

#[test]
fn there_are_at_most_ten_allocations_a_second() {
    let mut subscriber = Subscriber::new(2_000);
    let demands = [camera(1, 1_280)];
    subscriber.allocate(&demands);
    subscriber.estimate(200, Basis::Measured);
    let soon = subscriber.now + INTERVAL / 2;
    let got = targets(subscriber.allocator.allocate(soon, AUDIO, &demands));
    assert_eq!(got, vec![at(2, 2)]);
    let due = subscriber.allocator.poll_timeout().expect("it is outdated");
    assert_eq!(due, subscriber.now + INTERVAL);
    let got = targets(subscriber.allocator.allocate(due, AUDIO, &demands));
    assert_eq!(got, vec![at(0, 2)]);
}

#[test]
fn demands_beyond_the_bound_get_nothing() {
    let demands: Vec<_> = (0..200).map(|id| camera(id, 320)).collect();
    let mut subscriber = Subscriber::new(1_000_000);
    assert_eq!(subscriber.allocate(&demands).len(), DEMANDS_MAX);
}

prop_compose! {
    fn wish()(
        id in 0_u32..12,
        width in 0_u16..2_000,
        is_paused in proptest::bool::weighted(0.1),
        is_screen in any::<bool>(),
        layers in proptest::collection::vec((0_u64..3_000, 0_u64..3_000, 0_u64..3_000), 0..6),
    ) -> (u32, u16, bool, bool, Vec<LayerInfo>) {
        let layers = layers
            .into_iter()
            .zip([160, 320, 640, 1_280, 1_920, 3_840])
            .map(|((first, second, third), width)| LayerInfo {
                rates: [first, second, third].map(Bitrate::kbps),
                ..layer(width, 0)
            })
            .collect();
        (id, width, is_paused, is_screen, layers)
    }
}

/// The longest interval before an upgrade, in allocations.
const LONGEST_WAIT: u128 = (DOWN_INTERVAL.as_millis() << FAILURES_MAX) / INTERVAL.as_millis();

/// Whoever has a new wish has what they will have after so many allocations.
const SETTLED: u128 = LONGEST_WAIT;

proptest! {
    #[test]
    fn the_sum_stays_within_the_overshoot_and_comes_to_rest(
        rounds in proptest::collection::vec(
            (0_u64..6_000, any::<bool>(), proptest::collection::vec(wish(), 0..8)), 1..8),
    ) {
        let mut subscriber = Subscriber::new(300);
        for (kbps, is_probed, wishes) in &rounds {
            let basis = if *is_probed { Basis::Probed } else { Basis::Measured };
            subscriber.estimate(*kbps, basis);
            let demands: Vec<_> = wishes
                .iter()
                .map(|(id, width, is_paused, is_screen, layers)| Demand {
                    kind: if *is_screen { Kind::Screen } else { Kind::Camera },
                    is_paused: *is_paused,
                    layers,
                    ..camera(*id, *width)
                })
                .collect();
            // Steps up are apart by as much as four times five seconds; once those are over, nothing moves.
            let mut changed = 0;
            let mut before = subscriber.allocate(&demands);
            for round in 1..=SETTLED + 2 * LONGEST_WAIT {
                let got = subscriber.allocate(&demands);
                let video = subscriber.allocator.allocated().0 - AUDIO.0;
                // Beyond the overshoot there are only lowest steps.
                let percent = 100 + if subscriber.is_at_the_lowest() {
                    LOWEST_OVERSHOOT_PERCENT
                } else {
                    OVERSHOOT_PERCENT
                };
                prop_assert!(video == 0 || video + AUDIO.0 <= kbps * 10 * percent);
                if got != before {
                    changed = round;
                }
                before = got;
            }
            prop_assert!(changed <= SETTLED, "it does not come to rest: {changed}");
        }
        let last = rounds.last().expect("at least one");
        let ids: std::collections::BTreeSet<_> = last.2.iter().map(|wish| wish.0).collect();
        if ids.len() == last.2.len() {
            let (is_best, desired) = {
                let decisions = &subscriber.allocator.decisions;
                (
                    decisions.iter().all(|d| d.limited_by != Some(LimitedBy::Bandwidth)),
                    subscriber.allocator.desired(),
                )
            };
            prop_assert!(desired >= subscriber.allocator.allocated());
            prop_assert!(is_best || desired > subscriber.allocator.allocated());
        }
    }
}
