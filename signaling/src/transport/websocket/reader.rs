//! From bytes to messages: framing, fragments, UTF-8 and bounds (RFC 6455, sections 5 and 8.1).
//!
//! Pure: bytes are fed in, items are taken out.

use super::super::Format;
use super::header::{self, Header, OpCode};
use super::{Rest, WebSocketConfig};
use bytes::{Buf, Bytes, BytesMut};

/// How many bytes of an unfinished frame are looked at for text that is no UTF-8.
const EARLY_TEXT_CHECK: usize = 4 * 1024;

/// What the peer said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Message(Format, Bytes),
    Ping(Bytes),
    Pong,
    Close(Bytes),
}

/// What the peer did wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// A message over the bound.
    TooLarge { limit: usize },
    /// Text where binary is spoken, or the other way round.
    WrongFormat,
    /// A rule of the framing.
    Rule(&'static str),
    /// Text that is no UTF-8.
    Utf8(&'static str),
}

impl Violation {
    /// The status code for it (RFC 6455, section 7.4.1).
    pub(super) const fn close_code(&self) -> u16 {
        match self {
            Self::Rule(_) => 1002,
            Self::WrongFormat => 1003,
            Self::Utf8(_) => 1007,
            Self::TooLarge { .. } => 1009,
        }
    }
}

/// A message whose last fragment has not come.
struct Partial {
    format: Format,
    bytes: BytesMut,
    /// How much of a text is known to be UTF-8.
    valid: usize,
}

/// Reads a client's frames.
pub(super) struct Reader {
    config: WebSocketConfig,
    rest: Rest,
    partial: Option<Box<Partial>>,
    /// Nothing more can be understood: what comes is thrown away.
    is_broken: bool,
}

impl Reader {
    pub(super) fn new(config: WebSocketConfig) -> Self {
        Self {
            config,
            rest: BytesMut::new(),
            partial: None,
            is_broken: false,
        }
    }

    /// Takes bytes from the peer.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if !self.is_broken {
            self.rest.extend_from_slice(bytes);
        }
    }

    /// Throws away what is here and what is to come: after a violation the framing is lost.
    pub(super) fn give_up(&mut self) {
        self.is_broken = true;
        self.rest = BytesMut::new();
        self.partial = None;
    }

    /// Whether it gave up.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Something has begun and not ended.
    pub(super) fn is_mid_message(&self) -> bool {
        self.partial.is_some() || !self.rest.is_empty()
    }

    /// The next item, or `None` when more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Item>, Violation> {
        while let Some(header) = header::parse(&self.rest).map_err(Violation::Rule)? {
            let len = self.check(&header)?;
            if self.rest.len() < header.size + len {
                self.check_begun_text(&header)?;
                // Room for exactly this frame, so that a large one is not copied at each growth.
                self.rest.reserve(header.size + len - self.rest.len());
                return Ok(None);
            }
            self.rest.advance(header.size);
            let mut payload = self.rest.split_to(len);
            if self.rest.is_empty() {
                // The next burst begins in a buffer of its own; an idle connection keeps none.
                self.rest = BytesMut::new();
            }
            header::unmask(&mut payload, header.mask);
            if let Some(item) = self.accept(&header, payload)? {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// Whether the frame may come here and now; gives its length.
    fn check(&self, header: &Header) -> Result<usize, Violation> {
        match (header.opcode, &self.partial) {
            (OpCode::Continuation, None) => {
                return Err(Violation::Rule("a continuation without a beginning"));
            }
            (OpCode::Text | OpCode::Binary, Some(_)) => {
                return Err(Violation::Rule(
                    "a new message within another one's fragments",
                ));
            }
            (OpCode::Text, None) => self.check_format(Format::Text)?,
            (OpCode::Binary, None) => self.check_format(Format::Binary)?,
            (OpCode::Continuation, Some(_)) | (OpCode::Close | OpCode::Ping | OpCode::Pong, _) => {}
        }
        let limit = self.config.frame_bytes;
        let before = match &self.partial {
            Some(partial) if !header.opcode.is_control() => partial.bytes.len(),
            Some(_) | None => 0,
        };
        match usize::try_from(header.len) {
            Ok(len) if len.saturating_add(before) <= limit || header.opcode.is_control() => Ok(len),
            Ok(_) | Err(_) => Err(Violation::TooLarge { limit }),
        }
    }

    fn check_format(&self, format: Format) -> Result<(), Violation> {
        match self.config.format {
            Some(wanted) if wanted != format => Err(Violation::WrongFormat),
            Some(_) | None => Ok(()),
        }
    }

    /// Text that can't become UTF-8 any more is refused before its frame is whole.
    fn check_begun_text(&self, header: &Header) -> Result<(), Violation> {
        let (is_text, before) = match (&self.partial, header.opcode) {
            (None, OpCode::Text) => (true, &[][..]),
            (Some(p), OpCode::Continuation) => (p.format == Format::Text, &p.bytes[p.valid..]),
            _ => (false, &[][..]),
        };
        // Looking again at each arrival is quadratic, so only the first bytes get it; the whole is
        // checked when it is there.
        if !is_text || self.rest.len() > EARLY_TEXT_CHECK {
            return Ok(());
        }
        let mut begun = self.rest[header.size..].to_vec();
        header::unmask(&mut begun, header.mask);
        let mut text = before.to_vec();
        text.append(&mut begun);
        valid_prefix(&text).map(|_| ())
    }

    fn accept(&mut self, header: &Header, payload: BytesMut) -> Result<Option<Item>, Violation> {
        match header.opcode {
            OpCode::Ping => return Ok(Some(Item::Ping(payload.freeze()))),
            OpCode::Pong => return Ok(Some(Item::Pong)),
            OpCode::Close => {
                check_close(&payload)?;
                return Ok(Some(Item::Close(payload.freeze())));
            }
            OpCode::Text | OpCode::Binary => {
                let text = header.opcode == OpCode::Text;
                let format = if text { Format::Text } else { Format::Binary };
                self.partial = Some(Box::new(Partial {
                    format,
                    bytes: payload,
                    valid: 0,
                }));
            }
            OpCode::Continuation => {
                let partial = self.partial.as_mut().expect("checked before the payload");
                partial.bytes.extend_from_slice(&payload);
            }
        }
        let partial = self.partial.as_mut().expect("set above");
        if partial.format == Format::Text {
            partial.valid += valid_prefix(&partial.bytes[partial.valid..])?;
        }
        if !header.fin {
            return Ok(None);
        }
        let partial = self.partial.take().expect("set above");
        if partial.format == Format::Text && partial.valid < partial.bytes.len() {
            return Err(Violation::Utf8("a text ends within a character"));
        }
        Ok(Some(Item::Message(partial.format, partial.bytes.freeze())))
    }
}

/// How much of a text is whole characters; what follows is the beginning of one.
fn valid_prefix(text: &[u8]) -> Result<usize, Violation> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(text.len()),
        Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
        Err(_) => Err(Violation::Utf8("a text is not UTF-8")),
    }
}

/// Section 5.5.1 and 7.4: a code of the allowed ranges and a reason in UTF-8, or nothing.
fn check_close(payload: &[u8]) -> Result<(), Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() {
            Ok(())
        } else {
            Err(Violation::Rule("a close frame with half a code"))
        };
    };
    match u16::from_be_bytes(*code) {
        1000..=1003 | 1007..=1014 | 3000..=4999 => {}
        _ => return Err(Violation::Rule("a close code that must not be sent")),
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Violation::Utf8("a close reason is not UTF-8"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
