//! A client that behaves, over tokio-tungstenite. Messages are JSON values for both codecs.

use super::server::Server;
use super::soon;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use kaiwa_proto::client::v1::{ClientMessage, ServerMessage};
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// The subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Json,
    Proto,
}

/// Both.
pub(crate) const CODECS: [Codec; 2] = [Codec::Json, Codec::Proto];

impl Codec {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "kaiwa.v1+json",
            Self::Proto => "kaiwa.v1+proto",
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How a connection ended.
#[derive(Debug)]
pub(crate) struct Closed {
    /// The close code; none when the connection was lost.
    pub(crate) code: Option<u16>,
    /// The `bye` before it.
    pub(crate) bye: Option<Value>,
    /// Whatever came before that.
    pub(crate) before: Vec<Value>,
}

/// A connection.
pub(crate) struct Client {
    socket: WebSocketStream<Box<dyn Stream>>,
    codec: Codec,
    last_id: u32,
    /// Received and not yet looked at.
    incoming: VecDeque<Value>,
    /// Looked at and not yet asked for.
    waiting: VecDeque<Value>,
    /// Reliable pushes received since `Connected`.
    pub(crate) count: u64,
    /// How many of them the last frame had.
    pub(crate) in_last_frame: u64,
    /// `Connected`.
    pub(crate) connected: Value,
}

impl Client {
    /// Upgraded, and nothing said yet.
    pub(crate) async fn open(server: &Server, codec: Codec) -> Self {
        let stream = TcpStream::connect(server.address)
            .await
            .expect("it listens");
        stream.set_nodelay(true).expect("set");
        Self::over(stream, &format!("ws://{}/ws", server.address), codec).await
    }

    /// Upgraded over a stream that is there.
    pub(crate) async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        url: &str,
        codec: Codec,
    ) -> Self {
        let mut request = url.into_client_request().expect("an address");
        let protocol = codec.name().parse().expect("a header's value");
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocol);
        let stream: Box<dyn Stream> = Box::new(stream);
        let upgraded = tokio_tungstenite::client_async(request, stream);
        let (socket, _) = soon("the upgrade", upgraded).await.expect("upgraded");
        let (incoming, waiting) = (VecDeque::new(), VecDeque::new());
        Self {
            socket,
            codec,
            last_id: 0,
            incoming,
            waiting,
            count: 0,
            in_last_frame: 0,
            connected: Value::Null,
        }
    }

    /// Connected as somebody.
    pub(crate) async fn connect(server: &Server, user: &str) -> Self {
        Self::connect_with(server, Codec::Json, connect(&server.token(user))).await
    }

    /// Connected with this command, which has to succeed.
    pub(crate) async fn connect_with(server: &Server, codec: Codec, command: Value) -> Self {
        let mut client = Self::open(server, codec).await;
        client.greet(command).await;
        client
    }

    /// Says `Connect`, which has to succeed.
    pub(crate) async fn greet(&mut self, command: Value) {
        let reply = self.call(command).await;
        assert!(reply["connected"].is_object(), "not connected: {reply}");
        self.connected = reply["connected"].clone();
        self.count = int(&self.connected["count"]);
    }

    /// Sends commands in one frame, each with its `id` if it has one.
    pub(crate) async fn say(&mut self, messages: &[Value]) {
        let frame = match self.codec {
            Codec::Json => {
                let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
                Message::text(lines.join("\n"))
            }
            Codec::Proto => {
                let mut bytes = Vec::new();
                for message in messages {
                    let message: ClientMessage =
                        serde_json::from_value(message.clone()).expect("of the schema");
                    message
                        .encode_length_delimited(&mut bytes)
                        .expect("a vector grows");
                }
                Message::binary(bytes)
            }
        };
        self.send(frame).await;
    }

    /// Sends a frame as it is.
    pub(crate) async fn send(&mut self, frame: Message) {
        // A server that closes meanwhile is seen by whoever reads.
        let _ = soon("a write", self.socket.send(frame)).await;
    }

    /// Sends a command and gives its id.
    pub(crate) async fn begin(&mut self, mut command: Value) -> u32 {
        self.last_id += 1;
        command["id"] = json!(self.last_id);
        self.say(&[command]).await;
        self.last_id
    }

    /// The reply to this id (0: to no command); what comes before it waits.
    pub(crate) async fn reply(&mut self, id: u32) -> Value {
        let is_it = |message: &Value| {
            message["reply"].is_object() && int(&message["reply"]["id"]) == u64::from(id)
        };
        if let Some(at) = self.waiting.iter().position(is_it) {
            return self.waiting.remove(at).expect("it is there")["reply"].take();
        }
        loop {
            let mut message = self
                .receive()
                .await
                .unwrap_or_else(|closed| panic!("closed instead of a reply to {id}: {closed:?}"));
            if is_it(&message) {
                return message["reply"].take();
            }
            self.waiting.push_back(message);
        }
    }

    /// Sends a command and waits for its reply.
    pub(crate) async fn call(&mut self, command: Value) -> Value {
        let id = self.begin(command).await;
        self.reply(id).await
    }

    /// A command that has to succeed; gives the reply's result.
    pub(crate) async fn ok(&mut self, command: Value) -> Value {
        let reply = self.call(command.clone()).await;
        assert!(reply["error"].is_null(), "{command} was refused: {reply}");
        let result = reply
            .as_object()
            .expect("a reply")
            .iter()
            .find(|(key, _)| *key != "id");
        result
            .unwrap_or_else(|| panic!("an empty reply to {command}"))
            .1
            .clone()
    }

    /// A command that has to fail; gives the error.
    pub(crate) async fn refused(&mut self, command: Value) -> Value {
        let mut reply = self.call(command.clone()).await;
        assert!(
            reply["error"].is_object(),
            "{command} was not refused: {reply}"
        );
        reply["error"].take()
    }

    /// The code with which a command is refused.
    pub(crate) async fn code(&mut self, command: Value) -> u64 {
        int(&self.refused(command).await["code"])
    }

    /// The next message, whatever it is.
    pub(crate) async fn next(&mut self) -> Value {
        match self.waiting.pop_front() {
            Some(message) => message,
            None => self
                .receive()
                .await
                .unwrap_or_else(|c| panic!("closed: {c:?}")),
        }
    }

    /// The next push of this kind; pushes of other kinds and replies are passed over.
    pub(crate) async fn push(&mut self, kind: &str) -> Value {
        loop {
            let mut message = self.next().await;
            if !message["push"][kind].is_null() {
                return message["push"][kind].take();
            }
        }
    }

    /// Reads to the end.
    pub(crate) async fn closed(&mut self) -> Closed {
        let mut before: Vec<Value> = self.waiting.drain(..).collect();
        loop {
            match self.receive().await {
                Ok(message) => before.push(message),
                Err(mut closed) => {
                    if before.last().is_some_and(|m| m["push"]["bye"].is_object()) {
                        closed.bye = before.pop().map(|mut m| m["push"]["bye"].take());
                    }
                    closed.before = before;
                    return closed;
                }
            }
        }
    }

    /// Reads to the end, which has to be this code, told in `bye` and in the close frame.
    pub(crate) async fn closed_with(&mut self, code: u16) -> Closed {
        let closed = self.closed().await;
        assert_eq!(closed.code, Some(code), "{closed:?}");
        let bye = closed
            .bye
            .as_ref()
            .unwrap_or_else(|| panic!("no bye: {closed:?}"));
        assert_eq!(int(&bye["code"]), u64::from(code), "{bye}");
        closed
    }

    async fn receive(&mut self) -> Result<Value, Closed> {
        loop {
            if let Some(message) = self.incoming.pop_front() {
                return Ok(message);
            }
            self.receive_frame().await?;
        }
    }

    /// Does this, and reads and answers pings meanwhile: who says nothing for long is taken for gone.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let frame = tokio::select! {
                done = &mut work => return done,
                frame = self.socket.next() => frame,
            };
            let taken = self.take_frame(frame).await;
            taken.unwrap_or_else(|closed| panic!("closed: {closed:?}"));
            if self.incoming.iter().any(is_ping) {
                self.incoming.retain(|message| !is_ping(message));
                self.pong().await;
            }
        }
    }

    /// Answers a ping.
    pub(crate) async fn pong(&mut self) {
        let count = self.count.to_string();
        self.say(&[json!({"pong": {"count": count}})]).await;
    }

    async fn receive_frame(&mut self) -> Result<(), Closed> {
        let frame = soon("a frame", self.socket.next()).await;
        self.take_frame(frame).await
    }

    async fn take_frame(
        &mut self,
        frame: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<(), Closed> {
        let closed = |code| Closed {
            code,
            bye: None,
            before: Vec::new(),
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            // How a lost connection shows depends on what was under way.
            Some(Err(_)) | None => return Err(closed(None)),
        };
        let messages: Vec<Value> = match (frame, self.codec) {
            (Message::Text(text), Codec::Json) => {
                let parse = |line| serde_json::from_str(line).expect("JSON");
                text.split('\n').map(parse).collect()
            }
            (Message::Binary(bytes), Codec::Proto) => unpack(bytes),
            (Message::Close(frame), _) => {
                let code = frame.map(|frame| u16::from(frame.code));
                // Lets the library send its answer.
                let _ = soon("the end", self.socket.next()).await;
                return Err(closed(code));
            }
            (Message::Ping(_) | Message::Pong(_), _) => return Ok(()),
            (other, codec) => panic!("{codec:?} does not speak {other:?}"),
        };
        self.in_last_frame = messages.iter().map(reliable).sum();
        self.count += self.in_last_frame;
        self.incoming.extend(messages);
        Ok(())
    }
}

fn unpack(mut bytes: Bytes) -> Vec<Value> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let message = ServerMessage::decode_length_delimited(&mut bytes).expect("Protobuf");
        messages.push(serde_json::to_value(message).expect("JSON"));
    }
    messages
}

fn is_ping(message: &Value) -> bool {
    message["push"]["ping"].is_object()
}

fn reliable(message: &Value) -> u64 {
    let push = &message["push"];
    let kinds = ["event", "state", "gap"];
    u64::from(kinds.iter().any(|kind| push[*kind].is_object()))
}

/// A `Connect` with nothing but a token.
pub(crate) fn connect(token: &str) -> Value {
    json!({"connect": {"token": token, "device": "test"}})
}

/// A number of the protocol: 64-bit ones are strings, and 0 is left out.
pub(crate) fn int(value: &Value) -> u64 {
    match value {
        Value::Null => 0,
        Value::String(text) => text.parse().expect("a number"),
        other => other
            .as_u64()
            .unwrap_or_else(|| panic!("no number: {other}")),
    }
}
