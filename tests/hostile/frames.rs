//! Frames that break WebSocket's rules, or are cut in unusual places.

use crate::support::cid;
use crate::support::client::{Codec, connect, int};
use crate::support::raw::{
    CONTINUATION, Heard, LAST, PING, Raw, TEXT, TEXT_BEGINS, header, masked,
};
use crate::support::scene::Scene;
use serde_json::{Value, json};

/// The bounds in force: the defaults.
const FRAME_BYTES: usize = 128 * 1024;
const TEXT_BYTES: usize = 16 * 1024;

async fn member(scene: &Scene, name: &str) -> Raw {
    // Joins as somebody who behaves, and comes back as somebody who doesn't.
    drop(scene.member(name).await);
    Raw::connect(&scene.server, &scene.user(name)).await
}

fn send(scene: &Scene, text: &str) -> Vec<u8> {
    let send = json!({"room": scene.room, "cid": cid(), "text": text});
    json!({"id": 5, "send": send}).to_string().into_bytes()
}

/// The next reply to a command.
async fn reply(raw: &mut Raw) -> Value {
    loop {
        let mut message = raw.message().await;
        if message["reply"].is_object() {
            return message["reply"].take();
        }
    }
}

#[tokio::test]
async fn a_frame_of_exactly_the_bound_is_taken_and_one_byte_more_ends_the_connection() {
    let mut scene = Scene::new().await;
    let mut raw = member(&scene, "exact").await;
    let mut frame = send(&scene, "at the bound");
    // Space between messages is nothing.
    frame.resize(FRAME_BYTES, b' ');
    raw.frame(TEXT, &frame).await;
    assert!(reply(&mut raw).await["committed"].is_object());
    scene.expect("at the bound");

    frame.push(b' ');
    raw.frame(TEXT, &frame).await;
    let (code, before) = raw.closed().await;
    assert_eq!(code, Some(4304));
    let error = before
        .iter()
        .find(|m| m["reply"]["error"].is_object())
        .expect("an error");
    assert_eq!(int(&error["reply"]["error"]["code"]), 103, "{error}");
    assert_eq!(
        error["reply"]["error"]["details"]["limit"],
        FRAME_BYTES.to_string()
    );
    assert_eq!(int(&before.last().unwrap()["push"]["bye"]["code"]), 4304);
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_frame_over_the_bound_is_refused_by_its_header() {
    let mut scene = Scene::new().await;
    for len in [FRAME_BYTES as u64 + 1, 1 << 32, (1 << 63) - 1] {
        let mut raw = member(&scene, "header").await;
        raw.bytes(&header(TEXT, len)).await;
        assert_eq!(raw.closed().await.0, Some(4304), "{len} bytes");
    }
    // RFC 6455 section 5.2: the most significant bit of a 64-bit length is 0.
    let mut raw = member(&scene, "header").await;
    raw.bytes(&header(TEXT, 1 << 63)).await;
    assert_eq!(raw.closed().await.0, Some(1002));
    scene.is_unharmed().await;
}

#[tokio::test]
async fn fragments_are_bounded_by_their_sum() {
    let mut scene = Scene::new().await;
    let mut raw = member(&scene, "sum").await;
    raw.frame(TEXT_BEGINS, &vec![b' '; FRAME_BYTES - 10]).await;
    raw.frame(CONTINUATION, &[b' '; 10]).await;
    raw.frame(CONTINUATION | LAST, b" ").await;
    assert_eq!(raw.closed().await.0, Some(4304));
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_text_of_exactly_the_bound_is_posted_and_one_byte_more_is_refused() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("long").await;
    // Three bytes a character, so that characters are not what is counted.
    let mut text = "会".repeat(TEXT_BYTES / 3);
    text += &"x".repeat(TEXT_BYTES - text.len());
    client.ok(scene.send(&text)).await;
    scene.expect(&text);
    let error = client.refused(scene.send(&(text + "x"))).await;
    assert_eq!(
        (int(&error["code"]), &error["details"]["limit"]),
        (103, &json!("16384"))
    );
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_message_may_come_in_fragments_cut_within_characters_with_pings_between() {
    let mut scene = Scene::new().await;
    let mut raw = member(&scene, "pieces").await;
    let frame = send(&scene, "会話 🚄 ελ");
    for (at, byte) in frame.iter().enumerate() {
        let first = if at == 0 { TEXT_BEGINS } else { CONTINUATION };
        raw.frame(first, &[*byte]).await;
    }
    raw.frame(PING, b"between").await;
    raw.frame(CONTINUATION | LAST, b"").await;
    let mut ponged = false;
    let committed = loop {
        match raw.next().await {
            Heard::Pong(payload) => ponged = payload == b"between",
            Heard::Message(message) if message["reply"].is_object() => break message,
            Heard::Message(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(ponged, "a ping is answered within a message");
    assert!(committed["reply"]["committed"].is_object(), "{committed}");
    scene.expect("会話 🚄 ελ");

    // One TCP segment for each byte: the frame is read when it is whole.
    let mut bytes = header(TEXT, 0);
    for byte in bytes.drain(..) {
        raw.bytes(&[byte]).await;
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn text_that_is_not_utf_8_ends_the_connection_with_1007() {
    let mut scene = Scene::new().await;
    let wrong: [&[u8]; 6] = [
        b"\xFF",
        b"\xC0\x80",           // an overlong NUL
        b"\xED\xA0\x80",       // a surrogate
        b"\xF4\x90\x80\x80",   // beyond U+10FFFF
        b"{\"id\":1}\xE4\xBC", // cut within a character
        b"{\"id\":1,\"x\":\"\x80\"}",
    ];
    for payload in wrong {
        let mut raw = member(&scene, "utf8").await;
        raw.frame(TEXT, payload).await;
        assert_eq!(raw.closed().await.0, Some(1007), "{payload:?}");
    }
    // Refused with the fragment that makes it wrong: the message need not end.
    let mut raw = member(&scene, "utf8").await;
    raw.frame(TEXT_BEGINS, b"\xE4\xBC").await;
    raw.frame(CONTINUATION, b"\x41").await;
    assert_eq!(raw.closed().await.0, Some(1007));
    scene.is_unharmed().await;
}

#[tokio::test]
async fn broken_rules_of_framing_end_the_connection_with_1002() {
    let mut scene = Scene::new().await;
    let cases: [(&str, Vec<u8>); 8] = [
        ("not masked", vec![0x81, 0x02, b'{', b'}']),
        ("a reserved bit", header(TEXT | 0x40, 0)),
        ("a reserved opcode", header(0x83, 0)),
        ("a reserved control opcode", header(0x8B, 0)),
        ("a continuation of nothing", header(CONTINUATION | LAST, 0)),
        ("a fragmented ping", header(0x09, 0)),
        ("a long ping", header(PING, 126)),
        (
            "a beginning within a message",
            [header(TEXT_BEGINS, 0), header(TEXT, 0)].concat(),
        ),
    ];
    for (what, bytes) in cases {
        let mut raw = member(&scene, "rules").await;
        raw.bytes(&bytes).await;
        assert_eq!(raw.closed().await.0, Some(1002), "{what}");
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_connection_lost_within_a_frame_does_nothing_of_it() {
    let mut scene = Scene::new().await;
    let mut raw = member(&scene, "lost").await;
    let whole = send(&scene, "before the cut");
    raw.frame(TEXT, &whole).await;
    assert!(reply(&mut raw).await["committed"].is_object());
    scene.expect("before the cut");
    let half = send(&scene, "never arrives");
    raw.bytes(&header(TEXT, half.len() as u64)).await;
    raw.bytes(&half[..half.len() / 2]).await;
    drop(raw);
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_flood_of_pings_that_nobody_reads_the_answers_of_costs_no_memory() {
    let mut scene = Scene::new().await;
    let mut raw = member(&scene, "pings").await;
    let before = scene.server.rss_anon();
    let ping = {
        let mut ping = header(PING, 125);
        ping.extend([0; 125]);
        ping.repeat(500)
    };
    // 32 MB, more than the kernel holds for both ends.
    for _ in 0..500 {
        raw.bytes(&ping).await;
    }
    let grown = scene.server.rss_anon().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    scene.is_unharmed().await;
}

#[tokio::test]
async fn the_closing_handshake_is_answered_with_the_clients_code() {
    let mut scene = Scene::new().await;
    for (payload, code) in [
        (&[0x03, 0xE8][..], Some(1000)),
        (&[0x0F, 0xA0], Some(4000)),
        (&[], None),
    ] {
        let mut raw = member(&scene, "leaves").await;
        raw.frame(0x88, payload).await;
        assert_eq!(raw.closed().await.0, code);
        assert_eq!(raw.next().await, Heard::End);
    }
    for payload in [&[0x03][..], &[0x03, 0xED], &[0, 0], &[0x03, 0xE8, 0xFF]] {
        let mut raw = member(&scene, "leaves").await;
        raw.frame(0x88, payload).await;
        let code = raw.closed().await.0;
        assert!(matches!(code, Some(1002 | 1007)), "{payload:?}: {code:?}");
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn what_comes_in_one_segment_with_the_upgrade_is_not_lost() {
    let mut scene = Scene::new().await;
    drop(scene.member("hasty").await);
    let mut connect = connect(&scene.server.token(&scene.user("hasty")));
    connect["id"] = json!(1);
    let commands = [connect.to_string().into_bytes(), send(&scene, "in one go")].join(&b'\n');
    let mut raw = Raw::open_and_say(&scene.server, Codec::Json, &masked(TEXT, &commands)).await;
    assert!(reply(&mut raw).await["connected"].is_object());
    assert!(reply(&mut raw).await["committed"].is_object());
    scene.expect("in one go");
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_second_connect_in_the_same_frame_changes_nobody() {
    let mut scene = Scene::new().await;
    drop(scene.member("first").await);
    let connect = |id: u32, user: &str| {
        let mut connect = connect(&scene.server.token(&scene.user(user)));
        connect["id"] = json!(id);
        connect.to_string().into_bytes()
    };
    let commands = [
        connect(1, "first"),
        connect(2, "second"),
        send(&scene, "whose?"),
    ]
    .join(&b'\n');
    let mut raw = Raw::open(&scene.server, Codec::Json).await;
    raw.frame(TEXT, &commands).await;
    assert!(reply(&mut raw).await["connected"].is_object());
    assert_eq!(int(&reply(&mut raw).await["error"]["code"]), 107);
    assert!(reply(&mut raw).await["committed"].is_object());
    scene.expect("whose?");
    assert_eq!(
        scene.log().await.last().unwrap()["sender"],
        json!(scene.user("first"))
    );
    scene.is_unharmed().await;
}
