//! A client in Python, of code generated from `proto/` alone.

use crate::support::{self, error_id, errors, server_with, service_token, token_of};
use kaiwa_common::token::ServerRole;
use kaiwa_media_pipeline::front::WatchBounds;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    let venv = std::env::var_os("KAIWA_VENV").map_or_else(|| root.join(".venv"), PathBuf::from);
    let python = venv.join("bin/python");
    assert!(
        python.exists(),
        "no {}: run `make setup-test`",
        python.display()
    );
    python
}

async fn run(mut command: Command) -> String {
    let command = command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(120), command.output());
    let output = output.await.expect("Python ends").expect("Python runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_made_of_the_schema_alone_gets_everything() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    let proto = here.parent().expect("a workspace").join("proto");
    let mut generate = Command::new(python());
    generate
        .args(["-m", "grpc_tools.protoc", "-I"])
        .arg(&proto)
        .arg(format!("--python_out={}", folder.path().display()))
        .arg(format!("--grpc_python_out={}", folder.path().display()))
        .arg("kaiwa/media/v1/media.proto");
    run(generate).await;

    let server = server_with(WatchBounds {
        heartbeat: Duration::from_millis(50),
        per_caller: 8,
        ..WatchBounds::default()
    });
    let address = server.grpc().await;
    let errors: Vec<_> = errors()
        .iter()
        .enumerate()
        .map(|(place, (_, reason))| json!([error_id(place).to_string(), reason]))
        .collect();
    let script = json!({
        "address": address.to_string(),
        "fine": support::fine().to_string(),
        "never": support::never().to_string(),
        "errors": errors,
        "creator": token_of("alice", ServerRole::Creator, 60),
        "viewer": token_of("victor", ServerRole::Viewer, 60),
        "admin": token_of("ada", ServerRole::Admin, 60),
        "expired": token_of("alice", ServerRole::Creator, -1),
        "lms": service_token("lms"),
        "reader": service_token("reader"),
    });
    let mut client = Command::new(python());
    client
        .arg(here.join("tests/api/client.py"))
        .env("PYTHONPATH", folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("KAIWA_SCRIPT", script.to_string());
    let said = run(client).await;
    assert!(said.ends_with("all is as it should be\n"), "{said}");

    // Its channel is gone; the server, drained, says so and ends.
    server.drain.cancel();
}
