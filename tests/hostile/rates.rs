//! More than one's share: commands, rooms, sessions, connections.

use crate::support::client::{Client, Codec, connect, int};
use crate::support::http::upgrade_status;
use crate::support::raw::dial;
use crate::support::scene::{Scene, subscribe};
use crate::support::server::own;
use crate::support::soon;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn room_list(id: u32) -> Value {
    json!({"id": id, "roomList": {}})
}

#[tokio::test]
async fn a_flood_is_refused_with_the_time_to_wait_then_cut_off_and_others_go_on() {
    let server = own(|spec| {
        let spec = spec.with("KAIWA_LIMITS__COMMANDS_PER_S", 5);
        let spec = spec.with("KAIWA_LIMITS__COMMAND_BURST", 40);
        spec.with("KAIWA_LIMITS__REFUSED_BURST", 30)
    });
    let mut scene = Scene::on(server).await;
    let mut flooder = scene.stranger("flood").await;
    let commands: Vec<Value> = (1000..1100).map(room_list).collect();
    flooder.say(&commands).await;
    let closed = flooder.closed_with(4200).await;
    let refusals: Vec<&Value> = closed
        .before
        .iter()
        .map(|m| &m["reply"]["error"])
        .filter(|e| e.is_object())
        .collect();
    let answered = closed
        .before
        .iter()
        .filter(|m| m["reply"]["rooms"].is_object())
        .count();
    // Four pages are read at once, and those that were being read when it was cut off are lost.
    assert!(
        (36..=50).contains(&answered),
        "{answered} were within the rate"
    );
    assert_eq!(refusals.len(), 31);
    for refusal in refusals {
        assert_eq!(int(&refusal["code"]), 301, "{refusal}");
        assert_eq!(refusal["temporary"], json!(true));
        assert!(
            (1..=10_000).contains(&int(&refusal["retryMs"])),
            "{refusal}"
        );
    }
    assert!(int(&closed.bye.unwrap()["retryMinMs"]) >= 30_000);
    scene.is_unharmed().await;
}

#[tokio::test]
async fn the_rate_is_a_persons_over_all_devices_and_a_new_session_does_not_renew_it() {
    let server = own(|spec| {
        let spec = spec.with("KAIWA_LIMITS__COMMANDS_PER_S", 1);
        spec.with("KAIWA_LIMITS__COMMAND_BURST", 20)
    });
    let mut one = Client::connect(&server, "both").await;
    let mut two = Client::connect(&server, "both").await;
    for _ in 0..20 {
        one.ok(json!({"roomList": {}})).await;
    }
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(int(
            &two.call(json!({"roomList": {}})).await["error"]["code"],
        ));
    }
    assert!(codes.contains(&301), "the other device has its own rate");
    drop((one, two));
    let mut again = Client::connect(&server, "both").await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(int(
            &again.call(json!({"roomList": {}})).await["error"]["code"],
        ));
    }
    assert!(codes.contains(&301), "connecting again renews the rate");
    // Who waits as told is served.
    let refusal = again.refused(json!({"roomList": {}})).await;
    tokio::time::sleep(std::time::Duration::from_millis(
        int(&refusal["retryMs"]) + 20,
    ))
    .await;
    again.ok(json!({"roomList": {}})).await;
    Client::connect(&server, "another")
        .await
        .ok(json!({"roomList": {}}))
        .await;
}

#[tokio::test]
async fn connecting_with_more_rooms_than_may_be_followed_is_refused() {
    let mut scene = Scene::new().await;
    let mut client = Client::open(&scene.server, Codec::Json).await;
    let mut command = connect(&scene.server.token(&scene.user("hoarder")));
    let room = |no: usize| json!({"room": format!("r_{no:032x}")});
    command["connect"]["rooms"] = (0..1_001).map(room).collect();
    let error = client.refused(command.clone()).await;
    assert_eq!(
        (int(&error["code"]), &error["details"]["limit"]),
        (302, &json!("1000"))
    );
    // Not one's end: with as many as are allowed one is connected, and told of each.
    command["connect"]["rooms"] = (0..999).map(room).collect();
    client.greet(command).await;
    let rooms = client.connected["rooms"].as_array().expect("rooms").clone();
    assert_eq!(rooms.len(), 999);
    assert!(rooms.iter().all(|room| int(&room["error"]["code"]) == 401));
    // Rooms that were refused take no place.
    client.ok(json!({"roomJoin": {"room": scene.room}})).await;
    client.ok(subscribe(&scene.room)).await;

    // Ten thousand do not fit into a frame.
    let mut client = Client::open(&scene.server, Codec::Json).await;
    let mut command = connect(&scene.server.token(&scene.user("hoarder")));
    command["connect"]["rooms"] = (0..10_000).map(room).collect();
    client.begin(command).await;
    client.closed_with(4304).await;

    // In Protobuf, with short names of one room again and again, they do.
    let mut client = Client::open(&scene.server, Codec::Proto).await;
    let mut command = connect(&scene.server.token(&scene.user("hoarder")));
    command["connect"]["rooms"] = (0..10_000).map(|_| json!({"room": "r"})).collect();
    assert_eq!(client.code(command).await, 302);
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_session_follows_so_many_rooms_and_no_more() {
    let server = own(|spec| spec.with("KAIWA_LIMITS__SUBSCRIPTIONS", 3));
    let mut scene = Scene::on(server).await;
    let mut client = scene.stranger("follower").await;
    let mut rooms = Vec::new();
    for no in 0..4 {
        let room = json!({"cid": crate::support::cid(), "kind": "ROOM_KIND_GROUP",
            "title": format!("{no}")});
        let room = client.ok(json!({"roomCreate": room})).await["room"].clone();
        rooms.push(room.as_str().expect("an id").to_owned());
    }
    for room in &rooms[..3] {
        client.ok(subscribe(room)).await;
    }
    let error = client.refused(subscribe(&rooms[3])).await;
    assert_eq!(
        (int(&error["code"]), &error["details"]["limit"]),
        (302, &json!("3"))
    );
    client.ok(subscribe(&rooms[0])).await;
    client.ok(json!({"unsubscribe": {"room": rooms[0]}})).await;
    client.ok(subscribe(&rooms[3])).await;
    scene.is_unharmed().await;
}

#[tokio::test]
async fn the_thousand_and_first_subscription_is_refused() {
    let server = own(|spec| {
        let spec = spec.with("KAIWA_LIMITS__COMMAND_BURST", 100_000);
        spec.with("KAIWA_LIMITS__ROOMS_PER_USER", 2_000)
    });
    let mut client = Client::connect(&server, "follower").await;
    let mut refused = Vec::new();
    let mut waiting = Vec::new();
    for no in 0..1_001 {
        let room = json!({"cid": crate::support::cid(), "kind": "ROOM_KIND_GROUP",
            "title": format!("{no}")});
        waiting.push(client.begin(json!({"roomCreate": room})).await);
    }
    let mut rooms = Vec::new();
    for id in waiting {
        rooms.push(
            client.reply(id).await["room"]["room"]
                .as_str()
                .expect("an id")
                .to_owned(),
        );
    }
    let mut waiting = Vec::new();
    for room in &rooms {
        waiting.push(client.begin(subscribe(room)).await);
    }
    for id in waiting {
        let reply = client.reply(id).await;
        refused.extend(
            reply["error"]
                .is_object()
                .then(|| int(&reply["error"]["code"])),
        );
    }
    assert_eq!(refused, [302]);
}

#[tokio::test]
async fn a_person_has_so_many_sessions_and_the_oldest_ends_for_the_newest() {
    let server = own(|spec| spec.with("KAIWA_LIMITS__SESSIONS_PER_USER", 3));
    let mut scene = Scene::on(server).await;
    let name = scene.user("many");
    let mut first = Client::connect(&scene.server, &name).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Client::connect(&scene.server, &name).await);
    }
    first.closed_with(4305).await;
    for client in &mut others {
        client.ok(json!({"roomList": {}})).await;
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn connections_beyond_the_bound_are_answered_503_and_those_of_one_address_429() {
    for (setting, status) in [("CONNECTIONS", 503), ("CONNECTIONS_PER_ADDRESS", 429)] {
        let server = own(|spec| spec.with(&format!("KAIWA_LIMITS__{setting}"), 3));
        let mut scene = Scene::on(server).await;
        let second = dial(&scene.server).await;
        let third = dial(&scene.server).await;
        // Accepted in the order in which they came; the fourth is told before it asks anything.
        let mut fourth = dial(&scene.server).await;
        let mut answer = Vec::new();
        let _ = soon("the refusal", fourth.read_to_end(&mut answer)).await;
        let answer = crate::support::http::parse(&answer);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        scene.is_unharmed().await;
        drop((second, third, fourth));
        // A place is given back with its connection.
        let mut tries = tokio::time::interval(std::time::Duration::from_millis(10));
        let again = async {
            loop {
                tries.tick().await;
                let mut stream = dial(&scene.server).await;
                stream
                    .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    .await
                    .ok();
                let mut status = [0; 12];
                let answered = stream.read_exact(&mut status).await;
                if answered.is_ok() && &status == b"HTTP/1.1 200" {
                    return stream;
                }
            }
        };
        drop(soon("a place", again).await);
        scene.is_unharmed().await;
    }
}

#[tokio::test]
async fn upgrades_faster_than_an_addresss_rate_are_answered_429() {
    let server = own(|spec| {
        let spec = spec.with("KAIWA_LIMITS__REQUESTS_PER_S", 1);
        spec.with("KAIWA_LIMITS__REQUEST_BURST", 5)
    });
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(upgrade_status(server.address, &[]).await);
    }
    assert_eq!(statuses[..5], [101; 5]);
    assert!(statuses[5..].contains(&429), "{statuses:?}");
    let info = crate::support::http::request(server.address, "GET /api/v1/info", &[], "").await;
    assert_eq!(info.status, 200, "what costs nothing is not counted");
}
