//! Settings that would be dangerous or are mistaken: the server says so and does not start.

use crate::support::server::{BINARY, Spec, shared};
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

/// The configuration is wrong (`EX_CONFIG` of BSD's sysexits).
const CONFIG: i32 = 78;

fn complaint(output: &Output) -> String {
    assert!(output.stdout.is_empty(), "it ran");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    text
}

#[test]
fn plain_http_beyond_this_machine_is_refused_with_the_ways_out() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let data = tempfile::tempdir().unwrap();
        let output = Spec::new(data.path()).arg("--listen").arg(listen).run();
        assert_eq!(output.status.code(), Some(CONFIG), "{listen}");
        let text = complaint(&output);
        for word in ["--tls-self-signed", "--allow-plain", "tls_certificate"] {
            assert!(text.contains(word), "{text}");
        }
    }
}

#[test]
fn an_unknown_or_mistyped_setting_is_refused_by_its_name() {
    let data = tempfile::tempdir().unwrap();
    for (name, value, word) in [
        ("KAIWA_HTTP__LISTN", "127.0.0.1:0", "listn"),
        (
            "KAIWA_LIMITS__COMMANDS_PER_SECOND",
            "5",
            "commands_per_second",
        ),
        ("KAIWA_LIMITS__PAGE", "many", "page"),
        ("KAIWA_LIMITS__PAGE", "-1", "page"),
        ("KAIWA_LIMITS__IN_FLIGHT", "0", "in_flight"),
        ("KAIWA_AUTH__SIGN_IN", "everybody", "sign_in"),
        ("KAIWA_TELEMETRY__X", "1", "telemetry"),
    ] {
        let output = Spec::new(data.path()).with(name, value).run();
        assert_eq!(output.status.code(), Some(CONFIG), "{name}={value}");
        let text = complaint(&output);
        assert!(text.contains(word), "{name}={value}: {text}");
    }
    let file = data.path().join("kaiwa.toml");
    std::fs::write(
        &file,
        "[http]\nlisten = \"127.0.0.1:0\"\nallow_plane = true\n",
    )
    .unwrap();
    let output = Spec::new(data.path())
        .arg("--config")
        .arg(file.to_str().unwrap())
        .run();
    assert_eq!(output.status.code(), Some(CONFIG));
    assert!(complaint(&output).contains("allow_plane"));
}

#[test]
fn a_secret_that_others_can_read_or_that_is_too_short_is_not_used() {
    let data = tempfile::tempdir().unwrap();
    let secret = data.path().join("secret");
    let run = || {
        Spec::new(data.path())
            .with("KAIWA_AUTH__SECRET_FILE", secret.display())
            .run()
    };
    std::fs::write(&secret, [1; 32]).unwrap();
    set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    let output = run();
    assert!(!output.status.success());
    assert!(complaint(&output).contains("chmod 600"));
    std::fs::write(&secret, [1; 31]).unwrap();
    set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let output = run();
    assert!(!output.status.success());
    assert!(complaint(&output).contains("32 bytes"));
}

#[test]
fn what_the_server_keeps_is_for_its_owner_only() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("kept");
    let server = Spec::new(&folder).arg("--tls-self-signed").start();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for name in ["token-secret", "self-signed-key.pem"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    drop(server);
}

#[tokio::test]
async fn tokens_of_the_command_line_are_what_the_server_takes() {
    let server = shared();
    let output = std::process::Command::new(BINARY)
        .args(["token", "--data"])
        .arg(server.data())
        .args(["--sub-prefix", "cli-", "--count", "3", "--ttl", "1h"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let tokens = String::from_utf8(output.stdout).unwrap();
    assert_eq!(tokens.lines().count(), 3);
    for (no, token) in tokens.lines().enumerate() {
        let command = crate::support::client::connect(token);
        let codec = crate::support::client::Codec::Proto;
        let client = crate::support::client::Client::connect_with(&server, codec, command).await;
        assert_eq!(client.connected["user"]["id"], format!("cli-{no}"));
    }
}
