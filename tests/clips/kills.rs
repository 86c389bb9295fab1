//! A server that is killed or stopped in the middle of an upload and of transcoding: the next one ends it.

use crate::person::{Person, film, first_of, parts};
use crate::support::client::Client;
use crate::support::server::{Server, Spec};
use crate::support::{cid, soon};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

async fn room(server: &Server) -> String {
    let mut client = Client::connect(server, "alice").await;
    let room = json!({"cid": cid(), "kind": "ROOM_KIND_GROUP", "title": "films",
        "visibility": "VISIBILITY_PRIVATE"});
    let room = client.ok(json!({"roomCreate": room})).await;
    room["room"].as_str().expect("an id").to_owned()
}

fn is_half_done(clip: &Value) -> bool {
    clip["state"] == "CLIP_STATE_PROCESSING" && clip["progress"]["percent"].as_u64() > Some(5)
}

/// Processes of FFmpeg that work for this server.
fn works(data: &Path) -> usize {
    let data = data.to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
    lines
        .filter(|line| line.contains("ffmpeg") && line.contains(&data))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_the_upload_and_in_transcoding_ends_with_a_clip_that_plays() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Spec::new(data.path()).start();
    let room = room(&server).await;
    assert!(parts() >= 2, "{} bytes are one part", film().len());
    let clip = {
        let alice = Person::new(&server, "alice");
        let clip = alice.register(&room).await;
        alice.upload(&clip, &[1]).await;
        clip
    };
    server.stop_and_read_log();

    let mut server = Spec::new(data.path()).start();
    {
        let alice = Person::new(&server, "alice");
        assert_eq!(alice.arrived(&clip).await, [1], "what had arrived is there");
        let left: Vec<usize> = (2..=parts()).collect();
        alice.upload(&clip, &left).await;
        alice.complete(&clip).await;
        soon("half of it", alice.until(&clip, "half", is_half_done)).await;
    }
    server.stop_and_read_log();
    // Programs end with the server, also with one that could not end them.
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let gone = async {
        while works(data.path()) > 0 {
            ticks.tick().await;
        }
    };
    soon("the end of its programs", gone).await;

    let server = Spec::new(data.path()).start();
    let alice = Person::new(&server, "alice");
    let ready = alice.until_ready(&clip).await;
    assert_eq!(
        ready["attempt"], 1,
        "begun anew by the transcoder itself: {ready}"
    );
    assert_eq!(works(data.path()), 0);
    plays(&server, &alice, &clip).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_told_to_stop_leaves_no_process_and_the_next_one_makes_the_clip_ready() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Spec::new(data.path()).start();
    let room = room(&server).await;
    let clip = {
        let alice = Person::new(&server, "alice");
        let clip = alice.bring(&room).await;
        soon("half of it", alice.until(&clip, "half", is_half_done)).await;
        clip
    };
    assert_eq!(works(data.path()), 1);
    let began = std::time::Instant::now();
    server.terminate();
    assert!(server.ended().await.success());
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "it waits for no transcode"
    );
    assert_eq!(works(data.path()), 0, "it leaves no process");

    let server = Spec::new(data.path()).start();
    let alice = Person::new(&server, "alice");
    alice.until_ready(&clip).await;
    plays(&server, &alice, &clip).await;
}

async fn plays(server: &Server, person: &Person<'_>, clip: &str) {
    let master = person.play(clip).await;
    let media = first_of(server, &master).await;
    let segment = first_of(server, &media).await;
    assert_eq!(person.get(&segment).await, 200);
}
