//! What every object store does.

use crate::world::{PART, SHA256, TTL, World, all, noise, pieces, plan, send_part, sum, summed};
use futures_util::future::BoxFuture;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::checksum::{Checksum, ChecksumKind};
use kaiwa_media_pipeline::model::UploadMode;
use kaiwa_media_pipeline::ports::{ObjectError, Part};
use std::sync::Arc;

type Check = fn(Arc<dyn World>) -> BoxFuture<'static, ()>;

macro_rules! checks {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), |world| Box::pin($name(world)))),*] };
}

pub(crate) const CHECKS: &[(&str, Check)] = checks![
    an_object_is_there_whole_or_not_at_all,
    ranges_are_cut_to_the_object,
    parts_arrive_in_any_order_and_more_than_once,
    an_upload_goes_on_after_a_break,
    completing_again_gives_the_same_object,
    parts_that_are_not_there_make_no_object,
    no_parts_and_no_upload_make_no_object,
    an_aborted_upload_is_gone_and_aborting_again_is_no_error,
    listing_is_in_order_and_by_prefix,
    deleting_a_prefix_takes_everything_below_and_nothing_beside,
    a_signed_part_takes_nothing_else,
    parts_have_a_crc32c_as_well,
    parts_with_other_checksums_make_no_object,
    a_part_has_the_kind_of_checksum_of_its_upload,
    a_form_takes_an_object_of_its_size,
    open_uploads_are_found_by_their_age,
    names_that_are_no_keys_are_refused,
];

async fn put(world: &dyn World, key: &str, bytes: &[u8]) {
    let stored = world
        .objects()
        .put(key, "video/mp4", pieces(bytes), bytes.len() as u64)
        .await;
    assert_eq!(stored.unwrap().size, bytes.len() as u64);
}

async fn read(world: &dyn World, key: &str) -> Vec<u8> {
    all(world.objects().read(key, None).await.unwrap())
        .await
        .unwrap()
}

/// A part as its sender knows it.
fn sent(number: u32, bytes: &[u8], etag: String) -> Part {
    Part {
        number,
        size: bytes.len() as u64,
        etag,
        checksum: plan(number, bytes).checksum,
    }
}

async fn an_object_is_there_whole_or_not_at_all(world: Arc<dyn World>) {
    let (world, objects) = (&*world, world.objects());
    assert_eq!(objects.head("w/a").await.unwrap(), None);
    assert_eq!(
        objects.read("w/a", None).await.err(),
        Some(ObjectError::NotFound)
    );
    let bytes = noise(700_000, 1);
    put(world, "w/a", &bytes).await;
    let info = objects.head("w/a").await.unwrap().unwrap();
    assert_eq!((info.key.as_str(), info.size), ("w/a", 700_000));
    assert!(info.sha256.is_none_or(|known| known == sum(&bytes)));
    assert_eq!(read(world, "w/a").await, bytes);
    // Fewer and more bytes than promised leave what was there.
    for promised in [699_999, 700_001] {
        let wrong = objects
            .put("w/a", "video/mp4", pieces(&noise(700_000, 2)), promised)
            .await;
        assert!(matches!(wrong, Err(ObjectError::Mismatch(_))), "{wrong:?}");
    }
    let broken = futures_util::StreamExt::boxed(futures_util::stream::iter([
        Ok(bytes::Bytes::from_static(b"ab")),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ]));
    assert!(objects.put("w/a", "video/mp4", broken, 4).await.is_err());
    assert_eq!(read(world, "w/a").await, bytes);
    put(world, "w/a", b"other").await;
    assert_eq!(read(world, "w/a").await, b"other");
    assert_ne!(objects.head("w/a").await.unwrap().unwrap().etag, info.etag);
    put(world, "w/empty", b"").await;
    assert_eq!(read(world, "w/empty").await, b"");
}

async fn ranges_are_cut_to_the_object(world: Arc<dyn World>) {
    let bytes = noise(600_000, 3);
    put(&*world, "r/a", &bytes).await;
    for (from, to) in [(0, 1), (10, 300_000), (599_999, 600_000), (100, 900_000)] {
        let reading = world.objects().read("r/a", Some((from, to))).await.unwrap();
        assert_eq!(reading.info.size, 600_000);
        let end = usize::try_from(to).unwrap().min(600_000);
        assert_eq!(
            all(reading).await.unwrap(),
            bytes[usize::try_from(from).unwrap()..end]
        );
    }
    let behind = world.objects().read("r/a", Some((600_000, 600_001))).await;
    assert!(matches!(behind.err(), Some(ObjectError::Mismatch(_))));
}

async fn parts_arrive_in_any_order_and_more_than_once(world: Arc<dyn World>) {
    let (key, objects) = ("p/source", world.objects());
    let upload = objects.begin(key, "video/mp4", SHA256).await.unwrap();
    let (a, b, c) = (noise(PART, 4), noise(PART, 5), noise(1_000, 6));
    let last = send_part(&*world, key, &upload, 3, &c).await;
    send_part(&*world, key, &upload, 1, &noise(PART, 9)).await;
    let second = send_part(&*world, key, &upload, 2, &b).await;
    // Other bytes under the same number count from now on; the same ones change nothing.
    let etag = send_part(&*world, key, &upload, 1, &a).await;
    assert_eq!(send_part(&*world, key, &upload, 1, &a).await, etag);
    assert_eq!(
        objects.head(key).await.unwrap(),
        None,
        "nothing is there before the completion"
    );
    let parts = [sent(1, &a, etag), sent(2, &b, second), sent(3, &c, last)];
    let info = objects.complete(key, &upload, &parts).await.unwrap();
    let whole = [a, b, c].concat();
    assert_eq!(info.size, whole.len() as u64);
    assert!(info.sha256.is_none_or(|known| known == sum(&whole)));
    assert_eq!(read(&*world, key).await, whole);
    assert_eq!(objects.head(key).await.unwrap().unwrap().etag, info.etag);
}

async fn an_upload_goes_on_after_a_break(world: Arc<dyn World>) {
    let (key, objects) = ("b/source", world.objects());
    let upload = objects.begin(key, "video/mp4", SHA256).await.unwrap();
    assert_eq!(objects.parts(key, &upload).await.unwrap(), []);
    let (a, b) = (noise(PART, 7), noise(77, 8));
    let etag = send_part(&*world, key, &upload, 1, &a).await;
    let parts = objects.parts(key, &upload).await.unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!((parts[0].number, parts[0].size), (1, PART as u64));
    assert_eq!(etag.trim_matches('"'), parts[0].etag);
    assert!(
        parts[0]
            .checksum
            .is_none_or(|known| Some(known) == plan(1, &a).checksum)
    );
    let last = send_part(&*world, key, &upload, 2, &b).await;
    // The client's own list, with the marks as the answers' headers had them.
    let mine = [sent(1, &a, etag), sent(2, &b, last)];
    assert_eq!(
        objects.complete(key, &upload, &mine).await.unwrap().size,
        (PART + 77) as u64
    );
}

async fn completing_again_gives_the_same_object(world: Arc<dyn World>) {
    let (key, objects) = ("d/source", world.objects());
    let upload = objects.begin(key, "video/mp4", SHA256).await.unwrap();
    send_part(&*world, key, &upload, 1, b"all of it").await;
    let parts = objects.parts(key, &upload).await.unwrap();
    // No list means: what has arrived.
    let first = objects.complete(key, &upload, &[]).await.unwrap();
    let again = objects.complete(key, &upload, &parts).await.unwrap();
    assert_eq!((first.size, &first.etag), (again.size, &again.etag));
    assert_eq!(read(&*world, key).await, b"all of it");
    assert_eq!(
        objects.parts(key, &upload).await,
        Err(ObjectError::NotFound)
    );
}

async fn parts_that_are_not_there_make_no_object(world: Arc<dyn World>) {
    let (key, objects) = ("n/source", world.objects());
    let upload = objects.begin(key, "video/mp4", SHA256).await.unwrap();
    let etag = send_part(&*world, key, &upload, 1, b"one").await;
    let one = sent(1, b"one", etag.clone());
    let gap = [one.clone(), sent(2, b"two", etag)];
    let made = objects.complete(key, &upload, &gap).await;
    assert!(matches!(made, Err(ObjectError::Mismatch(_))), "{made:?}");
    let other = sent(1, b"one", "0123456789abcdef0123456789abcdef".to_owned());
    let made = objects.complete(key, &upload, &[other]).await;
    assert!(matches!(made, Err(ObjectError::Mismatch(_))), "{made:?}");
    assert_eq!(objects.head(key).await.unwrap(), None);
    assert_eq!(
        objects.complete(key, &upload, &[one]).await.unwrap().size,
        3
    );
}

async fn no_parts_and_no_upload_make_no_object(world: Arc<dyn World>) {
    let (key, objects) = ("n/none", world.objects());
    let upload = objects.begin(key, "video/mp4", SHA256).await.unwrap();
    let made = objects.complete(key, &upload, &[]).await;
    assert!(matches!(made, Err(ObjectError::Mismatch(_))), "{made:?}");
    assert_eq!(objects.head(key).await.unwrap(), None);
    let stranger = "0123456789abcdef0123456789abcdef";
    assert_eq!(
        objects.complete(key, stranger, &[]).await,
        Err(ObjectError::NotFound)
    );
    assert_eq!(
        objects.parts(key, stranger).await,
        Err(ObjectError::NotFound)
    );
}

async fn an_aborted_upload_is_gone_and_aborting_again_is_no_error(world: Arc<dyn World>) {
    let (key, objects) = ("x/source", world.objects());
    let upload = objects.begin(key, "video/mp4", SHA256).await.unwrap();
    send_part(&*world, key, &upload, 1, b"one").await;
    let signed = objects
        .sign_part(key, &upload, &plan(2, b"two"), TTL)
        .await
        .unwrap();
    objects.abort(key, &upload).await.unwrap();
    objects.abort(key, &upload).await.unwrap();
    assert_eq!(world.send(&signed, b"two".to_vec()).await.0, 404);
    assert_eq!(
        objects.parts(key, &upload).await,
        Err(ObjectError::NotFound)
    );
    assert_eq!(objects.head(key).await.unwrap(), None);
}

async fn listing_is_in_order_and_by_prefix(world: Arc<dyn World>) {
    for key in ["l/b", "l/a/2", "l/a/1", "l/a=2Fb", "la", "l/a/10"] {
        put(&*world, key, key.as_bytes()).await;
    }
    let keys = |found: Vec<kaiwa_media_pipeline::ports::ObjectInfo>| -> Vec<String> {
        found.into_iter().map(|info| info.key).collect()
    };
    let objects = world.objects();
    assert_eq!(
        keys(objects.list("l/", None).await.unwrap()),
        ["l/a/1", "l/a/10", "l/a/2", "l/a=2Fb", "l/b"]
    );
    assert_eq!(
        keys(objects.list("l/", Some("l/a/10")).await.unwrap()),
        ["l/a/2", "l/a=2Fb", "l/b"]
    );
    assert_eq!(
        keys(objects.list("l/a/", None).await.unwrap()),
        ["l/a/1", "l/a/10", "l/a/2"]
    );
    assert_eq!(
        keys(objects.list("l/", Some("l/z")).await.unwrap()),
        [""; 0]
    );
}

async fn deleting_a_prefix_takes_everything_below_and_nothing_beside(world: Arc<dyn World>) {
    let objects = world.objects();
    for key in ["del/1/a", "del/1/b/c", "del/10", "del/2/a"] {
        put(&*world, key, b"x").await;
    }
    let upload = objects
        .begin("del/1/source", "video/mp4", SHA256)
        .await
        .unwrap();
    assert_eq!(objects.delete_prefix("del/1/").await.unwrap(), 2);
    assert_eq!(objects.delete_prefix("del/1/").await.unwrap(), 0);
    let left: Vec<_> = objects
        .list("del/", None)
        .await
        .unwrap()
        .into_iter()
        .map(|info| info.key)
        .collect();
    assert_eq!(left, ["del/10", "del/2/a"]);
    assert_eq!(
        objects.parts("del/1/source", &upload).await,
        Err(ObjectError::NotFound)
    );
    for bad in ["", "/", "del", "../"] {
        assert!(matches!(
            objects.delete_prefix(bad).await,
            Err(ObjectError::Refused(_))
        ));
    }
}

async fn a_signed_part_takes_nothing_else(world: Arc<dyn World>) {
    let (key, objects) = ("s/source", world.objects());
    let upload = objects.begin(key, "video/mp4", SHA256).await.unwrap();
    let signed = objects
        .sign_part(key, &upload, &plan(1, b"right"), TTL)
        .await
        .unwrap();
    if world.is_strict() {
        let (status, _) = world.send(&signed, b"longer than that".to_vec()).await;
        assert!((400..500).contains(&status), "another length: {status}");
        let mut other = signed.clone();
        other.url = other
            .url
            .replacen("artNumber=1", "artNumber=2", 1)
            .replacen("?t=", "?t=A", 1);
        assert_eq!(
            world.send(&other, b"right".to_vec()).await.0,
            403,
            "another URL"
        );
        let past = objects
            .sign_part(key, &upload, &plan(1, b"right"), TTL)
            .await
            .unwrap();
        let mut unsigned = past.clone();
        unsigned.url.truncate(unsigned.url.find('?').unwrap());
        assert!(matches!(
            world.send(&unsigned, b"right".to_vec()).await.0,
            400..=405
        ));
    }
    if world.checks_sums() {
        let (status, _) = world.send(&signed, b"wrong".to_vec()).await;
        assert!((400..404).contains(&status), "another checksum: {status}");
    }
    if world.is_strict() && world.checks_sums() {
        assert_eq!(objects.parts(key, &upload).await.unwrap(), []);
    }
    assert_eq!(world.send(&signed, b"right".to_vec()).await.0, 200);
    assert_eq!(world.send(&signed, b"right".to_vec()).await.0, 200, "again");
    assert_eq!(objects.parts(key, &upload).await.unwrap().len(), 1);
}

async fn parts_have_a_crc32c_as_well(world: Arc<dyn World>) {
    let (key, kind, objects) = ("c/source", ChecksumKind::Crc32c, world.objects());
    let upload = objects.begin(key, "video/mp4", Some(kind)).await.unwrap();
    let (a, b) = (noise(PART, 1), noise(100_001, 2));
    let mut parts = Vec::new();
    for (number, bytes) in [(1, &a), (2, &b)] {
        let plan = summed(kind, number, bytes);
        let signed = objects.sign_part(key, &upload, &plan, TTL).await.unwrap();
        if world.checks_sums() {
            let mut wrong = bytes.clone();
            wrong[bytes.len() - 1] ^= 1;
            let (status, _) = world.send(&signed, wrong).await;
            assert!((400..404).contains(&status), "another checksum: {status}");
        }
        let (status, etag) = world.send(&signed, bytes.clone()).await;
        assert_eq!(status, 200);
        assert_eq!(world.send(&signed, bytes.clone()).await.1, etag, "again");
        parts.push(Part {
            checksum: plan.checksum,
            ..sent(number, bytes, etag.unwrap())
        });
    }
    let info = objects.complete(key, &upload, &parts).await.unwrap();
    assert_eq!(info.sha256, None);
    assert_eq!(objects.complete(key, &upload, &parts).await.unwrap(), info);
    assert_eq!(read(&*world, key).await, [a, b].concat());
}

async fn parts_with_other_checksums_make_no_object(world: Arc<dyn World>) {
    let objects = world.objects();
    for (key, kind, other) in [
        ("y/1", ChecksumKind::Sha256, Checksum::Crc32c([1; 4])),
        ("y/2", ChecksumKind::Crc32c, Checksum::Sha256([1; 32])),
    ] {
        let upload = objects.begin(key, "video/mp4", Some(kind)).await.unwrap();
        let mut parts = Vec::new();
        for (number, bytes) in [(1, noise(PART, 1)), (2, noise(10, 2))] {
            let plan = summed(kind, number, &bytes);
            let signed = objects.sign_part(key, &upload, &plan, TTL).await.unwrap();
            let (status, etag) = world.send(&signed, bytes.clone()).await;
            assert_eq!(status, 200);
            parts.push(Part {
                checksum: plan.checksum,
                ..sent(number, &bytes, etag.unwrap())
            });
        }
        let (first, last) = (parts[0].clone(), parts[1].clone());
        let with = |checksum: Checksum| Part {
            checksum: Some(checksum),
            ..last.clone()
        };
        // One of the other kind; and the first one's.
        let wrong = world
            .checks_sums()
            .then(|| with(first.checksum.unwrap()))
            .into_iter();
        for last in wrong.chain([with(other)]) {
            let made = objects.complete(key, &upload, &[first.clone(), last]).await;
            assert!(matches!(made, Err(ObjectError::Mismatch(_))), "{made:?}");
        }
        assert_eq!(objects.head(key).await.unwrap(), None);
        objects.complete(key, &upload, &parts).await.unwrap();
    }
}

async fn a_part_has_the_kind_of_checksum_of_its_upload(world: Arc<dyn World>) {
    let objects = world.objects();
    for (key, kind, other) in [
        ("z/1", ChecksumKind::Sha256, ChecksumKind::Crc32c),
        ("z/2", ChecksumKind::Crc32c, ChecksumKind::Sha256),
    ] {
        let upload = objects.begin(key, "video/mp4", Some(kind)).await.unwrap();
        let signed = async |kind| {
            let plan = summed(kind, 1, b"bytes");
            objects.sign_part(key, &upload, &plan, TTL).await.unwrap()
        };
        if world.checks_sums() {
            let (status, _) = world.send(&signed(other).await, b"bytes".to_vec()).await;
            assert!((400..404).contains(&status), "{kind:?}: {status}");
        }
        let (status, _) = world.send(&signed(kind).await, b"bytes".to_vec()).await;
        assert_eq!(status, 200);
        if world.checks_sums() {
            let (status, _) = world.send(&signed(other).await, b"bytes".to_vec()).await;
            assert!((400..404).contains(&status), "{kind:?} again: {status}");
        }
    }
}

async fn a_form_takes_an_object_of_its_size(world: Arc<dyn World>) {
    let objects = world.objects();
    assert!(objects.modes().contains(&UploadMode::Post));
    let form = objects
        .sign_post("f/one", "image/png", 1_000, TTL)
        .await
        .unwrap();
    if world.is_strict() {
        assert!((400..500).contains(&world.post(&form, noise(1_001, 1)).await));
        assert_eq!(objects.head("f/one").await.unwrap(), None);
    }
    assert!(matches!(
        world.post(&form, noise(1_000, 2)).await,
        200..=204
    ));
    assert_eq!(read(&*world, "f/one").await, noise(1_000, 2));
}

async fn open_uploads_are_found_by_their_age(world: Arc<dyn World>) {
    let objects = world.objects();
    let open = objects.begin("o/open", "video/mp4", SHA256).await.unwrap();
    let done = objects.begin("o/done", "video/mp4", SHA256).await.unwrap();
    let etag = send_part(&*world, "o/done", &done, 1, b"x").await;
    let parts = [sent(1, b"x", etag)];
    objects.complete("o/done", &done, &parts).await.unwrap();
    assert_eq!(objects.stale_uploads(UnixMs(1_000)).await.unwrap(), []);
    let later = UnixMs::now().plus(TTL * 1_000_000);
    assert_eq!(
        objects.stale_uploads(later).await.unwrap(),
        [("o/open".to_owned(), open)]
    );
}

async fn names_that_are_no_keys_are_refused(world: Arc<dyn World>) {
    for key in [
        "",
        "/etc/passwd",
        "../../etc/passwd",
        "a/../b",
        "a//b",
        "a b",
        "a\0b",
        "a/*",
        "ü",
    ] {
        let objects = world.objects();
        let put = objects.put(key, "video/mp4", pieces(b"x"), 1).await;
        assert!(matches!(put, Err(ObjectError::Refused(_))), "{key:?}");
        assert!(matches!(
            objects.begin(key, "video/mp4", SHA256).await,
            Err(ObjectError::Refused(_))
        ));
        assert!(objects.sign_post(key, "video/mp4", 1, TTL).await.is_err());
        assert!(objects.head(key).await.is_err());
        assert!(objects.read(key, None).await.is_err());
        assert_eq!(objects.local_path(key), None);
    }
}
