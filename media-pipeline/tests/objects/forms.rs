//! The form's door.

use crate::embedded::{Embedded, files, form_body, posted};
use crate::world::{TTL, noise};
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use kaiwa_media_pipeline::objects::adapters::folder::{Disk, OsDisk};
use kaiwa_media_pipeline::ports::{Objects, SignedForm};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const KEY: &str = "video/u/2026/11/c/source";

async fn status(world: &Embedded, request: Request<Body>) -> u16 {
    world.call(request).await.status().as_u16()
}

async fn signed(world: &Embedded) -> SignedForm {
    world
        .store
        .sign_post(KEY, "image/png", 1_000, TTL)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_forms_file_is_stored_under_the_signed_key_whatever_it_is_called() {
    let world = Embedded::new().await;
    let form = signed(&world).await;
    let response = world
        .call(posted(&form.url, form_body(&form, &noise(1_000, 1))))
        .await;
    assert_eq!(response.status(), 204);
    let info = world.store.head(KEY).await.unwrap().unwrap();
    assert_eq!(
        response.headers()["etag"],
        format!("\"{}\"", info.etag).as_str()
    );
    assert_eq!(world.store.list("", None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn every_wrong_form_has_its_answer_and_stores_nothing() {
    let world = Embedded::new().await;
    let form = signed(&world).await;
    let good = form_body(&form, b"picture");
    for large in [1_001, 100_000] {
        assert_eq!(
            status(
                &world,
                posted(&form.url, form_body(&form, &noise(large, 2)))
            )
            .await,
            413
        );
    }
    let mut unsigned = form.clone();
    unsigned.fields.clear();
    assert_eq!(
        status(&world, posted(&form.url, form_body(&unsigned, b"x"))).await,
        403
    );
    unsigned
        .fields
        .insert("token".to_owned(), "k1.AA.AA".to_owned());
    assert_eq!(
        status(&world, posted(&form.url, form_body(&unsigned, b"x"))).await,
        403
    );
    unsigned
        .fields
        .insert("token".to_owned(), "x".repeat(10_000));
    assert_eq!(
        status(&world, posted(&form.url, form_body(&unsigned, b"x"))).await,
        413
    );
    // It breaks off within the file: no object of what came.
    let half = good[..good.len() - 9].to_vec();
    assert_eq!(status(&world, posted(&form.url, half)).await, 400);
    assert_eq!(
        status(&world, posted(&form.url, b"no form".to_vec())).await,
        400
    );
    let plain = Request::post(&form.url)
        .header("content-length", 1)
        .body(Body::from("x"))
        .unwrap();
    assert_eq!(status(&world, plain).await, 400);
    let unmeasured = Request::post(&form.url)
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(Body::from_stream(futures_util::stream::iter([Ok::<
            _,
            std::io::Error,
        >(
            good.clone(),
        )])));
    assert_eq!(status(&world, unmeasured.unwrap()).await, 411);
    assert_eq!(
        status(&world, Request::put(&form.url).body(Body::empty()).unwrap()).await,
        405
    );
    world.clock.advance(TTL);
    assert_eq!(status(&world, posted(&form.url, good)).await, 403);
    assert_eq!(world.store.head(KEY).await.unwrap(), None);
    assert!(files(&world.root()).is_empty());
}

#[tokio::test]
async fn a_form_is_good_for_one_object_and_replaces_none() {
    let world = Embedded::new().await;
    let form = signed(&world).await;
    let first = form_body(&form, &noise(500, 1));
    assert_eq!(status(&world, posted(&form.url, first.clone())).await, 204);
    let looked_at = world.store.head(KEY).await.unwrap();
    let other = form_body(&form, &noise(500, 2));
    assert_eq!(status(&world, posted(&form.url, other)).await, 409);
    assert_eq!(world.store.head(KEY).await.unwrap(), looked_at);
    // Of two at once one wins, and the other leaves nothing on the disk.
    world.store.delete_prefix("video/u/").await.unwrap();
    let both = (
        status(&world, posted(&form.url, first.clone())),
        status(&world, posted(&form.url, first)),
    );
    let (a, b) = tokio::join!(both.0, both.1);
    assert_eq!([a.min(b), a.max(b)], [204, 409]);
    assert_eq!(files(&world.root()).len(), 1);
}

/// Pieces without end that are always ready; how many were taken.
fn endless(before: Vec<u8>, taken: &Arc<AtomicUsize>) -> Body {
    let taken = Arc::clone(taken);
    let first = stream::iter([Ok(Bytes::from(before))]);
    let rest = stream::repeat(Bytes::from(vec![b'a'; 64 * 1024])).map(move |piece| {
        taken.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(piece)
    });
    Body::from_stream(first.chain(rest.take(10_000)))
}

#[tokio::test]
async fn a_stranger_makes_nobody_hold_more_than_a_token_takes() {
    let world = Embedded::new().await;
    for before in ["", "--XX\r\n", "--XX\r\nX: "] {
        let taken = Arc::new(AtomicUsize::new(0));
        let request = Request::post("/objects/form")
            .header("content-type", "multipart/form-data; boundary=XX")
            .header("content-length", 600_000_000)
            .body(endless(before.into(), &taken))
            .unwrap();
        assert_eq!(status(&world, request).await, 400);
        assert!(taken.load(Ordering::Relaxed) <= 2, "{taken:?}");
    }
}

/// A disk that notes how much had been taken from the client when it was first written to.
struct Slow {
    taken: Arc<AtomicUsize>,
    at_first: AtomicUsize,
}

impl Disk for Slow {
    fn free(&self, folder: &Path) -> std::io::Result<u64> {
        OsDisk.free(folder)
    }

    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> std::io::Result<()> {
        let taken = self.taken.load(Ordering::Relaxed);
        self.at_first.fetch_min(taken, Ordering::Relaxed);
        OsDisk.write_at(file, bytes, at)
    }

    fn sync(&self, file: &File) -> std::io::Result<()> {
        OsDisk.sync(file)
    }
}

#[tokio::test]
async fn a_forms_file_goes_to_the_disk_as_it_comes() {
    let taken = Arc::new(AtomicUsize::new(0));
    let disk = Arc::new(Slow {
        taken: Arc::clone(&taken),
        at_first: AtomicUsize::new(usize::MAX),
    });
    let world = Embedded::on(Arc::clone(&disk) as Arc<dyn Disk>, 0).await;
    let max = 100 * 1024 * 1024;
    let form = world.store.sign_post(KEY, "image/png", max, TTL).await;
    let before = form_body(&form.unwrap(), b"");
    let before = before[..before.len() - b"\r\n--XX--\r\n".len()].to_vec();
    let request = Request::post("/objects/form")
        .header("content-type", "multipart/form-data; boundary=XX")
        .header("content-length", max)
        .body(endless(before, &taken))
        .unwrap();
    assert_eq!(status(&world, request).await, 413);
    let held = disk.at_first.load(Ordering::Relaxed) * 64 * 1024;
    assert!(held <= 4 * 1024 * 1024, "{held} bytes in memory");
}
