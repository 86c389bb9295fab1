//! Somebody who joins a call by hand, and says what they saw.

use crate::client::{Client as Media, Line};
use crate::support::client::Client;
use crate::support::http::{Answer, request};
use crate::support::scene::Scene;
use crate::support::server::{Server, SharedServer, Spec, own};
use crate::support::{PATIENCE, now_s};
use kaiwa_sfu::control::{Answer as SfuAnswer, Source, Track};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

static PEOPLE: AtomicU64 = AtomicU64::new(1);

/// A server with media over the loopback, UDP and TCP each on a port of its own, and these settings.
pub(crate) fn server(settings: impl FnOnce(Spec) -> Spec) -> Arc<SharedServer> {
    own(|spec| {
        let spec = spec
            .with("KAIWA_CALLS__LISTEN", "[\"127.0.0.1:0\"]")
            .with("KAIWA_CALLS__TCP_LISTEN", "[\"127.0.0.1:0\"]")
            .with("KAIWA_CALLS__LOOPBACK", true)
            .with("KAIWA_CALLS__SHARDS", 1);
        settings(spec)
    })
}

/// Sound and pictures, both ways.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        Line::send(Source::Microphone, 7),
        Line::send(Source::Camera, 8),
        Line::receive("audio"),
        Line::receive("video"),
    ]
}

/// In a call, or on the way in.
pub(crate) struct Person {
    pub(crate) session: Client,
    pub(crate) media: Media,
    pub(crate) token: String,
    pub(crate) room: String,
    pub(crate) participant: String,
}

impl Person {
    /// In the call's roster, with nothing offered.
    pub(crate) async fn join(scene: &Scene, name: &str) -> Self {
        let mut session = scene.member(name).await;
        let joined = session.ok(json!({"callJoin": {"room": scene.room}})).await;
        Self {
            session,
            media: media(),
            token: scene.server.token(&scene.user(name)),
            room: scene.room.clone(),
            participant: joined["participant"].as_str().unwrap().to_owned(),
        }
    }

    /// The same with this for media.
    pub(crate) async fn with(
        scene: &Scene,
        name: &str,
        media: impl FnOnce(Media) -> Media,
    ) -> Self {
        let mut person = Self::join(scene, name).await;
        person.media = media(person.media);
        person
    }

    /// Offers, and begins to connect. Gives what became of the tracks.
    pub(crate) async fn offer(&mut self) -> Vec<Value> {
        let name = |source| match source {
            Source::Microphone => "CALL_SOURCE_MICROPHONE",
            Source::Camera => "CALL_SOURCE_CAMERA",
            Source::Screen => "CALL_SOURCE_SCREEN",
            Source::ScreenAudio => "CALL_SOURCE_SCREEN_AUDIO",
        };
        let tracks = self.media.tracks();
        let track =
            |track: &Track| json!({"mid": track.mid.to_string(), "source": name(track.source)});
        let tracks: Vec<Value> = tracks.iter().map(track).collect();
        let offer = json!({"room": self.room, "sdp": self.media.sdp(), "tracks": tracks});
        let answer = self.session.ok(json!({"callOffer": offer})).await;
        self.media.accept(SfuAnswer {
            sdp: answer["sdp"].as_str().unwrap().to_owned(),
            tracks: vec![],
            without_codec: vec![],
        });
        answer["tracks"].as_array().cloned().unwrap_or_default()
    }

    /// Waits for media.
    pub(crate) fn connect(&mut self) {
        let until = Instant::now() + PATIENCE;
        while !self.media.is_connected() {
            assert!(Instant::now() < until, "media does not connect");
            self.media.pump();
        }
    }

    /// Says what they saw; gives the cause, `null` when nothing is wrong.
    pub(crate) async fn report(&self, server: &Server, ice: &str) -> Value {
        let pair = json!({
            "protocol": "udp", "localType": "host", "local": "0b1e4d2c.local:5000",
            "remoteType": "host", "remote": self.media.server().to_string(),
            "state": "failed", "sent": 7, "received": 0,
        });
        let body = json!({
            "participant": self.participant, "clientMs": now_s() * 1000,
            "iceState": ice, "dtlsState": "new", "pairs": [pair],
        });
        let answer = report(server, &self.room, &self.token, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["cause"].clone()
    }
}

fn media() -> Media {
    Media::new(PEOPLE.fetch_add(1, Ordering::Relaxed), lines())
}

/// Reports with this token.
pub(crate) async fn report(server: &Server, room: &str, token: &str, body: &Value) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json"),
        ("User-Agent", "tests/1"),
    ];
    let line = format!("POST /api/v1/calls/{room}/reports");
    request(server.address, &line, &headers, &body.to_string()).await
}

/// The cause has this kind, and says what is wrong and what to do.
pub(crate) fn named(cause: &Value, kind: &str) {
    assert_eq!(cause["kind"], json!(kind), "{cause}");
    for part in ["text", "remedy"] {
        assert!(
            cause[part].as_str().is_some_and(|text| !text.is_empty()),
            "{cause}"
        );
    }
}
