//! Simulation against the real thing: do the protocol's promises survive kill -9?
//!
//! `KAIWA_BIN` names the server, `KAIWA_KILLS` how often it is killed (20), `KAIWA_SEED` the storm.

use kaiwa_loadtest::chaos::run::{Plan, find_binary, run};
use kaiwa_loadtest::print;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// More kills than this are several storms, each with the next seed: journals are kept in memory.
const KILLS_IN_A_STORM: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn no_promise_is_broken_by_kills_drains_and_cuts() {
    let mut kills = number("KAIWA_KILLS", KILLS_IN_A_STORM);
    let mut seed = number("KAIWA_SEED", 1);
    while kills > 0 {
        let now = kills.min(KILLS_IN_A_STORM);
        storm(seed, u32::try_from(now).unwrap()).await;
        kills -= now;
        seed += 1;
    }
}

async fn storm(seed: u64, kills: u32) {
    let plan = Plan::new(find_binary().expect("a server to kill"), seed, kills);
    let report = Box::pin(run(&plan))
        .await
        .expect("a storm that is carried through");
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
