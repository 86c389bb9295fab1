//! gRPC's own matters, over the services without sockets: deadlines, names, health, reflection, watches.

use crate::support::{Server, again, fine, never, server, server_with, token_of};
use kaiwa_common::token::ServerRole;
use kaiwa_media_pipeline::front::WatchBounds;
use kaiwa_media_pipeline::grpc::{GrpcSettings, Health, routes};
use kaiwa_proto::media::v1;
use kaiwa_proto::media::v1::clip_event::What;
use kaiwa_proto::media::v1::media_pipeline_client::MediaPipelineClient;
use std::sync::Arc;
use std::time::Duration;
use tonic::service::Routes;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

async fn services(server: &Server, reflection: bool) -> (Routes, Health) {
    routes(Arc::clone(&server.front), GrpcSettings { reflection }).await
}

async fn client(server: &Server) -> MediaPipelineClient<Routes> {
    MediaPipelineClient::new(services(server, false).await.0.prepare())
}

fn signed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let token = token_of("alice", ServerRole::Creator, 7200);
    let value = format!("Bearer {token}").parse().expect("metadata");
    request.metadata_mut().insert("authorization", value);
    request
}

fn get(clip: impl ToString) -> Request<v1::GetClipRequest> {
    signed(v1::GetClipRequest {
        clip_id: clip.to_string(),
    })
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map_or_else(String::new, |info| info.reason.clone())
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_by_its_deadline_and_tells_it_to_what_is_behind() {
    let server = server();
    let mut client = client(&server).await;
    for (timeout, waits) in [("300m", 270), ("4S", 3_800), ("9H", 119_800), ("", 10_000)] {
        let mut request = get(never());
        if !timeout.is_empty() {
            request
                .metadata_mut()
                .insert("grpc-timeout", timeout.parse().expect("text"));
        }
        let before = (
            tokio::time::Instant::now(),
            kaiwa_common::time::UnixMs::now(),
        );
        let status = client.get_clip(request).await.expect_err("it never ends");
        assert_eq!(reason(&status), "DEADLINE_EXCEEDED", "{timeout}");
        assert_eq!(before.0.elapsed().as_millis() / 10, waits / 10, "{timeout}");
        let told = server.clips.last().deadline.expect("a deadline");
        let after = kaiwa_common::time::UnixMs::now();
        assert!(
            told.since(before.1).as_millis() >= waits,
            "{timeout}: {told:?}"
        );
        assert!(
            told.since(after).as_millis() <= waits,
            "{timeout}: {told:?}"
        );
    }
    // Completing an upload has longer.
    let complete = signed(v1::CompleteUploadRequest {
        clip_id: never().to_string(),
        ..v1::CompleteUploadRequest::default()
    });
    let before = tokio::time::Instant::now();
    client
        .complete_upload(complete)
        .await
        .expect_err("it never ends");
    assert_eq!(before.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn a_deadline_that_is_too_short_or_none_begins_nothing() {
    let server = server();
    let mut client = client(&server).await;
    for (timeout, expected) in [
        ("49m", "DEADLINE_TOO_SHORT"),
        ("0S", "DEADLINE_TOO_SHORT"),
        ("5", "INVALID_ARGUMENT"),
        ("soon", "INVALID_ARGUMENT"),
    ] {
        let mut request = get(fine());
        request
            .metadata_mut()
            .insert("grpc-timeout", timeout.parse().expect("text"));
        let status = client.get_clip(request).await.expect_err("refused");
        assert_eq!(reason(&status), expected, "{timeout}");
    }
    assert_eq!(server.clips.asked(), 0);
}

#[tokio::test]
async fn a_replay_says_so_and_a_decent_name_comes_back() {
    let server = server();
    let mut client = client(&server).await;
    for (name, comes_back) in [
        ("mine.1", true),
        ("with space", false),
        (&"x".repeat(65), false),
    ] {
        let mut request = get(fine());
        request
            .metadata_mut()
            .insert("x-request-id", name.parse().expect("text"));
        let answer = client.get_clip(request).await.expect("a clip");
        let got = answer.metadata().get("x-request-id").expect("a name");
        assert_eq!(got.to_str().expect("text") == name, comes_back, "{name}");
        assert!(answer.metadata().get("x-idempotent-replay").is_none());
    }
    let answer = client.get_clip(get(again())).await.expect("a clip");
    assert_eq!(
        answer
            .metadata()
            .get("x-idempotent-replay")
            .expect("a replay"),
        "true"
    );
}

#[tokio::test]
async fn keys_are_uuids_whatever_their_case() {
    let server = server();
    let mut client = client(&server).await;
    let ask = |key: &str| {
        signed(v1::CancelClipRequest {
            request_id: key.to_owned(),
            clip_id: fine().to_string(),
        })
    };
    let status = client.cancel_clip(ask("mine")).await.expect_err("no UUID");
    assert_eq!(reason(&status), "INVALID_ARGUMENT");
    let key = "01990000-0000-7000-8000-00000000ABCD";
    client.cancel_clip(ask(key)).await.expect("cancelled");
    assert_eq!(server.clips.last().request_id, Some(key.to_lowercase()));
}

#[tokio::test]
async fn health_is_told_for_each_service_and_reflection_only_if_configured() {
    let server = server();
    let (routes, health) = services(&server, false).await;
    let mut checks = HealthClient::new(routes.prepare());
    for (is_serving, expected) in [(None, 2), (Some(true), 1), (Some(false), 2)] {
        if let Some(is_serving) = is_serving {
            health.set(is_serving).await;
        }
        for service in [
            "",
            "kaiwa.media.v1.MediaPipeline",
            "kaiwa.media.v1.MediaAdmin",
        ] {
            let service = service.to_owned();
            let answer = checks
                .check(HealthCheckRequest { service })
                .await
                .expect("known");
            assert_eq!(answer.into_inner().status, expected);
        }
    }
    let service = "kaiwa.media.v1.Other".to_owned();
    let unknown = checks.check(HealthCheckRequest { service }).await;
    assert_eq!(unknown.expect_err("unknown").code(), Code::NotFound);
    for reflection in [true, false] {
        use tonic_reflection::pb::v1::ServerReflectionRequest;
        use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
        let routes = services(&server, reflection).await.0.prepare();
        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let asks = futures_util::stream::iter([ask]);
        let answer = ServerReflectionClient::new(routes)
            .server_reflection_info(asks)
            .await;
        let Ok(answer) = answer else {
            assert!(!reflection);
            continue;
        };
        let said = answer.into_inner().message().await.expect("an answer");
        let said = format!("{said:?}");
        assert!(
            reflection && said.contains("kaiwa.media.v1.MediaPipeline"),
            "{said}"
        );
    }
}

fn watch() -> Request<v1::WatchClipRequest> {
    signed(v1::WatchClipRequest {
        clip_id: fine().to_string(),
        resume_revision: 0,
    })
}

#[tokio::test(start_paused = true)]
async fn a_watch_beats_every_fifteen_seconds_and_ends_well_after_an_hour() {
    let server = server();
    let mut events = client(&server)
        .await
        .watch_clip(watch())
        .await
        .expect("a watch")
        .into_inner();
    let begin = tokio::time::Instant::now();
    let mut beats = 0;
    let mut last = None;
    while let Some(event) = events.message().await.expect("it ends well") {
        if matches!(event.what, Some(What::Heartbeat(_))) {
            beats += 1;
            assert_eq!(begin.elapsed().as_secs(), beats * 15);
        }
        last = Some(event);
    }
    assert_eq!((beats, begin.elapsed().as_secs()), (240, 3600));
    // Where to go on.
    assert_eq!(last.map(|event| event.revision), Some(8));
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_with_its_token_and_with_the_server() {
    let server = server();
    let mut client = client(&server).await;
    let mut request = watch();
    let token = token_of("alice", ServerRole::Creator, 40);
    let value = format!("Bearer {token}").parse().expect("metadata");
    request.metadata_mut().insert("authorization", value);
    let mut events = client
        .watch_clip(request)
        .await
        .expect("a watch")
        .into_inner();
    let begin = tokio::time::Instant::now();
    while events.message().await.expect("it ends well").is_some() {}
    assert!(
        begin.elapsed() <= Duration::from_secs(40),
        "{:?}",
        begin.elapsed()
    );
    let mut events = client
        .watch_clip(watch())
        .await
        .expect("a watch")
        .into_inner();
    server.drain.cancel();
    let mut count = 0;
    while events.message().await.expect("it ends well").is_some() {
        count += 1;
    }
    assert!(count <= 3, "{count}");
}

#[tokio::test]
async fn watches_are_bounded_for_each_caller_and_for_all_and_free_again() {
    let server = server_with(WatchBounds {
        per_caller: 2,
        all: 3,
        ..WatchBounds::default()
    });
    let mut client = client(&server).await;
    let of = |name: &str| {
        let mut request = watch();
        let token = token_of(name, ServerRole::Viewer, 60);
        let value = format!("Bearer {token}").parse().expect("metadata");
        request.metadata_mut().insert("authorization", value);
        request
    };
    let first = client.watch_clip(of("alice")).await.expect("the first");
    let _second = client.watch_clip(of("alice")).await.expect("the second");
    let status = client.watch_clip(of("alice")).await.expect_err("the third");
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::ResourceExhausted, "STREAM_LIMIT".to_owned())
    );
    let _other = client.watch_clip(of("bob")).await.expect("another's");
    assert!(
        client.watch_clip(of("carol")).await.is_err(),
        "all places are taken"
    );
    drop(first);
    client
        .watch_clip(of("alice"))
        .await
        .expect("a place is free again");
    // One that is refused behind takes no place.
    for _ in 0..4 {
        let mut gone = of("dave");
        gone.get_mut().resume_revision = 999;
        assert_eq!(
            client.watch_clip(gone).await.expect_err("old").code(),
            Code::OutOfRange
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_greets_gives_its_place_back() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = server();
    let address = server.grpc().await;
    for begin in ["", "PRI * HTTP/2.0\r\n"] {
        let mut stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("connected");
        stream.write_all(begin.as_bytes()).await.expect("sent");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut rest));
        // Closed or reset, but over.
        assert!(ended.await.is_ok(), "{begin:?} is waited for");
    }
}
