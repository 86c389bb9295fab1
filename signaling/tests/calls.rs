//! Calls end to end, with everything real but sockets, time and the SFU.

#[path = "support/client.rs"]
mod client;
#[path = "support/sfu.rs"]
mod sfu;

use client::{Client, cid, number, server, server_with, token_of, two_in_a_room, wall};
use kaiwa_chat::ports::{Announce, Announcement, RingOutcome};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{CALL_EVENTS, CALL_OFFER_BURST, CALL_RING, CALL_SDP_BYTES, Limits};
use kaiwa_common::token::{CallGrant, ServerRole};
use kaiwa_sfu::control::trace::Reach;
use kaiwa_sfu::control::{Connectivity, Event, GoneReason, ParticipantId, Quality, Speaker};
use kaiwa_signaling::call::events::events;
use kaiwa_signaling::call::service::{Calls, Parts};
use kaiwa_signaling::session::Context;
use serde_json::{Value, json};
use sfu::SfuDouble;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A server with calls, and its SFU.
fn with_calls(limits: Limits) -> (Arc<Context>, Arc<SfuDouble>) {
    with_announced_calls(limits, None)
}

fn with_announced_calls(
    limits: Limits,
    announce: Option<Arc<dyn Announce>>,
) -> (Arc<Context>, Arc<SfuDouble>) {
    let mut double = None;
    let context = server_with(limits, None, |parts| {
        let (events, inbox) = events(parts.metrics.clone());
        let sfu = SfuDouble::new(events);
        double = Some(Arc::clone(&sfu));
        Some(Calls::start(Parts {
            reach: Reach::default(),
            sfu,
            inbox,
            hub: Arc::clone(&parts.hub),
            sessions: Arc::clone(&parts.sessions),
            chat: parts.chat.clone(),
            limits: parts.limits.clone(),
            announce: announce.clone(),
            metrics: parts.metrics.clone(),
            clock: wall,
        }))
    });
    (context, double.expect("made with the calls"))
}

async fn join(client: &mut Client, room: &str) -> Value {
    let reply = client.ask("callJoin", json!({"room": room})).await;
    assert!(!reply["callJoined"].is_null(), "{reply}");
    reply["callJoined"].clone()
}

async fn publish(client: &mut Client, room: &str, source: &str) -> String {
    let offer = json!({
        "room": room,
        "sdp": "v=0\r\n",
        "tracks": [{"mid": "0", "source": source}],
    });
    let reply = client.ask("callOffer", offer).await;
    let publication = &reply["callAnswer"]["tracks"][0]["publication"];
    publication
        .as_str()
        .unwrap_or_else(|| panic!("{reply}"))
        .to_owned()
}

async fn code(client: &mut Client, command: &str, body: Value) -> u64 {
    let reply = client.ask(command, body).await;
    assert!(!reply["error"].is_null(), "{command}: {reply}");
    number(&reply["error"]["code"])
}

/// The next roster that names somebody or says that somebody is gone.
async fn roster(client: &mut Client) -> Value {
    loop {
        let roster = client.push("callRoster").await;
        if !roster["participants"].is_null() || !roster["gone"].is_null() {
            return roster;
        }
    }
}

/// The next roster in which this participant is as wanted.
async fn until(client: &mut Client, participant: &Value, wanted: impl Fn(&Value) -> bool) {
    loop {
        let roster = roster(client).await;
        let all = roster["participants"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let them = all
            .iter()
            .find(|entry| entry["participant"] == *participant);
        if them.is_some_and(&wanted) {
            return;
        }
    }
}

async fn gone(client: &mut Client, participant: &Value) -> Value {
    loop {
        let roster = roster(client).await;
        let gone = roster["gone"].as_array().cloned().unwrap_or_default();
        if let Some(gone) = gone.iter().find(|gone| gone["participant"] == *participant) {
            return gone["reason"].clone();
        }
    }
}

/// Reads who is in the call, which also shows that all that came before is done.
async fn count(client: &mut Client, room: &str) -> u64 {
    let reply = client.ask("callGet", json!({"room": room})).await;
    number(&reply["callRoster"]["count"])
}

#[tokio::test(start_paused = true)]
async fn two_people_meet_publish_mute_and_part() {
    let (server, sfu) = with_calls(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    let hers = join(&mut alice, &room).await;
    assert_eq!(hers["roster"]["count"], json!(1));
    assert_eq!(hers["rights"]["moderate"], json!(true), "she is the owner");
    assert_eq!(hers["rights"]["publish"].as_array().map(Vec::len), Some(4));
    assert!(number(&hers["videoSlots"]) > 0);
    let microphone = publish(&mut alice, &room, "CALL_SOURCE_MICROPHONE").await;
    let his = join(&mut bob, &room).await;
    let seen = his["roster"]["participants"]
        .as_array()
        .expect("two people");
    assert_eq!(seen[0]["publications"][0]["publication"], json!(microphone));
    assert_eq!(seen[0]["user"]["id"], json!("alice"));
    until(&mut alice, &his["participant"], |entry| {
        entry["user"]["id"] == json!("bob")
    })
    .await;

    let wish = json!({"publication": microphone, "width": 320, "height": 180});
    let unknown = json!({"publication": "t_ffff", "width": 320, "height": 180});
    let prefer = json!({"room": room, "preferences": [wish, unknown]});
    assert!(!bob.ask("callPrefer", prefer).await["done"].is_null());
    let mute = json!({"room": room, "publication": microphone, "muted": true});
    assert!(!alice.ask("callMute", mute).await["done"].is_null());
    until(&mut bob, &hers["participant"], |entry| {
        entry["publications"][0]["muted"] == json!(true)
    })
    .await;
    let candidate = json!({"room": room, "candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host"});
    assert!(!bob.ask("callCandidate", candidate).await["done"].is_null());
    assert_eq!(
        sfu.inside()
            .values()
            .map(|inside| inside.wishes)
            .sum::<usize>(),
        1
    );

    assert!(!alice.ask("callLeave", json!({"room": room})).await["done"].is_null());
    assert_eq!(gone(&mut bob, &hers["participant"]).await, json!("left"));
    bob.ask("callLeave", json!({"room": room})).await;
    assert_eq!(count(&mut bob, &room).await, 0);
    assert_eq!(sfu.counts(), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_server_without_an_sfu_says_so_to_every_command_of_calls() {
    let server = server(Limits::default());
    let (mut alice, _, room, _) = two_in_a_room(&server).await;
    for (command, more) in [
        ("callJoin", json!({})),
        ("callLeave", json!({})),
        ("callOffer", json!({"sdp": "v=0"})),
        ("callCandidate", json!({})),
        ("callPrefer", json!({})),
        ("callMute", json!({"publication": "t_1"})),
        ("callRemove", json!({"participant": "p_1"})),
        ("callRing", json!({"users": ["bob"]})),
        ("callDecline", json!({})),
        ("callGet", json!({})),
    ] {
        let mut body = more;
        body["room"] = json!(room);
        assert_eq!(code(&mut alice, command, body).await, 507, "{command}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_does_not_end_the_part_and_a_resume_tells_everything() {
    let (server, sfu) = with_calls(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    join(&mut alice, &room).await;
    let his = join(&mut bob, &room).await;
    // His reliable pushes are counted like those of chat.
    count(&mut bob, &room).await;
    let session = server.sessions.of(&UserId::parse("bob").expect("an id"))[0]
        .id
        .to_string();
    let count = bob.count;
    bob.peer.cut();
    until(&mut alice, &his["participant"], |entry| {
        entry["interrupted"] == json!(true)
    })
    .await;
    publish(&mut alice, &room, "CALL_SOURCE_CAMERA").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let resume = json!({"resume": {"session": session, "count": count.to_string()}});
    let (mut bob, connected) = Client::connect(&server, "bob", resume).await;
    assert_eq!(connected["resumed"], json!(true), "{connected}");
    let whole = loop {
        let roster = roster(&mut bob).await;
        if roster["full"] == json!(true) {
            break roster;
        }
    };
    let all = whole["participants"].as_array().expect("everybody");
    assert_eq!(all.len(), 2);
    assert!(all.iter().any(|entry| !entry["publications"].is_null()));
    until(&mut alice, &his["participant"], |entry| {
        entry["interrupted"].is_null()
    })
    .await;
    let again = join(&mut bob, &room).await;
    assert_eq!(again["participant"], his["participant"]);
    assert_eq!(sfu.counts(), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_stays_away_leaves_and_its_person_learns_why() {
    let (server, sfu) = with_calls(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    join(&mut alice, &room).await;
    let his = join(&mut bob, &room).await;
    let session = server.sessions.of(&UserId::parse("bob").expect("an id"))[0]
        .id
        .to_string();
    let counted = bob.count;
    bob.peer.cut();
    let away = Duration::from_secs(Limits::default().call_away_s.into());
    tokio::time::sleep(away / 2).await;
    assert_eq!(count(&mut alice, &room).await, 2);
    assert_eq!(
        gone(&mut alice, &his["participant"]).await,
        json!("timed_out")
    );
    assert_eq!(sfu.counts(), (2, 1));
    let resume = json!({"resume": {"session": session, "count": counted.to_string()}});
    let (mut bob, connected) = Client::connect(&server, "bob", resume).await;
    assert_eq!(
        connected["resumed"],
        json!(true),
        "the session itself waits longer"
    );
    assert_eq!(bob.push("callEnded").await["reason"], json!("timed_out"));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_removed_from_the_room_is_out_of_its_call() {
    let (server, sfu) = with_calls(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    join(&mut alice, &room).await;
    let his = join(&mut bob, &room).await;
    alice
        .ask("roomRemove", json!({"room": room, "user": "bob"}))
        .await;
    let ended = bob.push("callEnded").await;
    assert_eq!(ended["reason"], json!("not_a_member"));
    assert_eq!(ended["participant"], his["participant"]);
    assert_eq!(
        gone(&mut alice, &his["participant"]).await,
        json!("removed")
    );
    assert_eq!(sfu.inside().len(), 1);
    assert_eq!(code(&mut bob, "callJoin", json!({"room": room})).await, 402);
    assert_eq!(code(&mut bob, "callGet", json!({"room": room})).await, 402);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_changes_what_one_may_publish_ends_what_is_published_and_the_part_goes_on() {
    let (server, sfu) = with_calls(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    join(&mut bob, &room).await;
    let track = json!({"mid": "0", "source": "CALL_SOURCE_MICROPHONE"});
    let offer = json!({"room": room, "sdp": "v=0\r\n", "tracks": [track]});
    let reply = bob.ask("callOffer", offer.clone()).await;
    assert!(reply["callAnswer"]["tracks"][0]["publication"].is_string());
    let role = json!({"room": room, "user": "bob", "role": "ROLE_GUEST"});
    alice.ask("roomSetRole", role).await;
    let changed = bob.push("callRightsChanged").await;
    assert!(
        changed["rights"]["publish"].is_null(),
        "a guest listens: {changed}"
    );
    assert_eq!(changed["rights"]["subscribe"], json!(true));
    let reply = bob.ask("callOffer", offer.clone()).await;
    let refused = &reply["callAnswer"]["tracks"][0]["error"];
    assert_eq!(refused["reason"], json!("forbidden"), "{reply}");
    assert!(
        sfu.inside()
            .values()
            .all(|inside| inside.publications.is_empty())
    );
    let role = json!({"room": room, "user": "bob", "role": "ROLE_MEMBER"});
    alice.ask("roomSetRole", role).await;
    let changed = bob.push("callRightsChanged").await;
    assert!(changed["rights"]["publish"].is_array(), "{changed}");
    let reply = bob.ask("callOffer", offer).await;
    assert!(reply["callAnswer"]["tracks"][0]["publication"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_tokens_claim_narrows_what_one_may_do() {
    let (server, _) = with_calls(Limits::default());
    let (_alice, mut bob, room, _) = two_in_a_room(&server).await;
    let grant = CallGrant {
        camera: false,
        screen: false,
        ..CallGrant::ALL
    };
    let narrow = token_of(&server, "bob", ServerRole::Creator, grant);
    assert!(!bob.ask("refresh", json!({"token": narrow})).await["refreshed"].is_null());
    let his = join(&mut bob, &room).await;
    assert_eq!(his["rights"]["publish"], json!(["CALL_SOURCE_MICROPHONE"]));
    let viewer = token_of(&server, "bob", ServerRole::Viewer, CallGrant::ALL);
    bob.ask("refresh", json!({"token": viewer})).await;
    let changed = bob.push("callRightsChanged").await;
    assert_eq!(changed["participant"], his["participant"]);
    assert!(changed["rights"]["publish"].is_null());
    assert_eq!(changed["rights"]["subscribe"], json!(true));
    let again = join(&mut bob, &room).await;
    assert_eq!(again["participant"], his["participant"], "the part goes on");
    assert!(again["rights"]["publish"].is_null());
}

/// Remembers what is announced.
#[derive(Default)]
struct Announced(Mutex<Vec<Announcement>>);

impl Announce for Announced {
    fn announce(&self, announcement: Announcement) {
        self.0.lock().expect("no panic").push(announcement);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ring_and_its_end_are_announced_under_one_name_for_devices_that_are_not_here() {
    for (end, expected) in [
        ("decline", RingOutcome::Declined),
        ("join", RingOutcome::Answered),
        ("cancel", RingOutcome::Cancelled),
        ("wait", RingOutcome::TimedOut),
    ] {
        let announced: Arc<Announced> = Arc::default();
        let (server, _) =
            with_announced_calls(Limits::default(), Some(Arc::clone(&announced) as _));
        let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
        join(&mut alice, &room).await;
        let ring = json!({"room": room, "users": ["bob"]});
        assert!(!alice.ask("callRing", ring).await["done"].is_null());
        bob.push("callRinging").await;
        let body = json!({"room": room});
        match end {
            "decline" => drop(bob.ask("callDecline", body).await),
            "join" => drop(join(&mut bob, &room).await),
            "cancel" => drop(alice.ask("callLeave", body).await),
            _ => {
                // Both say something now and then, so that their connections stay.
                for _ in 0..=CALL_RING.as_secs() / 10 {
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    count(&mut alice, &room).await;
                    count(&mut bob, &room).await;
                }
            }
        }
        count(&mut alice, &room).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        let told = announced.0.lock().expect("no panic").clone();
        let [
            Announcement::Ringing {
                user, from, until, ..
            },
            Announcement::RingOver {
                user: whose,
                from: by,
                until: same,
                outcome,
                ..
            },
        ] = told.as_slice()
        else {
            panic!("{end}: {told:?}");
        };
        assert_eq!((user.as_str(), whose.as_str()), ("bob", "bob"));
        assert_eq!((&from.id, until), (&by.id, same), "one name");
        assert_eq!(*outcome, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ring_sounds_on_every_device_until_one_answers() {
    let (server, _) = with_calls(Limits::default());
    let (mut alice, mut bob, _, _) = two_in_a_room(&server).await;
    let (mut phone, _) = Client::connect(&server, "bob", json!({})).await;
    let create = json!({"kind": "ROOM_KIND_DIRECT", "members": ["bob"]});
    let room = alice.ask("roomCreate", create).await["room"]["room"].clone();
    let room = room.as_str().expect("an id").to_owned();
    join(&mut alice, &room).await;
    let ring = json!({"room": room});
    assert!(!alice.ask("callRing", ring.clone()).await["done"].is_null());
    for device in [&mut bob, &mut phone] {
        let ringing = device.push("callRinging").await;
        assert_eq!(ringing["from"]["id"], json!("alice"));
        assert!(number(&ringing["untilMs"]) > u64::try_from(wall().0).expect("after 1970"));
    }
    assert_eq!(code(&mut alice, "callRing", ring.clone()).await, 505);
    let (mut tablet, _) = Client::connect(&server, "bob", json!({})).await;
    tablet.push("callRinging").await;
    join(&mut phone, &room).await;
    for device in [&mut bob, &mut tablet] {
        assert_eq!(
            device.push("callRinging").await["outcome"],
            json!("answered")
        );
    }
    let told = alice.push("callRinging").await;
    assert_eq!(
        (&told["outcome"], &told["user"]["id"]),
        (&json!("answered"), &json!("bob"))
    );
    assert_eq!(
        code(&mut alice, "callRing", ring.clone()).await,
        505,
        "he is in the call"
    );

    phone.ask("callLeave", json!({"room": room})).await;
    alice.ask("callRing", ring.clone()).await;
    bob.push("callRinging").await;
    bob.ask("callDecline", json!({"room": room})).await;
    assert_eq!(bob.push("callRinging").await["outcome"], json!("declined"));
    let told = alice.push("callRinging").await;
    assert_eq!(
        (&told["outcome"], &told["user"]["id"]),
        (&json!("declined"), &json!("bob"))
    );
    let soon = alice.ask("callRing", ring).await;
    assert_eq!(soon["error"]["reason"], json!("rate_limited"));
    assert!(number(&soon["error"]["retryMs"]) > 1_000);
}

#[tokio::test(start_paused = true)]
async fn only_members_are_rung_and_only_by_who_is_in_the_call() {
    let (server, _) = with_calls(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    let (_eve, _) = Client::connect(&server, "eve", json!({})).await;
    let ring = |who: &str| json!({"room": room, "users": [who]});
    assert_eq!(code(&mut bob, "callRing", ring("alice")).await, 500);
    join(&mut alice, &room).await;
    let refused = alice.ask("callRing", ring("eve")).await;
    assert_eq!(refused["error"]["code"], json!(400));
    assert_eq!(refused["error"]["details"]["user"], json!("eve"));
    assert_eq!(
        code(&mut alice, "callRing", json!({"room": room})).await,
        400
    );
    assert!(!alice.ask("callRing", ring("bob")).await["done"].is_null());
}

#[tokio::test(start_paused = true)]
async fn who_follows_a_room_knows_of_its_call() {
    let (server, _) = with_calls(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    join(&mut alice, &room).await;
    let begun = bob.push("callRoster").await;
    assert_eq!(begun["count"], json!(1));
    assert!(begun["participants"].is_null(), "only how many: {begun}");
    assert!(number(&begun["startedMs"]) > 0);
    let (mut late, _) = Client::connect(&server, "bob", json!({})).await;
    let subscribed = late
        .ask("subscribe", json!({"after": {"room": room}}))
        .await;
    assert_eq!(subscribed["subscribed"]["call"], begun);
    alice.ask("callLeave", json!({"room": room})).await;
    let over = bob.push("callRoster").await;
    assert_eq!(
        (&over["count"], &over["startedMs"]),
        (&Value::Null, &Value::Null)
    );
    assert!(number(&over["version"]) > number(&begun["version"]));
    let subscribed = late
        .ask("subscribe", json!({"after": {"room": room}}))
        .await;
    assert!(subscribed["subscribed"]["call"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_moderator_removes_and_the_removed_waits() {
    let (server, sfu) = with_calls(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    let hers = join(&mut alice, &room).await;
    let his = join(&mut bob, &room).await;
    let remove = |who: &Value| json!({"room": room, "participant": who});
    assert_eq!(
        code(&mut bob, "callRemove", remove(&hers["participant"])).await,
        300
    );
    assert_eq!(
        code(&mut alice, "callRemove", remove(&json!("p_1"))).await,
        501
    );
    alice.ask("callRemove", remove(&his["participant"])).await;
    assert_eq!(bob.push("callEnded").await["reason"], json!("removed"));
    assert_eq!(code(&mut bob, "callJoin", json!({"room": room})).await, 301);
    tokio::time::sleep(Duration::from_secs(11)).await;
    join(&mut bob, &room).await;
    assert_eq!(sfu.counts(), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_in_one_call_at_a_time() {
    let (server, sfu) = with_calls(Limits::default());
    let (mut alice, mut bob, first, _) = two_in_a_room(&server).await;
    let create = json!({"cid": cid(), "kind": "ROOM_KIND_GROUP", "title": "u"});
    let second = alice.ask("roomCreate", create).await["room"]["room"].clone();
    let second = second.as_str().expect("an id");
    join(&mut bob, &first).await;
    let hers = join(&mut alice, &first).await;
    alice.send(&json!({"id": 0, "callJoin": {"room": second}}));
    assert_eq!(alice.push("callEnded").await["reason"], json!("replaced"));
    assert_eq!(count(&mut alice, second).await, 1);
    assert_eq!(gone(&mut bob, &hers["participant"]).await, json!("left"));
    assert_eq!(sfu.inside().len(), 2);
    assert_eq!(
        code(&mut bob, "callJoin", json!({"room": second})).await,
        401
    );
    assert_eq!(
        count(&mut bob, &first).await,
        1,
        "a join that fails changes nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_sfu_tells_reaches_people() {
    let (server, sfu) = with_calls(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    join(&mut alice, &room).await;
    let his = join(&mut bob, &room).await;
    let ids: Vec<ParticipantId> = sfu.inside().into_keys().collect();
    let here = RoomId::parse(&room).expect("an id");
    sfu.tell(Event::Speakers {
        room: here.clone(),
        speakers: vec![Speaker {
            participant: ids[1],
            level: 20,
        }],
        active: Some(ids[1]),
    });
    let told = alice.push("callSpeakers").await;
    assert_eq!(told["active"], his["participant"]);
    assert_eq!(told["speakers"][0]["level"], json!(20));
    sfu.tell(Event::Quality {
        room: here.clone(),
        participant: ids[1],
        quality: Quality::Poor,
    });
    let told = alice.push("callQuality").await;
    assert_eq!(told["participants"][0]["quality"], json!("poor"));
    sfu.tell(Event::Connectivity {
        room: here,
        participant: ids[1],
        connectivity: Connectivity::Interrupted,
    });
    until(&mut alice, &his["participant"], |entry| {
        entry["interrupted"] == json!(true)
    })
    .await;
    // Signals are not counted, rosters are.
    let ping = alice.push("ping").await;
    assert_eq!(number(&ping["count"]), alice.count);
    sfu.lose(ids[1], GoneReason::TimedOut);
    assert_eq!(bob.push("callEnded").await["reason"], json!("timed_out"));
    assert_eq!(
        gone(&mut alice, &his["participant"]).await,
        json!("timed_out")
    );
}

#[tokio::test(start_paused = true)]
async fn strange_commands_are_refused_and_change_nothing() {
    let (server, sfu) = with_calls(Limits::default());
    let (mut alice, mut eve, room, _) = two_in_a_room(&server).await;
    join(&mut alice, &room).await;
    let microphone = publish(&mut alice, &room, "CALL_SOURCE_MICROPHONE").await;
    let offer = |sdp: String| json!({"room": room, "sdp": sdp});
    assert_eq!(
        code(&mut eve, "callOffer", offer("v=0".to_owned())).await,
        500
    );
    let mute = json!({"room": room, "publication": microphone, "muted": true});
    assert_eq!(code(&mut eve, "callMute", mute.clone()).await, 500);
    join(&mut eve, &room).await;
    assert_eq!(code(&mut eve, "callMute", mute).await, 300);
    let unknown = json!({"room": room, "publication": "t_abc", "muted": true});
    assert_eq!(code(&mut eve, "callMute", unknown).await, 502);
    let long = "v".repeat(CALL_SDP_BYTES + 1);
    assert_eq!(code(&mut eve, "callOffer", offer(long)).await, 103);
    assert_eq!(
        code(&mut eve, "callOffer", offer("hello".to_owned())).await,
        504
    );
    assert_eq!(code(&mut eve, "callOffer", offer(String::new())).await, 400);
    for _ in 0..CALL_OFFER_BURST {
        eve.send(&json!({"id": 0, "callOffer": offer("v=0".to_owned())}));
    }
    let flooded = eve.ask("callOffer", offer("v=0".to_owned())).await;
    assert_eq!(flooded["error"]["reason"], json!("rate_limited"));
    for wrong in [json!({"room": "?"}), json!({})] {
        assert_eq!(code(&mut eve, "callJoin", wrong).await, 400);
    }
    assert_eq!(
        code(&mut eve, "callJoin", json!({"room": "r_0"})).await,
        401
    );
    assert_eq!(count(&mut alice, &room).await, 2);
    assert_eq!(sfu.counts(), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn commands_of_one_connection_are_taken_in_their_order() {
    let (server, sfu) = with_calls(Limits::default());
    let (mut alice, _, room, _) = two_in_a_room(&server).await;
    for _ in 0..50 {
        for command in ["callJoin", "callLeave"] {
            alice.send(&json!({"id": 0, command: {"room": room}}));
        }
    }
    alice.ask("callLeave", json!({"room": room})).await;
    assert_eq!(count(&mut alice, &room).await, 0);
    assert!(sfu.inside().is_empty());
    let (joins, leaves) = sfu.counts();
    assert_eq!(joins, leaves, "every join has its leave");
}

#[tokio::test(start_paused = true)]
async fn an_sfu_that_does_not_answer_is_unavailable_and_the_rest_goes_on() {
    let (server, sfu) = with_calls(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    join(&mut alice, &room).await;
    join(&mut bob, &room).await;
    sfu.stick();
    let reply = alice
        .ask("callOffer", json!({"room": room, "sdp": "v=0"}))
        .await;
    assert_eq!(reply["error"]["reason"], json!("calls_unavailable"));
    assert_eq!(reply["error"]["temporary"], json!(true));
    bob.ask("callLeave", json!({"room": room})).await;
    assert_eq!(count(&mut alice, &room).await, 1);
}

#[tokio::test(start_paused = true)]
async fn more_events_than_anybody_can_take_end_in_a_whole_roster() {
    let (server, sfu) = with_calls(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    join(&mut alice, &room).await;
    join(&mut bob, &room).await;
    let id = *sfu.inside().keys().next().expect("somebody");
    for n in 0..CALL_EVENTS + 10 {
        let odd = n % 2 == 1;
        sfu.tell(Event::Connectivity {
            room: RoomId::parse(&room).expect("an id"),
            participant: id,
            connectivity: if odd {
                Connectivity::Interrupted
            } else {
                Connectivity::Connected
            },
        });
    }
    let whole = loop {
        let roster = roster(&mut bob).await;
        if roster["full"] == json!(true) {
            break roster;
        }
    };
    assert_eq!(whole["participants"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_joins_and_leaves_leave_nothing_behind() {
    let (server, sfu) = with_calls(Limits {
        commands_per_s: 100_000,
        command_burst: 100_000,
        ..Limits::default()
    });
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    for _ in 0..500 {
        join(&mut alice, &room).await;
        join(&mut bob, &room).await;
        alice.ask("callLeave", json!({"room": room})).await;
        bob.ask("callLeave", json!({"room": room})).await;
    }
    assert_eq!(sfu.counts(), (1_000, 1_000));
    assert!(sfu.inside().is_empty());
    assert_eq!(count(&mut alice, &room).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_has_so_many_people_and_a_draining_server_takes_no_more() {
    let (server, _) = with_calls(Limits {
        call_participants: 1,
        ..Limits::default()
    });
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    join(&mut alice, &room).await;
    let full = bob.ask("callJoin", json!({"room": room})).await;
    assert_eq!(full["error"]["reason"], json!("call_full"));
    assert_eq!(full["error"]["details"]["limit"], json!("1"));
    server.begin_drain();
    let draining = bob.ask("callJoin", json!({"room": room})).await;
    assert_eq!(draining["error"]["reason"], json!("draining"));
}
