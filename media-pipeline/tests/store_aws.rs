//! DynamoDB keeps the contract of stores: the real SDK over real HTTP, against two emulators; and what only a store
//! of several servers has.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

#[path = "objects_aws/emulator.rs"]
#[allow(dead_code, reason = "the tests of objects use the rest")]
mod emulator;
#[path = "core/make.rs"]
#[allow(dead_code, reason = "shared with the tests of the core")]
mod make;

#[path = "store/conformance.rs"]
mod conformance;
#[path = "store/dynamo.rs"]
mod dynamo;

use aws_sdk_s3::config::Credentials;
use emulator::{Emulator, Kind};
use futures_util::future::BoxFuture;
use kaiwa_media_pipeline::adapters::dynamo::{DynamoStore, create_table};
use kaiwa_media_pipeline::ports::ClipStore;
use kaiwa_platform::clock::SystemClock;
use std::sync::Arc;

/// What an emulator cannot do, and why. A check that stands here must fail: when the emulator has learnt it, the line
/// goes.
const CANNOT: &[(Kind, &str, &str)] = &[];

/// A check by its name.
type Check = (
    &'static str,
    fn(Arc<dyn ClipStore>) -> BoxFuture<'static, ()>,
);

macro_rules! listed {
    ($($check:ident)*) => {
        const CHECKS: &[Check] = &[
            $((stringify!($check), |store| Box::pin(conformance::$check(store))),)*
        ];
    };
}

conformance::every_check!(listed);

async fn config(emulator: &Emulator) -> aws_config::SdkConfig {
    let own = Credentials::new("test", "test", None, None, "test");
    emulator.config(own).await
}

/// A new table, and a store in it.
async fn store(emulator: &Emulator, table: &str) -> DynamoStore {
    let config = config(emulator).await;
    create_table(&config, table).await.unwrap();
    opened(emulator, table).await
}

/// Another server's store in a table that is there.
async fn opened(emulator: &Emulator, table: &str) -> DynamoStore {
    let config = config(emulator).await;
    let opened = DynamoStore::open(&config, table, Arc::new(SystemClock)).await;
    opened.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dynamodb_keeps_the_contract_on_ministack() {
    conform(Kind::MiniStack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dynamodb_keeps_the_contract_on_moto() {
    conform(Kind::Moto).await;
}

async fn conform(kind: Kind) {
    let emulator = Emulator::start(kind).await;
    let mut failed = Vec::new();
    for (number, (name, check)) in CHECKS.iter().enumerate() {
        let store = store(&emulator, &format!("clips-{number}")).await;
        let result = tokio::spawn(check(Arc::new(store))).await;
        let is_kept = result.is_ok();
        eprintln!(
            "{kind:?}: {name}: {}",
            if is_kept { "kept" } else { "not kept" }
        );
        let is_this = |(who, what, _): &&(Kind, &str, &str)| (*who, *what) == (kind, *name);
        match (result, CANNOT.iter().find(is_this)) {
            (Ok(()), None) => {}
            (Err(_), Some((_, _, reason))) => eprintln!("{kind:?}: as is known: {reason}"),
            (Ok(()), Some(_)) => failed.push(format!("{name}: it has learnt that")),
            (Err(error), None) => failed.push(format!("{name}: {error}")),
        }
    }
    assert!(failed.is_empty(), "{kind:?}: {failed:#?}");
}
