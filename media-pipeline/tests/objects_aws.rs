//! The bucket keeps the contract of `src/ports.rs`: the real SDK over real HTTP, against two emulators; and what it
//! gives away opens nothing else. No security test stands on moto, which looks at no signature.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

#[path = "objects/conformance.rs"]
mod conformance;
#[path = "objects_aws/emulator.rs"]
mod emulator;
#[path = "objects_aws/grants.rs"]
mod grants;
#[path = "objects_aws/remote.rs"]
mod remote;
#[path = "objects/world.rs"]
mod world;

use emulator::{Emulator, Kind};
use kaiwa_media_pipeline::ports::{ObjectError, Objects, Part};
use remote::Remote;
use std::sync::Arc;
use world::{SHA256, World, send_part};

/// What an emulator cannot do, and why. A check that stands here must fail: when the emulator has learnt it, the line
/// goes.
const CANNOT: &[(Kind, &str, &str)] = &[
    (Kind::Moto, "an_upload_goes_on_after_a_break", LIST_PARTS),
    (
        Kind::Moto,
        "completing_again_gives_the_same_object",
        LIST_PARTS,
    ),
    (
        Kind::Moto,
        "no_parts_and_no_upload_make_no_object",
        LIST_PARTS,
    ),
    (Kind::Moto, "a_signed_part_takes_nothing_else", LIST_PARTS),
    (
        Kind::MiniStack,
        "a_part_has_the_kind_of_checksum_of_its_upload",
        "it takes a part with another algorithm than its upload was begun with; S3 answers 400, and the service signs none",
    ),
    (
        Kind::Moto,
        "an_aborted_upload_is_gone_and_aborting_again_is_no_error",
        "it answers 500 to a part of an upload that is not there",
    ),
];

const LIST_PARTS: &str =
    "its answer to ListParts has another root element than S3's, which the SDK cannot read";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_keeps_the_contract_on_ministack() {
    conform(Kind::MiniStack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_keeps_the_contract_on_moto() {
    conform(Kind::Moto).await;
}

async fn conform(kind: Kind) {
    let emulator = Arc::new(Emulator::start(kind).await);
    let mut failed = Vec::new();
    for (number, (name, check)) in conformance::CHECKS.iter().enumerate() {
        let world = Remote::new(Arc::clone(&emulator), &format!("bucket-{number}")).await;
        let world: Arc<dyn World> = Arc::new(world);
        let result = tokio::spawn(check(world)).await;
        eprintln!(
            "{kind:?}: {name}: {}",
            if result.is_ok() { "kept" } else { "not kept" }
        );
        let known = CANNOT
            .iter()
            .find(|(who, what, _)| (*who, *what) == (kind, name));
        match (result, known) {
            (Ok(()), None) => {}
            (Err(_), Some((_, _, reason))) => eprintln!("{kind:?}: as is known: {reason}"),
            (Ok(()), Some(_)) => failed.push(format!("{name}: it has learnt that")),
            (Err(error), None) => failed.push(format!("{name}: {error}")),
        }
    }
    assert!(failed.is_empty(), "{kind:?}: {failed:#?}");
}

/// MiniStack takes parts of any size; moto refuses them as S3 does.
#[tokio::test]
async fn parts_that_are_too_small_are_the_uploaders_fault() {
    let emulator = Arc::new(Emulator::start(Kind::Moto).await);
    let world = Remote::new(emulator, "small").await;
    let upload = world
        .store
        .begin("a/source", "video/mp4", SHA256)
        .await
        .unwrap();
    let mut parts = Vec::new();
    for number in [1, 2] {
        let etag = send_part(&world, "a/source", &upload, number, b"tiny").await;
        let checksum = world::plan(number, b"tiny").checksum;
        parts.push(Part {
            number,
            size: 4,
            etag,
            checksum,
        });
    }
    let made = world.store.complete("a/source", &upload, &parts).await;
    assert_eq!(
        made,
        Err(ObjectError::Mismatch("EntityTooSmall".to_owned()))
    );
}

#[tokio::test]
async fn a_bucket_that_is_not_there_and_a_wrong_key_need_an_operator() {
    let emulator = Arc::new(Emulator::start(Kind::MiniStack).await);
    let world = Remote::new(Arc::clone(&emulator), "right").await;
    let missing = world.with_bucket("missing").await;
    let begun = missing.begin("a/source", "video/mp4", SHA256).await;
    assert!(matches!(begun, Err(ObjectError::Refused(_))), "{begun:?}");
    let stranger = world.of_a_stranger().await;
    let begun = stranger.begin("a/source", "video/mp4", SHA256).await;
    assert!(matches!(begun, Err(ObjectError::Refused(_))), "{begun:?}");
}
