//! One WebSocket to a server: frames in, frames out, and ways to lose it.

use crate::codec::{Codec, DecodeError};
use futures_util::{SinkExt, StreamExt};
use kaiwa_proto::client::v1::{ClientMessage, ServerMessage};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message as Frame};

/// An open WebSocket that speaks one codec.
#[derive(Debug)]
pub struct Link {
    socket: WebSocketStream<TcpStream>,
    codec: Codec,
}

/// What came from the server.
#[derive(Debug)]
pub enum Received {
    /// The messages of one frame, with its payload as it was.
    Messages(Vec<ServerMessage>, bytes::Bytes),
    /// The end, with its close code if there was one.
    Closed(Option<u16>),
}

/// Why there is no connection, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody listens there, or the connection broke.
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    /// The upgrade was refused with this HTTP status.
    #[error("the upgrade was refused with HTTP {status}: {body}")]
    Refused {
        /// The status.
        status: u16,
        /// The body, as text.
        body: String,
    },
    /// The peer does not speak WebSocket, or broke off.
    #[error("the WebSocket failed")]
    WebSocket(#[source] Box<tungstenite::Error>),
    /// A frame that is not of the codec.
    #[error("the server sent what is not of its codec")]
    Decode(#[from] DecodeError),
    /// The server did not answer the upgrade in time.
    #[error("no answer to the upgrade")]
    Timeout,
}

/// How a client cuts its own connection, to see what the server makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The TCP connection ends without a close frame.
    Drop,
    /// It ends in the middle of a frame.
    MidFrame,
    /// It stays, as when a phone changes its network: the server hears nothing of the loss.
    Linger,
}

/// From the TCP connection to the end of the upgrade.
const UPGRADE: Duration = Duration::from_secs(15);

/// Small: most frames of a chat are below it, and thousands of clients share one process.
const READ_BUFFER: usize = 4 * 1024;

impl Link {
    /// Connects and upgrades, offering exactly this codec.
    ///
    /// # Errors
    /// [`LinkError`] when nobody listens or the upgrade is refused.
    pub async fn open(server: SocketAddr, codec: Codec) -> Result<Self, LinkError> {
        Self::open_with(server, Some(codec.subprotocol()), codec, None).await
    }

    /// As [`open`](Self::open), with any text as the offer and an `Origin`.
    ///
    /// # Errors
    /// [`LinkError`] when nobody listens or the upgrade is refused.
    pub async fn open_with(
        server: SocketAddr,
        offer: Option<&str>,
        codec: Codec,
        origin: Option<&str>,
    ) -> Result<Self, LinkError> {
        let tcp = TcpStream::connect(server).await?;
        tcp.set_nodelay(true)?;
        let mut request = format!("ws://{server}/ws")
            .into_client_request()
            .map_err(failed)?;
        let headers = request.headers_mut();
        for (name, value) in [("sec-websocket-protocol", offer), ("origin", origin)] {
            if let Some(value) = value.and_then(|v| HeaderValue::from_str(v).ok()) {
                headers.insert(name, value);
            }
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(16 << 20);
        let upgrade = tokio_tungstenite::client_async_with_config(request, tcp, Some(config));
        let (socket, _) = tokio::time::timeout(UPGRADE, upgrade)
            .await
            .map_err(|_| LinkError::Timeout)?
            .map_err(failed)?;
        Ok(Self { socket, codec })
    }

    /// Sends these messages in one frame.
    ///
    /// # Errors
    /// [`LinkError`] when the connection is gone.
    pub async fn send(&mut self, messages: &[ClientMessage]) -> Result<(), LinkError> {
        self.send_frame(self.codec.encode(messages)).await
    }

    /// Sends a frame as it is.
    ///
    /// # Errors
    /// [`LinkError`] when the connection is gone.
    pub async fn send_frame(&mut self, frame: Frame) -> Result<(), LinkError> {
        self.socket.send(frame).await.map_err(failed)
    }

    /// Waits for the next frame; safe to cancel.
    ///
    /// # Errors
    /// [`LinkError`] when the connection broke or the frame is not of the codec.
    pub async fn next(&mut self) -> Result<Received, LinkError> {
        loop {
            match self.socket.next().await {
                Some(Ok(frame @ (Frame::Text(_) | Frame::Binary(_)))) => {
                    let messages = self.codec.decode(&frame)?;
                    return Ok(Received::Messages(messages, frame.into_data()));
                }
                Some(Ok(Frame::Close(close))) => {
                    return Ok(Received::Closed(close.map(|c| u16::from(c.code))));
                }
                Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => {}
                Some(Err(error)) => return Err(failed(error)),
                None => return Ok(Received::Closed(None)),
            }
        }
    }

    /// Ends the connection the hard way.
    pub async fn cut(mut self, how: Cut) {
        if how == Cut::MidFrame {
            // The head of a masked text or binary frame of 100 bytes, and only three of them: the
            // server must drop it, for it never arrived whole.
            let opcode = if self.codec == Codec::Json {
                0x81
            } else {
                0x82
            };
            let torn = [opcode, 0x80 | 100, 1, 2, 3, 4, b'{' ^ 1, b'"' ^ 2, b'i' ^ 3];
            // It may be gone already, which is as good.
            let _ = self.socket.get_mut().write_all(&torn).await;
        }
        if how == Cut::Linger {
            // Until the server ends it.
            tokio::spawn(
                async move { while let Ok(Received::Messages(..)) = self.next().await {} },
            );
        }
    }

    /// Ends it politely.
    pub async fn close(mut self) {
        // It may be gone already.
        let _ = self.socket.close(None).await;
    }
}

fn failed(error: tungstenite::Error) -> LinkError {
    if let tungstenite::Error::Io(error) = error {
        return LinkError::Io(error);
    }
    if let tungstenite::Error::Http(response) = error {
        let body = response.body().as_deref().unwrap_or_default();
        let (status, body) = (response.status().as_u16(), String::from_utf8_lossy(body));
        return LinkError::Refused {
            status,
            body: body.into_owned(),
        };
    }
    LinkError::WebSocket(Box::new(error))
}
