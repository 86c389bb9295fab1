//! A WebSocket client that writes its frames by hand, to write what a library refuses to.

use super::client::Codec;
use super::http::{UPGRADE, parse};
use super::server::Server;
use super::soon;
use serde_json::Value;
use std::collections::VecDeque;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// First bytes of frames: FIN and opcode (RFC 6455, section 5.2).
pub(crate) const CONTINUATION: u8 = 0x00;
pub(crate) const LAST: u8 = 0x80;
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const TEXT_BEGINS: u8 = 0x01;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8A;

/// The key that frames are masked with.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// What the server said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// A message of the JSON protocol.
    Message(Value),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
    /// The connection is gone.
    End,
}

/// A connection without manners.
pub(crate) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
    /// The rest of the messages of a frame.
    messages: VecDeque<Value>,
}

impl Raw {
    /// Upgraded, and nothing said yet.
    pub(crate) async fn open(server: &Server, codec: Codec) -> Self {
        Self::open_and_say(server, codec, b"").await
    }

    /// Upgraded by a request that these bytes follow at once.
    pub(crate) async fn open_and_say(server: &Server, codec: Codec, bytes: &[u8]) -> Self {
        let mut raw = Self {
            stream: dial(server).await,
            read: Vec::new(),
            messages: VecDeque::new(),
        };
        let mut head = format!("GET /ws HTTP/1.1\r\nHost: {}\r\n", server.address);
        let protocol = [("Sec-WebSocket-Protocol", codec.name())];
        for (name, value) in UPGRADE.iter().chain(&protocol) {
            head += &format!("{name}: {value}\r\n");
        }
        raw.bytes(&[(head + "\r\n").as_bytes(), bytes].concat())
            .await;
        let end = loop {
            if let Some(at) = raw.read.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(raw.fill().await, "the answer ended");
        };
        let answer = parse(&raw.read[..end]);
        assert_eq!(answer.status, 101, "{answer:?}");
        raw.read.drain(..end);
        raw
    }

    /// Connected as somebody, in the JSON protocol.
    pub(crate) async fn connect(server: &Server, user: &str) -> Self {
        let mut raw = Self::open(server, Codec::Json).await;
        let mut connect = super::client::connect(&server.token(user));
        connect["id"] = 1.into();
        raw.frame(TEXT, connect.to_string().as_bytes()).await;
        let reply = raw.message().await;
        assert!(reply["reply"]["connected"].is_object(), "{reply}");
        raw
    }

    /// Sends these bytes as they are.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        // A server that closes meanwhile is seen by whoever reads.
        let _ = soon("a write", self.stream.write_all(bytes)).await;
    }

    /// Sends a frame.
    pub(crate) async fn frame(&mut self, first: u8, payload: &[u8]) {
        self.bytes(&masked(first, payload)).await;
    }

    /// What comes next.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Heard::Message(message);
            }
            if let Some(heard) = self.take() {
                return heard;
            }
            if !self.fill().await {
                return Heard::End;
            }
        }
    }

    /// The next message of the JSON protocol.
    pub(crate) async fn message(&mut self) -> Value {
        match self.next().await {
            Heard::Message(message) => message,
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// Reads to the end: the close code, and the messages before it.
    pub(crate) async fn closed(&mut self) -> (Option<u16>, Vec<Value>) {
        let mut messages = Vec::new();
        loop {
            match self.next().await {
                Heard::Message(message) => messages.push(message),
                Heard::Binary(_) | Heard::Pong(_) => {}
                Heard::Close(code) => return (code, messages),
                Heard::End => return (None, messages),
            }
        }
    }

    fn take(&mut self) -> Option<Heard> {
        let (&first, &second) = (self.read.first()?, self.read.get(1)?);
        assert_eq!(second & 0x80, 0, "a server's frame is not masked");
        let (size, len) = match second {
            126 => (
                4,
                usize::from(u16::from_be_bytes(self.read.get(2..4)?.try_into().ok()?)),
            ),
            127 => {
                let len = u64::from_be_bytes(self.read.get(2..10)?.try_into().ok()?);
                (10, usize::try_from(len).expect("it fits"))
            }
            short => (2, usize::from(short)),
        };
        if self.read.len() < size + len {
            return None;
        }
        let payload: Vec<u8> = self.read.drain(..size + len).skip(size).collect();
        Some(match first {
            0x81 => {
                let lines = payload.split(|byte| *byte == b'\n');
                let mut messages = lines.map(|l| serde_json::from_slice(l).expect("JSON"));
                let first = messages.next().expect("a frame has a message");
                self.messages.extend(messages);
                Heard::Message(first)
            }
            0x82 => Heard::Binary(payload),
            0x88 => {
                let code = payload.first_chunk::<2>();
                Heard::Close(code.map(|code| u16::from_be_bytes(*code)))
            }
            0x8A => Heard::Pong(payload),
            other => panic!("a frame that begins with {other:#x}"),
        })
    }

    async fn fill(&mut self) -> bool {
        soon("bytes", self.stream.read_buf(&mut self.read))
            .await
            .is_ok_and(|read| read > 0)
    }
}

/// A masked frame's header.
pub(crate) fn header(first: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match len {
        0..=125 => bytes.push(0x80 | u8::try_from(len).expect("at most 125")),
        126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(len).expect("at most 65535").to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(len.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}

/// A whole frame, masked.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// A plain TCP connection, whose kernel holds little of what is not read.
pub(crate) async fn dial(server: &Server) -> TcpStream {
    dial_at(server.address).await
}

/// The same to another port of it.
pub(crate) async fn dial_at(address: std::net::SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(256 * 1024).expect("set");
    let stream = socket.connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("set");
    stream
}
