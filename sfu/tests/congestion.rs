//! A subscriber behind a bottleneck, in seeded simulation: what estimator, pacer and allocator achieve
//! together. `CONGESTION_SEEDS` sets how many seeds each scenario has.

#[path = "congestion/world.rs"]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a simulation's small and positive numbers"
)]
mod world;

use world::{Sample, Scenario, Source, World};

/// The seconds of a run that a statement is about.
struct Span<'a>(&'a [Sample]);

impl Span<'_> {
    fn mean(&self, of: impl Fn(&Sample) -> u64) -> u64 {
        self.0.iter().map(of).sum::<u64>() / self.0.len() as u64
    }

    fn least(&self, of: impl Fn(&Sample) -> u64) -> u64 {
        self.0.iter().map(of).min().expect("samples")
    }

    fn most(&self, of: impl Fn(&Sample) -> u64) -> u64 {
        self.0.iter().map(of).max().expect("samples")
    }

    fn p95(&self, of: impl Fn(&Sample) -> u64) -> u64 {
        let mut values: Vec<_> = self.0.iter().map(of).collect();
        values.sort_unstable();
        values[values.len() * 95 / 100]
    }

    fn switches(&self) -> u32 {
        self.0.iter().map(|sample| sample.switches).sum()
    }

    /// Seconds until a state begins that lasts a second.
    fn seconds_until(&self, is: impl Fn(&Sample) -> bool) -> u64 {
        let found = self.0.windows(10).position(|window| window.iter().all(&is));
        found.unwrap_or(self.0.len()) as u64 / 10
    }
}

fn span(samples: &[Sample], from: usize, to: usize) -> Span<'_> {
    Span(&samples[from * 10..to * 10])
}

/// Runs a scenario with many seeds; a failure tells its seed. Returns the mean of what `check` returns:
/// bounds for each seed have to allow for the rarest, so what is usual is a statement about the mean.
fn each_seed(scenario: &Scenario, check: impl Fn(u64, &[Sample]) -> u64) -> u64 {
    let seeds = std::env::var("CONGESTION_SEEDS").ok();
    let seeds = seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(30);
    let runs = (1..=seeds).map(|seed| check(seed, &World::new(scenario, seed).run()));
    runs.sum::<u64>() / seeds
}

#[test]
fn a_source_without_layers_uses_the_link_and_keeps_its_queue_short() {
    let scenario = Scenario {
        source: Source::Elastic(10_000),
        ..Scenario::default()
    };
    let used = each_seed(&scenario, |seed, samples| {
        let steady = span(samples, 10, 30);
        let arrived = steady.mean(|sample| sample.arrived_kbps);
        assert!(arrived >= 2_500 * 85 / 100, "seed {seed}: {arrived} kbit/s");
        let queue = steady.p95(|sample| sample.queue_ms);
        assert!(queue < 150, "seed {seed}: {queue} ms");
        arrived
    });
    assert!(used >= 2_500 * 90 / 100, "{used}");
}

#[test]
fn three_cameras_share_the_link_and_their_layers_stay() {
    let scenario = Scenario {
        source: Source::Cameras(3),
        seconds: 40,
        ..Scenario::default()
    };
    let used = each_seed(&scenario, |seed, samples| {
        let steady = span(samples, 15, 40);
        let arrived = steady.mean(|sample| sample.arrived_kbps);
        assert!(arrived >= 1_400, "seed {seed}: {arrived} kbit/s");
        let queue = steady.p95(|sample| sample.queue_ms);
        assert!(queue < 150, "seed {seed}: {queue} ms");
        let switches = steady.switches();
        assert!(switches <= 3 * 5, "seed {seed}: {switches} switches");
        arrived
    });
    assert!(used >= 2_500 * 85 / 100, "{used}");
}

#[test]
fn one_camera_settles_below_a_limit_and_returns_when_it_goes() {
    let scenario = Scenario {
        seconds: 60,
        link: vec![(0, 2_500), (20, 600), (40, 2_500)],
        ..Scenario::default()
    };
    let back = each_seed(&scenario, |seed, samples| {
        let rise = span(samples, 0, 20).seconds_until(|sample| sample.layers == 3);
        assert!(
            rise <= 8,
            "seed {seed}: first at the best layer after {rise} s"
        );
        let steady = span(samples, 10, 20);
        assert!(steady.switches() <= 2, "seed {seed}");
        let fall = span(samples, 20, 40)
            .seconds_until(|sample| sample.layers <= 2 && sample.queue_ms < 100);
        assert!(fall <= 4, "seed {seed}: settled after {fall} s");
        let limited = span(samples, 25, 40);
        let arrived = limited.mean(|sample| sample.arrived_kbps);
        assert!(
            (300..=600).contains(&arrived),
            "seed {seed}: {arrived} kbit/s"
        );
        assert!(limited.switches() <= 3, "seed {seed}");
        assert!(limited.p95(|sample| sample.queue_ms) < 150, "seed {seed}");
        let back = span(samples, 40, 60).seconds_until(|sample| sample.layers == 3);
        assert!(back <= 10, "seed {seed}: back after {back} s");
        back
    });
    assert!(back <= 6, "{back}");
}

#[test]
fn a_tenth_of_random_loss_leaves_a_rate_that_can_be_used() {
    let scenario = Scenario {
        seconds: 40,
        link: vec![(0, 5_000)],
        loss: 0.1,
        ..Scenario::default()
    };
    let arrived = each_seed(&scenario, |seed, samples| {
        let steady = span(samples, 10, 40);
        let least = steady.least(|sample| sample.estimate_kbps);
        assert!(least >= 600, "seed {seed}: {least} kbit/s");
        let arrived = steady.mean(|sample| sample.arrived_kbps);
        assert!(arrived >= 800, "seed {seed}: {arrived} kbit/s");
        arrived
    });
    assert!(arrived >= 1_100, "{arrived}");
}

/// By TCP nothing is lost but what our own queue drops, and all that is behind waits.
#[test]
fn by_tcp_a_camera_settles_below_a_limit_and_returns_when_it_goes() {
    let scenario = Scenario {
        seconds: 60,
        link: vec![(0, 2_500), (20, 600), (40, 2_500)],
        is_tcp: true,
        ..Scenario::default()
    };
    let settled = each_seed(&scenario, |seed, samples| {
        let all = span(samples, 1, 60).least(|sample| sample.layers.into());
        assert!(all >= 1, "seed {seed}: nothing is sent");
        let fall = span(samples, 20, 40)
            .seconds_until(|sample| sample.layers <= 2 && sample.late_ms < 300);
        assert!(fall <= 15, "seed {seed}: settled after {fall} s");
        let latest = span(samples, 20, 60).most(|sample| sample.late_ms);
        assert!(latest < 1_200, "seed {seed}: {latest} ms late");
        let limited = span(samples, 30, 40);
        let arrived = limited.mean(|sample| sample.arrived_kbps);
        assert!(
            (150..=610).contains(&arrived),
            "seed {seed}: {arrived} kbit/s"
        );
        assert!(limited.switches() <= 3, "seed {seed}");
        let back = span(samples, 40, 60).seconds_until(|sample| sample.layers == 3);
        assert!(back <= 12, "seed {seed}: back after {back} s");
        fall
    });
    assert!(settled <= 6, "{settled}");
}

#[test]
fn by_tcp_what_is_repeated_delays_and_does_not_starve() {
    let scenario = Scenario {
        seconds: 40,
        loss: 0.01,
        is_tcp: true,
        ..Scenario::default()
    };
    let arrived = each_seed(&scenario, |seed, samples| {
        let steady = span(samples, 10, 40);
        let arrived = steady.mean(|sample| sample.arrived_kbps);
        let least = steady.least(|sample| sample.layers.into());
        let late = steady.p95(|sample| sample.late_ms);
        assert!(arrived >= 300, "seed {seed}: {arrived} kbit/s");
        assert!(least >= 1, "seed {seed}: nothing is sent");
        assert!(late < 500, "seed {seed}: {late} ms late");
        arrived
    });
    assert!(arrived >= 600, "{arrived}");
}

#[test]
fn a_little_random_loss_and_jitter_cost_little() {
    let scenario = Scenario {
        loss: 0.02,
        jitter_ms: 8,
        feedback_loss: 0.05,
        ..Scenario::default()
    };
    let arrived = each_seed(&scenario, |seed, samples| {
        let steady = span(samples, 12, 30);
        let arrived = steady.mean(|sample| sample.arrived_kbps);
        assert!(arrived >= 750, "seed {seed}: {arrived} kbit/s");
        arrived
    });
    assert!(arrived >= 1_350, "{arrived}");
}

#[test]
fn foreign_traffic_is_given_way_and_its_end_is_noticed() {
    let scenario = Scenario {
        seconds: 60,
        cross: Some((20, 40, 1_800)),
        ..Scenario::default()
    };
    let back = each_seed(&scenario, |seed, samples| {
        let together = span(samples, 25, 40);
        let arrived = together.mean(|sample| sample.arrived_kbps);
        assert!(
            (200..=1_000).contains(&arrived),
            "seed {seed}: {arrived} kbit/s"
        );
        let back = span(samples, 40, 60).seconds_until(|sample| sample.layers == 3);
        // Who had to give way twice in a row waits four times as long.
        assert!(back <= 20, "seed {seed}: back after {back} s");
        back
    });
    assert!(back <= 8, "{back}");
}

#[test]
fn without_feedback_it_decays_and_recovers_after_it() {
    let scenario = Scenario {
        seconds: 50,
        silence: Some((20, 30)),
        ..Scenario::default()
    };
    let back = each_seed(&scenario, |seed, samples| {
        let decayed = span(samples, 28, 30).mean(|sample| sample.estimate_kbps);
        assert!(decayed <= 100, "seed {seed}: {decayed} kbit/s");
        let back = span(samples, 30, 50).seconds_until(|sample| sample.layers == 3);
        assert!(back <= 15, "seed {seed}: back after {back} s");
        back
    });
    assert!(back <= 9, "{back}");
}

#[test]
fn a_shallow_queue_is_not_overrun() {
    let scenario = Scenario {
        source: Source::Elastic(10_000),
        queue_ms: 30,
        ..Scenario::default()
    };
    let arrived = each_seed(&scenario, |seed, samples| {
        let steady = span(samples, 10, 30);
        let arrived = steady.mean(|sample| sample.arrived_kbps);
        assert!(arrived >= 1_750, "seed {seed}: {arrived} kbit/s");
        let lost = steady.mean(|sample| sample.sent_kbps) - arrived;
        // It holds three quarters of a frame.
        assert!(lost <= 250, "seed {seed}: {lost} kbit/s lost");
        arrived
    });
    assert!(arrived >= 2_000, "{arrived}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let scenario = Scenario {
        loss: 0.05,
        ..Scenario::default()
    };
    let lines = |seed| -> Vec<_> {
        let samples = World::new(&scenario, seed).run();
        samples.iter().map(Sample::csv).collect()
    };
    assert_eq!(lines(3), lines(3));
    assert_ne!(lines(3), lines(4));
    let columns = Sample::HEAD.split(',').count();
    assert!(
        lines(3)
            .iter()
            .all(|line| line.split(',').count() == columns)
    );
}
