//! Back ends with tokens of their own: what each may by its settings, over gRPC as they call.

use crate::person::{Person, brief, put};
use crate::rpc::{Metadata, Refused, Rpc};
use crate::support::client::{Client, Codec, connect};
use crate::support::http::request;
use crate::support::scene::Scene;
use crate::support::server::{SharedServer, own};
use crate::support::token::{Key, claims};
use crate::support::{cid, secret};
use kaiwa_proto::media::v1;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) const SECRET: [u8; 32] = [9; 32];

const SERVICES: &str = "{ \
    lms = { scopes = [\"clips.read\", \"clips.write\", \"clips.play\"], acts_for = [\"*\"] }, \
    player = { scopes = [\"clips.read\", \"clips.write\", \"clips.play\"], acts_for = [\"*\"], role = \"viewer\" }, \
    reports = { scopes = [\"clips.read\"], acts_for = [\"alice\"] }, \
    ops = { scopes = [\"clips.admin\"] } }";

fn server() -> Arc<SharedServer> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("services");
    secret(&file, SECRET);
    own(|spec| {
        let spec = spec.with("KAIWA_CLIPS__SERVICE_SECRET_FILE", file.display());
        spec.with("KAIWA_CLIPS__SERVICES", SERVICES)
    })
}

/// What a service's token says.
pub(crate) fn says(service: &str, ttl_s: i64) -> Value {
    let mut says = claims(service, ttl_s);
    says["aud"] = json!("kaiwa-clips");
    says
}

fn bearer(service: &str) -> String {
    format!(
        "Bearer {}",
        Key::new(SECRET.to_vec()).sign(&says(service, 60))
    )
}

fn new(room: &str, size: usize) -> Value {
    json!({"requestId": cid(), "roomId": room, "title": "From a back end", "share": true,
        "declared": {"name": "film.mp4", "size": size.to_string(), "contentType": "video/mp4"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_end_brings_a_film_for_somebody_and_watches_it_become_ready() {
    let scene = Scene::on(server()).await;
    let alice = scene.user("witness");
    let lms = bearer("lms");
    let lms: Metadata<'_> = &[("authorization", &lms), ("x-acting-user", &alice)];
    let mut rpc = Rpc::connect(&scene.server).await;
    let made = new(&scene.room, brief().len());
    let clip = rpc.call::<v1::CreateClipRequest, v1::Clip>("CreateClip", lms, made.clone());
    let clip = clip.await.unwrap();
    assert_eq!(clip["uploaderId"], json!(alice));
    let again = rpc.call::<v1::CreateClipRequest, v1::Clip>("CreateClip", lms, made);
    assert_eq!(again.await.unwrap()["id"], clip["id"], "the same request");
    let id = clip["id"].as_str().unwrap();

    let mut watcher = Rpc::connect(&scene.server).await;
    let watch = v1::WatchClipRequest {
        clip_id: id.to_owned(),
        ..Default::default()
    };
    let watch = prost::Message::encode_to_vec(&watch);
    let mut watch = watcher
        .send("kaiwa.media.v1.MediaPipeline/WatchClip", lms, &watch)
        .await
        .unwrap();
    let first = watch.next::<v1::ClipEvent>().await.unwrap().unwrap();
    assert_eq!(first["snapshot"]["clips"][0]["id"], clip["id"], "{first}");

    let want = json!({"requestId": cid(), "clipId": id, "mode": "UPLOAD_MODE_MULTIPART",
        "parts": [{"number": 1, "size": brief().len().to_string()}]});
    let grant = rpc.call::<v1::IssueUploadCredentialsRequest, v1::UploadGrant>(
        "IssueUploadCredentials",
        lms,
        want,
    );
    let grant = grant.await.unwrap();
    assert_eq!(
        put(&scene.server, &grant["parts"]["parts"][0], brief())
            .await
            .status,
        200
    );
    let parts = rpc.call::<v1::ListUploadedPartsRequest, v1::UploadedParts>(
        "ListUploadedParts",
        lms,
        json!({"clipId": id}),
    );
    let parts = parts.await.unwrap();
    let complete = json!({"requestId": cid(), "clipId": id, "parts": parts["parts"]});
    let complete = rpc.call::<v1::CompleteUploadRequest, v1::Clip>("CompleteUpload", lms, complete);
    complete.await.unwrap();

    let mut states = Vec::new();
    while states.last() != Some(&json!("CLIP_STATE_READY")) {
        let mut event = watch
            .next::<v1::ClipEvent>()
            .await
            .unwrap()
            .expect("it goes on");
        let state = event["changed"]["state"].take();
        assert_ne!(state, json!("CLIP_STATE_FAILED"), "{event}");
        states.extend(state.is_string().then_some(state));
    }
    let got = rpc.call::<v1::GetClipRequest, v1::Clip>("GetClip", lms, json!({"clipId": id}));
    assert_eq!(got.await.unwrap()["state"], "CLIP_STATE_READY");
    // A service that only watches plays it as well.
    let player = bearer("player");
    let player: Metadata<'_> = &[("authorization", &player), ("x-acting-user", &alice)];
    let right = rpc.call::<v1::IssuePlaybackRequest, v1::PlaybackGrant>(
        "IssuePlayback",
        player,
        json!({"clipId": id}),
    );
    let right = right.await.unwrap();
    let person = Person::new(&scene.server, &alice);
    assert_eq!(person.get(right["url"].as_str().unwrap()).await, 200);
}

/// The reason for which this may not register a clip.
async fn creating(rpc: &mut Rpc, room: &str, metadata: Metadata<'_>) -> String {
    let call = rpc.call::<v1::CreateClipRequest, v1::Clip>("CreateClip", metadata, new(room, 1));
    call.await
        .map_or_else(|refused| refused.reason, |clip| clip["state"].to_string())
}

async fn stuck(rpc: &mut Rpc, token: &str) -> Result<(), Refused> {
    let path = "kaiwa.media.v1.MediaAdmin/ListStuckJobs";
    let answer = rpc.send(path, &[("authorization", token)], &[]).await;
    answer.unwrap().next_bytes().await.map(drop)
}

/// A token of each kind, whom it asks for, and what comes of registering a clip with it.
fn tokens(server: &SharedServer, alice: &str) -> Vec<(String, String, &'static str)> {
    const MADE: &str = "\"CLIP_STATE_CREATED\"";
    let services = Key::new(SECRET.to_vec());
    let with = |service: &str, claim: &str, value: &str| {
        let mut says = says(service, 60);
        says[claim] = json!(value);
        services.sign(&says)
    };
    let service = |name: &str| services.sign(&says(name, 60));
    let person = |role: &str| person(server, alice, role);
    let late = services.sign(&says("lms", -3600));
    let cases = [
        (service("lms"), alice, MADE),
        (late, alice, "TOKEN_EXPIRED"),
        (
            Key::foreign().sign(&says("lms", 60)),
            alice,
            "UNAUTHENTICATED",
        ),
        // People's key makes no service, the services' key no person, and a name alone nothing.
        (
            server.key().sign(&says("lms", 60)),
            alice,
            "UNAUTHENTICATED",
        ),
        (with("lms", "aud", "kaiwa"), alice, "UNAUTHENTICATED"),
        (services.sign(&claims(alice, 60)), "", "UNAUTHENTICATED"),
        (service("nobody"), alice, "UNAUTHENTICATED"),
        (String::new(), alice, "UNAUTHENTICATED"),
        (service("lms"), "", "ACTING_USER_REFUSED"),
        (service("lms"), "no user id", "ACTING_USER_REFUSED"),
        (person("admin"), "bob", "ACTING_USER_REFUSED"),
        (service("reports"), "alice", "SCOPE_MISSING"),
        (service("ops"), alice, "SCOPE_MISSING"),
        (service("player"), alice, "ROLE_TOO_LOW"),
        // A role in a service's token is none.
        (with("player", "role", "admin"), alice, "ROLE_TOO_LOW"),
        // The room has the last word, whoever asks.
        (service("lms"), "mallory", "NOT_ROOM_MEMBER"),
        (person("viewer"), "", "ROLE_TOO_LOW"),
        (person("creator"), "", MADE),
        (person("admin"), "", MADE),
    ];
    cases
        .map(|(token, acting, reason)| (token, acting.to_owned(), reason))
        .into()
}

fn person(server: &SharedServer, name: &str, role: &str) -> String {
    let mut claims = claims(name, 60);
    claims["role"] = json!(role);
    server.key().sign(&claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_may_what_its_settings_say_and_a_person_what_their_role_does() {
    let scene = Scene::on(server()).await;
    let (server, room) = (&scene.server, scene.room.as_str());
    let alice = scene.user("witness");
    let mut rpc = Rpc::connect(server).await;
    for (token, acting, reason) in tokens(server, &alice) {
        let token = format!("Bearer {token}");
        let mut metadata = vec![("authorization", token.as_str())];
        metadata.extend((!acting.is_empty()).then_some(("x-acting-user", acting.as_str())));
        let came = creating(&mut rpc, room, &metadata).await;
        assert_eq!(came, reason, "{acting} with {token}");
    }
    // For whom it may ask.
    let reports = bearer("reports");
    for (acting, reason) in [("bob", "ACTING_USER_REFUSED"), ("alice", "NOT_ROOM_MEMBER")] {
        let metadata: Metadata<'_> = &[("authorization", &reports), ("x-acting-user", acting)];
        let list = json!({"roomId": room});
        let list =
            rpc.call::<v1::ListClipsRequest, v1::ListClipsResponse>("ListClips", metadata, list);
        assert_eq!(list.await.unwrap_err().reason, reason, "{acting}");
    }
    // Operators' calls.
    let of = |role: &str| format!("Bearer {}", person(server, &alice, role));
    for (token, reason) in [
        (bearer("lms"), "SCOPE_MISSING"),
        (of("creator"), "ROLE_TOO_LOW"),
    ] {
        assert_eq!(stuck(&mut rpc, &token).await.unwrap_err().reason, reason);
    }
    for token in [bearer("ops"), of("admin")] {
        stuck(&mut rpc, &token).await.unwrap();
    }
    // A service's token opens no other door.
    let lms = bearer("lms");
    for line in ["POST /api/v1/refresh", "GET /api/v1/notifications/queues"] {
        let answer = request(server.address, line, &[("Authorization", &lms)], "").await;
        assert_eq!(answer.status, 401, "{line}: {answer:?}");
    }
    let mut client = Client::open(server, Codec::Json).await;
    client
        .refused(connect(lms.trim_start_matches("Bearer ")))
        .await;
}
