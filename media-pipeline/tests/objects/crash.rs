//! What the embedded store promises of its folder: names, restarts, full disks, torn writes.

use crate::embedded::{Embedded, files};
use crate::world::{SHA256, TTL, World, all, noise, pieces, plan, send_part};
use futures_util::{StreamExt, stream};
use kaiwa_media_pipeline::objects::adapters::folder::{Disk, OsDisk};
use kaiwa_media_pipeline::ports::{ObjectError, Objects};
use kaiwa_platform::sqlite::{Keep, Sqlite, SqliteOptions};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const KEY: &str = "video/user/2026/11/clip/source";
/// Parts of this size fill their places exactly.
const STRIDE: usize = 8 * 1024 * 1024;

#[tokio::test]
async fn no_path_has_text_of_a_key_in_it() {
    let world = Embedded::new().await;
    let bytes = noise(10, 1);
    world
        .store
        .put(KEY, "video/mp4", pieces(&bytes), 10)
        .await
        .unwrap();
    let upload = world.store.begin(KEY, "video/mp4", SHA256).await.unwrap();
    send_part(&world, KEY, &upload, 1, b"x").await;
    for file in files(&world.root()) {
        let path = file
            .strip_prefix(world.root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let is_ours = |s: &str| {
            ["objects", "uploads", "data"].contains(&s) || s.bytes().all(|b| b.is_ascii_hexdigit())
        };
        assert!(path.split('/').all(is_ours), "{path}");
    }
    let path = world.store.local_path(KEY).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), bytes);
}

#[tokio::test]
async fn parts_of_their_places_size_become_the_object_without_a_copy() {
    let world = Embedded::new().await;
    let upload = world.store.begin(KEY, "video/mp4", SHA256).await.unwrap();
    let (a, b) = (noise(STRIDE, 1), noise(99, 2));
    send_part(&world, KEY, &upload, 2, &b).await;
    send_part(&world, KEY, &upload, 1, &a).await;
    let data = world.root().join("uploads").join(&upload).join("data");
    let inode = std::fs::metadata(data).unwrap().ino();
    // A part that came again with other bytes is the only one that is copied.
    let again = noise(99, 3);
    send_part(&world, KEY, &upload, 2, &again).await;
    world.store.complete(KEY, &upload, &[]).await.unwrap();
    let path = world.store.local_path(KEY).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    assert_eq!(std::fs::read(path).unwrap(), [a, again].concat());
    assert!(files(&world.root().join("uploads")).is_empty());
}

#[tokio::test]
async fn the_whole_is_right_in_whatever_order_parts_come() {
    let parts: Vec<_> = (0..4)
        .map(|n| noise(if n == 3 { 5 } else { STRIDE }, n))
        .collect();
    for order in [[1, 2, 3, 4], [4, 3, 2, 1], [2, 1, 4, 3]] {
        for again in [None, Some(1), Some(3)] {
            let world = Embedded::new().await;
            let upload = world.store.begin(KEY, "video/mp4", SHA256).await.unwrap();
            let mut whole = parts.clone();
            for number in order {
                send_part(&world, KEY, &upload, number, &parts[number as usize - 1]).await;
            }
            if let Some(number) = again {
                let place = number as usize - 1;
                whole[place] = noise(whole[place].len(), 99);
                send_part(&world, KEY, &upload, number, &whole[place]).await;
            }
            world.store.complete(KEY, &upload, &[]).await.unwrap();
            let path = world.store.local_path(KEY).unwrap();
            let is_same = std::fs::read(path).unwrap() == whole.concat();
            assert!(is_same, "{order:?} {again:?}");
        }
    }
}

#[tokio::test]
async fn an_upload_outlives_the_server_and_what_nobody_knows_is_swept() {
    let world = Embedded::new().await;
    let dir = Arc::clone(&world.dir);
    let upload = world.store.begin(KEY, "video/mp4", SHA256).await.unwrap();
    let a = noise(STRIDE, 1);
    send_part(&world, KEY, &upload, 1, &a).await;
    world
        .store
        .put("kept", "video/mp4", pieces(b"kept"), 4)
        .await
        .unwrap();
    let root = world.root();
    drop(world);
    for stray in ["incoming/ab", "objects/00/00ff"] {
        std::fs::write(root.join(stray), b"half").unwrap();
    }
    std::fs::create_dir(root.join("uploads/strange")).unwrap();
    let world = Embedded::open(dir, Arc::new(OsDisk), 0).await;
    assert!(!root.join("incoming/ab").exists() && !root.join("objects/00/00ff").exists());
    assert!(!root.join("uploads/strange").exists());
    assert_eq!(world.store.parts(KEY, &upload).await.unwrap().len(), 1);
    send_part(&world, KEY, &upload, 2, b"end").await;
    let info = world.store.complete(KEY, &upload, &[]).await.unwrap();
    assert_eq!(info.size, STRIDE as u64 + 3);
    assert!(world.store.head("kept").await.unwrap().is_some());
}

#[tokio::test]
async fn a_completion_that_broke_off_after_the_rename_is_finished_by_the_next_one() {
    let world = Embedded::new().await;
    let dir = Arc::clone(&world.dir);
    let upload = world.store.begin(KEY, "video/mp4", SHA256).await.unwrap();
    send_part(&world, KEY, &upload, 1, b"all").await;
    let data = world.root().join("uploads").join(&upload).join("data");
    let blob = world
        .root()
        .join("objects")
        .join(&upload[..2])
        .join(&upload);
    drop(world);
    std::fs::rename(data, blob).unwrap();
    let world = Embedded::open(dir, Arc::new(OsDisk), 0).await;
    assert_eq!(world.store.head(KEY).await.unwrap(), None);
    assert_eq!(
        world.store.complete(KEY, &upload, &[]).await.unwrap().size,
        3
    );
    let whole = all(world.store.read(KEY, None).await.unwrap())
        .await
        .unwrap();
    assert_eq!(whole, b"all");
}

#[tokio::test]
async fn some_of_the_parts_make_an_object_and_two_writers_of_one_part_do_not_mix() {
    let world = Arc::new(Embedded::new().await);
    let upload = world.store.begin(KEY, "video/mp4", SHA256).await.unwrap();
    let (a, b) = (noise(STRIDE, 1), noise(STRIDE, 2));
    let (first, second) = tokio::join!(
        send_part(&*world, KEY, &upload, 1, &a),
        send_part(&*world, KEY, &upload, 1, &b)
    );
    send_part(&*world, KEY, &upload, 2, b"not wanted").await;
    let parts = world.store.parts(KEY, &upload).await.unwrap();
    assert!(
        [first, second]
            .iter()
            .any(|etag| etag.trim_matches('"') == parts[0].etag)
    );
    // The parts stay as they are until the commit, so that a crash before it leaves the other ones too.
    let data = world.root().join("uploads").join(&upload).join("data");
    let inode = std::fs::metadata(data).unwrap().ino();
    world
        .store
        .complete(KEY, &upload, &parts[..1])
        .await
        .unwrap();
    let path = world.store.local_path(KEY).unwrap();
    assert_ne!(std::fs::metadata(path).unwrap().ino(), inode);
    let whole = all(world.store.read(KEY, None).await.unwrap())
        .await
        .unwrap();
    assert!(whole == a || whole == b);
}

#[tokio::test]
async fn a_reader_keeps_the_bytes_that_it_began_with() {
    let world = Embedded::new().await;
    let bytes = noise(1_000_000, 1);
    world
        .store
        .put("a", "video/mp4", pieces(&bytes), 1_000_000)
        .await
        .unwrap();
    let mut reading = world.store.read("a", None).await.unwrap();
    let first = reading.bytes.next().await.unwrap().unwrap();
    world
        .store
        .put("a", "video/mp4", pieces(b"new"), 3)
        .await
        .unwrap();
    let mut whole = first.to_vec();
    while let Some(piece) = reading.bytes.next().await {
        whole.extend(piece.unwrap());
    }
    assert!(whole == bytes);
    assert_eq!(
        files(&world.root()).len(),
        1,
        "the replaced file is deleted"
    );
}

/// A disk that is full after so many bytes.
struct Small(AtomicU64);

impl Disk for Small {
    fn free(&self, _folder: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let left = self.0.load(Ordering::Relaxed);
        let Some(left) = left.checked_sub(bytes.len() as u64) else {
            return Err(io::ErrorKind::StorageFull.into());
        };
        self.0.store(left, Ordering::Relaxed);
        OsDisk.write_at(file, bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        OsDisk.sync(file)
    }
}

#[tokio::test]
async fn a_disk_that_runs_full_is_named_and_leaves_nothing_half() {
    let world = Embedded::on(Arc::new(Small(AtomicU64::new(3_000_000))), 0).await;
    let upload = world.store.begin(KEY, "video/mp4", SHA256).await.unwrap();
    send_part(&world, KEY, &upload, 1, &noise(1_000_000, 1)).await;
    let large = noise(3_000_000, 2);
    let signed = world
        .store
        .sign_part(KEY, &upload, &plan(2, &large), TTL)
        .await
        .unwrap();
    assert_eq!(world.send(&signed, large.clone()).await.0, 507);
    let full = ObjectError::Refused("the disk is full".to_owned());
    let stored = world
        .store
        .put("a", "video/mp4", pieces(&large), 3_000_000)
        .await;
    assert_eq!(stored, Err(full));
    assert_eq!(world.store.parts(KEY, &upload).await.unwrap().len(), 1);
    assert_eq!(world.store.head("a").await.unwrap(), None);
    assert_eq!(files(&world.root()).len(), 1, "the parts' file alone");
}

#[tokio::test]
async fn what_would_take_of_the_reserve_is_refused_before_it_is_read() {
    let world = Embedded::on(Arc::new(OsDisk), u64::MAX / 2).await;
    let full = ObjectError::Refused("the disk is full".to_owned());
    assert_eq!(
        world.store.begin(KEY, "video/mp4", SHA256).await,
        Err(full.clone())
    );
    let never = futures_util::stream::pending().boxed();
    assert_eq!(
        world.store.put("a", "video/mp4", never, 10).await,
        Err(full)
    );
}

#[tokio::test]
async fn a_part_that_has_arrived_is_not_written_over_while_it_is_noted() {
    let world = Embedded::new().await;
    let upload = world.store.begin(KEY, "video/mp4", SHA256).await.unwrap();
    // From here on the stride is known: a part is written without a write to the index before it.
    send_part(&world, KEY, &upload, 2, &noise(9, 2)).await;
    let db = Sqlite::open(SqliteOptions::new(world.dir.path().join("db")), &[]).unwrap();
    let (held, release) = std::sync::mpsc::channel::<()>();
    let (is_held, begun) = tokio::sync::oneshot::channel();
    let holding = db.writer.submit(0, move |_| {
        let _ = is_held.send(());
        let _ = release.recv();
        Ok((Keep::No, ()))
    });
    let holding = tokio::spawn(holding);
    begun.await.unwrap();
    let first = noise(STRIDE, 1);
    let store = world.store.clone();
    let (id, plan_1) = (upload.clone(), plan(1, &first));
    let bytes = first.clone();
    let sent =
        tokio::spawn(async move { store.put_part(KEY, &id, &plan_1, &mut pieces(&bytes)).await });
    // Its bytes are on the disk, and the index is busy.
    let data = world.root().join("uploads").join(&upload).join("data");
    while std::fs::read(&data).unwrap().get(..STRIDE) != Some(&first[..]) {
        tokio::task::yield_now().await;
    }
    // The client gave up waiting and sends it again, and breaks off.
    let half = noise(3 * 1024 * 1024, 3);
    let broken = pieces(&half).chain(stream::iter([Err(io::ErrorKind::ConnectionReset.into())]));
    let second = plan(1, &noise(STRIDE, 3));
    let mut broken = Box::pin(broken);
    let again = world.store.put_part(KEY, &upload, &second, &mut broken);
    assert!(matches!(again.await, Err(ObjectError::Mismatch(_))));
    drop(held);
    holding.await.unwrap().unwrap();
    sent.await.unwrap().unwrap();
    world.store.complete(KEY, &upload, &[]).await.unwrap();
    let path = world.store.local_path(KEY).unwrap();
    assert!(std::fs::read(path).unwrap() == [first, noise(9, 2)].concat());
}
