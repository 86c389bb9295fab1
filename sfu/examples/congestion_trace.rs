//! Prints a trace of a simulated subscriber as CSV, a line a tenth of a second:
//! `congestion_trace [steady|elastic|drop|loss|jitter|cross|silence] [seed]`.

#![expect(clippy::print_stdout, reason = "its result is its output")]

#[path = "../tests/congestion/world.rs"]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a simulation's small and positive numbers"
)]
mod world;

use world::{Sample, Scenario, Source, World};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "drop".to_owned());
    let seed = arguments.next().and_then(|seed| seed.parse().ok());
    let scenario = Scenario {
        seconds: 60,
        ..match name.as_str() {
            "steady" => Scenario {
                source: Source::Cameras(3),
                ..Scenario::default()
            },
            "elastic" => Scenario {
                source: Source::Elastic(10_000),
                ..Scenario::default()
            },
            "loss" => Scenario {
                loss: 0.1,
                link: vec![(0, 5_000)],
                ..Scenario::default()
            },
            "jitter" => Scenario {
                loss: 0.02,
                jitter_ms: 8,
                feedback_loss: 0.05,
                ..Scenario::default()
            },
            "cross" => Scenario {
                cross: Some((20, 40, 1_800)),
                ..Scenario::default()
            },
            "silence" => Scenario {
                silence: Some((20, 30)),
                ..Scenario::default()
            },
            _ => Scenario {
                link: vec![(0, 2_500), (20, 600), (40, 2_500)],
                ..Scenario::default()
            },
        }
    };
    println!("{}", Sample::HEAD);
    for sample in World::new(&scenario, seed.unwrap_or(1)).run() {
        println!("{}", sample.csv());
    }
}
