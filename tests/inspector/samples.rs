//! What is said of media that flows.

use super::{admin, one, seen};
use crate::support::PATIENCE;
use crate::support::server::own;
use crate::world::{Peer, World, until_seen, with_media};
use serde_json::Value;
use std::time::Instant;

/// Media flows until what an administrator sees of the call is as it should be.
async fn until(
    world: &World,
    (encoder, player): (&mut Peer, &mut Peer),
    is: impl Fn(&Value) -> bool,
) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        for _ in 0..10 {
            encoder.send();
            encoder.media.pump();
            player.media.pump();
        }
        let seen = seen(world, &admin(world)).await;
        if is(&seen) {
            return seen;
        }
        assert!(Instant::now() < until, "never so: {seen}");
    }
}

fn last(one: &Value) -> &Value {
    let samples = one["samples"].as_array().unwrap();
    samples.last().unwrap_or(&Value::Null)
}

#[tokio::test]
async fn each_second_of_media_is_told_with_what_is_published_and_carried() {
    let world = World::new().await;
    let mut encoder = world.encoder("encoder").await;
    let mut player = world.player("player", "").await;
    until_seen(&mut encoder, &mut player);
    let (sends, sees) = (world.scene.user("encoder"), world.scene.user("player"));
    let seen = until(&world, (&mut encoder, &mut player), |seen| {
        let carried = last(one(seen, &sees))["outKbps"].as_u64() > Some(0);
        carried && last(one(seen, &sends))["inKbps"].as_u64() > Some(0)
    })
    .await;
    let publisher = one(&seen, &sends);
    assert_eq!(publisher["user"], sends);
    assert_eq!(publisher["state"], "connected");
    let sample = last(publisher);
    let now = seen["nowMs"].as_i64().unwrap();
    let ms = sample["ms"].as_i64().unwrap();
    assert!(ms <= now && ms >= publisher["joinedMs"].as_i64().unwrap() - 1_000);
    assert_eq!(
        (&sample["inLoss"], &sample["rttMs"]),
        (&0.0.into(), &Value::Null)
    );
    let published = publisher["publications"].as_array().unwrap();
    let [sound, picture] = [&published[0], &published[1]];
    assert_eq!(
        (&sound["source"], &sound["codec"]),
        (&"microphone".into(), &"opus".into())
    );
    assert_eq!(
        (&picture["source"], &picture["codec"]),
        (&"camera".into(), &"VP8".into())
    );
    assert_eq!(picture["muted"], false);
    assert!(picture["layers"][0]["lastKeyframeMs"].as_i64() <= Some(now));
    let subscriber = one(&seen, &sees);
    let carried = subscriber["subscriptions"].as_array().unwrap();
    assert_eq!(carried.len(), 2, "{subscriber}");
    for subscription in carried {
        assert_eq!(subscription["user"], sends);
    }
    let of_picture = carried
        .iter()
        .find(|one| one["publication"] == picture["id"])
        .unwrap();
    assert_eq!(of_picture["layer"], 0);
    assert!(last(subscriber)["estimateKbps"].as_u64() > Some(0));
}

#[tokio::test]
async fn a_server_that_keeps_no_seconds_says_how_it_is_now() {
    let server = own(|spec| with_media(spec).with("KAIWA_CALLS__INSPECT_S", 0));
    let world = World::on(server).await;
    let mut encoder = world.encoder("encoder").await;
    let mut player = world.player("player", "").await;
    until_seen(&mut encoder, &mut player);
    let seen = seen(&world, &admin(&world)).await;
    let publisher = one(&seen, &world.scene.user("encoder"));
    assert_eq!(publisher["samples"], Value::Array(Vec::new()));
    assert_eq!(publisher["state"], "connected");
    assert_eq!(publisher["publications"].as_array().unwrap().len(), 2);
}
