//! Object stores keep the contract of `src/ports.rs`, and the embedded one's doors open to nothing but what was
//! signed.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

#[path = "objects/conformance.rs"]
mod conformance;
#[path = "objects/crash.rs"]
mod crash;
#[path = "objects/doors.rs"]
mod doors;
#[path = "objects/embedded.rs"]
mod embedded;
#[path = "objects/forms.rs"]
mod forms;
#[path = "objects/world.rs"]
mod world;

use embedded::Embedded;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_folder_keeps_the_contract() {
    for (name, check) in conformance::CHECKS {
        eprintln!("folder: {name}");
        check(Arc::new(Embedded::new().await)).await;
    }
}
