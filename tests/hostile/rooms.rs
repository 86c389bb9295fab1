//! Rooms, messages and cids that are not one's own.

use crate::support::client::{Client, int};
use crate::support::scene::{Scene, subscribe};
use crate::support::{cid, cid_of, now_s};
use serde_json::{Value, json};

/// Every command that names a room.
fn room_commands(room: &str, somebody: &str) -> Vec<Value> {
    let position = json!({"room": room, "epoch": 1, "seq": "0"});
    vec![
        json!({"subscribe": {"after": {"room": room}}}),
        json!({"subscribe": {"after": position}}),
        json!({"events": {"room": room, "epoch": 1}}),
        json!({"history": {"room": room}}),
        json!({"roomMembers": {"room": room}}),
        json!({"send": {"room": room, "cid": cid(), "text": "x"}}),
        json!({"edit": {"room": room, "cid": cid(), "target": "1", "text": "x"}}),
        json!({"delete": {"room": room, "cid": cid(), "target": "1"}}),
        json!({"roomLeave": {"room": room}}),
        json!({"roomInvite": {"room": room, "user": somebody}}),
        json!({"roomRemove": {"room": room, "user": somebody}}),
        json!({"roomSetRole": {"room": room, "user": somebody, "role": "ROLE_OWNER"}}),
    ]
}

#[tokio::test]
async fn a_private_room_does_not_exist_for_those_outside_whatever_they_ask() {
    let mut scene = Scene::private().await;
    let mut stranger = scene.stranger("stranger").await;
    let owner = scene.user("witness");
    let none = "r_00000000000000000000000000000000";
    for room in [scene.room.as_str(), none] {
        let mut commands = room_commands(room, &owner);
        commands.push(json!({"roomGet": {"room": room}}));
        commands.push(json!({"roomJoin": {"room": room}}));
        for command in commands {
            assert_eq!(stranger.code(command.clone()).await, 401, "{command}");
        }
    }
    // Neither listed, nor to be had by way of `Connect`.
    let browsed = stranger.ok(json!({"roomBrowse": {}})).await.to_string();
    assert!(!browsed.contains(&scene.room));
    let mut follow = crate::support::client::connect(&scene.server.token(&scene.user("other")));
    follow["connect"]["rooms"] = json!([{"room": scene.room, "epoch": 1, "seq": "0"}]);
    let codec = crate::support::client::Codec::Json;
    let other = Client::connect_with(&scene.server, codec, follow).await;
    let answer = &other.connected["rooms"][0];
    assert_eq!(int(&answer["error"]["code"]), 401, "{answer}");
    assert!(
        answer["head"].is_null() && answer["events"].is_null(),
        "{answer}"
    );
    scene.is_unharmed().await;
}

#[tokio::test]
async fn outside_a_public_room_what_needs_membership_is_refused() {
    let mut scene = Scene::new().await;
    let mut stranger = scene.stranger("stranger").await;
    for command in room_commands(&scene.room, &scene.user("witness")) {
        assert_eq!(stranger.code(command.clone()).await, 402, "{command}");
    }
    let info = stranger.ok(json!({"roomGet": {"room": scene.room}})).await;
    assert!(
        info["last"].is_null(),
        "a stranger reads no message: {info}"
    );
    scene.is_unharmed().await;
}

#[tokio::test]
async fn who_was_removed_hears_of_it_and_then_of_nothing() {
    let mut scene = Scene::new().await;
    let mut gone = scene.member("gone").await;
    let user = scene.user("gone");
    scene
        .witness
        .ok(json!({"roomRemove": {"room": scene.room, "user": user}}))
        .await;
    loop {
        let event = gone.push("event").await;
        if event["member"]["membership"] == json!("MEMBERSHIP_LEFT") {
            break;
        }
    }
    scene.is_unharmed().await;
    for command in [
        scene.send("back"),
        subscribe(&scene.room),
        json!({"history": {"room": scene.room}}),
    ] {
        assert_eq!(gone.code(command.clone()).await, 402, "{command}");
    }
    // Whatever was pushed before that reply has come: no event of the room is among it.
    gone.begin(json!({"refresh": {"token": "x"}})).await;
    loop {
        let message = gone.next().await;
        assert!(message["push"]["event"].is_null(), "{message}");
        if message["reply"]["error"]["code"] == json!(200) {
            break;
        }
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn anothers_message_is_neither_edited_nor_deleted() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("mallory").await;
    let posted = scene.witness.ok(scene.send("mine")).await;
    scene.expect("mine");
    let target = posted["seq"].clone();
    let edit = json!({"room": scene.room, "cid": cid(), "target": target, "text": "yours"});
    assert_eq!(client.code(json!({"edit": edit})).await, 300);
    let delete = json!({"room": scene.room, "cid": cid(), "target": target});
    assert_eq!(client.code(json!({"delete": delete})).await, 300);
    scene.is_unharmed().await;
}

#[tokio::test]
async fn what_is_no_message_is_neither_edited_nor_deleted_nor_replied_to() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("mallory").await;
    // The creation of the room; nothing; the far future; the greatest number.
    for target in ["1", "0", "999999", "18446744073709551615"] {
        let edit = json!({"room": scene.room, "cid": cid(), "target": target, "text": "x"});
        assert_eq!(client.code(json!({"edit": edit})).await, 403, "{target}");
        let delete = json!({"room": scene.room, "cid": cid(), "target": target});
        assert_eq!(
            client.code(json!({"delete": delete})).await,
            403,
            "{target}"
        );
        if target != "0" {
            let mut reply = scene.send("re");
            reply["send"]["replyTo"] = json!(target);
            assert_eq!(client.code(reply).await, 403, "{target}");
        }
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_deleted_message_stays_deleted_and_its_text_is_gone() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("regrets").await;
    let target = client.ok(scene.send("regretted words")).await["seq"].clone();
    let delete = json!({"room": scene.room, "cid": cid(), "target": target});
    client.ok(json!({"delete": delete})).await;
    let edit = json!({"room": scene.room, "cid": cid(), "target": target, "text": "again"});
    assert_eq!(client.code(json!({"edit": edit})).await, 404);
    let delete = json!({"room": scene.room, "cid": cid(), "target": target});
    assert_eq!(client.code(json!({"delete": delete})).await, 404);
    scene.is_unharmed().await;
    let log = serde_json::to_string(&scene.log().await).unwrap();
    assert!(
        !log.contains("regretted") && log.contains("\"erased\":true"),
        "{log}"
    );
}

#[tokio::test]
async fn texts_that_are_empty_or_have_a_nul_are_refused_and_odd_ones_are_kept_as_they_are() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("mallory").await;
    for text in ["", "\u{0}", "a\u{0}b"] {
        let error = client.refused(scene.send(text)).await;
        assert_eq!(
            (int(&error["code"]), &error["details"]["field"]),
            (400, &json!("text"))
        );
    }
    for text in [
        "\n",
        " ",
        "\u{202E}abc",
        "\u{FEFF}",
        "<script>alert(1)</script>",
        "\"\\\u{7F}",
        "👨‍👩‍👧",
    ] {
        client.ok(scene.send(text)).await;
        scene.expect(text);
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn ids_that_are_none_are_refused_by_the_field() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("mallory").await;
    let long = "r".repeat(60_000);
    for room in ["", "../etc", "r_\u{0}", "'; DROP TABLE rooms; --", &long] {
        let error = client
            .refused(json!({"send": {"room": room, "cid": cid(), "text": "x"}}))
            .await;
        assert_eq!(
            (int(&error["code"]), &error["details"]["field"]),
            (400, &json!("room")),
            "{room:.20}"
        );
    }
    let v4 = uuid::Uuid::new_v4().to_string();
    for cid in [
        "",
        "1",
        &v4,
        "00000000-0000-0000-0000-000000000000",
        &cid().replace('-', ""),
    ] {
        let send = json!({"room": scene.room, "cid": cid, "text": "x"});
        let error = client.refused(json!({"send": send})).await;
        assert_eq!(
            (int(&error["code"]), &error["details"]["field"]),
            (400, &json!("cid")),
            "{cid}"
        );
    }
    let invite = json!({"roomInvite": {"room": scene.room, "user": "a b"}});
    assert_eq!(client.code(invite).await, 400);
    let invite = json!({"roomInvite": {"room": scene.room, "user": "nobody-of-that-name"}});
    assert_eq!(client.code(invite).await, 406);
    let cursor = json!({"roomBrowse": {"cursor": "x".repeat(5000)}});
    assert_eq!(client.code(cursor).await, 400);
    assert_eq!(
        client
            .code(json!({"roomBrowse": {"cursor": "made up"}}))
            .await,
        400
    );
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_cid_gives_its_first_result_again_and_can_not_name_another_kind_of_write() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("retries").await;
    let cid = cid();
    let send = |text: &str| json!({"send": {"room": scene.room, "cid": cid, "text": text}});
    let first = client.ok(send("once")).await;
    let again = client.ok(send("once")).await;
    let other = client.ok(send("another text under the same cid")).await;
    for dup in [&again, &other] {
        assert_eq!(
            (&dup["seq"], &dup["epoch"]),
            (&first["seq"], &first["epoch"])
        );
        assert_eq!(dup["dup"], json!(true), "{dup}");
    }
    assert!(first["dup"].is_null());
    let edit = json!({"room": scene.room, "cid": cid, "target": first["seq"], "text": "x"});
    assert_eq!(client.code(json!({"edit": edit})).await, 410);
    let delete = json!({"room": scene.room, "cid": cid, "target": first["seq"]});
    assert_eq!(client.code(json!({"delete": delete})).await, 410);
    // Somebody else's same cid is another write.
    let text = send("by somebody else");
    scene.expect("once");
    assert!(scene.witness.ok(text).await["dup"].is_null());
    scene.expect("by somebody else");
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_cid_of_another_time_is_refused() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("clock").await;
    let day = 24 * 3600;
    for unix_s in [now_s() - 7 * day - 60, 1, now_s() + day + 60] {
        let send = json!({"room": scene.room, "cid": cid_of(unix_s), "text": "x"});
        assert_eq!(client.code(json!({"send": send})).await, 405, "{unix_s}");
    }
    for unix_s in [now_s() - 7 * day + 60, now_s() + day - 60] {
        let send = json!({"room": scene.room, "cid": cid_of(unix_s), "text": "in time"});
        client.ok(json!({"send": send})).await;
        scene.expect("in time");
    }
    scene.is_unharmed().await;
}
