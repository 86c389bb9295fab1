//! Parts have checksums of one kind: that of the first that were asked for.

use crate::world::{World, new_clip, who};
use kaiwa_common::limits::CLIP_PART_BYTES;
use kaiwa_media_pipeline::api::{ApiError, Caller, Clips as _, Grant, WantGrant};
use kaiwa_media_pipeline::checksum::{Checksum, ChecksumKind};
use kaiwa_media_pipeline::model::{ClipId, ClipState, UploadMode};
use kaiwa_media_pipeline::ports::{Part, PartPlan};

const SHA256: Option<Checksum> = Some(Checksum::Sha256([1; 32]));
const CRC32C: Option<Checksum> = Some(Checksum::Crc32c([1; 4]));

/// A clip of four parts.
async fn registered(world: &World) -> ClipId {
    let mut new = new_clip();
    new.declared.size = 4 * CLIP_PART_BYTES;
    let clip = world.service.create(&who("alice"), new).await.unwrap();
    world.service.idle().await;
    clip.id
}

/// Asks for parts with these checksums, from number 1 on; gives the kind that the upload has.
async fn asked(
    world: &World,
    id: ClipId,
    checksums: &[Option<Checksum>],
) -> Result<ChecksumKind, ApiError> {
    asked_by(&who("alice"), world, id, checksums).await
}

async fn asked_by(
    caller: &Caller,
    world: &World,
    id: ClipId,
    checksums: &[Option<Checksum>],
) -> Result<ChecksumKind, ApiError> {
    let parts = (1..).zip(checksums).map(|(number, checksum)| PartPlan {
        number,
        size: CLIP_PART_BYTES,
        checksum: *checksum,
    });
    let want = WantGrant {
        mode: UploadMode::Multipart,
        parts: parts.collect(),
    };
    let grant = world.service.grant(caller, id, want).await?;
    let Grant::Parts { checksum, .. } = grant else {
        panic!("{grant:?}");
    };
    Ok(checksum)
}

fn field(answer: Result<ChecksumKind, ApiError>) -> &'static str {
    let Err(ApiError::Invalid(violations)) = answer else {
        panic!("{answer:?}");
    };
    violations[0].field
}

#[tokio::test]
async fn the_first_parts_say_of_which_kind_all_checksums_are() {
    use ChecksumKind::{Crc32c, Sha256};
    for (first, begun, kind) in [
        (&[CRC32C, CRC32C][..], Some(Crc32c), Crc32c),
        (&[SHA256], Some(Sha256), Sha256),
        (&[None, SHA256, None], Some(Sha256), Sha256),
        (&[None, None], None, Crc32c),
    ] {
        let world = World::new(1);
        let id = registered(&world).await;
        assert_eq!(asked(&world, id, first).await, Ok(kind));
        let (good, bad, wrong) = match kind {
            Crc32c => (CRC32C, SHA256, "parts.sha256"),
            Sha256 => (SHA256, CRC32C, "parts.crc32c"),
        };
        assert_eq!(asked(&world, id, &[good, None]).await, Ok(kind));
        // The same part again with the other kind, and a later one.
        assert_eq!(field(asked(&world, id, &[bad]).await), wrong);
        assert_eq!(field(asked(&world, id, &[good, None, bad]).await), wrong);
        assert_eq!(world.objects.begun_with(), [begun]);
    }
}

#[tokio::test]
async fn two_kinds_at_once_begin_nothing() {
    let world = World::new(1);
    let id = registered(&world).await;
    assert_eq!(
        field(asked(&world, id, &[CRC32C, SHA256]).await),
        "parts.sha256"
    );
    assert_eq!(world.objects.begun_with(), []);
    assert_eq!(world.clip(id).await.state, ClipState::Created);
}

#[tokio::test]
async fn of_two_that_begin_at_once_the_later_one_has_the_firsts_kind_or_is_told() {
    let world = World::new(1);
    let id = registered(&world).await;
    let asks = [CRC32C, SHA256].map(|checksum| {
        let world = &world;
        async move { asked(world, id, &[checksum]).await }
    });
    let answers = futures_util::future::join_all(asks).await;
    let kind = world.clip(id).await.upload.unwrap().checksum;
    for (answer, own) in answers
        .into_iter()
        .zip([ChecksumKind::Crc32c, ChecksumKind::Sha256])
    {
        if own == kind {
            assert_eq!(answer, Ok(kind));
        } else {
            field(answer);
        }
    }
}

#[tokio::test]
async fn another_checksum_under_the_same_key_is_another_request() {
    let world = World::new(1);
    let id = registered(&world).await;
    let alice = Caller {
        request_id: Some("0192f3a4-0000-7000-8000-000000000001".to_owned()),
        ..who("alice")
    };
    let first = asked_by(&alice, &world, id, &[CRC32C]).await;
    assert_eq!(asked_by(&alice, &world, id, &[CRC32C]).await, first);
    for other in [None, Some(Checksum::Crc32c([2; 4]))] {
        let answer = asked_by(&alice, &world, id, &[other]).await;
        assert_eq!(answer, Err(ApiError::KeyReused));
    }
    // What is wrong by itself is told first.
    let answer = asked_by(&alice, &world, id, &[SHA256]).await;
    assert_eq!(field(answer), "parts.sha256");
}

#[tokio::test]
async fn an_upload_is_not_completed_with_checksums_of_another_kind() {
    let world = World::new(1);
    let id = registered(&world).await;
    asked(&world, id, &[CRC32C; 4]).await.unwrap();
    world.objects.upload_arrives(4 * CLIP_PART_BYTES);
    let parts = |last: Option<Checksum>| {
        let checksums = [CRC32C, None, CRC32C, last];
        let parts = (1..).zip(checksums).map(|(number, checksum)| Part {
            number,
            size: CLIP_PART_BYTES,
            etag: "e".to_owned(),
            checksum,
        });
        parts.collect::<Vec<_>>()
    };
    let alice = who("alice");
    let answer = world.service.complete(&alice, id, parts(SHA256)).await;
    assert!(matches!(answer, Err(ApiError::Invalid(v)) if v[0].field == "parts.sha256"));
    assert_eq!(world.clip(id).await.state, ClipState::Uploading);
    let done = world.service.complete(&alice, id, parts(CRC32C)).await;
    assert_eq!(done.unwrap().state, ClipState::Uploaded);
}
