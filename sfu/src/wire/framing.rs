//! Datagrams on a TCP connection, each behind its length (RFC 4571; RFC 6544, section 3).
//!
//! A connection's bytes come in pieces that know nothing of frames. What is whole in a piece is given out where it
//! lies; what is cut off at its end is kept until the rest comes.

#[cfg(test)]
mod tests;

/// Bytes of a length.
pub const LENGTH_BYTES: usize = 2;

/// The longest frame that is taken, in bytes without its length: the longest datagram. Who announces a longer one
/// sends something else than media, and what follows can't be trusted to begin with a length.
pub const FRAME_BYTES_MAX: usize = 2_048;

/// A frame was announced that is longer than [`FRAME_BYTES_MAX`]: the connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes; at most {FRAME_BYTES_MAX} are taken")]
pub struct TooLong(pub usize);

/// Puts one connection's frames together. Holds at most one frame, whose room is made when the first one comes in
/// pieces and kept.
#[derive(Debug, Default)]
pub struct Deframer {
    /// A frame that began, with its length or what came of it.
    held: Vec<u8>,
}

impl Deframer {
    /// Takes what came, and gives out each frame that is whole with it, in order. Empty ones (RFC 4571, section 2,
    /// allows them) are passed over.
    ///
    /// # Errors
    /// [`TooLong`]; frames before it were given out.
    pub fn take(
        &mut self,
        bytes: &mut [u8],
        mut each: impl FnMut(&mut [u8]),
    ) -> Result<(), TooLong> {
        let mut rest = self.complete(bytes, &mut each)?;
        while let Some(frame_len) = announced(rest)? {
            if rest.len() < LENGTH_BYTES + frame_len {
                break;
            }
            let (frame, after) = rest.split_at_mut(LENGTH_BYTES + frame_len);
            give(&mut frame[LENGTH_BYTES..], &mut each);
            rest = after;
        }
        self.hold(rest);
        Ok(())
    }

    /// Bytes of a frame that is not whole yet.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Completes the frame that is held, and gives what is left.
    fn complete<'a>(
        &mut self,
        bytes: &'a mut [u8],
        each: &mut impl FnMut(&mut [u8]),
    ) -> Result<&'a mut [u8], TooLong> {
        if self.held.is_empty() {
            return Ok(bytes);
        }
        let of_length = LENGTH_BYTES.saturating_sub(self.held.len());
        let (length, rest) = bytes.split_at_mut(of_length.min(bytes.len()));
        self.held.extend_from_slice(length);
        let Some(frame_len) = announced(&self.held)? else {
            return Ok(rest);
        };
        let missing = LENGTH_BYTES + frame_len - self.held.len();
        let (piece, rest) = rest.split_at_mut(missing.min(rest.len()));
        self.held.extend_from_slice(piece);
        if piece.len() == missing {
            give(&mut self.held[LENGTH_BYTES..], each);
            self.held.clear();
        }
        Ok(rest)
    }

    fn hold(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.held.reserve_exact(LENGTH_BYTES + FRAME_BYTES_MAX);
            self.held.extend_from_slice(rest);
        }
    }
}

fn give(frame: &mut [u8], each: &mut impl FnMut(&mut [u8])) {
    if !frame.is_empty() {
        each(frame);
    }
}

/// The length that a frame begins with, once both of its bytes are there.
fn announced(bytes: &[u8]) -> Result<Option<usize>, TooLong> {
    let Some(length) = bytes.first_chunk() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length > FRAME_BYTES_MAX {
        return Err(TooLong(length));
    }
    Ok(Some(length))
}

/// What a frame of so many bytes begins with.
///
/// # Panics
/// There are more than a length can tell: ours are datagrams.
#[must_use]
pub fn length_of(frame_len: usize) -> [u8; LENGTH_BYTES] {
    let length = u16::try_from(frame_len).expect("a datagram's length");
    length.to_be_bytes()
}

/// The first byte of a length that is followed by a connectivity check: a check has less than 2,048 bytes. Requests of
/// HTTP/1 begin with a letter, TLS with 22, so that they can share a port with media.
#[must_use]
pub fn may_begin_with(byte: u8) -> bool {
    byte <= 7
}
