//! Every fault of the double's script: the job ends, once, and what is told of it is what happened.

use crate::world::World;
use kaiwa_media_pipeline::ports::{Report, TranscodeError, Transcoder as _};
use serde_json::{Value, json};
use std::time::Duration;

async fn created(world: &World) -> usize {
    let all = world.double.control("GET", "/_requests", Value::Null).await;
    all["requests"].as_array().unwrap().len()
}

/// One emulator and one double for all: starting them is what takes the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_script() {
    let world = World::new().await;
    throttled_and_broken_calls_are_tried_again(&world).await;
    calls_that_stay_broken_are_given_back(&world).await;
    a_lost_answer_makes_no_second_job(&world).await;
    a_stuck_job_is_seen_and_stopped(&world).await;
    codes_come_with_their_classes(&world).await;
    an_event_may_come_before_the_answer(&world).await;
    events_are_dropped_doubled_reordered_and_delayed(&world).await;
    what_the_service_refuses_is_refused_for_good(&world).await;
}

async fn throttled_and_broken_calls_are_tried_again(world: &World) {
    let order = world.order(10).await;
    let script = json!({"requests": [
        {"operation": "CreateJob", "status": 429}, {"operation": "CreateJob", "status": 503},
        {"operation": "CreateJob", "status": 500}, {"operation": "GetJob", "status": 429, "times": 2},
        {"operation": "CancelJob", "status": 500}
    ], "jobs": [{"do": "stuck"}]});
    world.double.faults(script).await;
    let job = world.transcoder.submit(&order).await.unwrap();
    let report = world.transcoder.report(&job, &order).await;
    assert_eq!(report, Ok(Some(Report::Queued)));
    world.transcoder.cancel(&job).await.unwrap();
    assert_eq!(world.event().await.report, Report::Cancelled);
    let left = world.double.control("GET", "/_faults", Value::Null).await;
    assert_eq!(left["requests"], json!([]), "all of it happened");
}

async fn calls_that_stay_broken_are_given_back(world: &World) {
    let order = world.order(11).await;
    for (status, retry_after) in [(429, Some(7)), (503, None), (403, None)] {
        let mut fault = json!({"operation": "CreateJob", "status": status, "times": 0});
        if let Some(seconds) = retry_after {
            fault["retryAfter"] = json!(seconds);
        }
        world.double.faults(json!({"requests": [fault]})).await;
        let Err(TranscodeError::Unavailable {
            retry_after: asked, ..
        }) = world.transcoder.submit(&order).await
        else {
            panic!("{status} is no reason to give a clip up")
        };
        assert_eq!(asked, retry_after.map(Duration::from_secs), "{status}");
    }
}

async fn a_lost_answer_makes_no_second_job(world: &World) {
    let order = world.order(12).await;
    let script = json!({"requests": [{"operation": "CreateJob", "status": 500, "after": true}]});
    world.double.faults(script).await;
    let before = created(world).await;
    let job = world.transcoder.submit(&order).await.unwrap();
    assert_eq!(created(world).await - before, 2, "asked twice");
    let events = world.events().await;
    assert!(events.iter().all(|event| event.job == job.id), "one job");
    assert!(matches!(world.over(&job, &order).await, Report::Done(_)));
}

async fn a_stuck_job_is_seen_and_stopped(world: &World) {
    let order = world.order(13).await;
    world
        .double
        .faults(json!({"jobs": [{"do": "stuck"}]}))
        .await;
    let job = world.transcoder.submit(&order).await.unwrap();
    assert_eq!(
        world.transcoder.report(&job, &order).await,
        Ok(Some(Report::Queued))
    );
    world.transcoder.cancel(&job).await.unwrap();
    world.transcoder.cancel(&job).await.unwrap();
    assert_eq!(
        world.transcoder.report(&job, &order).await,
        Ok(Some(Report::Cancelled))
    );
    assert_eq!(world.event().await.report, Report::Cancelled);
}

async fn codes_come_with_their_classes(world: &World) {
    for (n, code, reason, retryable) in [
        (0, 1404, "SOURCE_UNREADABLE", true),
        (1, 1040, "TRANSCODE_REFUSED", false),
        (2, 3999, "TRANSCODER_FAILED", true),
    ] {
        let order = world.order(20 + n).await;
        let script = json!({"jobs": [{"do": "error", "code": code}]});
        world.double.faults(script).await;
        let job = world.transcoder.submit(&order).await.unwrap();
        let told = world.event().await.report;
        let asked = world.over(&job, &order).await;
        assert_eq!(told, asked, "both ways say the same");
        let Report::Failed(error) = asked else {
            panic!("{code}")
        };
        assert_eq!(
            (error.reason.as_str(), error.retryable, error.provider_code),
            (reason, retryable, Some(code))
        );
    }
}

async fn an_event_may_come_before_the_answer(world: &World) {
    let order = world.order(14).await;
    world
        .double
        .faults(json!({"jobs": [{"do": "early"}]}))
        .await;
    let job = world.transcoder.submit(&order).await.unwrap();
    // Whoever gets them knows by `userMetadata` whose they are.
    let events = world.events().await;
    assert!(
        events
            .iter()
            .all(|event| event.clip == Some(order.clip) && event.job == job.id)
    );
    assert!(matches!(world.over(&job, &order).await, Report::Done(_)));
}

async fn events_are_dropped_doubled_reordered_and_delayed(world: &World) {
    let order = world.order(15).await;
    let script = json!({"events": [
        {"status": "PROGRESSING", "do": "drop"}, {"status": "INPUT_INFORMATION", "do": "reorder"},
        {"status": "STATUS_UPDATE", "do": "delay", "seconds": 1}, {"status": "COMPLETE", "do": "duplicate"}
    ]});
    world.double.faults(script).await;
    let job = world.transcoder.submit(&order).await.unwrap();
    // Without a word from outside it is known how the job ended.
    assert!(matches!(world.over(&job, &order).await, Report::Done(_)));
    let mut done = Vec::new();
    while done.len() < 2 {
        let event = world.event().await;
        if matches!(event.report, Report::Done(_)) {
            done.push(event);
        }
    }
    assert_eq!(done[0].id, done[1].id, "a doubled event is known by its id");
    world
        .double
        .faults(json!({"events": [{"do": "drop", "times": 0}]}))
        .await;
    let order = world.order(16).await;
    let job = world.transcoder.submit(&order).await.unwrap();
    assert!(
        matches!(world.over(&job, &order).await, Report::Done(_)),
        "with every event lost"
    );
}

async fn what_the_service_refuses_is_refused_for_good(world: &World) {
    world.double.faults(json!({})).await;
    let order = world.order(17).await;
    let elsewhere = kaiwa_media_pipeline::mediaconvert::MediaConvertOptions {
        endpoint: Some(world.double.root.clone()),
        ..kaiwa_media_pipeline::mediaconvert::MediaConvertOptions::new(
            "no-such-bucket",
            crate::world::ROLE,
        )
    };
    let transcoder = world.transcoder_with(elsewhere);
    let Err(TranscodeError::Refused(error)) = transcoder.submit(&order).await else {
        panic!("a request that is wrong in itself")
    };
    assert_eq!(
        (error.reason.as_str(), error.retryable),
        ("TRANSCODE_REFUSED", false)
    );
    assert!(
        !error.message.contains("no-such-bucket"),
        "what AWS says is for the log"
    );
    // The golden files' requests are what AWS's model and the double's rules allow.
    for golden in [
        include_str!("golden/landscape.json"),
        include_str!("golden/portrait_silent.json"),
    ] {
        world
            .double
            .faults(json!({"jobs": [{"do": "stuck"}]}))
            .await;
        let signed = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/mediaconvert/aws4_request, Signature=0";
        let headers = [("authorization".to_owned(), signed.to_owned())];
        let body = golden.as_bytes().to_vec();
        let got = crate::http::call(
            &world.double.root,
            "POST",
            "/2017-08-29/jobs",
            &headers,
            body,
        )
        .await;
        assert_eq!(got.status, 201, "{}", String::from_utf8_lossy(&got.body));
        assert_eq!(got.headers["content-type"], "application/json");
    }
}
