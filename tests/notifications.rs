//! `kaiwa notifications` and the calls behind it, against a real server.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "support/root.rs"]
mod support;

use serde_json::json;
use std::process::{Command, Output};
use support::http::request;
use support::server::{BINARY, Spec};
use support::token::claims;

/// Runs the command with this data folder and these arguments.
fn notifications(data: &std::path::Path, args: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KAIWA_")) {
        command.env_remove(name);
    }
    command
        .arg("notifications")
        .args(args)
        .arg("--data")
        .arg(data);
    command.envs(token.map(|token| ("KAIWA_TOKEN", token)));
    command.output().unwrap()
}

/// What it ends with, and what it complains of.
fn ended(output: &Output) -> (Option<i32>, String) {
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), complaint)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_administrator_is_answered_and_the_command_line_is_one_on_its_own_machine() {
    let data = tempfile::tempdir().unwrap();
    let spec = Spec::new(data.path()).with("KAIWA_PUSH__ENABLED", false);
    let server = spec.start();
    let url = format!("http://{}", server.address);
    let at = ["queues", "--server", url.as_str()];

    // This server has no notifications, and says so to whoever may know it.
    let (code, complaint) = ended(&notifications(data.path(), &at, None));
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("push_off"), "{complaint}");
    let member = server.key().sign(&claims("bob", 60));
    let (code, complaint) = ended(&notifications(data.path(), &at, Some(&member)));
    assert_eq!(code, Some(77), "{complaint}");
    let elsewhere = tempfile::tempdir().unwrap();
    let (code, complaint) = ended(&notifications(elsewhere.path(), &at, None));
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("--data"), "{complaint}");

    let line = "GET /api/v1/notifications/queues";
    assert_eq!(request(server.address, line, &[], "").await.status, 401);
    let mut admin = claims("olga", 60);
    admin["role"] = json!("admin");
    let admin = format!("Bearer {}", server.key().sign(&admin));
    let headers = [("Authorization", admin.as_str())];
    assert_eq!(
        request(server.address, line, &headers, "").await.status,
        404
    );
    let foreign = [("Authorization", admin.as_str()), ("Host", "evil.example")];
    assert_eq!(
        request(server.address, line, &foreign, "").await.status,
        421
    );

    drop(server);
    let (code, complaint) = ended(&notifications(data.path(), &at, None));
    assert_eq!(code, Some(69), "{complaint}");
}
