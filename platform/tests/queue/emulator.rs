//! An emulator as a child process: started on a free port, probed until it answers, ended by its handle.

use aws_sdk_sns::config::{Credentials, SharedCredentialsProvider};
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
    child: Child,
    endpoint: String,
}

/// From the start to the first answer; only a child that hangs gets here.
const START: Duration = Duration::from_secs(120);

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
        let mut child = command(kind, port)
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
            child,
            endpoint: format!("http://127.0.0.1:{port}"),
        })
    }

    /// Its URL.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What clients are made of: the client of production, an endpoint and credentials of the emulator's.
    pub(crate) async fn config(&self) -> aws_config::SdkConfig {
        config(self.endpoint(), "test").await
    }

    /// The same, signed with a key that it does not know.
    pub(crate) async fn config_of_a_stranger(&self) -> aws_config::SdkConfig {
        config(&self.endpoint, "AKIAIOSFODNN7EXAMPLE").await
    }
}

/// Clients for that endpoint.
pub(crate) async fn config(endpoint: &str, key: &str) -> aws_config::SdkConfig {
    let options = AwsOptions {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
    };
    let credentials = Credentials::new(key, "test", None, None, "test");
    let provider = SharedCredentialsProvider::new(credentials);
    let config = load(options).await.into_builder();
    config.credentials_provider(provider).build()
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(kind: Kind, port: u16) -> Command {
    let port = port.to_string();
    match kind {
        Kind::MiniStack => {
            let mut command = Command::new(program("ministack"));
            // Its own defaults are all addresses, and one more listener.
            command
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
    // The crate whose test this is stands in the workspace's folder, or is it.
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
