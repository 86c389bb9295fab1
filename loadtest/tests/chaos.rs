//! Simulation against the real thing: do the protocol's promises survive kill -9?
//!
//! `KAIWA_BIN` names the server, `KAIWA_KILLS` how often it is killed (20), `KAIWA_SEED` the storm.

use kaiwa_loadtest::chaos::run::{Plan, find_binary, run};
use kaiwa_loadtest::print;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_promise_is_broken_by_kills_drains_and_cuts() {
    let seed = number("KAIWA_SEED", 1);
    let kills = u32::try_from(number("KAIWA_KILLS", 20)).unwrap();
    let plan = Plan::new(find_binary().unwrap(), seed, kills);
    let report = Box::pin(run(&plan)).await.unwrap();
    print::storm(seed, &report);
    assert!(report.violations.is_empty(), "seed {seed}");
    // A storm that never got anybody wet proves nothing.
    let counts = &report.counts;
    assert!(
        counts.resumed > 0 && counts.fresh > plan.people && counts.cuts > 0,
        "{counts:?}"
    );
    assert!(counts.dups > 0 && counts.refused > 0, "{counts:?}");
    assert!(counts.byes > 0, "{counts:?}");
}
