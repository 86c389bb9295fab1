//! Who sees what.

use super::{admin, get, names, one, path, seen};
use crate::support::scene::Scene;
use crate::world::{World, in_call};
use serde_json::{Value, json};

#[tokio::test]
async fn members_see_their_own_part_and_moderators_all_of_it() {
    let world = World::new().await;
    let _first = in_call(&world, "first").await;
    let _second = in_call(&world, "second").await;
    let (first, second) = (world.scene.user("first"), world.scene.user("second"));
    let own = seen(&world, &world.token("first")).await;
    assert_eq!(own["scope"], "own");
    assert_eq!(own["room"], world.scene.room);
    assert_eq!(names(&own), [&first]);
    for token in [world.token("witness"), admin(&world)] {
        let all = seen(&world, &token).await;
        assert_eq!(all["scope"], "all", "{all}");
        assert_eq!(names(&all), [&first, &second]);
        assert_eq!(one(&all, &second)["state"], "connecting");
        assert_eq!(one(&all, &second)["samples"], json!([]));
        assert!(all.get("next").is_none());
    }
    // A member who is not in the call has no part in it.
    let other = world.member("other").await;
    let none = seen(&world, &other).await;
    assert_eq!((&none["scope"], names(&none)), (&json!("own"), vec![]));
}

#[tokio::test]
async fn who_may_see_nothing_learns_nothing() {
    let world = World::new().await;
    let _first = in_call(&world, "first").await;
    let stranger = world.token("stranger");
    drop(world.scene.stranger("stranger").await);
    let refused = get(&world, &path(&world), &stranger).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.json()["error"]["reason"], "forbidden");
    for unknown in ["r_none", "not+a+room", "%00", "%ff"] {
        let answer = get(&world, &format!("/api/v1/calls/{unknown}"), &stranger).await;
        assert_eq!(
            (answer.status, &answer.body),
            (403, &refused.body),
            "{unknown}"
        );
    }
    let hidden = Scene::private().await;
    let path = format!("/api/v1/calls/{}", hidden.room);
    let answer = get(&world, &path, &stranger).await;
    assert_eq!((answer.status, &answer.body), (403, &refused.body));
    // Whoever was in it is a stranger again.
    let mut gone = world.scene.member("gone").await;
    gone.ok(json!({"roomLeave": {"room": world.scene.room}}))
        .await;
    let answer = get(&world, &super::path(&world), &world.token("gone")).await;
    assert_eq!((answer.status, &answer.body), (403, &refused.body));
}

#[tokio::test]
async fn between_people_of_a_room_addresses_stay_hidden() {
    let world = World::new().await;
    let encoder = world.encoder("encoder").await;
    let name = world.scene.user("encoder");
    let addresses = |answer: &Value| {
        let one = one(answer, &name);
        assert_eq!(one["protocol"], "udp", "{one}");
        [one["local"].clone(), one["remote"].clone()]
    };
    let hidden = [Value::Null, Value::Null];
    let moderator = seen(&world, &world.token("witness")).await;
    assert_eq!(addresses(&moderator), hidden);
    for token in [admin(&world), encoder.token.clone()] {
        let [local, remote] = addresses(&seen(&world, &token).await);
        for address in [local, remote] {
            let address = address.as_str().unwrap_or_default();
            assert!(address.starts_with("127.0.0.1:"), "{address}");
        }
    }
}

#[tokio::test]
async fn a_list_of_all_calls_is_for_administrators() {
    let world = World::new().await;
    let _first = in_call(&world, "first").await;
    let answer = get(&world, "/api/v1/calls", &admin(&world)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let list = answer.json();
    let calls = list["calls"].as_array().unwrap();
    let ours = calls.iter().find(|call| call["room"] == world.scene.room);
    let ours = ours.unwrap_or_else(|| panic!("our call in {list}"));
    assert_eq!(ours["participants"], 1);
    let started = ours["startedMs"].as_i64().unwrap();
    assert!(started > 0 && started <= list["nowMs"].as_i64().unwrap());
    let refused = get(&world, "/api/v1/calls", &world.token("witness")).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
}

#[tokio::test]
async fn a_room_without_a_call_has_nobody() {
    let world = World::new().await;
    for token in [world.token("witness"), admin(&world)] {
        let empty = seen(&world, &token).await;
        assert_eq!((&empty["scope"], names(&empty)), (&json!("all"), vec![]));
    }
    let unknown = get(&world, "/api/v1/calls/r_none", &admin(&world)).await;
    assert_eq!((unknown.status, names(&unknown.json())), (200, vec![]));
}
