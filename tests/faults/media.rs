//! Calls that work badly: what the inspector names, from its last seconds. Media flows in its own time here: a second of
//! samples takes a second.

use crate::client::{Link, picture};
use crate::person::{Person, named, server};
use crate::support::PATIENCE;
use crate::support::http::request;
use crate::support::scene::Scene;
use crate::support::token::claims;
use crate::wall::Wall;
use kaiwa_sfu::unit::Ssrc;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Between two pictures, and two packets of sound.
const FRAME: Duration = Duration::from_millis(25);
const SOUND: Duration = Duration::from_millis(60);

/// Bytes of a picture: 320 kbit/s, and sound of 20.
const PICTURE_BYTES: usize = 1_000;

/// How somebody publishes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoder {
    /// A key frame each second.
    Good,
    /// None, whoever asks.
    WithoutKeyframes,
}

/// Alice publishes, and Bob sees and hears her.
struct Call {
    scene: Scene,
    alice: Person,
    bob: Person,
    encoder: Encoder,
    next: (Instant, Instant),
    sent: (u16, u16),
}

impl Call {
    async fn begin(encoder: Encoder) -> Self {
        let scene = Scene::on(server(|spec| spec)).await;
        let mut alice = Person::join(&scene, "alice").await;
        let published = alice.offer().await;
        alice.connect();
        let mut bob = Person::join(&scene, "bob").await;
        bob.offer().await;
        bob.connect();
        let wishes =
            json!([{"publication": published[1]["publication"], "width": 640, "height": 360}]);
        let prefer = json!({"room": scene.room, "preferences": wishes});
        bob.session.ok(json!({"callPrefer": prefer})).await;
        let now = Instant::now();
        Self {
            scene,
            alice,
            bob,
            encoder,
            next: (now, now),
            sent: (0, 0),
        }
    }

    /// Media flows for so long.
    async fn flow(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.send();
            self.alice.media.pump();
            self.bob.media.drain();
            self.bob.media.received.clear();
            tokio::task::yield_now().await;
        }
    }

    fn send(&mut self) {
        let now = Instant::now();
        // What a busy machine was late with is made up for: the rates are what counts.
        while now >= self.next.0 {
            self.next.0 += SOUND;
            self.sent.0 += 1;
            let (no, time) = (u64::from(self.sent.0), u32::from(self.sent.0) * 2_880);
            let packet = self
                .alice
                .media
                .sealed(0, None, Ssrc(7), no, time, &[9; 60]);
            self.alice.media.send(&packet);
        }
        while now >= self.next.1 {
            self.next.1 += FRAME;
            self.sent.1 += 1;
            let is_key = self.encoder == Encoder::Good && self.sent.1 % 40 == 1;
            let seen = picture(self.sent.1, is_key, PICTURE_BYTES);
            let (no, time) = (u64::from(self.sent.1), u32::from(self.sent.1) * 2_250);
            let packet = self.alice.media.sealed(1, None, Ssrc(8), no, time, &seen);
            self.alice.media.send(&packet);
        }
    }

    /// What an administrator sees of the call.
    async fn seen(&self) -> Value {
        let mut claims = claims("operator", 3600);
        claims["role"] = json!("admin");
        let authorization = format!("Bearer {}", self.scene.server.key().sign(&claims));
        let headers = [("Authorization", authorization.as_str())];
        let line = format!("GET /api/v1/calls/{}", self.scene.room);
        let answer = request(self.scene.server.address, &line, &headers, "").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Media flows until somebody has a cause; gives what is seen.
    async fn until_named(&mut self) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            self.flow(Duration::from_millis(500)).await;
            let seen = self.seen().await;
            let mut all = seen["participants"].as_array().unwrap().iter();
            if all.any(|one| !one["cause"].is_null()) {
                return seen;
            }
            assert!(Instant::now() < until, "nothing is named: {seen}");
        }
    }

    fn one<'a>(&self, seen: &'a Value, person: &Person) -> &'a Value {
        let mut all = seen["participants"].as_array().unwrap().iter();
        let found = all.find(|one| one["id"] == json!(person.participant));
        found.unwrap_or_else(|| panic!("not there: {seen}"))
    }

    fn wall(&self, person: &Person, rule: &str) -> Wall {
        let Link::Udp(socket) = person.media.link() else {
            panic!("not by UDP")
        };
        let (theirs, ours) = (
            socket.local_addr().unwrap().port(),
            person.media.server().port(),
        );
        let rule = rule.replace("OURS", &ours.to_string());
        Wall::new(&[format!(
            "iif lo {}",
            rule.replace("THEIRS", &theirs.to_string())
        )])
    }
}

#[tokio::test]
async fn in_a_good_call_nobody_has_a_cause() {
    let mut call = Call::begin(Encoder::Good).await;
    for _ in 0..6 {
        call.flow(Duration::from_secs(1)).await;
        let seen = call.seen().await;
        for person in [&call.alice, &call.bob] {
            let one = call.one(&seen, person);
            assert_eq!(one["cause"], Value::Null, "{seen}");
            let mut pairs = one["pairs"].as_array().unwrap().iter();
            assert!(pairs.any(|pair| pair["nominated"] == json!(true)), "{one}");
        }
        assert_eq!(seen["failures"], json!([]), "{seen}");
    }
    let seen = call.seen().await;
    let samples = call.one(&seen, &call.bob)["samples"]
        .as_array()
        .unwrap()
        .len();
    assert!(samples >= 4, "there was enough to judge by: {samples}");
}

#[tokio::test]
async fn a_publisher_without_key_frames_is_named() {
    let mut call = Call::begin(Encoder::WithoutKeyframes).await;
    let seen = call.until_named().await;
    let alice = call.one(&seen, &call.alice);
    named(&alice["cause"], "no_keyframes");
    let published = alice["publications"].as_array().unwrap();
    let camera = published
        .iter()
        .find(|one| one["source"] == json!("camera"));
    named(&camera.unwrap()["cause"], "no_keyframes");
    assert_eq!(
        call.one(&seen, &call.bob)["cause"],
        Value::Null,
        "it is hers"
    );
}

#[tokio::test]
async fn a_subscriber_whose_path_carries_too_little_is_named() {
    let mut call = Call::begin(Encoder::Good).await;
    call.flow(Duration::from_secs(1)).await;
    // Less than the picture, more than the sound.
    let rule =
        "udp sport OURS udp dport THEIRS limit rate over 8 kbytes/second burst 8 kbytes drop";
    let _wall = call.wall(&call.bob, rule);
    let seen = call.until_named().await;
    named(&call.one(&seen, &call.bob)["cause"], "starved");
    assert_eq!(
        call.one(&seen, &call.alice)["cause"],
        Value::Null,
        "it is his"
    );
}

#[tokio::test]
async fn packets_that_are_lost_on_one_link_are_named_with_the_link_and_the_way() {
    let mut call = Call::begin(Encoder::Good).await;
    let rule = "udp sport THEIRS udp dport OURS numgen random mod 100 < 12 drop";
    let wall = call.wall(&call.alice, rule);
    let seen = call.until_named().await;
    let cause = &call.one(&seen, &call.alice)["cause"];
    named(cause, "loss");
    assert!(
        cause["text"]
            .as_str()
            .unwrap()
            .contains("from them to this server"),
        "{cause}"
    );
    assert_eq!(
        call.one(&seen, &call.bob)["cause"],
        Value::Null,
        "it is her link"
    );
    drop(wall);
}
