//! Queues in SQLite keep the contract of `platform/src/queue.rs`, and some promises of their own.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

#[path = "queue/conformance.rs"]
mod conformance;
#[path = "queue/crash.rs"]
mod crash;
#[path = "queue/doubles.rs"]
mod doubles;
#[path = "queue/embedded.rs"]
mod embedded;
#[path = "queue/letters.rs"]
mod letters;
#[path = "queue/sqlite.rs"]
mod sqlite;
#[path = "queue/world.rs"]
mod world;

use std::sync::Arc;
use std::time::Duration;

/// Ends a check that would wait for ever, since nobody moves its clock any more. No check is near it.
const HANGS: Duration = Duration::from_secs(120);

async fn keeps(name: &str, check: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(HANGS, check).await;
    assert!(ended.is_ok(), "{name} waits for ever");
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    for (name, check) in conformance::CHECKS {
        println!("sqlite: {name}");
        keeps(name, check(Arc::new(embedded::Embedded::new().await))).await;
    }
}

/// By receiving and giving back, as over SQS.
#[tokio::test]
async fn sqlite_keeps_the_contract_without_looking() {
    for (name, check) in conformance::CHECKS {
        println!("sqlite, blind: {name}");
        let world = doubles::Blind(embedded::Embedded::new().await);
        keeps(name, check(Arc::new(world))).await;
    }
}
