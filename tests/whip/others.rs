//! Encoders and players that others have written: aiortc, and FFmpeg with its own muxer (`peers.py`).

use crate::world::World;
use std::path::PathBuf;
use std::process::Command;

/// Runs a scene of `peers.py`, which has to end well, and leaves nobody in the call.
async fn run(scene: &str) {
    let mut world = World::new().await;
    let token = world.member("peer").await;
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let venv = std::env::var_os("KAIWA_VENV").map_or_else(|| here.join(".venv"), PathBuf::from);
    let python = venv.join("bin/python");
    assert!(
        python.exists(),
        "no Python at {}: scripts/setup.sh test makes it",
        python.display()
    );
    let mut command = Command::new(python);
    command
        .arg(here.join("tests/whip/peers.py"))
        .arg(scene)
        .arg(format!("http://{}", world.server().address))
        .arg(&world.scene.room)
        .arg(token);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scene}: {said}");
    world.until_in_call(0).await;
}

#[tokio::test]
async fn aiortc_publishes_by_whip_and_watches_by_whep() {
    run("aiortc").await;
}

#[tokio::test]
async fn ffmpeg_publishes_by_whip_and_is_heard_by_whep() {
    run("ffmpeg").await;
}

#[tokio::test]
async fn ffmpeg_that_opens_dtls_itself_does_as_well() {
    run("ffmpeg-active").await;
}
