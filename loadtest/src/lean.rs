//! A connection that costs next to nothing: thousands of them fit one process, and reading weighs the
//! same whoever writes.
//!
//! Its WebSocket is just what is needed here: the upgrade, masked frames out, whole frames in. Reads go
//! through a buffer on the stack; between reads a connection keeps only what is left of a frame.

use crate::codec::Codec;
use anyhow::{Context as _, Result, bail, ensure};
use kaiwa_proto::client::v1::{ClientMessage, ServerMessage};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

/// One lean connection.
#[derive(Debug)]
pub struct Lean {
    tcp: TcpStream,
    codec: Codec,
    /// The beginning of a frame whose end hasn't come.
    rest: Vec<u8>,
}

/// Bytes asked for at once, by every reader alike.
const READ: usize = 16 * 1024;

impl Lean {
    /// A plain TCP connection, to whoever writes WebSocket frames without having been asked to.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn plain(to: SocketAddr, codec: Codec) -> Result<Self> {
        let tcp = TcpStream::connect(to).await?;
        tcp.set_nodelay(true)?;
        Ok(Self {
            tcp,
            codec,
            rest: Vec::new(),
        })
    }

    /// Connects, from an address of ours if one is given, and upgrades.
    ///
    /// # Errors
    /// When nobody listens there or the upgrade is refused.
    pub async fn open(to: SocketAddr, codec: Codec, from: Option<IpAddr>) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let mut tcp = socket.connect(to).await?;
        tcp.set_nodelay(true)?;
        // Any key will do where the answer isn't checked: a cache in between is what it is against.
        let upgrade = format!(
            "GET /ws HTTP/1.1\r\nHost: {to}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Sec-WebSocket-Protocol: {}\r\n\r\n",
            codec.subprotocol()
        );
        tcp.write_all(upgrade.as_bytes()).await?;
        let mut lean = Self {
            tcp,
            codec,
            rest: Vec::new(),
        };
        let end = loop {
            lean.tcp.readable().await?;
            ensure!(lean.fill()?, "the connection ended in the upgrade");
            if let Some(at) = lean.rest.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8_lossy(&lean.rest[..end]).into_owned();
        if !head.starts_with("HTTP/1.1 101") {
            bail!(
                "the upgrade was refused: {}",
                head.lines().next().unwrap_or_default()
            );
        }
        lean.rest.drain(..end);
        Ok(lean)
    }

    /// Sends these messages in one frame.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, messages: &[ClientMessage]) -> Result<()> {
        let payload = Codec::payload(self.codec.encode(messages));
        let mut frame = vec![if self.codec == Codec::Json {
            0x81
        } else {
            0x82
        }];
        match u16::try_from(payload.len()).context("a frame over 64 KiB")? {
            len @ 0..126 => frame.push(0x80 | u8::try_from(len)?),
            len => {
                frame.push(0x80 | 126);
                frame.extend(len.to_be_bytes());
            }
        }
        // A mask of zeros leaves the payload as it is.
        frame.extend([0; 4]);
        frame.extend(&payload);
        self.tcp.write_all(&frame).await?;
        Ok(())
    }

    /// Waits until there is something to read.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn readable(&self) -> Result<()> {
        Ok(self.tcp.readable().await?)
    }

    /// Reads once, and hands over each whole frame's messages; `raw` gets the bytes as they came.
    /// False at the end.
    ///
    /// # Errors
    /// When the connection broke, or what came is not of the codec.
    pub fn read(
        &mut self,
        raw: Option<&mut Vec<u8>>,
        mut each: impl FnMut(ServerMessage),
    ) -> Result<bool> {
        let before = self.rest.len();
        if !self.fill()? {
            return Ok(false);
        }
        if let Some(raw) = raw {
            raw.extend(&self.rest[before..]);
        }
        let mut done = 0;
        while let Some((payload, end)) = whole_frame(&self.rest, done)? {
            let messages = self
                .codec
                .decode_payload::<ServerMessage>(&self.rest[payload..end])?;
            messages.into_iter().for_each(&mut each);
            done = end;
        }
        self.rest.drain(..done);
        if self.rest.is_empty() {
            // An idle connection keeps nothing.
            self.rest = Vec::new();
        }
        Ok(true)
    }

    /// The next messages; for conversations, where speed doesn't matter.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn next(&mut self) -> Result<Vec<ServerMessage>> {
        let mut messages = Vec::new();
        while messages.is_empty() {
            self.readable().await?;
            ensure!(
                self.read(None, |m| messages.push(m))?,
                "the connection ended"
            );
        }
        Ok(messages)
    }

    fn fill(&mut self) -> Result<bool> {
        let mut buffer = [0_u8; READ];
        match self.tcp.try_read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(n) => {
                self.rest.extend(&buffer[..n]);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

/// Where the payload of the frame at `at` begins and ends, once it is whole.
fn whole_frame(bytes: &[u8], at: usize) -> Result<Option<(usize, usize)>> {
    let Some(&[first, second]) = bytes.get(at..at + 2) else {
        return Ok(None);
    };
    ensure!(second & 0x80 == 0, "a masked frame from the server");
    let (start, len) = match second {
        126 => {
            let Some(len) = bytes.get(at + 2..at + 4) else {
                return Ok(None);
            };
            (at + 4, usize::from(u16::from_be_bytes(len.try_into()?)))
        }
        127 => {
            let Some(len) = bytes.get(at + 2..at + 10) else {
                return Ok(None);
            };
            (
                at + 10,
                usize::try_from(u64::from_be_bytes(len.try_into()?))?,
            )
        }
        len => (at + 2, usize::from(len)),
    };
    let end = start + len;
    if bytes.len() < end {
        return Ok(None);
    }
    let opcode = first & 0x0f;
    ensure!(
        first & 0x80 != 0 && (opcode == 1 || opcode == 2),
        "frame {first:#04x}: {bytes:?}"
    );
    Ok(Some((start, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_whatever_their_length() {
        for len in [0_usize, 1, 125, 126, 65_535, 65_536] {
            let mut bytes = vec![0xff, 0x82];
            match len {
                0..126 => bytes.push(u8::try_from(len).unwrap()),
                126..65_536 => {
                    bytes.push(126);
                    bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend(u64::try_from(len).unwrap().to_be_bytes());
                }
            }
            let start = bytes.len();
            bytes.extend(vec![7; len]);
            let found = whole_frame(&bytes, 1).unwrap();
            assert_eq!(found, Some((start, start + len)));
            assert_eq!(whole_frame(&bytes[..bytes.len() - 1], 1).unwrap(), None);
        }
    }
}
