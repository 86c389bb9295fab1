//! Talks to the server as a transcript says.

use super::pattern::Names;
use super::script::{Action, Transcript};
use crate::client::link::{Cut, Link, LinkError, Received};
use crate::codec::Codec;
use crate::server::{Spec, Who};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use kaiwa_common::time::UnixMs;
use kaiwa_proto::client::v1::ClientMessage;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message as Frame;

/// For an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than the server's ping interval, which one transcript waits for.
const PING_PATIENCE: Duration = Duration::from_secs(40);

/// Where and as whom a transcript is replayed.
#[derive(Debug, Clone, Copy)]
pub struct Stage<'a> {
    /// Makes tokens.
    pub spec: &'a Spec,
    /// The server.
    pub server: SocketAddr,
    /// Nobody else is connected to it.
    pub is_own: bool,
    /// The codec.
    pub codec: Codec,
    /// Added to everybody's user id, so that replays don't meet.
    pub suffix: &'a str,
}

/// Replays one transcript.
///
/// # Errors
/// The first step that went otherwise, by number.
pub async fn replay(transcript: &Transcript, stage: Stage<'_>) -> Result<()> {
    let seed = stage
        .suffix
        .bytes()
        .fold(7, |h, b| (h * 31 + u64::from(b)) % 1_000_003);
    let mut player = Player {
        stage,
        names: Names::new(seed, UnixMs::now()),
        connections: BTreeMap::new(),
    };
    player.introduce(transcript).await?;
    for (n, step) in transcript.steps.iter().enumerate() {
        let result = Box::pin(player.step(&step.on, &step.action)).await;
        result.with_context(|| format!("step {} on {:?}: {}", n + 1, step.on, step.action))?;
    }
    for (name, connection) in player.connections {
        if let Some(message) = connection.queue.front() {
            bail!("{name:?} got more than expected: {message}");
        }
        connection.link.close().await;
    }
    Ok(())
}

struct Player<'a> {
    stage: Stage<'a>,
    names: Names,
    connections: BTreeMap<String, Connection>,
}

struct Connection {
    link: Link,
    queue: VecDeque<Value>,
}

impl Player<'_> {
    /// Everybody gets an id and a token.
    async fn introduce(&mut self, transcript: &Transcript) -> Result<()> {
        for (person, spec) in &transcript.people {
            let same = spec.same_as.as_ref().unwrap_or(person);
            let sub = format!("{same}.{}", self.stage.suffix);
            let ttl = spec.ttl.as_deref().unwrap_or("1h");
            let who = Who {
                sub: &sub,
                name: &spec.name,
                role: spec.role.as_deref(),
                ttl,
            };
            let token = self.stage.spec.token(who).await?;
            // The signature is the last part; one of its characters becomes another.
            let (start, signature) = token.rsplit_once('.').context("not a token")?;
            let first = if signature.starts_with('A') { "B" } else { "A" };
            let forged = format!("{start}.{first}{}", &signature[1..]);
            self.names.bind(&format!("forged:{person}"), forged);
            self.names.bind(&format!("token:{person}"), token);
            self.names.bind(&format!("user:{person}"), sub);
        }
        Ok(())
    }

    async fn step(&mut self, on: &str, action: &Action) -> Result<()> {
        match action {
            Action::Open(open) => {
                let own = self.stage.codec.subprotocol();
                let offer = Some(open.offer.as_deref().unwrap_or(own));
                let Stage { server, codec, .. } = self.stage;
                let link = Link::open_with(server, offer, codec, None).await?;
                let connection = Connection {
                    link,
                    queue: VecDeque::new(),
                };
                self.connections.insert(on.to_owned(), connection);
            }
            Action::Refused(refused) => {
                let Stage { server, codec, .. } = self.stage;
                let (offer, origin) = (refused.offer.as_deref(), refused.origin.as_deref());
                match Link::open_with(server, offer, codec, origin).await {
                    Err(LinkError::Refused { status, .. }) if status == refused.status => {}
                    Err(error) => bail!("refused otherwise: {error}"),
                    Ok(_) => bail!("the upgrade was accepted"),
                }
            }
            Action::Send(pattern) => {
                let message = self.message(pattern)?;
                self.connection(on)?.link.send(&[message]).await?;
            }
            Action::SendFrame(patterns) => {
                let messages: Result<Vec<_>> = patterns.iter().map(|p| self.message(p)).collect();
                let messages = messages?;
                self.connection(on)?.link.send(&messages).await?;
            }
            Action::SendText(text) => {
                self.connection(on)?
                    .link
                    .send_frame(Frame::text(text.clone()))
                    .await?;
            }
            Action::SendHex(hex) => {
                let bytes = crate::vectors::from_hex(hex)?;
                self.connection(on)?
                    .link
                    .send_frame(Frame::binary(bytes))
                    .await?;
            }
            Action::Expect(pattern) => self.expect(on, std::slice::from_ref(pattern)).await?,
            Action::ExpectAnyOrder(patterns) => self.expect(on, patterns).await?,
            Action::ExpectClose(code) => {
                let mut connection = self.take(on)?;
                match connection.next(self.stage.codec, true).await? {
                    Next::Closed(Some(closed)) if closed == *code => {}
                    Next::Closed(other) => bail!("closed with {other:?}"),
                    Next::Message(message) => bail!("got {message}"),
                }
            }
            Action::Cut(_) => {
                self.take(on)?.link.cut(Cut::Drop).await;
                if self.stage.is_own {
                    self.noticed().await?;
                }
            }
        }
        Ok(())
    }

    /// Waits until the server has noticed that a connection is cut: until then it would write to it.
    async fn noticed(&self) -> Result<()> {
        loop {
            let metrics = crate::http::metrics(self.stage.server).await?;
            let open = metrics.get("kaiwa_signaling_connections").copied();
            let open = open.ok_or_else(|| anyhow!("the server does not count its connections"))?;
            if open <= self.connections.len() as f64 {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// A message as typed: what would be dropped or changed on the way is a mistake of the transcript.
    fn message(&mut self, pattern: &Value) -> Result<ClientMessage> {
        let filled = self.names.fill(pattern).map_err(|e| anyhow!(e))?;
        let message: ClientMessage = serde_json::from_value(filled.clone())?;
        let back = serde_json::to_value(&message)?;
        ensure!(
            back == filled,
            "not in the canonical form: {filled}, which is {back}"
        );
        Ok(message)
    }

    async fn expect(&mut self, on: &str, patterns: &[Value]) -> Result<()> {
        let codec = self.stage.codec;
        let mut left: Vec<&Value> = patterns.iter().collect();
        let pings = patterns.iter().any(|p| p.pointer("/push/ping").is_some());
        while !left.is_empty() {
            let actual = match self.connection(on)?.next(codec, !pings).await? {
                Next::Message(message) => message,
                Next::Closed(code) => bail!("closed with {code:?}"),
            };
            let mut differences = Vec::new();
            let names = &mut self.names;
            let fits = |pattern: &&Value| match names.compare(pattern, &actual) {
                Ok(()) => true,
                Err(difference) => {
                    differences.push(difference);
                    false
                }
            };
            let Some(at) = left.iter().position(fits) else {
                bail!("got {actual}\n  which differs: {}", differences.join("; "));
            };
            left.remove(at);
        }
        Ok(())
    }

    fn connection(&mut self, on: &str) -> Result<&mut Connection> {
        self.connections
            .get_mut(on)
            .with_context(|| format!("{on:?} is not open"))
    }

    fn take(&mut self, on: &str) -> Result<Connection> {
        self.connections
            .remove(on)
            .with_context(|| format!("{on:?} is not open"))
    }
}

enum Next {
    Message(Value),
    Closed(Option<u16>),
}

impl Connection {
    async fn next(&mut self, codec: Codec, skip_pings: bool) -> Result<Next> {
        loop {
            if let Some(message) = self.queue.pop_front() {
                if skip_pings && message.pointer("/push/ping").is_some() {
                    continue;
                }
                return Ok(Next::Message(message));
            }
            let patience = if skip_pings { PATIENCE } else { PING_PATIENCE };
            let received = tokio::time::timeout(patience, self.link.next()).await;
            match received.context("nothing came")?? {
                Received::Closed(code) => return Ok(Next::Closed(code)),
                Received::Messages(messages, payload) => {
                    for message in &messages {
                        self.queue.push_back(serde_json::to_value(message)?);
                    }
                    if codec == Codec::Json {
                        self.is_canonical(&payload)?;
                    }
                }
            }
        }
    }

    /// What a JSON frame says has to be the canonical form of what it means.
    fn is_canonical(&self, payload: &[u8]) -> Result<()> {
        let lines = payload
            .split(|&b| b == b'\n')
            .filter(|line| !line.is_empty());
        let raw: Vec<Value> = lines
            .map(serde_json::from_slice)
            .collect::<Result<_, _>>()?;
        let skip = self.queue.len().saturating_sub(raw.len());
        for (raw, typed) in raw.iter().zip(self.queue.iter().skip(skip)) {
            ensure!(raw == typed, "not canonical JSON: {raw}, which is {typed}");
        }
        Ok(())
    }
}
