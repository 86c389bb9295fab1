//! A push service as a process of its own, and what browsers would have from it.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kaiwa_proto::client::v1::WebPushAddress;
use serde::Deserialize;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// It ends when dropped.
#[derive(Debug)]
pub struct Service {
    _child: Child,
    /// The authority that has to be trusted, as PEM.
    pub ca: String,
    /// Addresses of devices.
    pub addresses: Vec<WebPushAddress>,
}

#[derive(Debug, Deserialize)]
struct Authority {
    ca: String,
}

#[derive(Debug, Deserialize)]
struct Subscription {
    endpoint: String,
    p256dh: String,
    auth: String,
}

impl Service {
    /// Starts it with so many devices at most.
    ///
    /// # Errors
    /// When it does not start, or writes something else.
    pub async fn start(examples: &Path, most: usize) -> Result<Self> {
        let program = examples.join("web_push");
        let mut child = Command::new(&program)
            .arg("--double")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let output = child.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(output).lines();
        let first = lines.next_line().await?.context("no authority")?;
        let Authority { ca } = serde_json::from_str(&first)?;
        let mut addresses = Vec::new();
        while addresses.len() < most {
            let line = lines.next_line().await?.context("too few subscriptions")?;
            addresses.push(parse(&line)?);
        }
        // Whoever reads no more must not end it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            _child: child,
            ca,
            addresses,
        })
    }
}

fn parse(line: &str) -> Result<WebPushAddress> {
    let made: Subscription = serde_json::from_str(line)?;
    Ok(WebPushAddress {
        endpoint: made.endpoint,
        p256dh: URL_SAFE_NO_PAD.decode(made.p256dh)?,
        auth: URL_SAFE_NO_PAD.decode(made.auth)?,
    })
}
