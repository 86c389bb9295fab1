//! Somebody at the clips' HTTP API, over one connection that stays.

use crate::chat::{Voice, public_room};
use crate::codec::Codec;
use crate::rng::Rng;
use crate::server::Spec;
use anyhow::{Context as _, Result, ensure};
use kaiwa_common::time::UnixMs;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// A person and their connection.
#[derive(Debug)]
pub struct Person {
    stream: BufReader<TcpStream>,
    server: SocketAddr,
    token: String,
    rng: Rng,
}

/// Clips and nothing of them on a fixed port.
pub(super) fn with_clips(spec: &mut Spec) {
    let variable = ("KAIWA_CLIPS__GRPC_LISTEN".to_owned(), "off".to_owned());
    spec.variables.push(variable);
}

/// An answer's body, beyond which it is no answer of this API.
const BODY_BYTES: usize = 4 * 1024 * 1024;

impl Person {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(server: SocketAddr, token: String, mut rng: Rng) -> Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            server,
            token,
            rng: rng.fork(),
        })
    }

    /// Connects anew: a server closes what was silent for a while.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn reconnect(&mut self) -> Result<()> {
        let stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        self.stream = BufReader::new(stream);
        Ok(())
    }

    /// Makes a room of one's own; gives its id.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn room(&mut self) -> Result<String> {
        let mut voice =
            Voice::connect(self.server, Codec::Proto, None, &self.token, vec![]).await?;
        let cid = self.key();
        Ok(voice.room(public_room(cid, "Clips")).await?.room)
    }

    /// Registers a clip of so many bytes; gives its id.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn register(&mut self, room: &str, bytes: u64) -> Result<String> {
        let new = json!({
            "requestId": self.key(), "roomId": room, "title": "A clip",
            "declared": {"name": "clip.mp4", "size": bytes.to_string(), "contentType": "video/mp4"},
        });
        let clip = self.call("POST", "/api/v1/clips", Some(&new)).await?;
        Ok(clip["id"]
            .as_str()
            .context("a clip without an id")?
            .to_owned())
    }

    /// One call; gives what a 2xx answers.
    ///
    /// # Errors
    /// When the connection ends, or the answer is another one.
    pub async fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.server,
            self.token,
            body.len()
        );
        self.stream.write_all((head + &body).as_bytes()).await?;
        let (status, body) = self.answer().await.context("no answer")?;
        let text = || String::from_utf8_lossy(&body);
        ensure!(
            status.starts_with('2'),
            "{method} {path}: {status}: {}",
            text()
        );
        serde_json::from_slice(&body).with_context(|| format!("{path}: {}", text()))
    }

    /// Status and body.
    async fn answer(&mut self) -> Result<(String, Vec<u8>)> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut bytes = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                bytes = value.trim().parse()?;
            }
        }
        ensure!(bytes <= BODY_BYTES, "{bytes} bytes");
        let mut body = vec![0; bytes];
        self.stream.read_exact(&mut body).await?;
        Ok((status, body))
    }

    /// Another key for a request.
    pub fn key(&mut self) -> String {
        self.rng.cid(UnixMs::now().0)
    }
}
