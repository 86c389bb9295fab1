//! The double as a child process.

use crate::http::call;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) struct Double {
    child: Child,
    pub(crate) root: String,
}

impl Double {
    /// Starts it; it says itself where it listens.
    pub(crate) fn start(aws: &str, queue: &str) -> Self {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/fake-mediaconvert");
        let venv = std::env::var_os("KAIWA_VENV").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv"),
            PathBuf::from,
        );
        let mut child = Command::new(venv.join("bin/python"))
            .args([
                "-m",
                "fake_mediaconvert",
                "--port",
                "0",
                "--aws-endpoint",
                aws,
            ])
            .args(["--event-queue", queue])
            .env("PYTHONPATH", tool)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let root = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap()
            .to_owned();
        Self { child, root }
    }

    pub(crate) async fn control(&self, method: &str, path: &str, body: Value) -> Value {
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        let body = if method == "GET" {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let got = call(&self.root, method, path, &headers, body).await;
        let text = String::from_utf8(got.body).unwrap();
        assert_eq!(got.status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) async fn faults(&self, script: Value) {
        self.control("PUT", "/_faults", script).await;
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
