//! Calls of gRPC, written by hand (frames, trailers, details), so that wrong ones can be made too, and over any stream.

use crate::support::server::Server;
use crate::support::soon;
use base64::Engine as _;
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection.
pub(crate) struct Rpc(SendRequest<Full<Bytes>>);

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// gRPC's code.
    pub(crate) code: u32,
    /// Of `google.rpc.ErrorInfo`.
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// `google.rpc.Status`, as far as it is looked at.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
}

/// What a call sends besides its message.
pub(crate) type Metadata<'a> = &'a [(&'a str, &'a str)];

impl Rpc {
    pub(crate) async fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.grpc()).await.unwrap();
        Self::over(stream).await.unwrap()
    }

    /// Over a stream that is there.
    pub(crate) async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> hyper::Result<Self> {
        let (calls, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(calls))
    }

    /// Sends a message, in its frame, to this service and method.
    pub(crate) async fn send(
        &mut self,
        path: &str,
        metadata: Metadata<'_>,
        message: &[u8],
    ) -> hyper::Result<Streamed> {
        self.send_frame(path, metadata, (0, message)).await
    }

    /// The same of a message that was packed as `grpc-encoding` says.
    pub(crate) async fn send_packed(
        &mut self,
        path: &str,
        metadata: Metadata<'_>,
        packed: &[u8],
    ) -> hyper::Result<Streamed> {
        self.send_frame(path, metadata, (1, packed)).await
    }

    async fn send_frame(
        &mut self,
        path: &str,
        metadata: Metadata<'_>,
        (flag, message): (u8, &[u8]),
    ) -> hyper::Result<Streamed> {
        let len = u32::try_from(message.len()).unwrap().to_be_bytes();
        let frame = [&[flag], &len[..], message].concat();
        let mut request = Request::post(format!("http://kaiwa/{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in metadata {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(frame))).unwrap();
        let answer = soon("a call's head", self.0.send_request(request)).await?;
        let (head, body) = answer.into_parts();
        Ok(Streamed {
            status: head.status.as_u16(),
            ended: head
                .headers
                .contains_key("grpc-status")
                .then_some(head.headers),
            body,
            read: BytesMut::new(),
        })
    }

    /// One message to a method of `MediaPipeline`, as JSON, and one back.
    pub(crate) async fn call<Q, A>(
        &mut self,
        method: &str,
        metadata: Metadata<'_>,
        message: Value,
    ) -> Result<Value, Refused>
    where
        Q: Message + DeserializeOwned,
        A: Message + Default + Serialize,
    {
        let path = format!("kaiwa.media.v1.MediaPipeline/{method}");
        let message: Q = serde_json::from_value(message).expect("of the schema");
        let answer = self.send(&path, metadata, &message.encode_to_vec()).await;
        let mut answer = answer.expect("an answer");
        let message = answer.next::<A>().await?;
        Ok(message.unwrap_or_else(|| panic!("{method} ends with OK and without a message")))
    }
}

/// What comes back of a call.
pub(crate) struct Streamed {
    /// Of HTTP: 200, whatever the call's end is.
    pub(crate) status: u16,
    body: Incoming,
    read: BytesMut,
    /// The headers or trailers that say how it ended.
    ended: Option<HeaderMap>,
}

impl Streamed {
    /// The next message as JSON; `None` at an end with OK.
    pub(crate) async fn next<A: Message + Default + Serialize>(
        &mut self,
    ) -> Result<Option<Value>, Refused> {
        let bytes = self.next_bytes().await?;
        let message = bytes.map(|bytes| A::decode(bytes).expect("of the schema"));
        Ok(message.map(|message| serde_json::to_value(message).expect("JSON")))
    }

    /// The next message's bytes.
    pub(crate) async fn next_bytes(&mut self) -> Result<Option<Bytes>, Refused> {
        loop {
            if let Some(frame) = self.read.get(..5) {
                assert_eq!(frame[0], 0, "compressed, and nobody said that we can");
                let len = u32::from_be_bytes(frame[1..].try_into().unwrap()) as usize;
                if self.read.len() >= 5 + len {
                    self.read.advance(5);
                    return Ok(Some(self.read.split_to(len).freeze()));
                }
            }
            if let Some(ended) = &self.ended {
                return how(ended).map_or(Ok(None), Err);
            }
            let frame = soon("more of a call", self.body.frame()).await;
            let frame = frame.expect("a status before the end").expect("readable");
            match frame.into_data() {
                Ok(data) => self.read.extend_from_slice(&data),
                Err(frame) => self.ended = frame.into_trailers().ok(),
            }
        }
    }
}

fn how(ended: &HeaderMap) -> Option<Refused> {
    let text = |name: &str| {
        ended
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let code = text("grpc-status").expect("a status").parse().unwrap();
    let details = text("grpc-status-details-bin").unwrap_or_default();
    let details =
        base64::engine::general_purpose::STANDARD_NO_PAD.decode(details.trim_end_matches('='));
    let details = Status::decode(&*details.unwrap()).unwrap().details;
    let info = details
        .iter()
        .find(|any| any.type_url.ends_with("google.rpc.ErrorInfo"));
    let info = info.map(|any| ErrorInfo::decode(any.value.clone()).unwrap());
    (code != 0).then(|| Refused {
        code,
        reason: info.unwrap_or_default().reason,
        message: text("grpc-message").unwrap_or_default(),
    })
}
