//! Frames whose content can't be read.

use crate::support::client::{CODECS, Client, Codec, connect, int};
use crate::support::raw::{BINARY, Heard, Raw, TEXT};
use crate::support::scene::Scene;
use crate::support::server::shared;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// The error that came before the close, which belongs to no command.
fn orphan(before: &[Value]) -> u64 {
    let last = before
        .last()
        .unwrap_or_else(|| panic!("no error before the close"));
    assert_eq!(int(&last["reply"]["id"]), 0, "{last}");
    int(&last["reply"]["error"]["code"])
}

#[tokio::test]
async fn what_is_not_json_is_malformed_and_ends_the_connection() {
    let mut scene = Scene::new().await;
    for frame in [
        "{",
        "hello",
        "\u{0}",
        "[1,2",
        "{\"id\":1,",
        "\"",
        "{\"id\":1}}",
        "nul",
    ] {
        let mut client = scene.member("mallory").await;
        client.send(Message::text(frame)).await;
        let closed = client.closed_with(4302).await;
        assert_eq!(orphan(&closed.before), 101, "{frame:?}");
    }
    // The code says not to come back by oneself; a person who tries again is let in.
    scene.member("mallory").await;
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_refused_by_its_id_and_the_connection_goes_on() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("mallory").await;
    let wrong = [
        json!({"send": {"room": 5}}),
        json!({"send": {"room": {}, "cid": [], "text": "x"}}),
        json!({"send": []}),
        json!({"send": "x"}),
        json!({"events": {"room": scene.room, "after": "minus one"}}),
        json!({"events": {"room": scene.room, "after": -1}}),
        json!({"events": {"room": scene.room, "epoch": 4_294_967_296_u64}}),
        json!({"roomCreate": {"kind": "ROOM_KIND_SECRET"}}),
        json!({"send": {"room": scene.room}, "pong": {"count": "0"}}),
    ];
    for command in wrong {
        let error = client.refused(command.clone()).await;
        assert_eq!(int(&error["code"]), 101, "{command}: {error}");
        assert!(error["details"]["at"].is_string(), "{error}");
    }
    client.ok(scene.send("after all that")).await;
    scene.expect("after all that");
    scene.is_unharmed().await;
}

#[tokio::test]
async fn json_that_is_no_object_is_malformed_and_ends_nothing() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("mallory").await;
    for frame in [
        "null",
        "1",
        "[]",
        "\"connect\"",
        "true",
        "{\"id\":-1}",
        "{\"id\":4294967296}",
    ] {
        client.send(Message::text(frame)).await;
        let reply = client.reply(0).await;
        assert_eq!(int(&reply["error"]["code"]), 101, "{frame}: {reply}");
    }
    client.ok(scene.send("still here")).await;
    scene.expect("still here");
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_command_that_this_version_does_not_know_is_refused_by_its_id() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("mallory").await;
    assert_eq!(
        client.code(json!({"teleport": {"room": scene.room}})).await,
        102
    );
    assert_eq!(client.code(json!({})).await, 102);
    // Without an id nobody is told, and nothing breaks.
    client.say(&[json!({"teleport": {}})]).await;
    client.ok(scene.send("known")).await;
    scene.expect("known");
    scene.is_unharmed().await;

    // Field 99 of a later version, by Protobuf.
    let mut client = Client::open(&scene.server, Codec::Proto).await;
    client
        .greet(crate::support::client::connect(
            &scene.server.token("later"),
        ))
        .await;
    client
        .send(Message::binary(vec![5, 0x08, 0x07, 0x9A, 0x06, 0x00]))
        .await;
    let reply = client.reply(7).await;
    assert_eq!(int(&reply["error"]["code"]), 102, "{reply}");
}

#[tokio::test]
async fn the_sixteenth_message_that_can_not_be_read_ends_the_connection() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("mallory").await;
    for _ in 0..15 {
        assert_eq!(client.code(json!({"send": 1})).await, 101);
    }
    client.begin(json!({"send": 1})).await;
    let closed = client.closed_with(4302).await;
    assert_eq!(
        int(&closed.before.last().unwrap()["reply"]["error"]["code"]),
        101
    );
    assert_eq!(int(&closed.bye.unwrap()["retryMinMs"]), 0);
    scene.is_unharmed().await;
}

#[tokio::test]
async fn half_an_emoji_is_refused_by_its_id_and_ends_nothing() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("pastes").await;
    // What JSON.stringify makes of a text that was cut within a surrogate pair. RFC 8259 section 8.2
    // leaves it to the receiver; a person's text must not cost them the connection.
    let cid = crate::support::cid();
    let send = format!(
        r#"{{"room":"{}","cid":"{cid}","text":"a \ud83d"}}"#,
        scene.room
    );
    let frame = format!("{{\"id\":77,\"send\":{send}}}");
    client.send(Message::text(frame)).await;
    let reply = client.reply(77).await;
    assert_eq!(int(&reply["error"]["code"]), 101, "{reply}");
    client.ok(scene.send("a 🚄")).await;
    scene.expect("a 🚄");
    scene.is_unharmed().await;
}

#[tokio::test]
async fn an_empty_frame_is_ignored() {
    let mut scene = Scene::new().await;
    for codec in CODECS {
        let name = scene.user(codec.name().trim_start_matches("kaiwa.v1+"));
        let connect = connect(&scene.server.token(&name));
        let mut client = Client::connect_with(&scene.server, codec, connect).await;
        for _ in 0..40 {
            let empty = if codec == Codec::Json {
                Message::text("")
            } else {
                Message::binary("")
            };
            client.send(empty).await;
        }
        if codec == Codec::Json {
            client.send(Message::text("\n\n \n")).await;
        }
        client.ok(json!({"roomList": {}})).await;
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_frame_of_too_many_messages_is_done_up_to_the_bound_and_ends_the_connection() {
    let mut scene = Scene::new().await;
    for codec in CODECS {
        let pongs = vec![json!({"pong": {"count": "0"}}); 300];
        for (count, name) in [(256, "bound"), (257, "over"), (300, "far")] {
            let name = scene.user(&format!("{name}-{codec:?}"));
            let connect = connect(&scene.server.token(&name));
            let mut client = Client::connect_with(&scene.server, codec, connect).await;
            client.say(&pongs[..count]).await;
            if count == 256 {
                client.ok(json!({"roomList": {}})).await;
            } else {
                assert_eq!(orphan(&client.closed_with(4302).await.before), 101);
            }
        }
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn nesting_does_not_exhaust_the_stack() {
    let mut scene = Scene::new().await;
    for deep in [
        "[".repeat(60_000),
        "{\"a\":".repeat(12_000),
        "{\"send\":[".repeat(6_000),
    ] {
        let mut client = scene.member("mallory").await;
        client.send(Message::text(deep)).await;
        let closed = client.closed_with(4302).await;
        assert_eq!(orphan(&closed.before), 101);
    }
    // Complete, and deep inside a field that nobody knows: it is passed over like any other.
    let mut client = scene.member("mallory").await;
    let nested = format!(
        "{{\"id\":9,\"x\":{}{}}}",
        "[".repeat(30_000),
        "]".repeat(30_000)
    );
    client.send(Message::text(nested)).await;
    assert_eq!(int(&client.reply(9).await["error"]["code"]), 102);
    scene.is_unharmed().await;
}

#[tokio::test]
async fn the_other_protocols_frames_are_refused() {
    let mut scene = Scene::new().await;
    let server = shared();
    let mut json = Raw::connect(&server, &scene.user("binary")).await;
    json.frame(BINARY, &[3, 8, 1, 34]).await;
    let (code, before) = json.closed().await;
    assert_eq!(code, Some(4302));
    assert_eq!(int(&before[0]["reply"]["error"]["code"]), 101, "{before:?}");

    let mut proto = Raw::open(&server, Codec::Proto).await;
    proto.frame(TEXT, b"{\"id\":1}").await;
    assert!(
        matches!(proto.next().await, Heard::Binary(_)),
        "the error, in the agreed codec"
    );
    assert_eq!(proto.closed().await.0, Some(4302));
    scene.is_unharmed().await;
}

#[tokio::test]
async fn protobuf_whose_lengths_are_wrong_ends_the_connection() {
    let mut scene = Scene::new().await;
    // Longer than the frame; a length that does not end; nothing where a message was announced.
    for frame in [&[200, 1, 8, 1][..], &[0xFF; 11], &[5]] {
        let connect = connect(&scene.server.token(&scene.user("mallory")));
        let mut client = Client::connect_with(&scene.server, Codec::Proto, connect).await;
        client.send(Message::binary(frame.to_vec())).await;
        let closed = client.closed_with(4302).await;
        assert_eq!(orphan(&closed.before), 101, "{frame:?}");
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_protobuf_message_that_can_not_be_read_spoils_neither_its_frame_nor_the_connection() {
    let mut scene = Scene::new().await;
    let connect = connect(&scene.server.token(&scene.user("mallory")));
    let mut client = Client::connect_with(&scene.server, Codec::Proto, connect).await;
    let wrong: [&[u8]; 4] = [
        // The end of a group; a wrong wire type; an inner length over its message; text that is no
        // UTF-8.
        &[1, 0x0C],
        &[2, 0x0D, 0x01],
        &[4, 0x12, 0x7F, 0x0A, 0x01],
        &[5, 0x12, 0x03, 0x0A, 0x01, 0xFF],
    ];
    for message in wrong {
        // Followed by a list of rooms, id 7, in the same frame.
        let frame = [message, &[5, 0x08, 0x07, 0x82, 0x02, 0x00]].concat();
        client.send(Message::binary(frame)).await;
        assert_eq!(
            int(&client.reply(0).await["error"]["code"]),
            101,
            "{message:?}"
        );
        let rooms = client.reply(7).await;
        assert!(rooms["rooms"].is_object(), "{message:?}: {rooms}");
    }
    scene.is_unharmed().await;
}
