//! The form's door.

use crate::embedded::{Embedded, files, form_body, posted};
use crate::world::{TTL, noise};
use axum::body::Body;
use axum::http::Request;
use kaiwa_media_pipeline::ports::{Objects, SignedForm};

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
