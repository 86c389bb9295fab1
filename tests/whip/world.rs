//! Encoders and players: HTTP by hand, media by a small client.

use crate::client::{Client as Media, Line, picture};
use crate::support::client::Client;
use crate::support::http::{Answer, request};
use crate::support::scene::Scene;
use crate::support::server::{Server, SharedServer, Spec, own};
use crate::support::{PATIENCE, soon};
use kaiwa_sfu::control::{Answer as SfuAnswer, Source};
use kaiwa_sfu::unit::Ssrc;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

pub(crate) const SDP: &str = "application/sdp";
pub(crate) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// An encoder's sources.
pub(crate) const SOUND: Ssrc = Ssrc(7);
pub(crate) const PICTURE: Ssrc = Ssrc(8);

static MEDIA: AtomicU64 = AtomicU64::new(1);
static SERVER: Mutex<Weak<SharedServer>> = Mutex::new(Weak::new());

/// Media over the loopback, at a port that is free.
pub(crate) fn with_media(spec: Spec) -> Spec {
    spec.with("KAIWA_CALLS__LISTEN", "[\"127.0.0.1:0\"]")
        .with("KAIWA_CALLS__LOOPBACK", true)
        .with("KAIWA_CALLS__SHARDS", 1)
}

/// A server that these tests share.
fn shared() -> Arc<SharedServer> {
    let mut shared = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = own(with_media);
    *shared = Arc::downgrade(&server);
    server
}

/// A room, and somebody in its call who sees who else is.
pub(crate) struct World {
    pub(crate) scene: Scene,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(shared()).await
    }

    pub(crate) async fn on(server: Arc<SharedServer>) -> Self {
        Self {
            scene: Scene::on(server).await,
        }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.scene.server
    }

    /// Somebody of the room; gives their token.
    pub(crate) async fn member(&self, name: &str) -> String {
        drop(self.scene.member(name).await);
        self.token(name)
    }

    /// A token of somebody of this scene.
    pub(crate) fn token(&self, name: &str) -> String {
        self.server().token(&self.scene.user(name))
    }

    /// A token of somebody of this scene with these further claims.
    pub(crate) fn token_with(&self, name: &str, more: &Value) -> String {
        let mut claims = crate::support::token::claims(&self.scene.user(name), 3600);
        for (key, value) in more.as_object().unwrap() {
            claims[key] = value.clone();
        }
        self.server().key().sign(&claims)
    }

    /// `/whip/{room}` or `/whep/{room}`.
    pub(crate) fn path(&self, kind: &str) -> String {
        format!("/{kind}/{}", self.scene.room)
    }

    /// A request with a token.
    pub(crate) async fn ask(
        &self,
        line: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let authorization = format!("Bearer {token}");
        let mut all = vec![("Authorization", authorization.as_str())];
        all.extend_from_slice(headers);
        request(self.server().address, line, &all, body).await
    }

    /// Offers.
    pub(crate) async fn post(&self, path: &str, token: &str, sdp: &str) -> Answer {
        let line = format!("POST {path}");
        self.ask(&line, token, &[("Content-Type", SDP)], sdp).await
    }

    /// Trickles or restarts.
    pub(crate) async fn patch(
        &self,
        path: &str,
        token: &str,
        tag: Option<&str>,
        fragment: &str,
    ) -> Answer {
        let mut headers = vec![("Content-Type", FRAGMENT)];
        headers.extend(tag.map(|tag| ("If-Match", tag)));
        let line = format!("PATCH {path}");
        self.ask(&line, token, &headers, fragment).await
    }

    /// Who is in the call: names and participants.
    pub(crate) async fn roster(&mut self) -> Vec<(String, String)> {
        let room = self.scene.room.clone();
        let roster = self
            .scene
            .witness
            .ok(json!({"callGet": {"room": room}}))
            .await;
        let participants = roster["participants"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let one = |one: &Value| (text(&one["user"]["id"]), text(&one["participant"]));
        participants.iter().map(one).collect()
    }

    /// Waits until this many are in the call.
    pub(crate) async fn until_in_call(&mut self, count: usize) {
        loop {
            let roster = self.roster().await;
            if roster.len() == count {
                return;
            }
            // Each change of it is told.
            let told = self.scene.witness.push("callRoster");
            soon(&format!("{count} in the call, not {roster:?}"), told).await;
        }
    }

    /// An encoder of the room, answered and connected.
    pub(crate) async fn encoder(&self, name: &str) -> Peer {
        let token = self.member(name).await;
        Peer::begin(self, &self.path("whip"), &token, encoder()).await
    }

    /// A player of the room, answered and connected.
    pub(crate) async fn player(&self, name: &str, query: &str) -> Peer {
        let token = self.member(name).await;
        let path = self.path("whep") + query;
        Peer::begin(self, &path, &token, player()).await
    }
}

fn media(lines: Vec<Line>) -> Media {
    Media::new(MEDIA.fetch_add(1, Ordering::Relaxed), lines)
}

/// Sound and pictures to send.
pub(crate) fn encoder() -> Media {
    media(vec![
        Line::send(Source::Microphone, SOUND.0),
        Line::send(Source::Camera, PICTURE.0),
    ])
}

/// Sound and pictures to receive.
pub(crate) fn player() -> Media {
    media(vec![Line::receive("audio"), Line::receive("video")])
}

/// A session with its media.
pub(crate) struct Peer {
    pub(crate) token: String,
    /// The session's path.
    pub(crate) location: String,
    pub(crate) etag: String,
    pub(crate) media: Media,
    sent: u16,
}

impl Peer {
    /// Offers, and does not connect.
    pub(crate) async fn offer(world: &World, path: &str, token: &str, mut media: Media) -> Self {
        let answer = world.post(path, token, &media.sdp()).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let header = |name| answer.header(name).expect(name).to_owned();
        media.accept(SfuAnswer {
            sdp: answer.body.clone(),
            tracks: vec![],
            without_codec: vec![],
        });
        Self {
            token: token.to_owned(),
            location: header("Location"),
            etag: header("ETag"),
            media,
            sent: 0,
        }
    }

    /// Offers, and connects.
    pub(crate) async fn begin(world: &World, path: &str, token: &str, media: Media) -> Self {
        let mut peer = Self::offer(world, path, token, media).await;
        peer.connect();
        peer
    }

    pub(crate) fn connect(&mut self) {
        let until = Instant::now() + PATIENCE;
        while !self.media.is_connected() {
            assert!(Instant::now() < until, "media does not connect");
            self.media.pump();
        }
    }

    /// The server has said goodbye.
    pub(crate) fn until_closed(&mut self) {
        let until = Instant::now() + PATIENCE;
        while !self.media.is_closed {
            assert!(Instant::now() < until, "the server says no goodbye");
            self.media.pump();
        }
    }

    /// Sends a packet of sound and a whole picture; gives their payloads.
    pub(crate) fn send(&mut self) -> (Vec<u8>, Vec<u8>) {
        self.sent += 1;
        let no = self.sent;
        let sound = no.to_be_bytes().repeat(20);
        let mut seen = picture(no, true, 300);
        let tail = seen.len() - 2;
        seen[tail..].copy_from_slice(&no.to_be_bytes());
        let index = u64::from(no);
        let (clock, frames) = (u32::from(no) * 960, u32::from(no) * 3000);
        for packet in [
            self.media.sealed(0, None, SOUND, index, clock, &sound),
            self.media.sealed(1, None, PICTURE, index, frames, &seen),
        ] {
            self.media.send(&packet);
        }
        (sound, seen)
    }

    pub(crate) async fn delete(&self, world: &World) -> Answer {
        let line = format!("DELETE {}", self.location);
        world.ask(&line, &self.token, &[], "").await
    }

    pub(crate) async fn get(&self, world: &World) -> Answer {
        let line = format!("GET {}", self.location);
        world.ask(&line, &self.token, &[], "").await
    }
}

/// Sends until the player has a packet of sound and one of pictures that are as they were sent.
pub(crate) fn until_seen(encoder: &mut Peer, player: &mut Peer) {
    let until = Instant::now() + PATIENCE;
    let (mut sounds, mut pictures) = (Vec::new(), Vec::new());
    player.media.received.clear();
    loop {
        assert!(Instant::now() < until, "nothing is seen or heard");
        let (sound, seen) = encoder.send();
        sounds.push(sound);
        pictures.push(seen);
        for _ in 0..10 {
            encoder.media.pump();
            player.media.pump();
        }
        let received = &player.media.received;
        let is_heard = received.iter().any(|one| sounds.contains(&one.payload));
        let tail = |payload: &[u8]| payload[payload.len().saturating_sub(100)..].to_vec();
        // A picture's id is rewritten.
        let is_seen = received
            .iter()
            .any(|one| pictures.iter().any(|seen| tail(seen) == tail(&one.payload)));
        if is_heard && is_seen {
            return;
        }
    }
}

/// A fragment with these credentials.
pub(crate) fn fragment(ufrag: &str, password: &str) -> String {
    format!(
        "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:{ufrag}\r\n\
         a=ice-pwd:{password}\r\na=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\n\
         a=candidate:2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n\
         a=candidate:3 1 udp 2122260223 0b1e-4d2c.local 61764 typ host\r\na=end-of-candidates\r\n"
    )
}

/// Somebody in the call who commands it over their connection.
pub(crate) async fn in_call(world: &World, name: &str) -> Client {
    let mut client = world.scene.member(name).await;
    client
        .ok(json!({"callJoin": {"room": world.scene.room}}))
        .await;
    client
}
