//! Back ends with tokens of their own: what each may by its settings, over gRPC as they call.

use crate::person::{Person, brief, put};
use crate::rpc::{Metadata, Refused, Rpc};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_service_may_what_its_settings_say_and_a_person_what_their_role_does() {
    let scene = Scene::on(server()).await;
    let (server, room) = (&scene.server, scene.room.as_str());
    let alice = scene.user("witness");
    let mut rpc = Rpc::connect(server).await;
    let services = Key::new(SECRET.to_vec());
    let mut of_people = says("lms", 60);
    of_people["aud"] = json!("kaiwa");
    let mut administrator = says("player", 60);
    administrator["role"] = json!("admin");
    let person = |role: &str| {
        let mut claims = claims(&alice, 60);
        claims["role"] = json!(role);
        server.key().sign(&claims)
    };
    for (token, acting, reason) in [
        (
            services.sign(&says("lms", 60)),
            alice.as_str(),
            "\"CLIP_STATE_CREATED\"",
        ),
        (services.sign(&says("lms", -3600)), &alice, "TOKEN_EXPIRED"),
        (
            Key::foreign().sign(&says("lms", 60)),
            &alice,
            "UNAUTHENTICATED",
        ),
        // People's key makes no service, the services' key no person, and a name alone nothing.
        (
            server.key().sign(&says("lms", 60)),
            &alice,
            "UNAUTHENTICATED",
        ),
        (services.sign(&of_people), &alice, "UNAUTHENTICATED"),
        (services.sign(&claims(&alice, 60)), "", "UNAUTHENTICATED"),
        (
            services.sign(&says("nobody", 60)),
            &alice,
            "UNAUTHENTICATED",
        ),
        (String::new(), &alice, "UNAUTHENTICATED"),
        (services.sign(&says("lms", 60)), "", "ACTING_USER_REFUSED"),
        (
            services.sign(&says("lms", 60)),
            "no user id",
            "ACTING_USER_REFUSED",
        ),
        (person("admin"), "bob", "ACTING_USER_REFUSED"),
        (services.sign(&says("reports", 60)), &alice, "SCOPE_MISSING"),
        (services.sign(&says("ops", 60)), &alice, "SCOPE_MISSING"),
        (services.sign(&says("player", 60)), &alice, "ROLE_TOO_LOW"),
        // A role in a service's token is none.
        (services.sign(&administrator), &alice, "ROLE_TOO_LOW"),
        // The room has the last word, whoever asks.
        (
            services.sign(&says("lms", 60)),
            "mallory",
            "NOT_ROOM_MEMBER",
        ),
        (person("viewer"), "", "ROLE_TOO_LOW"),
        (person("creator"), "", "\"CLIP_STATE_CREATED\""),
        (person("admin"), "", "\"CLIP_STATE_CREATED\""),
    ] {
        let token = format!("Bearer {token}");
        let all = [("authorization", token.as_str()), ("x-acting-user", acting)];
        let metadata = if acting.is_empty() {
            &all[..1]
        } else {
            &all[..]
        };
        assert_eq!(
            creating(&mut rpc, room, metadata).await,
            reason,
            "{acting} with {token}"
        );
    }
    // For whom it may ask.
    let reports = bearer("reports");
    for (acting, reason) in [("bob", "ACTING_USER_REFUSED"), ("alice", "NOT_ROOM_MEMBER")] {
        let metadata: Metadata<'_> = &[("authorization", &reports), ("x-acting-user", acting)];
        let list = rpc.call::<v1::ListClipsRequest, v1::ListClipsResponse>(
            "ListClips",
            metadata,
            json!({"roomId": room}),
        );
        assert_eq!(list.await.unwrap_err().reason, reason, "{acting}");
    }
    // Operators' calls.
    for (token, reason) in [
        (bearer("lms"), "SCOPE_MISSING"),
        (format!("Bearer {}", person("creator")), "ROLE_TOO_LOW"),
    ] {
        assert_eq!(stuck(&mut rpc, &token).await.unwrap_err().reason, reason);
    }
    stuck(&mut rpc, &bearer("ops")).await.unwrap();
    stuck(&mut rpc, &format!("Bearer {}", person("admin")))
        .await
        .unwrap();
    // A service's token opens no other door.
    let lms = bearer("lms");
    for line in ["POST /api/v1/refresh", "GET /api/v1/notifications/queues"] {
        let answer = request(server.address, line, &[("Authorization", &lms)], "").await;
        assert_eq!(answer.status, 401, "{line}: {answer:?}");
    }
    let mut client =
        crate::support::client::Client::open(server, crate::support::client::Codec::Json).await;
    let token = lms.trim_start_matches("Bearer ");
    client.refused(crate::support::client::connect(token)).await;
}
