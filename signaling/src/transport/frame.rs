//! Outgoing frames: encoded once, shared by every connection that sends them.

use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// What a frame's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// UTF-8.
    Text,
    /// Anything.
    Binary,
}

/// A frame to be sent; cloning shares it.
///
/// A transport keeps the bytes that it puts on the wire beside the payload, so that a frame for a
/// thousand connections is framed once.
#[derive(Clone)]
pub struct Frame(Arc<Inner>);

struct Inner {
    format: Format,
    payload: Bytes,
    websocket: OnceLock<Bytes>,
}

impl Frame {
    /// A frame of this payload.
    #[must_use]
    pub fn new(format: Format, payload: impl Into<Bytes>) -> Self {
        Self(Arc::new(Inner {
            format,
            payload: payload.into(),
            websocket: OnceLock::new(),
        }))
    }

    /// What the payload is.
    #[must_use]
    pub fn format(&self) -> Format {
        self.0.format
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.0.payload
    }

    /// The payload's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.payload.len()
    }

    /// Whether there is no payload.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.payload.is_empty()
    }

    /// The WebSocket transport's form of it, made by the first that asks.
    pub(super) fn websocket(&self, make: impl FnOnce(Format, &Bytes) -> Bytes) -> &Bytes {
        self.0
            .websocket
            .get_or_init(|| make(self.0.format, &self.0.payload))
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
