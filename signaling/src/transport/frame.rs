//! Outgoing frames: encoded once, shared by every connection that sends them.

use super::websocket;
use bytes::Bytes;
use std::sync::Arc;

/// What a frame's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// UTF-8.
    Text,
    /// Anything.
    Binary,
}

/// Bytes that whoever encodes a payload leaves free in front of it, for the longest header of a transport.
pub const ROOM: usize = 10;

/// A frame to be sent; cloning shares it.
///
/// A transport's header stands before the payload, in one piece with it: a session keeps its last frames for a
/// resume, and each would else be there twice.
#[derive(Clone)]
pub struct Frame(Arc<Inner>);

struct Inner {
    format: Format,
    /// [`ROOM`] bytes and the payload.
    bytes: Bytes,
    /// Where within the room WebSocket's header begins.
    websocket_at: usize,
}

impl Frame {
    /// A frame of a copy of this payload.
    #[must_use]
    pub fn new(format: Format, payload: impl AsRef<[u8]>) -> Self {
        let mut bytes = vec![0; ROOM];
        bytes.extend_from_slice(payload.as_ref());
        Self::in_place(format, bytes)
    }

    /// A frame of what was encoded behind [`ROOM`] bytes.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn in_place(format: Format, mut bytes: Vec<u8>) -> Self {
        let len = bytes.len() - ROOM;
        let websocket_at = websocket::put_header(&mut bytes[..ROOM], format, len);
        Self(Arc::new(Inner {
            format,
            // Without what an encoder had to spare.
            bytes: Bytes::from(bytes.into_boxed_slice()),
            websocket_at,
        }))
    }

    /// What the payload is.
    #[must_use]
    pub fn format(&self) -> Format {
        self.0.format
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.0.bytes.slice(ROOM..)
    }

    /// The payload's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.bytes.len() - ROOM
    }

    /// Whether there is no payload.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The WebSocket transport's form of it.
    pub(super) fn websocket(&self) -> &[u8] {
        &self.0.bytes[self.0.websocket_at..]
    }

    /// The same, to be kept.
    pub(super) fn shared_websocket(&self) -> Bytes {
        self.0.bytes.slice(self.0.websocket_at..)
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The payload is people's words.
        f.debug_struct("Frame")
            .field("format", &self.format())
            .field("len", &self.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_the_wire_is_in_one_piece_with_the_payload() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![7; len];
            let frame = Frame::new(Format::Binary, &payload);
            assert_eq!((frame.len(), frame.payload().as_ref()), (len, &payload[..]));
            let (header, rest) = frame.websocket().split_at(frame.websocket().len() - len);
            assert_eq!(rest.as_ptr(), frame.payload().as_ptr());
            assert_eq!(header[0], 0x82);
            assert_eq!(frame.shared_websocket(), frame.websocket());
        }
    }
}
