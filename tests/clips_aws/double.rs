//! MediaConvert's double as a child process.

use crate::support::http;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The double; killed when it is dropped.
pub(crate) struct Double {
    child: Child,
    address: SocketAddr,
}

impl Double {
    /// Starts it before this emulator; it says itself where it listens.
    pub(crate) fn start(python: &Path, aws: &str, queue: &str) -> Self {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/fake-mediaconvert");
        let mut child = Command::new(python)
            .args(["-m", "fake_mediaconvert", "--port", "0"])
            .args(["--aws-endpoint", aws, "--event-queue", queue])
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
        let address = line.trim().strip_prefix("listening on http://").unwrap();
        let address = address.parse().unwrap();
        Self { child, address }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn control(&self, method: &str, path: &str, body: &str) -> Value {
        let line = format!("{method} {path}");
        let headers = [("content-type", "application/json")];
        let answer = http::request(self.address, &line, &headers, body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// What is to go wrong from here on.
    pub(crate) async fn faults(&self, script: Value) {
        self.control("PUT", "/_faults", &script.to_string()).await;
    }

    /// Where events go from here on.
    pub(crate) async fn tell(&self, to: Value) {
        self.control("PUT", "/_events", &to.to_string()).await;
    }

    /// Ids of a clip's jobs, from the events about them; each once.
    pub(crate) async fn jobs(&self, clip: &str) -> Vec<String> {
        let sent = self.control("GET", "/_events", "").await;
        let events = sent["events"].as_array().unwrap().iter();
        let own = events.filter(|event| event["detail"]["userMetadata"]["clip"] == json!(clip));
        let mut jobs: Vec<String> = own
            .map(|event| event["detail"]["jobId"].as_str().unwrap().to_owned())
            .collect();
        jobs.sort();
        jobs.dedup();
        jobs
    }

    /// Requests for jobs of a clip that were taken.
    pub(crate) async fn asked(&self, clip: &str) -> usize {
        let taken = self.control("GET", "/_requests", "").await;
        let requests = taken["requests"].as_array().unwrap().iter();
        requests
            .filter(|request| request.to_string().contains(clip))
            .count()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
