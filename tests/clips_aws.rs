//! Clips over AWS's APIs: the real binary and the real SDKs, against MiniStack with signatures and policies checked, and
//! MediaConvert's double, which really transcodes. A back end in Python brings, follows and plays. Where servers are
//! killed and things go wrong, clips are in DynamoDB.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

#[path = "clips_aws/double.rs"]
mod double;
#[path = "../media-pipeline/tests/objects_aws/emulator.rs"]
#[expect(dead_code, reason = "the tests of objects use the rest")]
mod emulator;
#[path = "support/root.rs"]
mod support;
#[path = "clips_aws/world.rs"]
mod world;

use serde_json::{Value, json};
use world::{Site, WEBHOOK_KEY, World};

/// The way of a clip that nothing happens to.
fn went_well(found: &Value) {
    let states: Vec<&str> = found["states"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s.as_str().unwrap())
        .collect();
    assert_eq!(states.last(), Some(&"READY"), "{found}");
    let played = &found["played"];
    assert!(played["renditions"].as_u64().unwrap() >= 1, "{found}");
    assert_eq!(played["elsewhere"], 403, "{found}");
    assert_eq!(played["bent"], 403, "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clip_goes_by_sts_s3_sqs_and_mediaconvert_and_is_played() {
    let world = World::new(None).await;
    let site = Site::start(&world.spec()).await;

    let found = world
        .backend(&site, json!({"step": "by_credentials"}))
        .await;
    went_well(&found);
    assert!(found["parts"].as_u64().unwrap() > 1, "{found}");
    for (what, came) in found["opened"].as_object().unwrap() {
        assert_eq!(came, "AccessDenied", "{what}");
    }
    let clip = found["clip"].as_str().unwrap();
    assert_eq!(world.double.jobs(clip).await.len(), 1);
    assert_eq!(world.double.asked(clip).await, 1);

    let found = world.backend(&site, json!({"step": "by_mirror"})).await;
    went_well(&found);
    assert!(found["parts"].as_u64().unwrap() > 1, "{found}");

    // By HTTP instead of the queue.
    let webhook = format!("http://{}/webhooks/mediaconvert", site.server.address);
    let to = json!({"queue": null, "webhook": webhook, "key": WEBHOOK_KEY});
    world.double.tell(to).await;
    let found = world
        .backend(&site, json!({"step": "by_credentials"}))
        .await;
    went_well(&found);
    let given = found["given"].clone();

    // The last: from here on the emulator's clock is ahead.
    world.emulator.pass(901);
    let written = world
        .backend(
            &site,
            json!({"step": "written", "given": given, "ahead": 901}),
        )
        .await;
    assert!(
        written["own"].as_str().unwrap().contains("Expired"),
        "{written}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_in_the_middle_is_taken_over_and_nothing_is_done_twice() {
    let world = World::new(Some("clips")).await;
    let spec = world.spec();
    let site = Site::start(&spec).await;
    world
        .double
        .faults(json!({"events": [{"status": "COMPLETE", "do": "delay", "seconds": 3}]}))
        .await;
    let begun = world.backend(&site, json!({"step": "begun"})).await;
    let clip = begun["clip"].as_str().unwrap();
    let states = ["SUBMITTED", "PROCESSING", "VERIFYING", "READY"];
    world
        .backend(
            &site,
            json!({"step": "reached", "clip": clip, "states": states}),
        )
        .await;
    let site = site.killed(&spec);
    let found = world
        .backend(&site, json!({"step": "ended", "clip": clip}))
        .await;
    went_well(&found);
    assert_eq!(world.double.jobs(clip).await.len(), 1);
}

/// One world for all: starting it is what takes the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_every_clip_ends_and_nothing_is_done_again_after_success() {
    let world = World::new(Some("clips")).await;
    let site = Site::start(&world.spec()).await;
    let tellings = [
        json!({"events": [{"status": "*", "do": "duplicate", "times": 0}]}),
        json!({"events": [{"status": "PROGRESSING", "do": "drop"}, {"status": "COMPLETE", "do": "duplicate"}]}),
        json!({"events": [{"status": "*", "do": "reorder", "times": 2}]}),
        json!({"jobs": [{"do": "early"}]}),
        json!({"requests": [{"operation": "CreateJob", "status": 429, "times": 2},
                            {"operation": "CreateJob", "status": 503}]}),
        json!({"requests": [{"operation": "CreateJob", "status": 500, "after": true}]}),
        // Nothing is told at all: it is asked.
        json!({"events": [{"status": "*", "do": "drop", "times": 0}]}),
    ];
    for script in tellings {
        world.double.faults(script.clone()).await;
        let found = world
            .backend(&site, json!({"step": "by_credentials"}))
            .await;
        went_well(&found);
        assert_eq!(found["attempt"], 1, "{script}: {found}");
    }
    world
        .double
        .faults(json!({"jobs": [{"do": "error", "code": 1404}]}))
        .await;
    let found = world
        .backend(&site, json!({"step": "by_credentials"}))
        .await;
    went_well(&found);
    assert_eq!(found["attempt"], 2, "what may pass is tried again: {found}");

    world
        .double
        .faults(json!({"jobs": [{"do": "error", "code": 1040, "times": 0}]}))
        .await;
    let begun = world.backend(&site, json!({"step": "begun"})).await;
    let found = world
        .backend(&site, json!({"step": "ended", "clip": begun["clip"]}))
        .await;
    assert_eq!(
        found["states"].as_array().unwrap().last().unwrap(),
        "FAILED",
        "{found}"
    );
    assert_eq!(found["reason"], "TRANSCODE_REFUSED", "{found}");

    world
        .double
        .faults(json!({"jobs": [{"do": "stuck"}]}))
        .await;
    let begun = world.backend(&site, json!({"step": "begun"})).await;
    let clip = begun["clip"].as_str().unwrap();
    world
        .backend(
            &site,
            json!({"step": "reached", "clip": clip, "states": ["SUBMITTED", "PROCESSING"]}),
        )
        .await;
    let found = world
        .backend(&site, json!({"step": "cancelled", "clip": clip}))
        .await;
    assert_eq!(
        found["states"].as_array().unwrap().last().unwrap(),
        "CANCELLED",
        "{found}"
    );
}
