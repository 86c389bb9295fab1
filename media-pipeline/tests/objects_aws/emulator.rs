//! An emulator as a child process: started on a free port, probed until it answers, ended by its handle.

use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use kaiwa_platform::queue::aws::{AwsOptions, load};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With `AUTH=true`: it checks signatures and policies, as AWS does.
    MiniStack,
    Moto,
}

/// A running emulator; killed when it is dropped.
pub(crate) struct Emulator {
    pub(crate) kind: Kind,
    child: Child,
    endpoint: String,
    /// Holds the seconds by which MiniStack's clock is ahead.
    ahead: tempfile::NamedTempFile,
}

/// From the start to the first answer; only a child that hangs gets here.
const START: Duration = Duration::from_secs(120);

/// MiniStack, with a clock that a test can put forward.
const LAUNCH: &str = "
import os, sys, time, datetime as dt
path, real = os.environ['KAIWA_AHEAD'], time.time
def ahead():
    with open(path) as f:
        return float(f.read() or 0)
time.time = lambda: real() + ahead()
class Shifted(dt.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
    @classmethod
    def utcnow(cls):
        return cls.fromtimestamp(time.time(), dt.timezone.utc).replace(tzinfo=None)
dt.datetime = Shifted
import runpy
sys.argv = ['ministack']
runpy.run_module('ministack', run_name='__main__')
";

impl Emulator {
    /// Starts it and waits until it answers.
    pub(crate) async fn start(kind: Kind) -> Self {
        // Another process may take the port before the child does: then the child ends, and the next try has another.
        for _ in 0..5 {
            if let Some(running) = Self::try_start(kind).await {
                return running;
            }
        }
        panic!("{kind:?} does not start");
    }

    async fn try_start(kind: Kind) -> Option<Self> {
        let port = free_port();
        let ahead = tempfile::NamedTempFile::new().unwrap();
        let mut child = command(kind, port, ahead.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(begun.elapsed() < START, "{kind:?} does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(Self {
            kind,
            child,
            endpoint: format!("http://127.0.0.1:{port}"),
            ahead,
        })
    }

    /// Its URL.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Puts its clock forward.
    pub(crate) fn pass(&self, seconds: u64) {
        std::fs::write(self.ahead.path(), seconds.to_string()).unwrap();
    }

    /// Runs Python with boto3 beside it: for what the product itself never asks AWS for.
    pub(crate) fn python(&self, script: &str) -> String {
        let mut command = Command::new(program("python"));
        let command = command.args(["-c", script, &self.endpoint]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What clients are made of: the client of production, an endpoint and these credentials.
    pub(crate) async fn config(&self, credentials: Credentials) -> aws_config::SdkConfig {
        let options = AwsOptions {
            endpoint: Some(self.endpoint.clone()),
            region: Some("us-east-1".to_owned()),
        };
        let provider = SharedCredentialsProvider::new(credentials);
        load(options)
            .await
            .into_builder()
            .credentials_provider(provider)
            .build()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(kind: Kind, port: u16, ahead: &Path) -> Command {
    let port = port.to_string();
    match kind {
        Kind::MiniStack => {
            let mut command = Command::new(program("python"));
            // Its own defaults are all addresses, and one more listener.
            command
                .args(["-c", LAUNCH])
                .env("KAIWA_AHEAD", ahead)
                .env("AUTH", "true")
                .env("BIND_HOST", "127.0.0.1")
                .env("GATEWAY_PORT", port)
                .env("IOT_MTLS_ENABLED", "0");
            command
        }
        Kind::Moto => {
            let mut command = Command::new(program("moto_server"));
            command.args(["-H", "127.0.0.1", "-p", &port]);
            command
        }
    }
}

fn program(name: &str) -> PathBuf {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = folders.find(|folder| folder.join("Cargo.lock").exists());
    let venv =
        std::env::var_os("KAIWA_VENV").map_or_else(|| root.unwrap().join(".venv"), PathBuf::from);
    let program = venv.join("bin").join(name);
    assert!(program.exists(), "{name} is not installed: make setup-test");
    program
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
