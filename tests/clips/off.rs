//! Servers without clips, and how they say so.

use crate::support::client::{Client, int};
use crate::support::http::request;
use crate::support::server::Spec;

#[tokio::test]
async fn without_ffmpeg_the_server_runs_and_says_what_to_install() {
    let data = tempfile::tempdir().unwrap();
    let server = Spec::new(data.path()).with("PATH", "/nowhere").start();
    let told = "off: FFmpeg is not installed (apt-get install ffmpeg)";
    assert_eq!(server.announced("clips"), told);
    let client = Client::connect(&server, "alice").await;
    assert_eq!(int(&client.connected["limits"]["clipBytes"]), 0);
    for line in [
        "GET /api/v1/clips?roomId=r_a",
        "POST /api/v1/clips",
        "PUT /objects/part?t=x",
        "GET /v/x/y/master.m3u8",
    ] {
        let answer = request(server.address, line, &[], "").await;
        assert_eq!(answer.status, 503, "{line}: {answer:?}");
        assert!(answer.body.contains("apt-get install ffmpeg"), "{answer:?}");
    }
}

#[tokio::test]
async fn clips_that_are_switched_off_are_not_there() {
    let data = tempfile::tempdir().unwrap();
    let server = Spec::new(data.path())
        .with("KAIWA_CLIPS__ENABLED", false)
        .start();
    assert_eq!(server.announced("clips"), "off");
    let client = Client::connect(&server, "alice").await;
    assert_eq!(int(&client.connected["limits"]["clipBytes"]), 0);
    let answer = request(server.address, "GET /api/v1/clips?roomId=r_a", &[], "").await;
    assert_eq!(answer.status, 404, "{answer:?}");
}
